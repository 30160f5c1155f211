//! The operations on eight bytes at a time, in plain integers.
//!
//! Source: comparison of packed bytes, Lamport, CACM 18(8), 1975.

use super::{
    BLOCK_ROWS, Compared, Frame, Framed, Ids, LANES, Lanes, Line, Passing, Pick, Sifted, TOPS, Test,
};

/// The top bit of every byte.
const TOP_BITS: u64 = 0x8080_8080_8080_8080;

/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Moves the top bit of byte n to bit n, once multiplied.
const GATHER: u64 = 0x0002_0408_1020_4081;

/// The form without vector instructions.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn compare(self, line: &Line, code: u8) -> Compared {
        let codes = ONES * u64::from(code);
        let (words, _) = line.0.as_chunks::<8>();
        let mut compared = Compared { less: 0, equal: 0 };
        for (at, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            compared.less |= tops(less(word, codes)) << (8 * at);
            compared.equal |= tops(equal(word, codes)) << (8 * at);
        }
        compared
    }

    #[inline(always)]
    fn at_most(self, line: &Line, codes: &[u8; 8]) -> u8 {
        let codes = u64::from_le_bytes(*codes);
        let (words, _) = line.0.as_chunks::<8>();
        let words = words.iter().enumerate();
        words.fold(0, |mask, (at, word)| {
            let above = less(codes, u64::from_le_bytes(*word));
            mask | u8::from(above == 0) << at
        })
    }

    #[inline(always)]
    fn each_at_most(self, line: &Line, codes: &[u8; 8]) -> u64 {
        let codes = u64::from_le_bytes(*codes);
        let (words, _) = line.0.as_chunks::<8>();
        let words = words.iter().enumerate();
        words.fold(0, |mask, (at, word)| {
            let above = less(codes, u64::from_le_bytes(*word));
            mask | tops(!above & TOP_BITS) << (8 * at)
        })
    }

    #[inline(always)]
    fn pass(self, lines: &[Line], tests: &[Test], open: u64) -> Passing {
        // Bytes by which a row is above a limit; 0 while it is above none.
        let (mut above_most, mut above_sure) = ([0; BLOCK_ROWS], [0; BLOCK_ROWS]);
        for (column, (line, test)) in lines.iter().zip(tests).enumerate() {
            if open >> column & 1 == 0 {
                continue;
            }
            for row in 0..BLOCK_ROWS {
                above_most[row] |= line.0[row].saturating_sub(test.most);
                above_sure[row] |= line.0[row].saturating_sub(test.sure);
            }
        }
        Passing {
            maybe: self.compare(&Line(above_most), 0).equal,
            sure: self.compare(&Line(above_sure), 0).equal,
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, _: &[T]) {}

    #[inline(always)]
    fn sift(self, maps: &[u64], picks: &[Pick], used: usize, sifted: &mut Sifted) {
        for pick in picks {
            let unsure = &maps[pick.unsure as usize..][..used];
            let failing = &maps[pick.failing as usize..][..used];
            let own = sifted.unsure.iter_mut().zip(&mut sifted.failing);
            let own = own.zip(unsure.iter().zip(failing));
            for ((own_unsure, own_failing), (unsure, failing)) in own {
                *own_unsure |= unsure;
                *own_failing |= failing;
            }
        }
    }

    #[inline(always)]
    fn below(self, tops: &[u32; TOPS], key: u32) -> usize {
        tops.partition_point(|top| *top < key)
    }

    #[inline(always)]
    fn within(self, lows: &[u32], widths: &[u32], axes: &[u8], codes: &[u32; 64]) -> bool {
        let intervals = lows.iter().zip(widths).zip(axes);
        intervals.fold(true, |all, ((low, width), axis)| {
            let code = codes[usize::from(*axis) % 64];
            all & (code.wrapping_sub(*low) <= *width)
        })
    }

    #[inline(always)]
    fn write(self, frame: &Frame, keys: &[u64; LANES]) -> Framed {
        let mut framed = Framed::NONE;
        for (lane, key) in keys.iter().enumerate() {
            let above = *key >= frame.base[lane];
            let steps = key.wrapping_sub(frame.base[lane]) >> frame.drop[lane];
            let open = !above | (steps < frame.end[lane]);
            let moved = steps.min(frame.end[lane]) << frame.lift[lane];
            let reached =
                moved.wrapping_add(1 << frame.one[lane]) & u64::from(above).wrapping_neg();
            framed.reached[lane] = reached;
            let first = (reached >> frame.first[lane]) as u8;
            framed.first[lane] = first | u8::from(open).wrapping_sub(1);
            framed.open |= u8::from(open) << lane;
            framed.above |= u8::from(above) << lane;
        }
        framed
    }

    #[inline(always)]
    fn reached(self, bounds: &[u64; 8], key: u64) -> u8 {
        let bits = bounds.iter().enumerate();
        bits.fold(0, |mask, (at, bound)| mask | u8::from(*bound <= key) << at)
    }

    #[inline(always)]
    fn find(self, ids: &Ids, id: u32) -> u64 {
        let bits = ids.0.iter().enumerate();
        bits.fold(0, |mask, (at, own)| mask | u64::from(*own == id) << at)
    }

    #[inline(always)]
    fn compress(self, ids: &Ids, mask: u64, room: &mut [u32; BLOCK_ROWS]) -> usize {
        let mut left = mask;
        let mut count = 0;
        while left != 0 {
            room[count % BLOCK_ROWS] = ids.0[left.trailing_zeros() as usize % BLOCK_ROWS];
            left &= left - 1;
            count += 1;
        }
        count
    }
}

/// The top bit of each byte of `a` that is less than the one of `b`; the other bits are zero.
#[inline(always)]
fn less(a: u64, b: u64) -> u64 {
    // Without the top bits no byte borrows from the next.
    let low = (a | TOP_BITS) - (b & !TOP_BITS);
    ((!a & b) | (!(a ^ b) & !low)) & TOP_BITS
}

/// The top bit of each byte of `a` that equals the one of `b`; the other bits are zero.
#[inline(always)]
fn equal(a: u64, b: u64) -> u64 {
    let differ = a ^ b;
    !(((differ & !TOP_BITS) + !TOP_BITS) | differ) & TOP_BITS
}

/// The top bits of the bytes, side by side.
#[inline(always)]
fn tops(word: u64) -> u64 {
    ((word >> 7).wrapping_mul(GATHER << 7)) >> 56
}
