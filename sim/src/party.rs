//! Who takes part in a run.

use std::fmt;

use bytes::Bytes;

/// One party. Publishers and consumers are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The router, with the trusted program behind its door.
    Router,
    /// The owner of the domain of the same number.
    Publisher(usize),
    /// A further publisher in the domain of an owner.
    Grantee(usize),
    /// A consumer of one domain.
    Consumer(usize),
}

impl Party {
    /// The routing id under which the router's socket knows this party's connection.
    pub(crate) fn route(self) -> Bytes {
        let (kind, number) = match self {
            Self::Router => (b'r', 0),
            Self::Publisher(number) => (b'p', number),
            Self::Grantee(number) => (b'g', number),
            Self::Consumer(number) => (b'c', number),
        };
        let mut route = vec![kind];
        route.extend_from_slice(&(number as u64).to_le_bytes());
        route.into()
    }

    /// The party behind a routing id.
    pub(crate) fn of_route(route: &[u8]) -> Option<Self> {
        let (kind, number) = route.split_first()?;
        let number = u64::from_le_bytes(number.try_into().ok()?) as usize;
        match kind {
            b'p' => Some(Self::Publisher(number)),
            b'g' => Some(Self::Grantee(number)),
            b'c' => Some(Self::Consumer(number)),
            _ => None,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router => out.write_str("router"),
            Self::Publisher(number) => write!(out, "publisher {number}"),
            Self::Grantee(number) => write!(out, "grantee {number}"),
            Self::Consumer(number) => write!(out, "consumer {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_id_names_its_party_and_no_other() {
        for party in [
            Party::Publisher(0),
            Party::Grantee(0),
            Party::Consumer(0),
            Party::Consumer(300),
        ] {
            assert_eq!(Party::of_route(&party.route()), Some(party));
        }
        assert_eq!(Party::of_route(&Party::Router.route()), None);
        assert_eq!(Party::of_route(b"p"), None);
    }
}
