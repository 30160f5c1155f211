//! What the core wants done.

use bytes::Bytes;
use sc_transport::{Frame, FrameClass, LinkId};

use crate::spill::{MailboxId, Record};

/// One thing that the core wants done; they are done in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a frame, by [`crate::Router::deliver`].
    Send {
        /// On this link.
        link: LinkId,
        /// Charged to this credit.
        class: FrameClass,
        /// The frame.
        frame: Frame,
        /// For [`sc_transport::LinkEvent::Acked`].
        token: u64,
    },
    /// Call the trusted program.
    Call {
        /// Comes back with the reply.
        token: u64,
        /// The encoded call.
        request: Bytes,
    },
    /// Give credit back.
    Release {
        /// To the sender on this link.
        link: LinkId,
        /// Of this class.
        class: FrameClass,
        /// So many bytes.
        bytes: u64,
    },
    /// Close a link.
    Close {
        /// Which.
        link: LinkId,
        /// Why, for people.
        reason: &'static str,
    },
    /// Append to the store: [`crate::Spill::append`].
    Store {
        /// Whose.
        mailbox: MailboxId,
        /// Comes back when it is stored or is not.
        token: u64,
        /// What.
        record: Record,
    },
    /// Read on: [`crate::Spill::fetch`].
    Fetch {
        /// Whose.
        mailbox: MailboxId,
        /// At most so much, and at least one record.
        bytes_max: u64,
    },
    /// Read again from the first: [`crate::Spill::rewind`].
    Rewind {
        /// Whose.
        mailbox: MailboxId,
    },
    /// Everything up to this place may go: [`crate::Spill::trim`].
    Trim {
        /// Whose.
        mailbox: MailboxId,
        /// Of this session.
        session: u64,
        /// Up to this number.
        counter: u64,
    },
    /// Everything may go: [`crate::Spill::discard`].
    Discard {
        /// Whose.
        mailbox: MailboxId,
    },
}
