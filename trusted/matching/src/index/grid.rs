//! Grids of numbers: keys that lie as evenly as what people write down.
//!
//! Invariant: as numbers are ordered, so are their keys; a bound on a grid is reached by exactly the numbers
//! that it stands for.
//! Source: ours.

use crate::value::Number;

/// Numbers at even steps, each a key, with another key between any two of them for all numbers that
/// lie there.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Points to a unit.
    points: f64,
}

impl Grid {
    /// The integers.
    pub(super) const WHOLE: Self = Self { points: 1.0 };

    /// Numbers with up to four decimals, as the doubles nearest to them.
    pub(super) const DECIMAL: Self = Self { points: 1e4 };

    /// Points are counted to here on either side of zero: so far doubles tell them apart.
    const END: i64 = 1 << 52;

    /// The key of a number: as numbers are ordered, so are their keys.
    #[inline]
    pub(super) fn key(self, value: f64) -> u64 {
        spaced(self.steps(value))
    }

    /// Twice the point at which a number lies, or one more right behind it.
    #[inline]
    fn steps(self, value: f64) -> i64 {
        let scaled = value * self.points;
        if scaled.abs() >= Self::END as f64 {
            return if value > 0.0 {
                Self::END * 2
            } else {
                -Self::END * 2
            };
        }
        // Drops the fraction; rounding in the product can be off by one point more.
        let mut point = scaled as i64;
        if self.value(point) == value {
            return point * 2;
        }
        point += i64::from(self.value(point + 1) <= value);
        point -= i64::from(self.value(point) > value);
        point -= i64::from(self.value(point) > value);
        point * 2 + i64::from(self.value(point) < value)
    }

    /// The key that exactly the numbers with an order key of at least `low` reach, if there is one.
    pub(super) fn lowest(self, low: u64) -> Option<u64> {
        self.first(low).map(spaced)
    }

    /// The greatest key that none of these numbers has, if all of them and no others are above it.
    pub(super) fn below(self, low: u64) -> Option<u64> {
        self.first(low).map(|steps| spaced(steps - 1))
    }

    /// Where the numbers with an order key of at least `low` begin, if they begin at a point or right
    /// behind one.
    fn first(self, low: u64) -> Option<i64> {
        let own = |order_key| {
            let value = Number::of_order_key(order_key)?.floor_to_double();
            let is_inside = (value * self.points).abs() < (Self::END - 1) as f64;
            let steps = self.steps(value);
            (is_inside && steps % 2 == 0).then_some(steps)
        };
        own(low).or_else(|| own(low - 1).map(|steps| steps + 1))
    }

    fn value(self, point: i64) -> f64 {
        point as f64 / self.points
    }
}

/// Twofold magnitudes of steps: those up to `2^ROOTED` lie apart as their square roots do, further ones
/// evenly. What people write down crowds near zero and thins out over some powers of ten, and a key
/// whose first byte tells such numbers apart loses little where they are spread evenly.
const ROOTED: u32 = 30;

/// The key of no steps.
const ZERO: u64 = 1 << 60;

/// Where the steps from a power of two on begin, by its exponent.
const OCTAVES: [u64; 64] = {
    let mut octaves = [0; 64];
    let (mut octave, mut begin) = (0, 1 << apart(0));
    while octave < 55 {
        octaves[octave as usize] = begin;
        begin += 1 << octave << apart(octave);
        octave += 1;
    }
    octaves
};

/// How far one step is from the next in an octave, as an exponent.
const fn apart(octave: u32) -> u32 {
    ROOTED.saturating_sub(octave) / 2
}

/// Steps, at most `2^54` on either side of zero, as a key.
#[inline]
fn spaced(steps: i64) -> u64 {
    let magnitude = steps.unsigned_abs();
    let octave = (magnitude | 1).ilog2();
    let within = magnitude ^ 1 << octave;
    let distance = match magnitude {
        0 => 0,
        _ => OCTAVES[octave as usize % 64] + (within << apart(octave)),
    };
    match steps < 0 {
        false => ZERO + distance,
        true => ZERO - distance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// Points of both grids, their neighbours among doubles, and numbers far from any.
    fn values() -> Vec<f64> {
        let mut values = vec![
            f64::MIN,
            f64::MAX,
            1e18,
            -1e18,
            4.5e15,
            -4.5e15,
            1e-300,
            0.123_456_789,
        ];
        for point in [
            -500.25, -3.0, -0.0001, 0.0, 0.0001, 0.1, 0.3, 1.0, 90.1, 90.75, 499.99, 4e11,
        ] {
            values.extend([point, f64::next_up(point), f64::next_down(point)]);
        }
        values.push(2.5e9 + 0.5);
        values
    }

    fn order_key(value: f64) -> u64 {
        Number::new(value).unwrap().order_key()
    }

    #[test]
    fn a_bound_on_a_grid_is_reached_as_the_number_it_stands_for() {
        for grid in [Grid::WHOLE, Grid::DECIMAL] {
            let mut bounds = 0;
            for bound in values() {
                for low in [order_key(bound), order_key(bound) + 1] {
                    let Some(lowest) = grid.lowest(low) else {
                        continue;
                    };
                    bounds += 1;
                    for value in values() {
                        let reached = lowest <= grid.key(value);
                        assert_eq!(reached, low <= order_key(value), "{bound:e} {value:e}");
                    }
                }
            }
            assert!(bounds > 10);
        }
    }

    #[test]
    fn keys_of_steps_order_as_steps_do() {
        let mut steps: Vec<i64> = (-5000..5000).collect();
        for shift in 10..=54 {
            let power = 1i64 << shift;
            steps.extend([power - 1, power, 1 - power, -power]);
            if shift < 54 {
                steps.extend([power + 1, power + power / 3, -power - 1]);
            }
        }
        steps.sort_unstable();
        steps.dedup();

        let keys: Vec<u64> = steps.iter().map(|steps| spaced(*steps)).collect();

        assert!(keys.is_sorted_by(|one, next| one < next));
        assert!(keys[0] > 0 && keys[keys.len() - 1] < 1 << 61);
    }

    #[test]
    fn a_key_below_numbers_is_reached_by_all_others() {
        for grid in [Grid::WHOLE, Grid::DECIMAL] {
            for bound in values() {
                for low in [order_key(bound), order_key(bound) + 1] {
                    let Some(below) = grid.below(low) else {
                        continue;
                    };
                    for value in values() {
                        let is_below = grid.key(value) <= below;
                        assert_eq!(is_below, order_key(value) < low, "{bound:e} {value:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn whole_numbers_and_decimals_are_on_their_grids() {
        assert!(Grid::WHOLE.lowest(order_key(500.0)).is_some());
        assert!(Grid::WHOLE.lowest(order_key(500.0) + 1).is_some());
        assert!(Grid::WHOLE.lowest(order_key(90.1)).is_none());
        assert!(Grid::DECIMAL.lowest(order_key(90.1)).is_some());
        assert!(Grid::DECIMAL.lowest(order_key(0.123_456_789)).is_none());
    }
}
