//! Numbers for generated data, always the same.
//!
//! Invariant: a seed gives one sequence, on every machine. It is for data, not for secrets.
//! Source: SplitMix64 (Steele, Lea and Flood, OOPSLA '14).

/// A generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of one item among many, unrelated to those of its neighbours.
    pub(crate) fn of_item(seed: u64, item: u64) -> Self {
        let seed = Self::new(seed).next();
        Self::new(Self::new(seed ^ item).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..end`, but for a bias below 2^-32.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Uniform in `0.0..1.0`.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `from..to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.fraction()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_agrees_with_its_published_values() {
        // The first outputs for seed 1234567, as in the test vectors that implementations of SplitMix64 share.
        let mut random = Random::new(1_234_567);

        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn fractions_fill_their_range_evenly() {
        let mut random = Random::new(7);

        let mean = (0..10_000).map(|_| random.between(2.0, 4.0)).sum::<f64>() / 10_000.0;

        assert!((2.98..3.02).contains(&mean), "{mean}");
    }

    #[test]
    fn neighbouring_items_have_unrelated_sequences() {
        let take = |item| {
            let mut random = Random::of_item(1, item);
            [random.next(), random.next(), random.next()]
        };

        let (one, two) = (take(1), take(2));

        assert!(one.iter().all(|value| !two.contains(value)));
        assert_eq!(one, take(1));
    }
}
