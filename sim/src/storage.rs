//! The storage system in one process: clients, stores, a coder and locations in memory, joined without sockets.
//!
//! Everything but sockets, disks, the time and the randomness is real: sealed requests, the coder's engine, the store's journeys, the
//! catalogue's statements. A [`World`] is one system that tests act on; a [`Simulation`] is a run in virtual time that a seed determines.

mod chaos;
mod clients;
mod disaster;
mod ending;
mod fault;
mod history;
mod links;
mod operator;
mod oracle;
mod place;
mod plant;
mod process;
mod report;
mod route;
mod scenario;
mod session;
mod simulation;
mod surroundings;
mod tap;
mod trusted;
mod upkeep;
mod vitals;
mod world;

pub use fault::{Fault, Faults};
pub use oracle::Violation;
pub use plant::{Plant, UnknownPlant};
pub use report::Report;
pub use scenario::{Journey, Scenario};
pub use session::Session;
pub use simulation::Simulation;
pub use tap::Tap;
pub use upkeep::{JobKind, Upkeep};
pub use world::{Direct, Site, Tenant, World, WorldSettings};
