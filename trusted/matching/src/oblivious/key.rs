//! Values and bounds as long integers that order as they do.
//!
//! Invariant: a key is the tag of a name and a type, then the words of the value, then what decides
//! between values whose words are equal, and last a side. A value's key has the middle side and a
//! cut one of the others, so no cut equals a value: it lies just before it or just after it.
//! Texts are padded with zeros and told apart by their lengths; a text of a header that is longer
//! than every operand is cut off, which changes neither equality nor order against any of them.

use alloc::vec::Vec;

use crate::hash;
use crate::value::ValueRef;

/// The keyed tag of a name: two names with one tag are as likely as a guess of 127 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag(pub(super) [u64; 2]);

impl Tag {
    pub(super) fn of(key: &hash::Key, name: &str) -> Self {
        let [high, low] = [0, 1].map(|part| key.hash(part, name.as_bytes()));
        // The last bit is left to the type.
        Self([high, low & !TEXT])
    }
}

/// The type of a text, in the second word; a number has 0 there.
const TEXT: u64 = 1;

/// Words of a key besides those of the value.
const FRAME_WORDS: usize = 3;

/// Where a key lies against the value that it spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before = 0,
    At = 1,
    After = 2,
}

const SIDE_BITS: u32 = 2;

/// Words of a key whose value has `value_words`.
pub(super) const fn key_words(value_words: usize) -> usize {
    FRAME_WORDS + value_words
}

/// How many words hold a text of `bytes`; at least the one that a number takes.
pub(super) fn text_words(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<u64>()).max(1).next_power_of_two()
}

/// Keys of one attribute.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) tag: Tag,
    pub(super) value_words: usize,
}

impl Keys {
    /// Appends the key of `value`. Its steps depend on the type and the length alone.
    pub(super) fn append(self, value: ValueRef<'_>, side: Side, words: &mut Vec<u64>) {
        match value {
            ValueRef::Number(number) => {
                let excess = u64::from(number.key_excess());
                self.append_words(
                    0,
                    [number.order_key()],
                    excess << SIDE_BITS | side as u64,
                    words,
                );
            }
            ValueRef::Text(text) => self.append_text(text.as_bytes(), side, words),
        }
    }

    pub(super) fn key(self, value: ValueRef<'_>, side: Side) -> Vec<u64> {
        let mut words = Vec::with_capacity(key_words(self.value_words));
        self.append(value, side, &mut words);
        words
    }

    /// The cut before every text that orders above all texts beginning with `prefix`, which is not
    /// empty.
    pub(super) fn beyond_prefix(self, prefix: &str) -> Vec<u64> {
        let mut bytes = Vec::from(prefix.as_bytes());
        if let Some(last) = bytes.last_mut() {
            *last = last.checked_add(1).expect("UTF-8 has no byte 255");
        }
        let mut words = Vec::with_capacity(key_words(self.value_words));
        self.append_text(&bytes, Side::Before, &mut words);
        words
    }

    /// The cut below every number, and below every text.
    pub(super) fn bottom(self) -> Vec<u64> {
        self.extreme(0, 0)
    }

    /// The cut between numbers and texts.
    pub(super) fn middle(self) -> Vec<u64> {
        self.extreme(TEXT, 0)
    }

    /// The cut above every text.
    pub(super) fn top(self) -> Vec<u64> {
        self.extreme(TEXT, u64::MAX)
    }

    fn extreme(self, kind: u64, fill: u64) -> Vec<u64> {
        let mut words = Vec::from([self.tag.0[0], self.tag.0[1] | kind]);
        words.resize(key_words(self.value_words), fill);
        words
    }

    fn append_text(self, bytes: &[u8], side: Side, words: &mut Vec<u64>) {
        let chunks = bytes.chunks(size_of::<u64>()).map(|chunk| {
            let mut word = [0; size_of::<u64>()];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_be_bytes(word)
        });
        let last = (bytes.len() as u64) << SIDE_BITS | side as u64;
        self.append_words(TEXT, chunks, last, words);
    }

    fn append_words(
        self,
        kind: u64,
        value: impl IntoIterator<Item = u64>,
        last: u64,
        words: &mut Vec<u64>,
    ) {
        let end = words.len() + key_words(self.value_words);
        words.extend([self.tag.0[0], self.tag.0[1] | kind]);
        words.extend(value.into_iter().take(self.value_words));
        words.resize(end - 1, 0);
        words.push(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    const KEYS: Keys = Keys {
        tag: Tag([7, 6]),
        value_words: 1,
    };

    fn at(value: ValueRef<'_>) -> Vec<u64> {
        KEYS.key(value, Side::At)
    }

    #[test]
    fn keys_order_as_values_do_with_numbers_first() {
        let wide = |n: i64| at(ValueRef::Number(n.into()));
        let text = |t: &str| at(ValueRef::Text(t));
        let ascending = [
            KEYS.bottom(),
            wide(i64::MIN),
            wide(-1),
            wide(9_007_199_254_740_992),
            wide(9_007_199_254_740_993),
            wide(9_007_199_254_740_994),
            wide(i64::MAX),
            KEYS.middle(),
            text(""),
            text("\0"),
            text("a"),
            text("a\0"),
            text("ab"),
            text("b"),
            text(&String::from_utf8([0xf4, 0x8f, 0xbf, 0xbf].repeat(4)).unwrap()),
            KEYS.top(),
        ];

        assert!(ascending.is_sorted_by(|a, b| a < b), "{ascending:x?}");
    }

    #[test]
    fn a_longer_text_orders_exactly_against_operands_that_fit() {
        let operands = ["", "abcdefg", "abcdefgh", "abcdefgi", "b"];
        for header in [
            "abcdefgh",
            "abcdefgh\0",
            "abcdefghi",
            "abcdefgz0",
            "ab000000000",
        ] {
            for operand in operands {
                let before = KEYS.key(ValueRef::Text(operand), Side::Before);
                let after = KEYS.key(ValueRef::Text(operand), Side::After);
                let key = at(ValueRef::Text(header));

                assert_eq!(before < key, operand <= header, "{operand} <= {header}");
                assert_eq!(after < key, operand < header, "{operand} < {header}");
            }
        }
    }

    #[test]
    fn a_prefix_ends_where_the_texts_that_have_it_end() {
        let beyond = KEYS.beyond_prefix("ab");

        for inside in ["ab", "ab\0", "abz", "ab\u{10ffff}\u{10ffff}"] {
            assert!(at(ValueRef::Text(inside)) < beyond, "{inside}");
        }
        for outside in ["ac", "b"] {
            assert!(at(ValueRef::Text(outside)) > beyond, "{outside}");
        }
    }
}
