//! A hash of packets that combines as they do: the hash of a sum is the sum of the hashes.
//!
//! Invariant: for packets of one length it is the product with a secret matrix of [`TAG_BYTES`] rows,
//! which is never written out. A packet is folded into [`WIDTH`] rows, multiplied to 16, these are
//! folded and multiplied with other cells, and so on down to one column. Two packets that differ hash
//! alike with a probability of at most 2^-128 for each level, over the draw of the cells.
//! Source: Agrawal and Boneh, "Homomorphic MACs", ACNS 2009, for what it is good for under a mask.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::kernel::{Coefficients, Kernel};
use crate::matrix::Matrix;

/// Bytes of a hash, and of the tag of a packet that is made with it.
pub const TAG_BYTES: usize = 16;

/// Rows that a level folds into; what is left of it has an eighth of the bytes.
const WIDTH: usize = 128;

/// Parts that each of the rows of one level makes of the next.
const PARTS: usize = WIDTH / TAG_BYTES;

/// Cells of a level.
const LEVEL_BYTES: usize = TAG_BYTES * WIDTH;

/// A linear hash for packets up to some length. Its cells are secret and wiped when it goes.
pub struct LinearHash {
    levels: Vec<Coefficients>,
}

impl LinearHash {
    /// Cells that it takes to hash packets of `packet_bytes`, in bytes.
    #[must_use]
    pub fn cell_bytes(packet_bytes: usize) -> usize {
        levels(packet_bytes) * LEVEL_BYTES
    }

    /// Prepares cells drawn at random, for packets of up to as many bytes as they are enough for.
    ///
    /// # Panics
    /// If there are no cells, or not those of whole levels.
    #[must_use]
    pub fn new(kernel: Kernel, cells: &[u8]) -> Self {
        assert!(
            !cells.is_empty() && cells.len().is_multiple_of(LEVEL_BYTES),
            "cells of whole levels"
        );
        let levels = cells.chunks_exact(LEVEL_BYTES).map(|cells| {
            let mut matrix = Matrix::new(WIDTH, cells.to_vec());
            let prepared = Coefficients::new(kernel, &matrix);
            matrix.wipe();
            prepared
        });
        Self {
            levels: levels.collect(),
        }
    }

    /// The hashes of `packets`, one behind the other. Those shorter than `packet_bytes` are hashed as if
    /// zeros followed.
    ///
    /// Cost: about 18 products for each byte. Which bytes there are has no influence on it.
    ///
    /// # Panics
    /// If a packet is longer, or there are not cells enough for `packet_bytes`.
    #[must_use]
    pub fn hash(&self, packet_bytes: usize, packets: &[&[u8]]) -> Zeroizing<Vec<[u8; TAG_BYTES]>> {
        assert!(
            levels(packet_bytes) <= self.levels.len(),
            "cells enough for the length"
        );
        assert!(
            packets.iter().all(|packet| packet.len() <= packet_bytes),
            "packets of the length said"
        );
        let mut column_bytes = packet_bytes.div_ceil(WIDTH).max(1);
        let mut rows = self.fold_packets(column_bytes, packets);
        for level in &self.levels[1..levels(packet_bytes)] {
            let part_bytes = column_bytes.div_ceil(PARTS);
            rows = fold_rows(level, &rows, column_bytes, part_bytes, packets.len());
            column_bytes = part_bytes;
        }
        let hash_of = |packet| core::array::from_fn(|row| rows[row * packets.len() + packet]);
        Zeroizing::new((0..packets.len()).map(hash_of).collect())
    }

    /// The first level: 16 rows, in each of which every packet has `column_bytes`.
    fn fold_packets(&self, column_bytes: usize, packets: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let row_bytes = packets.len() * column_bytes;
        let mut rows = Zeroizing::new(vec![0; TAG_BYTES * row_bytes]);
        let zeros = vec![0; column_bytes];
        let mut last = vec![0; column_bytes];
        for (at, packet) in packets.iter().enumerate() {
            let (whole, rest) = packet.split_at(packet.len() - packet.len() % column_bytes);
            last.fill(0);
            last[..rest.len()].copy_from_slice(rest);
            let mut inputs: Vec<&[u8]> = whole.chunks_exact(column_bytes).collect();
            inputs.push(&last);
            // What is cut off is nothing, where the packet fills all rows.
            inputs.resize(WIDTH, &zeros);
            let rows = rows.chunks_exact_mut(row_bytes);
            let outputs = rows.map(|row| &mut row[at * column_bytes..][..column_bytes]);
            self.levels[0].multiply(&inputs, &mut outputs.collect::<Vec<_>>());
        }
        rows
    }
}

impl Drop for LinearHash {
    fn drop(&mut self) {
        self.levels.iter_mut().for_each(Coefficients::wipe);
    }
}

impl core::fmt::Debug for LinearHash {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("LinearHash(..)")
    }
}

/// Levels that packets of `packet_bytes` go through.
fn levels(packet_bytes: usize) -> usize {
    let mut column_bytes = packet_bytes.div_ceil(WIDTH);
    let mut levels = 1;
    while column_bytes > 1 {
        column_bytes = column_bytes.div_ceil(PARTS);
        levels += 1;
    }
    levels
}

/// A further level: each packet's part of each of 16 rows becomes the parts of [`PARTS`] rows.
fn fold_rows(
    level: &Coefficients,
    rows: &[u8],
    column_bytes: usize,
    part_bytes: usize,
    packets: usize,
) -> Zeroizing<Vec<u8>> {
    let row_bytes = packets * part_bytes;
    let mut folded = Zeroizing::new(vec![0; WIDTH * row_bytes]);
    let columns = rows.chunks_exact(column_bytes).enumerate();
    for (at, column) in columns {
        let (row, packet) = (at / packets, at % packets);
        for (part, bytes) in column.chunks(part_bytes).enumerate() {
            let start = (row * PARTS + part) * row_bytes + packet * part_bytes;
            folded[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }
    let mut made = Zeroizing::new(vec![0; TAG_BYTES * row_bytes]);
    let inputs: Vec<&[u8]> = folded.chunks_exact(row_bytes).collect();
    let mut outputs: Vec<&mut [u8]> = made.chunks_exact_mut(row_bytes).collect();
    level.multiply(&inputs, &mut outputs);
    drop((inputs, outputs));
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;
    use crate::kernel::Features;

    /// Lengths of packets around where another level begins, and those of full blocks.
    const LENGTHS: [usize; 12] = [
        0, 1, 16, 127, 128, 129, 1000, 1024, 1025, 8193, 26_215, 131_074,
    ];

    fn drawn(seed: u64, count: usize) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        let mut drawn = vec![0; count];
        hasher.finalize_xof().fill(&mut drawn);
        drawn
    }

    fn hash(seed: u64) -> LinearHash {
        let cells = drawn(seed, LinearHash::cell_bytes(131_074));
        LinearHash::new(Kernel::fastest(Features::ALL), &cells)
    }

    fn one(hash: &LinearHash, packet: &[u8]) -> [u8; TAG_BYTES] {
        hash.hash(packet.len(), &[packet])[0]
    }

    /// The same as it is taught: what is left is laid out in rows of equal length, and each column is
    /// multiplied with the cells of the level.
    fn slow_hash(cells: &[u8], packet: &[u8]) -> Vec<u8> {
        let columns = packet.len().div_ceil(WIDTH).max(1);
        let cell = |row: usize, column: usize| {
            packet
                .get(row * columns + column)
                .copied()
                .unwrap_or_default()
        };
        let mut rows = slow_level(&cells[..LEVEL_BYTES], columns, cell);
        for level in cells[LEVEL_BYTES..].chunks(LEVEL_BYTES) {
            let before = rows[0].len();
            if before == 1 {
                break;
            }
            let columns = before.div_ceil(PARTS);
            let cell = |row: usize, column: usize| {
                let at = row % PARTS * columns + column;
                rows[row / PARTS].get(at).copied().unwrap_or_default()
            };
            rows = slow_level(level, columns, cell);
        }
        rows.into_iter().map(|row| row[0]).collect()
    }

    fn slow_level(
        cells: &[u8],
        columns: usize,
        input: impl Fn(usize, usize) -> u8,
    ) -> Vec<Vec<u8>> {
        let product = |row: usize, column: usize| {
            let each =
                (0..WIDTH).map(|at| field::product(cells[row * WIDTH + at], input(at, column)));
            each.fold(0, |sum, product| sum ^ product)
        };
        let row_of = |row| (0..columns).map(|column| product(row, column)).collect();
        (0..TAG_BYTES).map(row_of).collect()
    }

    #[test]
    fn a_hash_is_what_naive_arithmetic_gives() {
        let cells = drawn(1, LinearHash::cell_bytes(131_074));
        for length in LENGTHS {
            let packet = drawn(2, length);

            for kernel in Kernel::supported(Features::ALL) {
                let hash = LinearHash::new(kernel, &cells);
                assert_eq!(
                    one(&hash, &packet)[..],
                    slow_hash(&cells, &packet),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn the_hash_of_a_combination_is_the_combination_of_the_hashes() {
        let hash = hash(1);
        for length in LENGTHS {
            let (a, b) = (drawn(3, length), drawn(4, length));
            let mut sum = vec![0; length];
            field::add_products(&mut sum, 0x53, &a);
            field::add_products(&mut sum, 0xca, &b);

            let mut expected = [0; TAG_BYTES];
            field::add_products(&mut expected, 0x53, &one(&hash, &a));
            field::add_products(&mut expected, 0xca, &one(&hash, &b));

            assert_eq!(one(&hash, &sum), expected, "{length}");
        }
    }

    #[test]
    fn packets_hashed_together_hash_as_alone() {
        let hash = hash(1);
        for length in LENGTHS {
            let packets = [5, 6, 7].map(|seed| drawn(seed, length));
            let together = hash.hash(length, &[&packets[0], &packets[1], &packets[2]]);

            for (packet, hashed) in packets.iter().zip(together.iter()) {
                assert_eq!(one(&hash, packet), *hashed, "{length}");
            }
        }
    }

    #[test]
    fn zeros_behind_a_packet_need_not_be_there() {
        let hash = hash(1);
        for (short, length) in [
            (0, 1),
            (0, 5000),
            (1, 2),
            (100, 129),
            (1000, 1025),
            (1024, 1025),
        ] {
            let mut packet = drawn(8, short);
            let cut = hash.hash(length, &[&packet])[0];
            packet.resize(length, 0);

            assert_eq!(one(&hash, &packet), cut, "{short} of {length}");
        }
    }

    #[test]
    fn any_bit_of_a_packet_and_any_other_cells_change_the_hash() {
        let (hash, other) = (hash(1), hash(2));
        for length in [1, 130, 1030] {
            let mut packet = drawn(9, length);
            let before = one(&hash, &packet);
            assert_ne!(one(&other, &packet), before);
            for bit in 0..8 * length {
                packet[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(one(&hash, &packet), before, "bit {bit} of {length}");
                packet[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    #[should_panic(expected = "packets of the length said")]
    fn a_packet_longer_than_was_said_is_not_hashed() {
        let _ = hash(1).hash(129, &[&[1; 130]]);
    }

    #[test]
    #[should_panic(expected = "cells enough for the length")]
    fn a_packet_longer_than_there_are_cells_for_is_not_hashed() {
        let hash = LinearHash::new(Kernel::PORTABLE, &[1; LEVEL_BYTES]);

        let _ = hash.hash(129, &[&[1; 129]]);
    }
}
