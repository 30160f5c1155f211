//! The untrusted router: carries sealed frames to the trusted program and its notices to consumers.
//!
//! Invariants: it holds no key but its link key and sees no header, filter or payload; what is sealed for one peer goes only to the link
//! that has proved that peer's key; a sender gets its credit back only when what came of its frame has arrived.
//! [`Router`] decides, without sockets, clocks or threads; [`serve`] is the loop around it.

mod backlog;
mod calls;
mod credit;
mod domains;
mod order;
mod router;
mod shell;
mod spill;

pub use router::{CALLS_MAX, Counters, Output, Router, RouterSettings};
pub use shell::{RouterError, RouterNews, serve};
pub use spill::{
    MailboxId, Record, Recovered, Spill, SpillError, SpillEvent, SpillFailure, SpillSettings,
};
