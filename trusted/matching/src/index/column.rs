//! Columns: the two sides of an attribute's numbers and of its texts, as keys of 64 bits.
//!
//! Invariant: a bound on a column holds when it is at most the header's key there. Upper bounds are
//! complemented, so that this one comparison is all there is. A bound is never 0, which is the key
//! of whatever the header lacks; so a bound on an absent attribute, or on numbers where the header
//! has a text, fails by itself. Beyond 2^53 in magnitude and seven bytes of text a key stands for
//! several values: there a bound is wider than its constraint, which is then tested exactly.
//! Source: Number::order_key; ours.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::attribute::AttributeId;
use crate::value::{Number, ValueRef};

/// One side of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Column(u32);

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Numbers at least the bound; and presence.
    NumberLow,
    /// Numbers at most the bound, complemented.
    NumberHigh,
    /// Texts at least the bound.
    TextLow,
    /// Texts at most the bound, complemented.
    TextHigh,
}

/// Columns of each attribute.
const SIDES: usize = 4;

/// The bound that every value reaches on [`Side::NumberLow`], texts too.
pub(super) const PRESENT: u64 = 1;

const _: () = assert!(
    PRESENT < Number::KEY_MIN && Number::KEY_MAX < u64::MAX,
    "no bound on numbers is 0, and none is reached by a text"
);

impl Column {
    pub(super) fn new(attribute: AttributeId, side: Side) -> Self {
        let position = attribute.position() * SIDES + side as usize;
        Self(u32::try_from(position).expect("AttributeId::MAX times four fits 32 bits"))
    }

    pub(super) fn attribute(self) -> AttributeId {
        AttributeId::at(self.0 as usize / SIDES)
    }

    fn position(self) -> usize {
        self.0 as usize
    }
}

/// A key that orders as the first seven bytes of texts do; its top bit is set.
pub(super) fn text_key(text: &[u8], filler: u8) -> u64 {
    let mut head = [filler; 8];
    let length = text.len().min(8);
    head[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(head) >> 1 | 1 << 63
}

/// Bytes of a text that [`text_key`] keeps whole.
pub(super) const TEXT_KEY_BYTES: usize = 7;

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
        self.keys[AttributeId::ALWAYS.position() * SIDES] = PRESENT;
    }

    #[inline]
    pub(super) fn fill(&mut self, attribute: AttributeId, position: usize, value: ValueRef<'_>) {
        let at = attribute.position();
        self.positions[at] = position as u32;
        let keys = &mut self.keys[at * SIDES..][..SIDES];
        keys.copy_from_slice(&match value {
            ValueRef::Number(number) => {
                let key = number.order_key();
                [key, !key, 0, 0]
            }
            ValueRef::Text(text) => {
                let key = text_key(text.as_bytes(), 0);
                [PRESENT, 0, key, !key]
            }
        });
    }

    #[inline]
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

/// The bounds of a row, ascending by column, each column once.
pub(super) type Bounds = Box<[Bound]>;
