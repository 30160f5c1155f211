//! What a run is to be like.

use std::time::Duration;

use sc_store::StoreSettings;

use super::plant::Plant;
use crate::random::Random;

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Journey {
    /// An object is stored, whole or in parts.
    Put,
    /// An object is read.
    Get,
    /// An object or version is deleted.
    Delete,
    /// Anything else that a client asks for.
    Other,
    /// What a store does when nobody waits for it: debts, jobs, what is tidied up.
    Chore,
}

/// What a run is made of; everything else follows from its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Clients at work at once.
    pub clients: usize,
    /// What each of them does, one after another.
    pub operations: usize,
    /// Objects that they share, in each of the two datastores.
    pub keys: usize,
    /// Store processes over the one catalogue.
    pub stores: usize,
    /// Between one thing that the operator does and the next, on average; none: he begins no job and touches no location.
    pub operator_every: Option<Duration>,
    /// Between one fault and the next, on average; none: nothing goes wrong.
    pub faults_every: Option<Duration>,
    /// Whether a location is lost for longer than anything deleted is kept, when the worst is over.
    pub has_long_loss: bool,
    /// The store that serves the first request ends at this step of the first journey of its kind that takes as many.
    pub crash_at: Option<(Journey, u64)>,
    /// A bug, to see what the checks make of it.
    pub plant: Option<Plant>,
}

/// So long an upload may rest.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// The same for multipart uploads.
const UPLOAD_LEASE: Duration = Duration::from_secs(60);
/// So long what is deleted is kept; longer than clocks ever differ by, and somebody reads.
const GRACE: Duration = Duration::from_secs(240);
/// After so long everything is gone that is to go, and every client has given up.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(900);

impl Scenario {
    /// The scenario of a seed: a storm.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut dice = Random::new(seed, "storage scenario", 0);
        Self {
            clients: dice.within(1..5),
            operations: dice.within(10..28),
            keys: dice.within(1..4),
            stores: dice.within(1..4),
            operator_every: Some(Duration::from_millis(dice.within(700..2500) as u64)),
            faults_every: Some(Duration::from_millis(dice.within(100..700) as u64)),
            has_long_loss: dice.chance(400),
            crash_at: None,
            plant: None,
        }
    }

    /// A run in which nothing goes wrong.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            clients: 2,
            operations: 12,
            keys: 2,
            stores: 2,
            operator_every: None,
            faults_every: None,
            has_long_loss: false,
            crash_at: None,
            plant: None,
        }
    }

    /// A run in which nothing goes wrong, while jobs move and mend and collect.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            operator_every: Some(Duration::from_millis(1500)),
            ..Self::calm()
        }
    }

    /// A calm run but for a store that ends at step `step` of a journey.
    #[must_use]
    pub fn crash(journey: Journey, step: u64) -> Self {
        Self {
            clients: 1,
            // Jobs are chores.
            operator_every: (journey == Journey::Chore).then_some(Duration::from_millis(400)),
            crash_at: Some((journey, step)),
            ..Self::calm()
        }
    }

    /// The numbers of its stores.
    pub(crate) fn settings(&self) -> StoreSettings {
        let week = Duration::from_secs(7 * 24 * 3600);
        StoreSettings {
            location_patience: Duration::from_millis(500),
            straggler_patience: Duration::from_millis(100),
            lease: LEASE,
            upload_lease: UPLOAD_LEASE,
            grace: GRACE,
            replay_memory: match self.plant {
                Some(Plant::ForgetSpent) => Duration::ZERO,
                _ => week,
            },
            chore_interval: match self.plant {
                // Leases matter when chores come while somebody writes.
                Some(Plant::IgnoreLease) => Duration::from_millis(300),
                _ => Duration::from_secs(10),
            },
            ..StoreSettings::default()
        }
    }
}
