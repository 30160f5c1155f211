//! Authenticated links with credit over ZeroMQ.
//!
//! A socket has a [`Side`]: the acceptor's [`Links`] or the initiator's [`Dialer`]. Both are pure: datagrams, time and
//! randomness come in, datagrams and [`LinkEvent`]s go out. A [`Driver`] runs a side on a socket.
//! Invariant: a frame reaches the layer above once, in order, from a peer that has proved its key, and never beyond
//! the credit that this side granted.
//! Source: docs/FORMATS.md, "Links".

mod curve;
mod dialer;
mod driver;
mod endpoint;
mod event;
mod files;
mod frame;
mod identity;
mod link;
mod links;
mod receiving;
mod rpc;
mod sending;
mod settings;
mod side;
mod socket;
mod table;
mod transcript;
mod wire;

pub use curve::{CURVE_KEY_LEN, CURVE_PEERS_MAX, CurvePublic, LinkKeys, LinkKeysError};
pub use dialer::{Dialer, RECONNECT_GRACE};
pub use driver::Driver;
pub use endpoint::{Endpoint, EndpointError, Host, Note};
pub use event::{CloseCode, CloseReason, LinkEvent, LinkId, Role, Route, SendError, Violation};
pub use frame::{
    ATTACHMENT_OVERHEAD, ATTACHMENTS_MAX, FRAME_OVERHEAD, Frame, FrameClass, HEAD_MAX,
};
pub use identity::{
    Entropy, KEY_LEN, LinkKey, LinkSigner, NoPeerKey, PeerKey, SIGNATURE_LEN, os_entropy,
};
pub use links::{DISOWNED_PER_SECOND, Links, PENDING_MAX};
pub use rpc::{
    Handler, LinkState, MESSAGE_HEADER_LEN, RPC_HEAD_MAX, Refusal, Requester, Responder, RpcError,
    RpcSettings, SMALL_COST_MAX,
};
pub use settings::{Admission, LinkSettings, Terms};
pub use side::Side;
pub use socket::Attach;
pub use table::{Counts, OUTBOX_MAX, REPLACED_MAX};
pub use wire::{Datagram, REASON_MAX};
