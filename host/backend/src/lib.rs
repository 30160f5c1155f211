//! Storage locations: what keeps fragments, and one suite that says what each must do.
//!
//! A [`Backend`] keeps opaque, immutable fragments under names that are never used twice. [`Fs`] keeps them in a folder, [`Memory`]
//! nowhere, with [`Faults`] for tests and simulations, [`Remote`] at a [`BackendService`] elsewhere. What every backend must do is written down in `tests/suite`.
//! Invariant: a fragment is either not there or whole, and never becomes another one.
//! Nothing here relies on a conditional write or on metadata of an object, since Swift
//! ignores the first and either may be lost in a copy.

mod backend;
mod error;
mod fs;
mod id;
mod memory;
mod name;
mod recoding;
mod remote;

pub use backend::{Backend, Description, FRAGMENT_BYTES_MAX, LIST_MAX, Listed, Reply, Usage};
pub use error::BackendError;
pub use fs::{Fs, FsError, FsSettings};
pub use id::{Expected, LocationId, NoLocationId};
pub use memory::{Faults, Memory};
pub use name::{FragmentName, NAME_BYTES_MAX, NameError};
pub use remote::{BackendService, REMOTE_BYTES_MAX, Remote, rpc_settings};
