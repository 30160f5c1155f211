//! The one source of randomness: streams of numbers that a seed and a name determine.
//!
//! Invariant: nothing else in this room is random. Each stream is used by one party or one decision alone, so that a change in what
//! one draws changes nothing for the others.
//! Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021: xoshiro256**, seeded by splitmix64.

use std::ops::Range;
use std::time::Duration;

use sc_transport::Entropy;

/// A stream of numbers. Not for secrets: whoever knows the seed knows them all.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `seed` that is called `name`, number `index` of its kind.
    #[must_use]
    pub fn new(seed: u64, name: &str, index: usize) -> Self {
        let mut mixed = name.bytes().fold(splitmix(seed), |mixed, byte| {
            splitmix(mixed ^ u64::from(byte))
        });
        mixed = splitmix(mixed ^ (index as u64) << 8);
        let state = std::array::from_fn(|_| {
            mixed = splitmix(mixed);
            mixed
        });
        Self { state }
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number is below 0");
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// A number within `range`.
    ///
    /// # Panics
    /// If it is empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    /// A time of at least `least` and less than `least + span`, in whole microseconds.
    pub fn time(&mut self, least: Duration, span: Duration) -> Duration {
        let micros = usize::try_from(span.as_micros()).expect("times of a run are short");
        least + Duration::from_micros(self.below(micros.max(1)) as u64)
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1000) < permille as usize
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Overwrites `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
    }

    /// 32 bytes.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        seed
    }

    /// This stream as a party's entropy.
    pub fn into_entropy(mut self) -> Entropy {
        Box::new(move |bytes| self.fill(bytes))
    }
}

fn splitmix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, name: &str, index: usize) -> [u64; 4] {
        let mut random = Random::new(seed, name, index);
        std::array::from_fn(|_| random.draw())
    }

    #[test]
    fn seed_name_and_index_determine_the_stream_and_each_of_them_changes_it() {
        let stream = first(1, "net", 0);

        assert_eq!(first(1, "net", 0), stream);
        assert_ne!(first(2, "net", 0), stream);
        assert_ne!(first(1, "ten", 0), stream);
        assert_ne!(first(1, "net", 1), stream);
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut random = Random::new(3, "bounds", 0);

        let drawn: std::collections::BTreeSet<_> = (0..1000).map(|_| random.within(3..7)).collect();

        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    }

    #[test]
    fn a_chance_comes_about_as_often_as_it_says() {
        let mut random = Random::new(4, "chance", 0);

        let often = (0..10_000).filter(|_| random.chance(250)).count();

        assert!((2300..2700).contains(&often), "{often}");
        assert!(!(0..1000).any(|_| random.chance(0)));
        assert!((0..1000).all(|_| random.chance(1000)));
    }
}
