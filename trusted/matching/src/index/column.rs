//! Columns: the sides of an attribute's numbers and of its texts, as keys of 64 bits.
//!
//! Invariant: a bound on a column holds when it is at most the header's key there. Upper bounds are
//! complemented, so that this one comparison is all there is. A bound is never 0, which is the key
//! of whatever the header lacks; so a bound on an absent attribute, or on numbers where the header
//! has a text, fails by itself. Beyond 2^53 in magnitude and seven bytes of text a key stands for
//! several values: there a bound is wider than its constraint, which is then tested exactly.
//! Source: Number::order_key; ours.

use alloc::vec::Vec;

use super::attribute::AttributeId;
use crate::value::{Number, ValueRef};

/// One side of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Column(u32);

/// Which side, and of what.
///
/// A bound on a number lies where its keys are narrowest: most bounds are whole or have few decimals,
/// and doubles near zero are so dense that their own keys tell others badly apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Numbers above a bound that [`Grid::WHOLE`] has.
    WholeLow,
    /// Numbers below such a bound, complemented.
    WholeHigh,
    /// Numbers above a bound that [`Grid::DECIMAL`] has.
    DecimalLow,
    /// Numbers below such a bound, complemented.
    DecimalHigh,
    /// Numbers above any other bound; and presence.
    NumberLow,
    /// Numbers below any other bound, complemented.
    NumberHigh,
    /// Texts at least the bound.
    TextLow,
    /// Texts at most the bound, complemented.
    TextHigh,
}

/// Columns of each attribute.
const SIDES: usize = 8;

/// The bound that every value reaches on [`Side::NumberLow`], texts too.
pub(super) const PRESENT: u64 = 1;

const _: () = assert!(
    PRESENT < Number::KEY_MIN && Number::KEY_MAX < u64::MAX,
    "no bound on numbers is 0, and none is reached by a text"
);

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

impl Column {
    pub(super) fn new(attribute: AttributeId, side: Side) -> Self {
        let position = attribute.position() * SIDES + side as usize;
        Self(u32::try_from(position).expect("AttributeId::MAX times eight fits 32 bits"))
    }

    pub(super) fn attribute(self) -> AttributeId {
        AttributeId::at(self.0 as usize / SIDES)
    }

    fn position(self) -> usize {
        self.0 as usize
    }

    /// What it shares with the other side of the same numbers or texts.
    pub(super) fn axis(self) -> u32 {
        self.0 / 2
    }

    /// Its axis alone.
    pub(super) fn asked(self) -> Asked {
        Asked(1 << (self.axis() % (SIDES as u32 / 2)))
    }

    /// Whether its bounds are upper ones, complemented.
    pub(super) fn is_high(self) -> bool {
        self.0 % 2 == 1
    }
}

const _: () = assert!(
    (Side::WholeLow as usize).is_multiple_of(2)
        && Side::WholeHigh as usize == Side::WholeLow as usize + 1
        && Side::DecimalHigh as usize == Side::DecimalLow as usize + 1
        && Side::NumberHigh as usize == Side::NumberLow as usize + 1
        && Side::TextHigh as usize == Side::TextLow as usize + 1,
    "both sides of an axis are neighbours, the low one first"
);

/// A key that orders as the first seven bytes of texts do; its top bit is set.
pub(super) fn text_key(text: &[u8], filler: u8) -> u64 {
    let mut head = [filler; 8];
    let length = text.len().min(8);
    head[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(head) >> 1 | 1 << 63
}

/// Bytes of a text that [`text_key`] keeps whole.
pub(super) const TEXT_KEY_BYTES: usize = 7;

/// Some axes of an attribute, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked(u8);

impl Asked {
    const WHOLE: Self = Self(1 << (Side::WholeLow as u8 / 2));
    const DECIMAL: Self = Self(1 << (Side::DecimalLow as u8 / 2));
    const NUMBER: Self = Self(1 << (Side::NumberLow as u8 / 2));
    const TEXT: Self = Self(1 << (Side::TextLow as u8 / 2));

    /// What an exact test looks at.
    pub(super) const BY_TESTS: Self = Self::NUMBER.with(Self::TEXT);

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// For each column of an index, the key of the header at hand; 0 where it has none.
///
/// Invariant: between two headers everything is 0.
#[derive(Clone, Default)]
pub(super) struct Keys {
    keys: Vec<u64>,
    /// By attribute: where its value stands in the header. Without meaning when it is absent.
    positions: Vec<u32>,
}

impl Keys {
    /// Makes room for `attributes` of them.
    pub(super) fn prepare(&mut self, attributes: usize) {
        if self.positions.len() < attributes {
            self.keys.resize(attributes * SIDES, 0);
            self.positions.resize(attributes, 0);
        }
        let always = Column::new(AttributeId::ALWAYS, Side::NumberLow);
        self.keys[always.position()] = PRESENT;
    }

    /// Sets the keys of an attribute on the axes that are asked for, some of it.
    #[inline(always)]
    pub(super) fn fill(
        &mut self,
        attribute: AttributeId,
        position: usize,
        value: ValueRef<'_>,
        asked: Asked,
    ) {
        let at = attribute.position();
        self.positions[at] = position as u32;
        let keys = &mut self.keys[at * SIDES..][..SIDES];
        let mut set = |side: Side, [low, high]: [u64; 2]| {
            keys[side as usize] = low;
            keys[side as usize + 1] = high;
        };
        let both = |key: u64| [key, !key];
        match value {
            ValueRef::Number(number) => {
                let floor = number.floor_to_double();
                if asked.has(Asked::WHOLE) {
                    set(Side::WholeLow, both(Grid::WHOLE.key(floor)));
                }
                if asked.has(Asked::DECIMAL) {
                    set(Side::DecimalLow, both(Grid::DECIMAL.key(floor)));
                }
                if asked.has(Asked::NUMBER) {
                    set(Side::NumberLow, both(number.order_key()));
                }
            }
            ValueRef::Text(text) => {
                if asked.has(Asked::NUMBER) {
                    set(Side::NumberLow, [PRESENT, 0]);
                }
                if asked.has(Asked::TEXT) {
                    set(Side::TextLow, both(text_key(text.as_bytes(), 0)));
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn empty(&mut self, attribute: AttributeId) {
        self.keys[attribute.position() * SIDES..][..SIDES].fill(0);
    }

    #[inline(always)]
    pub(super) fn get(&self, column: Column) -> u64 {
        self.keys[column.position()]
    }

    /// Where the value of `attribute`, which the header has, stands in it.
    pub(super) fn position(&self, attribute: AttributeId) -> usize {
        self.positions[attribute.position()] as usize
    }
}

/// What a row demands of one column: a key of at least this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) column: Column,
    pub(super) least: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

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

    #[test]
    fn keys_of_texts_order_as_texts_do() {
        let texts = ["", "a", "ab", "abcdefg", "abcdefgh", "b", "\u{10ffff}"];

        let keys: Vec<u64> = texts.iter().map(|t| text_key(t.as_bytes(), 0)).collect();

        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| *key >= 1 << 63));
    }
}
