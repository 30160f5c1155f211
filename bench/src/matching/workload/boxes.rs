//! Boxes: ranges over uniform attributes, and no equality.
//!
//! Invariant: values and bounds are integers from 0 to [`DOMAIN`].

use sc_matching::{Name, Publication, Subscription};

use super::{interval, joined, name, number, within};
use crate::random::Random;

/// Attributes of a publication.
const ATTRIBUTES: u64 = 8;
/// How many of them a subscription has a range on.
const RANGES: usize = 3;
/// Greatest value.
const DOMAIN: f64 = 1e6;

/// Subscriptions that are boxes of [`RANGES`] sides, each with a width between two parts of the domain.
pub(super) struct Boxes {
    names: Vec<Name>,
    least_width: f64,
    greatest_width: f64,
}

impl Boxes {
    pub(super) fn new(least_width: f64, greatest_width: f64) -> Self {
        Self {
            names: (0..ATTRIBUTES).map(|n| name(&format!("v{n}"))).collect(),
            least_width,
            greatest_width,
        }
    }

    pub(super) fn publications(&self, count: u64) -> Vec<Publication> {
        let mut random = Random::new(11);
        let publication = |_| {
            let mut publication = Publication::new();
            for name in &self.names {
                let value = number((random.fraction() * DOMAIN).floor());
                publication
                    .push(name.clone(), value)
                    .expect("eight names that differ");
            }
            publication
        };
        (0..count).map(publication).collect()
    }

    pub(super) fn subscription(&self, n: u64) -> Subscription {
        let mut random = Random::of_item(12, n);
        let mut left: Vec<&Name> = self.names.iter().collect();
        let mut constraints = Vec::with_capacity(2 * RANGES);
        for _ in 0..RANGES {
            let name = left.swap_remove(random.below(left.len() as u64) as usize);
            let width = random.between(self.least_width, self.greatest_width);
            let (low, high) = interval(random.fraction(), width);
            constraints.extend(within(
                name,
                (low * DOMAIN).floor(),
                (high * DOMAIN).floor(),
            ));
        }
        joined(constraints)
    }
}
