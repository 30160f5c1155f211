//! Values and bounds as long integers that order as they do.
//!
//! Invariant: a key is the section of a name, a type, the words of the value, what decides between
//! values whose words are equal, and last a side. A value's key has the middle side and a cut one of
//! the others, so no cut equals a value: it lies just before it or just after it. Texts are padded
//! with zeros and told apart by their lengths; a text of a header that is longer than every operand
//! is cut off, which changes neither equality nor order against any of them.

use alloc::vec::Vec;

use super::mask::equal64;
use crate::bound::TEXT_BYTES_MAX;
use crate::hash;
use crate::value::ValueRef;

/// The keyed tag of a name: two names with one tag are as likely as a guess of 127 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag(pub(super) [u64; Tag::WORDS]);

impl Tag {
    pub(super) const WORDS: usize = 2;

    pub(super) fn of(key: &hash::Key, name: &str) -> Self {
        let [high, low] = [0, 1].map(|part| key.hash(part, name.as_bytes()));
        // So that no tag is all ones, which is for what is not in use.
        Self([high, low & !1])
    }
}

/// The section is above this bit of the first word.
pub(super) const SECTION_SHIFT: u32 = 32;

/// The type, below the section: set for a text.
const TEXT: u64 = 1 << (SECTION_SHIFT - 1);

/// What is left of the first word goes to the value, and as much of the last word is left below it.
const LAST_BITS: u32 = SECTION_SHIFT - 1;

/// What stands there in the cut above every text.
const LAST_MAX: u64 = (1 << LAST_BITS) - 1;

const _: () = assert!(
    (TEXT_BYTES_MAX as u64) << SIDE_BITS < LAST_MAX,
    "lengths fit"
);

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
    1 + value_words
}

/// Copies a cut to a longer one, whose value has more words.
pub(super) fn widen_key(from: &[u64], to: &mut [u64]) {
    let end = from.len() - 1;
    let last = from[end] & LAST_MAX;
    // The cut above every text, like a key that is not in use, is as high as there is.
    let fill = equal64(last, LAST_MAX);
    to[..end].copy_from_slice(&from[..end]);
    to[end] = from[end] & !LAST_MAX | fill & LAST_MAX;
    to[end + 1..].fill(fill);
    let new_end = to.len() - 1;
    to[new_end] = to[new_end] & !LAST_MAX | last;
}

/// How many words hold a text of `bytes`; at least the one that a number takes.
pub(super) fn text_words(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<u64>()).max(1).next_power_of_two()
}

/// Keys of one section.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) section: u32,
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
        let mut words = Vec::with_capacity(key_words(self.value_words));
        let value = core::iter::repeat_n(fill, self.value_words);
        self.append_words(kind, value, fill & LAST_MAX, &mut words);
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
        let end = words.len() + self.value_words;
        let mut above = u64::from(self.section) << SECTION_SHIFT | kind;
        for word in value.into_iter().take(self.value_words) {
            words.push(above | word >> (u64::BITS - LAST_BITS));
            above = word << LAST_BITS;
        }
        while words.len() < end {
            words.push(above);
            above = 0;
        }
        words.push(above | last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use std::string::String;

    const KEYS: Keys = Keys {
        section: 7,
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
    fn a_longer_cut_lies_where_the_shorter_did() {
        let long = Keys {
            value_words: 4,
            ..KEYS
        };
        let text = ValueRef::Text("abcdefgh");
        for (short, expected) in [
            (KEYS.bottom(), long.bottom()),
            (KEYS.middle(), long.middle()),
            (KEYS.top(), long.top()),
            (KEYS.key(text, Side::After), long.key(text, Side::After)),
            (KEYS.beyond_prefix("ab"), long.beyond_prefix("ab")),
            (vec![u64::MAX; 2], vec![u64::MAX; 5]),
        ] {
            let mut widened = vec![0; 5];
            widen_key(&short, &mut widened);
            assert_eq!(widened, expected);
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
