//! What goes wrong, and when: one thing after another until the clients are done.
//!
//! Invariant: at most [`IMPAIRED_MAX`] locations are impaired at once, and no segment of a committed version is harmed below what its
//! policy needs: what is lost is within what was promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sc_erasure::FragmentHeader;
use sc_metadata::VersionId;

use super::fault::Fault;
use super::links::Party;
use super::place::{Lies, Place};
use super::process::{Outside, Process};
use super::scenario::{Journey, LEASE};
use super::surroundings::note;
use crate::random::Random;

/// Locations that may be impaired at once: what the policies of a run survive.
const IMPAIRED_MAX: usize = 2;

/// No link is cut for longer.
const CUT_MAX: Duration = Duration::from_secs(5);
/// No store's clock is further from the run's than this.
const APART_MAX_MS: i64 = 25_000;
/// All clocks are set back by no more than this.
const BACK_MAX_MS: i64 = 20_000;

/// Whoever does the harm.
pub(crate) struct Chaos {
    pub(crate) outside: Arc<Outside>,
    pub(crate) processes: Arc<[Process]>,
    pub(crate) random: Random,
    pub(crate) every: Duration,
    /// Whether the clocks have jumped ahead already.
    pub(crate) has_jumped: bool,
    /// Whether they were set back already.
    pub(crate) was_set_back: bool,
    /// Until when each impaired location is so.
    pub(crate) impaired: BTreeMap<usize, tokio::time::Instant>,
}

impl Chaos {
    /// Does harm for ever: whoever runs it ends it.
    pub(crate) async fn run(mut self) {
        loop {
            let pause = self.random.time(self.every / 4, self.every * 2);
            tokio::time::sleep(pause).await;
            match self.random.below(24) {
                0..5 => self.light_a_store().await,
                5..9 => self.impair_a_location(),
                9 => self.crash_a_location(),
                10..12 => self.disturb_a_location(),
                12 => self.have_a_location_lie(),
                13..16 => self.harm_a_fragment().await,
                16 => self.restart_the_coder(),
                17 => self.silence_the_coder().await,
                18..22 => self.cut_a_link(),
                22 => self.set_apart(),
                _ => self.jump(),
            }
        }
    }

    /// A store ends at some step of what it does next, and is started again after a while.
    async fn light_a_store(&mut self) {
        let process = self.random.pick(&self.processes).clone();
        // What comes to its end soonest would always be a request: some are meant for chores.
        let (journey, most) = match self.random.chance(300) {
            true => (Some(Journey::Chore), 120),
            false => (None, 30),
        };
        let steps = self.random.within(1..most) as u64;
        process.light(journey, steps);
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

    fn have_a_location_lie(&mut self) {
        let (_, place) = self.place();
        let few = self.random.within(1..4) as u64;
        // It counts when it lies.
        place.lie(Lies {
            reads: few,
            recodings: few,
        });
        note!(self.outside.surroundings, &place.name, "is about to lie");
    }

    /// Cuts a link for a while, one way or both.
    fn cut_a_link(&mut self) {
        let store = Party::Store(self.random.below(self.processes.len()));
        let other = match self.random.below(10) {
            0..2 => Party::Clients,
            2 => Party::Owner,
            3..5 => Party::Coder,
            5..8 => Party::Catalogue,
            _ => Party::Place(self.random.below(self.outside.places.len())),
        };
        let ways = match self.random.below(3) {
            0 => vec![(store, other)],
            1 => vec![(other, store)],
            _ => vec![(store, other), (other, store)],
        };
        let time = self.random.time(Duration::from_millis(100), CUT_MAX);
        let links = self.outside.links.clone();
        ways.iter().for_each(|(from, to)| links.cut(*from, *to));
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            ways.iter().for_each(|(from, to)| links.mend(*from, *to));
        });
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
        let vitals = self.outside.vitals(&segment, None);
        if vitals.is_none_or(|it| it.well <= it.needed) {
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
        self.outside.harmed.add(&name);
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

    /// Sets the clocks of all stores, each way once.
    fn jump(&mut self) {
        let (fault, by_ms) = match self.random.chance(500) {
            true if !std::mem::replace(&mut self.has_jumped, true) => {
                let least = LEASE.as_millis() as i64 + 1000;
                (Fault::ClockJump, least + self.milliseconds(20_000))
            }
            false if !std::mem::replace(&mut self.was_set_back, true) => {
                (Fault::ClockBack, -self.milliseconds(BACK_MAX_MS))
            }
            _ => return,
        };
        self.outside.surroundings.jump(by_ms);
        self.did(fault, "the clocks");
    }

    /// Sets the clock of one store.
    fn set_apart(&mut self) {
        let process = self.random.pick(&self.processes).clone();
        let by_ms = self.milliseconds(2 * APART_MAX_MS) - APART_MAX_MS;
        process.set_ahead(by_ms);
        self.did(Fault::ClockApart, &process.to_string());
    }

    fn milliseconds(&mut self, below: i64) -> i64 {
        self.random.below(below as usize) as i64
    }

    fn did(&self, fault: Fault, to: &str) {
        self.outside.surroundings.count(fault);
        note!(self.outside.surroundings, to, "{fault:?}");
    }
}

/// Takes back everything that is still to be done to a location.
pub(crate) fn settle(place: &Place) {
    heal(place);
    place.lie(Lies::default());
    let faults = place.faults();
    faults.fail_puts(0);
    faults.leave_unanswered(0);
    faults.tear_after(u64::MAX);
}

/// Takes back what impairs a location.
fn heal(place: &Place) {
    let faults = place.faults();
    faults.set_down(false);
    faults.set_hanging(false);
    faults.set_delay(Duration::ZERO);
    faults.set_capacity(None);
}
