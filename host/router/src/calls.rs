//! Calls to the trusted program, and what they were made for.

use bytes::Bytes;
use sc_proto::routing;
use sc_transport::LinkId;

use crate::credit::DebtId;
use crate::domains::DomainId;
use crate::spill::MailboxId;

/// What a call was made for.
pub(crate) struct CallContext {
    /// The frame that it was made for; `None` for what the router asks of itself.
    pub(crate) origin: Option<(LinkId, DebtId)>,
    pub(crate) what: Asked,
}

/// What it asked the program for.
pub(crate) enum Asked {
    Challenge,
    Secrets,
    Control {
        domain: DomainId,
        head: routing::Receipt,
    },
    Batch {
        domain: DomainId,
        head: routing::Receipt,
        sizes: Vec<u32>,
        payloads: Bytes,
    },
    Close,
    Suspend {
        mailbox: MailboxId,
        session: u64,
    },
    Resume {
        mailbox: MailboxId,
        session: u64,
    },
}

/// A message of a publisher that waits for its turn to become a call.
pub(crate) struct Waiting {
    pub(crate) request: Bytes,
    pub(crate) call: CallContext,
}
