//! The untrusted store: datastores, policies, placement, quorum.
//!
//! It carries sealed requests to coders, fragments to locations, and what the host must know to the catalogue. [`Store::answer`] is the door
//! for clients, [`Chores`] what is done meanwhile.
//! Invariant: nothing here can read an object, its metadata or its tags; what is acknowledged is durable as its policy says.
//! Source: D4.2, section 3.1; docs/FORMATS.md, "Storage".

mod administration;
mod chores;
mod coder;
mod debts;
mod delete;
mod drain;
mod error;
mod gc;
mod get;
mod jobs;
mod layouts;
mod listing;
mod location;
mod locations;
mod manifests;
mod migrate;
mod notes;
mod opening;
mod placement;
mod policy;
mod put;
mod quorum;
mod reading;
mod rebuild;
mod recoding;
mod repair;
mod returning;
mod rewrap;
mod scrub;
mod service;
mod simulate;
mod store;
mod tier;
mod unopened;
mod uploads;
mod writing;

pub use chores::Chores;
pub use coder::{CoderWay, Coders, pieces, split};
pub use error::Problem;
pub use jobs::{Outcome, Work};
pub use location::{Class, Kind, LocationSettings};
pub use locations::{Locations, Site};
pub use opening::{LocationOpener, Opening};
pub use placement::{Candidate, PlacementError, place, replace};
pub use policy::{Code, Encryption, Placement, Policy, PolicyError, ReadPreference, Tier};
pub use rebuild::Rebuilt;
pub use recoding::Traffic;
pub use service::Service;
pub use store::{Clock, Store, StoreSettings};
