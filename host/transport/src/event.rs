//! What a side reports to the layer above, and the errors of this room's core.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sc_proto::link;

use crate::frame::{Frame, FrameClass};
use crate::identity::PeerKey;

/// One link of one side; never used again after the link has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "link {}", self.0)
    }
}

/// What a peer is on this link.
///
/// Whether a role opens a link or accepts it is a matter of the two that meet: a store accepts clients on one socket
/// and opens links to coders and backends on others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Routes: accepts publishers and subscribers.
    Router,
    /// Publishes.
    Publisher,
    /// Subscribes.
    Subscriber,
    /// Asks a store.
    Client,
    /// Stores: accepts clients, and opens links to coders and backends.
    Store,
    /// Codes for stores, which it accepts.
    Coder,
    /// Keeps fragments for stores, which it accepts.
    Backend,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Router,
        Self::Publisher,
        Self::Subscriber,
        Self::Client,
        Self::Store,
        Self::Coder,
        Self::Backend,
    ];

    /// Whether this role may open a link to `acceptor`.
    #[must_use]
    pub fn opens_to(self, acceptor: Self) -> bool {
        matches!(
            (self, acceptor),
            (Self::Publisher | Self::Subscriber, Self::Router)
                | (Self::Client, Self::Store)
                | (Self::Store, Self::Coder | Self::Backend)
        )
    }

    /// Whether this role opens links to any other.
    #[must_use]
    pub fn initiates(self) -> bool {
        Self::ALL.into_iter().any(|other| self.opens_to(other))
    }

    /// Whether this role accepts links of any other.
    #[must_use]
    pub fn accepts(self) -> bool {
        Self::ALL.into_iter().any(|other| other.opens_to(self))
    }

    /// Whether a newer link takes the place of an older one under the same key. A publisher or subscriber is one
    /// journal, so two of them are a mistake; requests have no such state, and one client may run several times.
    pub(crate) fn is_one_per_key(self) -> bool {
        matches!(self, Self::Publisher | Self::Subscriber)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Router => "router",
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
            Self::Client => "client",
            Self::Store => "store",
            Self::Coder => "coder",
            Self::Backend => "backend",
        })
    }
}

/// Where a datagram came from or goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The ZeroMQ routing id: a claim. Empty at an initiator, whose socket has one peer.
    pub id: Bytes,
    /// The CURVE public key that the carrier verified for this connection, if any.
    pub curve_key: Option<[u8; 32]>,
}

impl Route {
    /// A route without CURVE.
    pub fn plain(id: impl Into<Bytes>) -> Self {
        Self {
            id: id.into(),
            curve_key: None,
        }
    }
}

/// Something the layer above must know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The peer has proved `peer`; frames may be sent.
    Established {
        /// The new link.
        link: LinkId,
        /// The proved key.
        peer: PeerKey,
        /// What the peer is.
        role: Role,
    },
    /// A frame has arrived, once and in order.
    Frame {
        /// Its link.
        link: LinkId,
        /// Its class.
        class: FrameClass,
        /// The frame.
        frame: Frame,
        /// What to release once the frame is done with, in bytes.
        credit: u64,
    },
    /// The frame sent with `token`, and all sent before it in its class, have arrived.
    Acked {
        /// Its link.
        link: LinkId,
        /// Its class.
        class: FrameClass,
        /// What was given to `send`.
        token: u64,
    },
    /// The peer has granted more credit: whoever keeps frames back until there is enough looks again.
    Granted {
        /// Its link.
        link: LinkId,
        /// The class whose credit has grown.
        class: FrameClass,
    },
    /// After a send that was `Full`: half of the queue is free again.
    Writable {
        /// Its link.
        link: LinkId,
        /// The class that was full.
        class: FrameClass,
    },
    /// The link is gone, with whatever was neither acknowledged nor delivered.
    Closed {
        /// Its link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// The other side turned this one away, or they cannot talk as they are; it is tried again later.
    Refused {
        /// The other side's words, or what keeps them apart.
        reason: String,
    },
}

/// Why a link closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed here: {0}")]
    Asked(String),
    /// The peer closed it.
    #[error("closed by the peer: {reason}")]
    ByPeer {
        /// For programs.
        code: CloseCode,
        /// For people; at most [`crate::wire::REASON_MAX`] bytes.
        reason: String,
    },
    /// Another connection has proved the same key.
    #[error("replaced by a newer connection")]
    Replaced,
    /// The peer knows the link no more: it has restarted or closed it.
    #[error("the peer no longer knows this link")]
    Forgotten,
    /// Nothing was heard for the idle timeout.
    #[error("nothing heard for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// The carrier's connection is gone, and none has come in its place for so long.
    #[error("the connection is gone, and there was no other for {} s", .0.as_secs_f32())]
    Disconnected(Duration),
    /// Another peer has proved itself under this link's routing id.
    #[error("another peer has taken this link's routing id")]
    Ousted,
    /// The peer broke a rule.
    #[error("{0}")]
    Violation(#[from] Violation),
}

/// The code of a close that came from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// In good order.
    Done,
    /// A newer connection has proved the same key.
    Replaced,
    /// This side broke a rule, says the peer.
    Violation,
    /// The peer heard nothing for too long.
    Idle,
    /// Key, role or version not accepted.
    Refused,
    /// The peer holds as many links as it may.
    Full,
    /// A code this version does not know.
    Unknown,
}

impl CloseReason {
    /// What to tell the peer; `None` where telling is useless.
    pub(crate) fn code(&self) -> Option<link::CloseCode> {
        match self {
            Self::Asked(_) => Some(link::CloseCode::Done),
            Self::Replaced => Some(link::CloseCode::Replaced),
            Self::Silent(_) => Some(link::CloseCode::Idle),
            Self::Violation(_) => Some(link::CloseCode::Violation),
            // Nobody is there to hear it, or somebody else would.
            Self::ByPeer { .. } | Self::Forgotten | Self::Disconnected(_) | Self::Ousted => None,
        }
    }

    /// The words for the peer.
    pub(crate) fn to_peer(&self) -> String {
        match self {
            Self::Asked(reason) => reason.clone(),
            other => other.to_string(),
        }
    }
}

/// Which rule of this layer a peer broke. The link closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame cost more than the credit granted.
    #[error("a frame of cost {cost} exceeds the {granted} bytes of credit left in its class")]
    OverCredit {
        /// Of the frame.
        cost: u64,
        /// What was left.
        granted: u64,
    },
    /// A frame was larger than the terms allow.
    #[error("a frame of {size} bytes exceeds the largest of {max}")]
    FrameTooLarge {
        /// Of the frame.
        size: u64,
        /// Of the terms.
        max: u64,
    },
    /// A head was larger than [`crate::HEAD_MAX`].
    #[error("a frame's head of {0} bytes is too large")]
    HeadTooLarge(usize),
    /// A frame had more than [`crate::ATTACHMENTS_MAX`] attachments.
    #[error("a frame with {0} attachments has too many")]
    TooManyParts(usize),
    /// An acknowledgement of frames never sent.
    #[error("frame {received} acknowledged, but only {sent} were sent")]
    AckOfUnsent {
        /// What the peer says it received.
        received: u64,
        /// The highest sequence sent.
        sent: u64,
    },
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The queue of its class is full: wait for `Writable`.
    #[error("the link's queue is full")]
    Full,
    /// There is no such link (any more).
    #[error("the link is closed")]
    Closed,
    /// It exceeds what the peer accepts, or a bound of this layer: never retry.
    #[error("a frame of {size} bytes is larger than the {max} that the peer accepts")]
    TooLarge {
        /// Of the frame.
        size: u64,
        /// The peer's bound.
        max: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_accepts_clients_and_opens_links_to_coders_and_backends() {
        let acceptors = |role: Role| -> Vec<Role> {
            let opens = |other: &Role| role.opens_to(*other);
            Role::ALL.into_iter().filter(opens).collect()
        };

        assert_eq!(acceptors(Role::Publisher), [Role::Router]);
        assert_eq!(acceptors(Role::Subscriber), [Role::Router]);
        assert_eq!(acceptors(Role::Client), [Role::Store]);
        assert_eq!(acceptors(Role::Store), [Role::Coder, Role::Backend]);
        for role in [Role::Router, Role::Coder, Role::Backend] {
            assert!(role.accepts() && !role.initiates(), "{role}");
        }
        assert!(Role::Store.accepts() && Role::Store.initiates());
    }
}
