//! What a token grants: rights, each over some datastores.

use sc_client::kv::KvError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Grants of one token.
pub(crate) const GRANTS_MAX: usize = 64;
/// Datastores, or beginnings of names, of one grant.
pub(crate) const DATASTORES_MAX: usize = 64;
/// Characters of one of them, and of a label.
pub(crate) const NAME_MAX: usize = 256;

/// Seconds for which a token lives at most, where it does not live for ever: a hundred years.
pub(crate) const LIFETIME_MAX_S: u64 = 100 * 31_557_600;

/// Something that a token may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Open objects.
    Read,
    /// Make objects.
    Write,
    /// Delete objects.
    Delete,
    /// List what there is.
    List,
    /// Make and change datastores; with `*`, policies, locations and tokens, too.
    Administer,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::List,
        Self::Administer,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Administer => "administer",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Rights over some datastores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Names of datastores; one that ends with `*` stands for all that begin so.
    #[schema(min_items = 1, max_items = 64, value_type = Vec<DatastorePattern>, example = json!(["readings", "orders-*"]))]
    pub datastores: Vec<String>,
    /// What is allowed there.
    #[schema(min_items = 1, max_items = 5)]
    pub rights: Vec<Right>,
}

impl Grant {
    /// Every right over everything.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            datastores: vec!["*".to_owned()],
            rights: Right::ALL.to_vec(),
        }
    }
}

/// A datastore in a grant, as the document describes it.
#[derive(ToSchema)]
#[schema(pattern = "^([^*]{1,256}|[^*]{0,255}[*])$", example = "orders-*")]
#[allow(dead_code, reason = "the document alone is made of it")]
pub(crate) struct DatastorePattern(String);

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The request says what cannot be.
    #[error("{0}")]
    Request(&'static str),
    /// The store did not take it.
    #[error(transparent)]
    Store(KvError),
}

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'s> {
    /// One datastore.
    Datastore(&'s str),
    /// All that the tenant has.
    Everything,
}

/// Grants that are within the bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grants(Vec<Grant>);

impl Grants {
    pub(crate) fn new(grants: Vec<Grant>) -> Result<Self, TokenError> {
        if grants.is_empty() || grants.len() > GRANTS_MAX {
            return Err(TokenError::Request("a token has 1 to 64 grants"));
        }
        for grant in &grants {
            if grant.datastores.is_empty() || grant.datastores.len() > DATASTORES_MAX {
                return Err(TokenError::Request("a grant names 1 to 64 datastores"));
            }
            if grant.rights.is_empty() || grant.rights.len() > Right::ALL.len() {
                return Err(TokenError::Request("a grant has 1 to 5 rights"));
            }
            for name in &grant.datastores {
                check_pattern(name)?;
            }
        }
        Ok(Self(grants))
    }

    pub(crate) fn as_slice(&self) -> &[Grant] {
        &self.0
    }

    /// Whether `right` is granted over `scope`.
    pub(crate) fn allow(&self, right: Right, scope: Scope<'_>) -> bool {
        self.rights(scope) & right.bit() != 0
    }

    /// Whether anything is granted over `scope`.
    pub(crate) fn touch(&self, scope: Scope<'_>) -> bool {
        self.rights(scope) != 0
    }

    /// The first right, and what it is over, that `other` grants and this does not.
    ///
    /// One pattern has to cover another by itself: several that cover it together do not count.
    pub(crate) fn exceeded_by<'o>(&self, other: &'o Self) -> Option<(Right, &'o str)> {
        let asked = other.0.iter().flat_map(|grant| {
            let each = grant.datastores.iter();
            each.flat_map(|pattern| grant.rights.iter().map(|right| (*right, &**pattern)))
        });
        let is_granted = |right: Right, pattern: &str| {
            self.0.iter().any(|grant| {
                let mut own = grant.datastores.iter();
                grant.rights.contains(&right) && own.any(|it| includes(it, pattern))
            })
        };
        asked
            .into_iter()
            .find(|(right, pattern)| !is_granted(*right, pattern))
    }

    fn rights(&self, scope: Scope<'_>) -> u8 {
        let grants = self.0.iter().filter(|grant| {
            let mut names = grant.datastores.iter();
            names.any(|pattern| covers(pattern, scope))
        });
        grants
            .flat_map(|grant| &grant.rights)
            .fold(0, |rights, right| rights | right.bit())
    }
}

fn check_pattern(name: &str) -> Result<(), TokenError> {
    let star = name.find('*');
    if name.is_empty()
        || name.chars().count() > NAME_MAX
        || star.is_some_and(|at| at + 1 != name.len())
    {
        return Err(TokenError::Request(
            "a datastore in a grant is a name, or the beginning of one followed by *",
        ));
    }
    Ok(())
}

/// Whether whatever `other` stands for is among what `pattern` stands for.
fn includes(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => other.starts_with(beginning),
        None => other == pattern,
    }
}

fn covers(pattern: &str, scope: Scope<'_>) -> bool {
    match scope {
        Scope::Everything => pattern == "*",
        Scope::Datastore(name) => match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(list: &[(&str, &[Right])]) -> Grants {
        let list = list.iter().map(|(name, rights)| Grant {
            datastores: vec![(*name).to_owned()],
            rights: rights.to_vec(),
        });
        Grants::new(list.collect()).unwrap()
    }

    #[test]
    fn a_right_over_one_datastore_is_none_over_another() {
        let grants = grants(&[("logs", &[Right::Read]), ("tmp", &[Right::Write])]);

        assert!(grants.allow(Right::Read, Scope::Datastore("logs")));
        assert!(!grants.allow(Right::Write, Scope::Datastore("logs")));
        assert!(!grants.allow(Right::Read, Scope::Datastore("logs2")));
        assert!(!grants.allow(Right::Read, Scope::Everything));
    }

    #[test]
    fn a_star_stands_for_every_ending() {
        let grants = grants(&[("logs-*", &[Right::List])]);

        assert!(grants.allow(Right::List, Scope::Datastore("logs-")));
        assert!(grants.allow(Right::List, Scope::Datastore("logs-a")));
        assert!(!grants.allow(Right::List, Scope::Datastore("logs")));
        assert!(!grants.allow(Right::List, Scope::Everything));
    }

    #[test]
    fn only_the_bare_star_is_everything() {
        let grants = grants(&[("*", &[Right::Administer])]);

        assert!(grants.allow(Right::Administer, Scope::Everything));
        assert!(!grants.allow(Right::Read, Scope::Everything));
    }

    #[test]
    fn grants_exceed_others_in_a_right_or_in_what_it_is_over() {
        let own = grants(&[
            ("logs-*", &[Right::Read, Right::List]),
            ("tmp", &Right::ALL),
        ]);

        for (name, rights) in [
            ("logs-a", &[Right::Read][..]),
            ("logs-*", &[Right::List, Right::Read]),
            ("logs-a*", &[Right::Read]),
            ("tmp", &Right::ALL),
        ] {
            let asked = grants(&[(name, rights)]);
            assert_eq!(own.exceeded_by(&asked), None, "{name}");
        }
        for (name, right) in [
            ("logs-a", Right::Write),
            ("logs*", Right::Read),
            ("*", Right::Read),
            ("tmp*", Right::Read),
            ("other", Right::Read),
        ] {
            let asked = grants(&[("tmp", &[Right::Read]), (name, &[right])]);
            assert_eq!(own.exceeded_by(&asked), Some((right, name)));
        }
    }

    #[test]
    fn a_star_within_a_name_is_refused() {
        let grant = Grant {
            datastores: vec!["a*b".to_owned()],
            rights: vec![Right::Read],
        };

        assert!(Grants::new(vec![grant]).is_err());
    }

    #[test]
    fn grants_beyond_the_bound_are_refused() {
        assert!(Grants::new(vec![Grant::everything(); GRANTS_MAX]).is_ok());
        assert!(Grants::new(vec![Grant::everything(); GRANTS_MAX + 1]).is_err());
        assert!(Grants::new(Vec::new()).is_err());
    }
}
