//! The untrusted router: carries sealed frames to the trusted program and its notices to consumers.
//!
//! Invariants: it holds no key but its link key and sees no header, filter or payload; what is sealed for one peer goes only to the link
//! that has proved that peer's key; a sender gets its credit back only when what came of its frame has arrived.
//! [`Router`] decides, without sockets, clocks or threads; [`serve`] is the loop around it.

mod asks;
mod calls;
mod counters;
mod credit;
mod domains;
mod mailbox;
mod mailboxes;
mod memory;
mod order;
mod outputs;
mod router;
mod settled;
mod shell;
mod spill;

pub use asks::{ASKS_SENT_MAX, ASKS_WAITING_MAX};
pub use counters::{Counters, Gauges};
pub use domains::REGISTERED_MAX;
pub use mailbox::{ALLOWANCE, FLIGHT_MAX, NAMING_GRACE, PRESSED_MAX, RETENTION_MIN};
pub use mailboxes::{CONSUMERS_MAX, MAILBOXES_MAX};
pub use memory::{DOMAIN_MEMORY_MAX, MEMORY_MAX};
pub use outputs::Output;
pub use router::{CALLS_MAX, Router, RouterSettings};
pub use shell::{RouterError, RouterNews, serve};
pub use spill::{
    MailboxId, Record, Recovered, Spill, SpillError, SpillEvent, SpillFailure, SpillSettings,
    records_of_segment,
};
