//! Both systems in virtual time with seeded faults; routing, and storage in [`storage`].
//!
//! Everything here is real but the sockets, the clock, the disk and the randomness: the cores of publishers, consumers and router, the
//! link layer and the trusted program run on one thread, and one seed is one run. A known answer says what has to be delivered.
//! Invariant: the same seed and scenario give the same trace, bit by bit.

mod answer;
mod cast;
mod cores;
mod disk;
mod door;
mod fault;
mod host;
mod ledger;
mod lives;
mod malice;
mod net;
mod oracle;
mod party;
mod plant;
mod queue;
mod random;
mod report;
mod scenario;
mod simulation;
mod spill;
mod station;
pub mod storage;
mod trace;
mod trial;
mod violation;
mod wall;
mod workload;
mod world;

pub use disk::Death;
pub use fault::{Fault, Faults, Silence, Weather};
pub use malice::Malice;
pub use party::Party;
pub use plant::{Plant, UnknownPlant};
pub use random::Random;
pub use report::Report;
pub use scenario::{IDLE_TIMEOUT, Scenario, TICK};
pub use simulation::Simulation;
pub use trace::TraceHash;
pub use trial::Trial;
pub use violation::Violation;
pub use wall::{ClockTrouble, Wrong};
