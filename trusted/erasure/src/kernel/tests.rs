use alloc::vec::Vec;
use std::vec;

use super::*;
use crate::field;
use crate::matrix::Matrix;

/// A small generator (xorshift*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// The product as it is defined.
fn slow(matrix: &Matrix, inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    let rows = (0..matrix.rows()).map(|row| {
        let mut sum = vec![0; inputs[0].len()];
        for (input, cell) in inputs.iter().zip(matrix.row(row)) {
            for (sum, byte) in sum.iter_mut().zip(*input) {
                *sum ^= field::product(*cell, *byte);
            }
        }
        sum
    });
    rows.collect()
}

/// Compares each kernel with the definition on `length` bytes that begin `shift` bytes into their
/// allocations, which end with them: a byte too far is seen under AddressSanitizer.
fn compare(dice: &mut Dice, rows: usize, columns: usize, length: usize, shift: usize) {
    let matrix = Matrix::new(columns, dice.bytes(rows * columns));
    let held: Vec<Vec<u8>> = (0..columns).map(|_| dice.bytes(shift + length)).collect();
    let inputs: Vec<&[u8]> = held.iter().map(|row| &row[shift..]).collect();
    let expected = slow(&matrix, &inputs);
    for kernel in Kernel::supported(Features::ALL) {
        let mut made = vec![vec![0xa5; shift + length]; rows];
        let mut outputs: Vec<&mut [u8]> = made.iter_mut().map(|row| &mut row[shift..]).collect();

        Coefficients::new(kernel, &matrix).multiply(&inputs, &mut outputs);

        assert!(
            outputs.iter().zip(&expected).all(|(a, b)| **a == **b),
            "{} with {rows} x {columns}, {length} bytes from {shift}",
            kernel.name()
        );
        assert!(
            made.iter()
                .all(|row| row[..shift].iter().all(|byte| *byte == 0xa5))
        );
    }
}

#[test]
fn every_coefficient_is_right_for_every_byte() {
    let input: Vec<u8> = (0..=255).collect();
    let matrix = Matrix::new(1, (0..=255).collect());
    for kernel in Kernel::supported(Features::ALL) {
        let mut made = vec![vec![0; 256]; 256];
        let mut outputs: Vec<&mut [u8]> = made.iter_mut().map(Vec::as_mut_slice).collect();

        Coefficients::new(kernel, &matrix).multiply(&[&input], &mut outputs);

        for (a, row) in (0..=255).zip(&made) {
            for (b, product) in (0..=255).zip(row) {
                assert_eq!(*product, field::product(a, b), "{} {a} {b}", kernel.name());
            }
        }
    }
}

#[test]
fn kernels_agree_with_the_definition_at_every_short_length() {
    let mut dice = Dice(1);
    for length in 0..600 {
        let (rows, columns) = (1 + dice.below(9), 1 + dice.below(7));
        let shift = dice.below(65);
        compare(&mut dice, rows, columns, length, shift);
    }
}

#[test]
fn kernels_agree_with_the_definition_on_every_small_matrix() {
    let mut dice = Dice(2);
    for rows in 1..=13 {
        for columns in 1..=6 {
            let length = 256 + dice.below(512);
            compare(&mut dice, rows, columns, length, 0);
        }
    }
}

#[test]
fn kernels_agree_with_the_definition_across_tiles_and_batches() {
    let mut dice = Dice(3);
    for (rows, columns, length) in [
        (16, 40, 3001),
        (5, 3, 20_011),
        (40, 40, 1600),
        (6, 255, 700),
        (1, 40, 9001),
        (2, 11, 20_011),
        (1, 255, 1601),
    ] {
        compare(&mut dice, rows, columns, length, 3);
    }
}

#[test]
fn a_kernel_is_had_by_its_name_or_not_at_all() {
    for kernel in Kernel::supported(Features::ALL) {
        assert_eq!(Kernel::named(kernel.name()), Some(kernel));
        assert!(Kernel::NAMES.contains(&kernel.name()));
    }
    assert_eq!(Kernel::named("sse"), None);
}

#[test]
fn without_features_no_kernel_uses_vector_instructions() {
    assert_eq!(Kernel::fastest(Features::none()), Kernel::PORTABLE);
    assert_eq!(Features::none(), Features::default());
    let gfni_alone = Features {
        gfni: true,
        ..Features::none()
    };
    assert_eq!(Kernel::fastest(gfni_alone), Kernel::PORTABLE);
}

#[test]
#[should_panic(expected = "rows have the same length")]
fn rows_of_different_lengths_are_refused() {
    let matrix = Matrix::new(2, vec![1, 2]);
    let mut output = [0; 3];

    Coefficients::new(Kernel::PORTABLE, &matrix)
        .multiply(&[&[1, 2, 3], &[1, 2]], &mut [&mut output]);
}
