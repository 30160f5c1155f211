//! Decisions without branches.
//!
//! Invariant: a mask has all bits set for yes and none for no, and each function here takes the same
//! steps whatever it is given.
//! Source: the borrow of a subtraction as a comparison, as in Warren, "Hacker's Delight", §2-12.

use core::hint::black_box;

/// Yes, as 32 bits.
pub(super) const YES: u32 = u32::MAX;

/// A mask of a bit that is 0 or 1; the optimiser is kept from learning that it has two values only,
/// and so from branching on it.
#[inline]
fn mask64(bit: u64) -> u64 {
    black_box(bit).wrapping_neg()
}

/// Masks as they are, of which the compiler does not know that they have two values only: so it makes no
/// branches of them, nor vector instructions that leave out what they load or store where a mask is not
/// set. Wherever masks of a whole block are used they pass through here.
#[inline(always)]
pub(super) fn opaque<T>(masks: T) -> T {
    black_box(masks)
}

/// Whether `a` and `b` are equal, as 64 bits.
#[inline]
pub(super) fn equal64(a: u64, b: u64) -> u64 {
    let differ = a ^ b;
    mask64(((differ | differ.wrapping_neg()) >> 63) ^ 1)
}

/// Whether `a` and `b` are equal.
#[inline]
pub(super) fn equal(a: u32, b: u32) -> u32 {
    narrow(equal64(u64::from(a), u64::from(b)))
}

/// `yes` where `mask` is set, `no` elsewhere.
#[inline]
pub(super) fn select(mask: u32, yes: u32, no: u32) -> u32 {
    no ^ (mask & (yes ^ no))
}

/// `yes` where `mask` is set, `no` elsewhere.
#[inline]
pub(super) fn select64(mask: u64, yes: u64, no: u64) -> u64 {
    no ^ (mask & (yes ^ no))
}

/// A mask of 64 bits as one of 32.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "all bits are alike")]
pub(super) fn narrow(mask: u64) -> u32 {
    mask as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u32; 6] = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];

    #[test]
    fn comparisons_are_all_bits_or_none() {
        for a in EDGES {
            for b in EDGES {
                let expected = |yes: bool| if yes { YES } else { 0 };
                assert_eq!(equal(a, b), expected(a == b), "{a} = {b}");
            }
        }
        assert_eq!(equal64(1 << 63, 0), 0);
        assert_eq!(equal64(1 << 32, 1 << 32), u64::MAX);
    }

    #[test]
    fn a_mask_selects() {
        assert_eq!(select(YES, 1, 2), 1);
        assert_eq!(select(0, 1, 2), 2);
        assert_eq!(select64(u64::MAX, 1, 2), 1);
        assert_eq!(select64(0, 1, 2), 2);
    }
}
