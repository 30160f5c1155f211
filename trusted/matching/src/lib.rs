//! Content-based matching: the language of headers and subscriptions, its two codecs, and the
//! index.
//!
//! Invariant: pure and bounded. Nothing here touches a file, a socket, a clock or a random
//! generator, and every count and length that comes from outside has a named bound in [`bound`].
//! Source: D4.2 §2.1 for the message format; SCBR (Pires et al., Middleware '16) for the task.
//!
//! [`Subscription::matches`] is the meaning of the language, written plainly. [`Index`] gives the
//! same answers for many subscriptions at once, and long runs of random changes hold it to that.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod ascii;
pub mod binary;
pub mod bound;
mod hash;
mod header;
mod index;
mod name;
mod oblivious;
mod publication;
mod subscription;
mod value;

pub use binary::DecodeError;
pub use bound::LimitError;
pub use header::{BlockFull, Header, HeaderBlock, HeaderBlockWriter, Headers, NameIndex};
pub use index::{Features, Index, Kernel, Matches, Names, Snapshot, SubscriptionId};
pub use name::Name;
pub use oblivious::{
    NO_SUBSCRIPTION, Oblivious, ObliviousError, ObliviousMatches, ObliviousNames, Padded, Shape,
    Sizes,
};
pub use publication::Publication;
pub use subscription::{Constraint, Predicate, Subscription};
pub use value::{Number, Text, Value, ValueRef};
