//! The numbers of the rows of a page that have to be looked at exactly.
//!
//! Invariant: each is there once, in order, and there are no more than a page has rows. To write them takes
//! no decision on a single row, which the processor could not foresee.

use super::SIEVE_ROWS;

/// The numbers of the rows that may fail; reuse it.
#[derive(Clone)]
pub(super) struct Room {
    rows: [u16; SIEVE_ROWS + Self::EACH],
    used: usize,
}

impl Room {
    /// Numbers that are written for each block whether there are so many or not: to write too many
    /// costs less than to decide.
    const EACH: usize = 4;

    /// Without any.
    pub(super) fn new() -> Self {
        Self {
            rows: [0; SIEVE_ROWS + Self::EACH],
            used: 0,
        }
    }

    /// Forgets all of them.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds the rows of a block, which begins with row `first`, that `mask` names.
    #[inline(always)]
    pub(super) fn push(&mut self, first: u16, mask: u64) {
        let (mut left, count) = (mask, mask.count_ones() as usize);
        let room = &mut self.rows[self.used..][..Self::EACH];
        for place in room {
            *place = first + left.trailing_zeros() as u16;
            left &= left.wrapping_sub(1);
        }
        let mut at = self.used + Self::EACH;
        while left != 0 {
            self.rows[at] = first + left.trailing_zeros() as u16;
            left &= left - 1;
            at += 1;
        }
        self.used += count;
    }

    /// Their numbers, ascending.
    #[inline(always)]
    pub(super) fn all(&self) -> &[u16] {
        &self.rows[..self.used]
    }
}
