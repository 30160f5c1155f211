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
use super::grid::Grid;
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

    #[test]
    fn keys_of_texts_order_as_texts_do() {
        let texts = ["", "a", "ab", "abcdefg", "abcdefgh", "b", "\u{10ffff}"];

        let keys: Vec<u64> = texts.iter().map(|t| text_key(t.as_bytes(), 0)).collect();

        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| *key >= 1 << 63));
    }
}
