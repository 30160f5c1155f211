//! Debts are paid: fragments that a write had to leave out, and manifests with too few copies, are made when their locations take them.
//!
//! Invariant: of all stores that share a catalogue one pays debts at a time; what it cannot pay it comes to again, after pauses that grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sc_metadata::SegmentId;
use tokio::time::Instant;

use crate::error::Problem;
use crate::repair::{Healed, State};
use crate::store::Store;

/// Debts looked at together.
const ROUND: usize = 256;
/// The lease under which debts are paid, in the catalogue.
const LEASE: &str = "debts";
/// It lasts so long, and is renewed after each round.
const LEASE_TIME: Duration = Duration::from_secs(120);
/// So long a segment that could not be repaired is left alone at first,
const PAUSE_MIN: Duration = Duration::from_secs(30);
/// and at most.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Segments that are left alone at once; beyond it none is.
const RESTING_MAX: usize = 4096;

/// Debts that are paid again and again, and which of them rest for a while.
pub(crate) struct Debts {
    store: Arc<Store>,
    resting: Resting,
}

/// Segments that could not be repaired: until when they are left alone, and how long that is.
#[derive(Default)]
struct Resting(BTreeMap<SegmentId, (Instant, Duration)>);

impl Resting {
    fn rests(&self, segment: SegmentId, now: Instant) -> bool {
        self.0.get(&segment).is_some_and(|(until, _)| now < *until)
    }

    /// Leaves a segment alone for a while, each time twice as long.
    fn leave(&mut self, segment: SegmentId, now: Instant) {
        if self.0.len() >= RESTING_MAX {
            self.0.clear();
        }
        let before = self.0.get(&segment).map(|(_, pause)| *pause);
        let pause = before.map_or(PAUSE_MIN, |pause| PAUSE_MAX.min(2 * pause));
        self.0.insert(segment, (now + pause, pause));
    }

    fn forget(&mut self, segment: SegmentId) {
        self.0.remove(&segment);
    }
}

impl Debts {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            resting: Resting::default(),
        }
    }

    /// Makes what writes had to leave out while locations were away, unless another store is at it. What cannot be made now is come to again.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub(crate) async fn pay(&mut self) -> Result<(), Problem> {
        if self.store.rebuilding.is_due() || !self.store.hold_lease(LEASE, LEASE_TIME).await? {
            return Ok(());
        }
        let paid = self.pay_all().await;
        self.store.return_lease(LEASE).await?;
        paid
    }

    async fn pay_all(&mut self) -> Result<(), Problem> {
        if !self.pay_manifests().await? {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let mut after = None;
        // Without their root nothing is made, whatever else is there.
        let mut unprovisioned = BTreeSet::new();
        loop {
            let owed = store.catalog.owed(after, ROUND).await?;
            for segment in &owed {
                if store.rebuilding.is_due() {
                    return Ok(());
                }
                if store.may_repair(segment) && !self.resting.rests(segment.id, Instant::now()) {
                    let healed = store
                        .heal(segment, &BTreeSet::new(), &mut unprovisioned)
                        .await;
                    self.note(segment.id, healed);
                    if !store.hold_lease(LEASE, LEASE_TIME).await? {
                        return Ok(());
                    }
                }
            }
            after = owed.last().map(|segment| segment.id);
            if owed.len() < ROUND {
                return Ok(());
            }
        }
    }

    /// Whether the lease is still there after it.
    async fn pay_manifests(&self) -> Result<bool, Problem> {
        let mut after = None;
        // Policies for which too few locations answer: there is no use in asking them again and again.
        let mut short = BTreeSet::new();
        loop {
            let debts = self.store.catalog.manifest_debts(after, ROUND).await?;
            for version in &debts {
                if let Err(problem) = self.store.pay_manifest(*version, &mut short).await {
                    tracing::warn!(?version, %problem, "a manifest has too few copies yet");
                }
            }
            after = debts.last().copied();
            if !self.store.hold_lease(LEASE, LEASE_TIME).await? {
                return Ok(false);
            }
            if debts.len() < ROUND {
                return Ok(true);
            }
        }
    }

    fn note(&mut self, segment: SegmentId, healed: Result<Healed, Problem>) {
        match healed.map(|it| it.state) {
            Ok(State::Whole | State::Changed) => return self.resting.forget(segment),
            Ok(State::Partly) => {}
            Err(problem) => tracing::warn!(?segment, %problem, "a segment is not repaired"),
        }
        self.resting.leave(segment, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_rests_twice_as_long_up_to_a_bound_and_what_is_forgotten_begins_anew() {
        let (segment, mut now) = (SegmentId([1; 32]), Instant::now());
        let mut resting = Resting::default();
        assert!(!resting.rests(segment, now));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            resting.leave(segment, now);
            let begin = now;
            while resting.rests(segment, now) {
                now += Duration::from_secs(30);
            }
            pauses.push((now - begin).as_secs());
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);

        resting.forget(segment);
        resting.leave(segment, now);

        assert!(!resting.rests(segment, now + PAUSE_MIN));
    }

    #[test]
    fn no_more_rest_at_once_than_may() {
        let mut resting = Resting::default();
        for number in 0..3 * RESTING_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            resting.leave(SegmentId(id), Instant::now());
            assert!(resting.0.len() <= RESTING_MAX);
        }
    }
}
