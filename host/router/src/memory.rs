//! How much memory the notices that wait for consumers take.
//!
//! Invariant: each [`Weight`] is counted from its making to its end, in its domain's gauge and in the one above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the notices of all domains may take in memory before each consumer gets one at a time, in bytes.
pub const MEMORY_MAX: u64 = 256 << 20;
/// The same for one domain, so that its consumers cannot use up what the others need.
pub const DOMAIN_MEMORY_MAX: u64 = 64 << 20;

/// A sum of weights.
#[derive(Debug)]
pub(crate) struct Gauge {
    bytes: AtomicU64,
    /// Of these what presses others: of each gauge below no more than its bound.
    pressing: AtomicU64,
    max: u64,
    above: Option<Arc<Gauge>>,
}

impl Gauge {
    pub(crate) fn total() -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            pressing: AtomicU64::new(0),
            max: MEMORY_MAX,
            above: None,
        })
    }

    pub(crate) fn of_domain(above: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            pressing: AtomicU64::new(0),
            max: DOMAIN_MEMORY_MAX,
            above: Some(Arc::clone(above)),
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether more is held than should be, here or above.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressing.load(Ordering::Relaxed) > self.max
            || self.above.as_ref().is_some_and(|above| above.is_pressed())
    }

    /// Whether more is held than should be here, whatever there is above.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() > self.max
    }

    fn add(&self, bytes: u64) {
        let old = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.pressing.fetch_add(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.bytes.fetch_add(bytes, Ordering::Relaxed);
            let pressing = self.pressing_of(old + bytes) - self.pressing_of(old);
            above.pressing.fetch_add(pressing, Ordering::Relaxed);
        }
    }

    fn subtract(&self, bytes: u64) {
        let old = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.pressing.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.bytes.fetch_sub(bytes, Ordering::Relaxed);
            let pressing = self.pressing_of(old) - self.pressing_of(old - bytes);
            above.pressing.fetch_sub(pressing, Ordering::Relaxed);
        }
    }

    /// What presses those above when so much is held here.
    fn pressing_of(&self, bytes: u64) -> u64 {
        bytes.min(self.max)
    }
}

/// Bytes that are counted while this lives.
#[derive(Debug)]
pub(crate) struct Weight {
    bytes: u64,
    gauge: Arc<Gauge>,
}

impl Weight {
    pub(crate) fn new(gauge: &Arc<Gauge>, bytes: u64) -> Self {
        gauge.add(bytes);
        Self {
            bytes,
            gauge: Arc::clone(gauge),
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.gauge.subtract(self.bytes);
    }
}

/// What one notice takes: its own bytes, and a share in the payloads that several notices hold together.
#[derive(Debug)]
pub(crate) struct Load {
    _own: Weight,
    _shared: Option<Arc<Weight>>,
}

impl Load {
    pub(crate) fn new(gauge: &Arc<Gauge>, own: u64, shared: Option<Arc<Weight>>) -> Self {
        Self {
            _own: Weight::new(gauge, own),
            _shared: shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_counts_in_its_domain_and_above_until_it_ends() {
        let total = Gauge::total();
        let (one, other) = (Gauge::of_domain(&total), Gauge::of_domain(&total));

        let first = Weight::new(&one, 5);
        let second = Weight::new(&other, 7);
        assert_eq!((one.bytes(), other.bytes(), total.bytes()), (5, 7, 12));
        drop(first);
        assert_eq!((one.bytes(), other.bytes(), total.bytes()), (0, 7, 7));
        drop(second);

        assert_eq!(total.bytes(), 0);
    }

    #[test]
    fn what_is_shared_counts_once_and_as_long_as_anyone_holds_it() {
        let gauge = Gauge::of_domain(&Gauge::total());
        let shared = Arc::new(Weight::new(&gauge, 100));
        let one = Load::new(&gauge, 1, Some(Arc::clone(&shared)));
        let other = Load::new(&gauge, 2, Some(shared));
        assert_eq!(gauge.bytes(), 103);

        drop(one);
        assert_eq!(gauge.bytes(), 102);
        drop(other);

        assert_eq!(gauge.bytes(), 0);
    }

    #[test]
    fn a_domain_is_pressed_by_its_own_bound_and_by_that_of_all() {
        let total = Gauge::total();
        let domains: Vec<_> = (0..5).map(|_| Gauge::of_domain(&total)).collect();
        let full = Weight::new(&domains[0], DOMAIN_MEMORY_MAX + 1);
        assert!(domains[0].is_pressed() && !domains[1].is_pressed());
        drop(full);

        let _most: Vec<_> = domains[1..]
            .iter()
            .map(|domain| Weight::new(domain, DOMAIN_MEMORY_MAX))
            .collect();
        assert!(!domains[0].is_pressed());
        let beyond = Weight::new(&domains[1], 1 << 30);
        assert!(domains[1].is_full() && !domains[0].is_pressed());
        drop(beyond);
        let _last = Weight::new(&domains[0], 1);

        assert!(domains[0].is_pressed() && !domains[0].is_full());
        assert_eq!(total.bytes(), MEMORY_MAX + 1);
    }
}
