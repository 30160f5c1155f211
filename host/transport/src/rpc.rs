//! Requests and their replies over links.
//!
//! A [`Requester`] holds one link to one peer and carries any number of calls on it at once; a [`Responder`] accepts
//! links and runs a [`Handler`] for each request. Their cores, `Calls` and `Intake`, are pure.
//! Invariant: a call ends with exactly one outcome; what is held for peers is bounded by [`RpcSettings`], whatever
//! they do.
//! Source: docs/FORMATS.md, "Requests and replies".

mod calls;
mod intake;
mod message;
mod requester;
mod responder;

use std::time::Duration;

use crate::frame::{Frame, HEAD_MAX};
use crate::identity::PeerKey;
use crate::settings::{Admission, LinkSettings, Terms};

pub use message::{MESSAGE_HEADER_LEN, Refusal};
pub use requester::{LinkState, Requester};
pub use responder::Responder;

/// Largest head of a request or reply, in bytes.
pub const RPC_HEAD_MAX: usize = HEAD_MAX - MESSAGE_HEADER_LEN;
/// What costs at most this much, in bytes, is charged to control credit and so passes what is bulky.
pub const SMALL_COST_MAX: u64 = 16 * 1024;

/// Numbers of a requester or responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcSettings {
    /// Largest request or reply accepted (sum of its parts), in bytes. Both sides need room for what the other sends.
    pub max_frame: u64,
    /// Cost of large frames that the peer may have on their way here or unanswered, in bytes. Raised to what one largest
    /// frame costs. Raise it for fast links with a long round trip.
    pub data_window: u64,
    /// The same of small frames, in bytes; raised to 64 KiB.
    pub control_window: u64,
    /// Requests of one link without a reply. A requester keeps further ones back, a responder refuses them.
    pub in_flight_per_link: usize,
    /// Requests of all links whose handlers are at work: a responder refuses further ones.
    pub handlers_max: usize,
    /// Calls that one requester holds, sent or not; further ones wait until there is room.
    pub calls_max: usize,
    /// Cost of requests that run and of replies that have not arrived, over all links of a responder, in bytes.
    /// Requests beyond it are refused.
    pub held_max: u64,
    /// Cost of replies to one link that have not arrived, in bytes: a slow reader cannot use up `held_max` alone.
    pub unread_max: u64,
    /// A link whose waiting replies make no progress for this long is closed by the responder.
    pub stall_timeout: Duration,
    /// A call that finds no link waits so long for one.
    pub link_patience: Duration,
    /// Most links of a responder.
    pub links_max: usize,
    /// A link from which nothing is heard for this long is closed.
    pub idle_timeout: Duration,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            max_frame: 16 << 20,
            data_window: 40 << 20,
            control_window: 2 << 20,
            in_flight_per_link: 256,
            handlers_max: 4096,
            calls_max: 4096,
            held_max: 2 << 30,
            unread_max: 512 << 20,
            stall_timeout: Duration::from_secs(30),
            link_patience: Duration::from_secs(2),
            links_max: 4096,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// The smallest control window.
const CONTROL_WINDOW_MIN: u64 = 64 * 1024;

impl RpcSettings {
    /// The settings of the links that carry the requests.
    fn of_links(&self, admission: Admission) -> LinkSettings {
        let max_frame = self.max_frame + MESSAGE_HEADER_LEN as u64;
        let largest = LinkSettings::largest_cost(max_frame);
        let terms = Terms {
            control_window: self.control_window.max(CONTROL_WINDOW_MIN),
            data_window: self.data_window.max(largest),
            max_frame,
        };
        LinkSettings {
            terms,
            control_queue: terms.control_window,
            data_queue: terms.data_window,
            links_max: self.links_max,
            idle_timeout: self.idle_timeout,
            admission,
            curve_key: None,
        }
    }
}

/// Why a call has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The deadline passed after the request had left; whether the peer acted on it is unknown.
    #[error("no reply before the deadline")]
    Deadline,
    /// The link closed after the request had left; whether the peer acted on it is unknown.
    #[error("the link closed before the reply came")]
    Disconnected,
    /// The request never left, or the peer is ending and has not begun it: safe to try elsewhere.
    #[error("the request was not begun")]
    NotSent,
    /// Request or reply is larger than its receiver accepts: never retry.
    #[error("a message of {size} bytes exceeds the {max} that its receiver accepts")]
    TooLarge {
        /// Of the request; 0 if it was the reply.
        size: u64,
        /// What the receiver accepts.
        max: u64,
    },
    /// The peer has too many requests and has not begun this one: wait, or try elsewhere.
    #[error("the peer has too many requests")]
    Overloaded,
    /// The peer has carried the request out, and had no room to keep the reply until it is read: ask for less at once.
    #[error("the peer had no room for the reply")]
    NoRoom,
    /// The peer broke down over the request; whether it acted on it is unknown.
    #[error("the peer failed to answer")]
    Failed,
    /// The requester was closed, or its socket is gone.
    #[error("the requester is closed")]
    Closed,
}

/// What a responder does with a request.
pub trait Handler: Send + Sync + 'static {
    /// The reply to `request`, which `peer` has sent; its attachments lie where the socket has put them.
    ///
    /// Runs as a task of its own. The future is dropped when the peer has given the request up or is gone. The peer gets
    /// the credit of the request back when the future is done: what is slow slows its sender down.
    fn handle(&self, peer: PeerKey, request: Frame) -> impl Future<Output = Frame> + Send;
}
