//! What goes wrong, and when: one thing after another until the clients are done.
//!
//! Invariant: at most [`IMPAIRED_MAX`] locations are impaired at once, and no segment of a committed version is harmed below what its
//! policy needs: what is lost is within what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_backend::FragmentName;
use sc_erasure::FragmentHeader;
use sc_metadata::{FragmentState, VersionId};

use super::fault::Fault;
use super::place::Place;
use super::process::{Outside, Process};
use super::scenario::LEASE;
use super::surroundings::note;
use crate::random::Random;

/// Locations that may be impaired at once: what the policies of a run survive.
const IMPAIRED_MAX: usize = 2;

/// Which fragments of which segment are harmed.
pub(crate) type Harmed = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

/// Whoever does the harm.
pub(crate) struct Chaos {
    pub(crate) outside: Arc<Outside>,
    pub(crate) processes: Arc<[Process]>,
    pub(crate) harmed: Harmed,
    pub(crate) random: Random,
    pub(crate) every: Duration,
    /// Whether the clock has jumped already.
    pub(crate) has_jumped: bool,
    /// Until when each impaired location is so.
    pub(crate) impaired: BTreeMap<usize, tokio::time::Instant>,
}

impl Chaos {
    /// Does harm for ever: whoever runs it ends it.
    pub(crate) async fn run(mut self) {
        loop {
            let pause = self.random.time(self.every / 4, self.every * 2);
            tokio::time::sleep(pause).await;
            match self.random.below(18) {
                0..5 => self.light_a_store().await,
                5..10 => self.impair_a_location(),
                10 => self.crash_a_location(),
                11..13 => self.disturb_a_location(),
                13..15 => self.harm_a_fragment().await,
                15 => self.restart_the_coder(),
                16 => self.silence_the_coder().await,
                _ => self.jump(),
            }
        }
    }

    /// A store ends at some step of what it does next, and is started again after a while.
    async fn light_a_store(&mut self) {
        let process = self.random.pick(&self.processes).clone();
        let steps = self.random.within(1..30) as u64;
        process.light(None, steps);
        let patience = self.random.time(Duration::from_millis(500), self.every * 4);
        tokio::time::sleep(patience).await;
        process.put_out();
        process.restart();
    }

    fn place(&mut self) -> (usize, Place) {
        let number = self.random.below(self.outside.places.len());
        (number, self.outside.places[number].clone())
    }

    fn impair_a_location(&mut self) {
        let now = tokio::time::Instant::now();
        self.impaired.retain(|_, until| *until > now);
        let (number, place) = self.place();
        if self.impaired.len() >= IMPAIRED_MAX || self.impaired.contains_key(&number) {
            return;
        }
        let time = self
            .random
            .time(Duration::from_millis(200), Duration::from_secs(4));
        self.impaired.insert(number, now + time);
        let faults = place.faults();
        let fault = match self.random.below(4) {
            0 => {
                faults.set_down(true);
                Fault::LocationDown
            }
            1 => {
                faults.set_hanging(true);
                Fault::LocationHangs
            }
            2 => {
                let delay = self
                    .random
                    .time(Duration::from_millis(5), Duration::from_millis(700));
                faults.set_delay(delay);
                Fault::LocationSlow
            }
            _ => {
                faults.set_capacity(Some(0));
                Fault::LocationFull
            }
        };
        self.did(fault, &place.name);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            heal(&place);
        });
    }

    fn crash_a_location(&mut self) {
        let (_, place) = self.place();
        place.crash();
        self.did(Fault::LocationCrash, &place.name);
    }

    fn disturb_a_location(&mut self) {
        let (_, place) = self.place();
        let faults = place.faults();
        let fault = match self.random.below(3) {
            0 => {
                faults.tear_after(self.random.below(3000) as u64);
                Fault::TornPut
            }
            1 => {
                faults.fail_puts(self.random.within(1..3) as u64);
                Fault::FailedPuts
            }
            _ => {
                faults.leave_unanswered(self.random.within(1..3) as u64);
                Fault::Unanswered
            }
        };
        self.did(fault, &place.name);
    }

    /// Damages or loses a fragment of a committed version, if enough others are well.
    async fn harm_a_fragment(&mut self) {
        let (_, place) = self.place();
        let faults = place.faults();
        let names = faults.names();
        if names.is_empty() {
            return;
        }
        let name = self.random.pick(&names).clone();
        let Some(stored) = faults.stored(&name) else {
            return;
        };
        let Ok((header, header_bytes)) = FragmentHeader::parse(&stored) else {
            // A manifest.
            return;
        };
        let version = VersionId(header.version);
        let is_committed = matches!(self.outside.catalog.body(version).await, Ok(Some(_)));
        let segments = self.outside.catalog.segments(version, 0..u32::MAX).await;
        let segment = segments
            .ok()
            .into_iter()
            .flatten()
            .find(|segment| segment.id.0 == header.segment);
        let Some(segment) = segment.filter(|_| is_committed) else {
            return;
        };
        let id = name.as_str().split('.').next().unwrap_or_default();
        let well = {
            let harmed = self.harmed.lock().expect("no holder of this lock panics");
            let is_well = |fragment: &&sc_metadata::Fragment| {
                fragment.state == FragmentState::Stored
                    && !harmed.get(id).is_some_and(|it| it.contains(&fragment.name))
                    && self.outside.places.iter().any(|place| {
                        place.name == fragment.location
                            && FragmentName::new(&fragment.name)
                                .is_ok_and(|name| place.faults().stored(&name).is_some())
                    })
            };
            segment.fragments.iter().filter(is_well).count()
        };
        if well <= usize::from(header.redundancy.data()) {
            return;
        }
        let fault = match self.random.chance(500) {
            true => {
                // In the header or in the pieces.
                let at = match self.random.chance(500) {
                    true => self.random.below(header_bytes),
                    false => self.random.within(header_bytes..stored.len()),
                };
                faults.corrupt(&name, at);
                Fault::Rot
            }
            false => {
                faults.lose(&name);
                Fault::Loss
            }
        };
        {
            let mut harmed = self.harmed.lock().expect("no holder of this lock panics");
            let of_segment = harmed.entry(id.to_owned()).or_default();
            of_segment.insert(name.as_str().to_owned());
        }
        self.did(fault, name.as_str());
    }

    fn restart_the_coder(&mut self) {
        self.outside.trusted.restart();
        self.did(Fault::CoderRestart, "the coder");
    }

    async fn silence_the_coder(&mut self) {
        self.outside.trusted.set_down(true);
        self.did(Fault::CoderSilent, "the coder");
        let time = self
            .random
            .time(Duration::from_millis(50), Duration::from_millis(900));
        tokio::time::sleep(time).await;
        self.outside.trusted.set_down(false);
    }

    fn jump(&mut self) {
        if std::mem::replace(&mut self.has_jumped, true) {
            return;
        }
        let by = self
            .random
            .time(LEASE + Duration::from_secs(1), Duration::from_secs(20));
        self.outside.surroundings.jump(by);
        self.did(Fault::ClockJump, "the clock");
    }

    fn did(&self, fault: Fault, to: &str) {
        self.outside.surroundings.count(fault);
        note!(self.outside.surroundings, to, "{fault:?}");
    }
}

/// Takes back everything that was done to a location.
pub(crate) fn heal(place: &Place) {
    let faults = place.faults();
    faults.set_down(false);
    faults.set_hanging(false);
    faults.set_delay(Duration::ZERO);
    faults.set_capacity(None);
}
