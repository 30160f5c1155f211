//! Matrices over the field of bytes.
//!
//! Invariant: a matrix has at least one row and one column, and as many cells as both say.
//! Source: Blömer et al., "An XOR-based erasure-resilient coding scheme", 1995, for Cauchy matrices;
//! ISA-L's `gf_gen_cauchy1_matrix` for the one that [`Matrix::reed_solomon`] makes.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroize as _;

use crate::field;

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    columns: usize,
    cells: Vec<u8>,
}

impl Matrix {
    /// The matrix with these cells, row by row.
    ///
    /// # Panics
    /// If there are no cells, or not the same number in each row.
    #[must_use]
    pub fn new(columns: usize, cells: Vec<u8>) -> Self {
        assert!(
            columns > 0 && !cells.is_empty() && cells.len().is_multiple_of(columns),
            "a matrix has whole rows"
        );
        Self { columns, cells }
    }

    /// The matrix whose cells are given by their row and column.
    pub(crate) fn from_fn(rows: usize, columns: usize, cell: impl Fn(usize, usize) -> u8) -> Self {
        let cell = &cell;
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| cell(row, column)));
        Self::new(columns, cells.collect())
    }

    /// The matrix that changes nothing.
    #[must_use]
    pub fn identity(size: usize) -> Self {
        Self::from_fn(size, size, |row, column| u8::from(row == column))
    }

    /// The generator of the systematic Reed-Solomon code: the identity, and below it `parity` rows of a
    /// Cauchy matrix, whose cell in row i (counted from the top of the generator) and column j is the
    /// inverse of i ^ j.
    ///
    /// Any `data` of its rows are independent, because every square part of a Cauchy matrix is
    /// invertible. It is the matrix of ISA-L's `gf_gen_cauchy1_matrix`, and not that of
    /// `gf_gen_rs_matrix`, which lacks this for some sizes.
    ///
    /// # Panics
    /// If `data` is 0, or both together are more than 256.
    #[must_use]
    pub fn reed_solomon(data: usize, parity: usize) -> Self {
        assert!(data + parity <= 256, "rows and columns have distinct bytes");
        Self::from_fn(data + parity, data, |row, column| {
            if row < data {
                u8::from(row == column)
            } else {
                field::inverse((row ^ column) as u8)
            }
        })
    }

    /// A Cauchy matrix: every square part of it is invertible.
    ///
    /// # Panics
    /// If there are no rows or columns, or more than 256 together.
    pub(crate) fn cauchy(rows: usize, columns: usize) -> Self {
        assert!(
            rows + columns <= 256,
            "rows and columns have distinct bytes"
        );
        Self::from_fn(rows, columns, |row, column| {
            field::inverse((row ^ (rows + column)) as u8)
        })
    }

    /// The matrix whose row i holds the powers of the i-th power of the generator.
    ///
    /// Any `columns` of its rows are independent.
    ///
    /// # Panics
    /// If there are no rows or columns, or more than 255 rows.
    pub(crate) fn vandermonde(rows: usize, columns: usize) -> Self {
        assert!(rows <= 255, "the generator has 255 powers");
        Self::from_fn(rows, columns, |row, column| {
            field::power((row * column % 255) as u8)
        })
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.cells.len() / self.columns
    }

    /// How many columns it has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    ///
    /// # Panics
    /// If it has fewer rows.
    #[must_use]
    pub fn row(&self, row: usize) -> &[u8] {
        &self.cells[row * self.columns..][..self.columns]
    }

    /// All cells, row by row.
    #[must_use]
    pub fn cells(&self) -> &[u8] {
        &self.cells
    }

    /// Overwrites all cells with zeros: for those that are secret.
    pub(crate) fn wipe(&mut self) {
        self.cells.as_mut_slice().zeroize();
    }

    /// The only column in which `row` is not 0, if it is 1 there.
    pub(crate) fn unit(&self, row: usize) -> Option<usize> {
        let mut others = self.row(row).iter().enumerate();
        let (column, _) = others.by_ref().find(|&(_, cell)| *cell != 0)?;
        let alone = others.all(|(_, cell)| *cell == 0);
        (alone && self.row(row)[column] == 1).then_some(column)
    }

    /// The matrix of these rows, in this order.
    ///
    /// # Panics
    /// If there are none, or it has fewer.
    pub(crate) fn select(&self, rows: impl Iterator<Item = usize>) -> Self {
        let mut cells = Vec::new();
        for row in rows {
            cells.extend_from_slice(self.row(row));
        }
        Self::new(self.columns, cells)
    }

    /// The matrix of these columns.
    ///
    /// # Panics
    /// If there are none, or it has fewer.
    pub(crate) fn columns_of(&self, columns: Range<usize>) -> Self {
        let start = columns.start;
        Self::from_fn(self.rows(), columns.len(), |row, column| {
            self.row(row)[start + column]
        })
    }

    /// The matrix without these columns.
    ///
    /// # Panics
    /// If no others are left.
    pub(crate) fn without_columns(&self, columns: &[usize]) -> Self {
        let kept: Vec<usize> = (0..self.columns)
            .filter(|it| !columns.contains(it))
            .collect();
        Self::from_fn(self.rows(), kept.len(), |row, column| {
            self.row(row)[kept[column]]
        })
    }

    /// Makes `column` 0 in all rows from `from` on, by adding multiples of `line`, which is 1 there.
    pub(crate) fn clear(&mut self, column: usize, line: &[u8], from: usize) {
        for row in self.cells.chunks_mut(self.columns).skip(from) {
            let factor = row[column];
            field::add_products(row, factor, line);
        }
    }

    /// The product with `right`.
    ///
    /// # Panics
    /// If `right` does not have as many rows as this has columns.
    #[must_use]
    pub fn multiply(&self, right: &Self) -> Self {
        let mut sum = Self::new(right.columns, vec![0; self.rows() * right.columns]);
        sum.add_product(self, right);
        sum
    }

    /// Adds the product of `left` and `right`, without making it first.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub(crate) fn add_product(&mut self, left: &Self, right: &Self) {
        assert!(
            left.rows() == self.rows()
                && left.columns == right.rows()
                && right.columns == self.columns,
            "sizes of the factors and the sum"
        );
        for (row, sums) in self.cells.chunks_mut(right.columns).enumerate() {
            for (at, cell) in left.row(row).iter().enumerate() {
                field::add_products(sums, *cell, right.row(at));
            }
        }
    }

    /// The matrix in which each cell stands for `times` rows and columns: the cell on their diagonal, 0
    /// beside it.
    pub(crate) fn spread(&self, times: usize) -> Self {
        Self::from_fn(self.rows() * times, self.columns * times, |row, column| {
            let on_diagonal = row % times == column % times;
            u8::from(on_diagonal) * self.row(row / times)[column / times]
        })
    }

    /// The matrix whose product with this one is the identity; `None` if there is none.
    ///
    /// # Panics
    /// If it is not square.
    #[must_use]
    pub fn invert(&self) -> Option<Self> {
        let size = self.columns;
        assert_eq!(self.rows(), size, "only a square matrix has an inverse");
        let mut beside = Self::from_fn(size, 2 * size, |row, column| {
            if column < size {
                self.row(row)[column]
            } else {
                u8::from(column - size == row)
            }
        });
        if beside.eliminate(size) < size {
            return None;
        }
        Some(Self::from_fn(size, size, |row, column| {
            beside.row(row)[size + column]
        }))
    }

    /// Whether [`Self::invert`] gives something, of a square matrix.
    pub(crate) fn has_inverse(mut self) -> bool {
        for column in 0..self.columns {
            let Some(pivot) = (column..self.columns).find(|&row| self.row(row)[column] != 0) else {
                return false;
            };
            self.swap_rows(pivot, column);
            let scale = field::inverse(self.row(column)[column]);
            let mut line = self.row(column).to_vec();
            for cell in &mut line {
                *cell = field::product(*cell, scale);
            }
            self.clear(column, &line, column + 1);
        }
        true
    }

    /// How many of its rows are independent.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.clone().eliminate(self.columns)
    }

    /// Brings the first `columns` columns into reduced echelon form; returns their rank.
    fn eliminate(&mut self, columns: usize) -> usize {
        let mut rank = 0;
        for column in 0..columns {
            let pivot = (rank..self.rows()).find(|&row| self.row(row)[column] != 0);
            let Some(pivot) = pivot else { continue };
            self.swap_rows(pivot, rank);
            let scale = field::inverse(self.row(rank)[column]);
            for cell in self.row_mut(rank) {
                *cell = field::product(*cell, scale);
            }
            let line = self.row(rank).to_vec();
            for row in (0..self.rows()).filter(|&row| row != rank) {
                let factor = self.row(row)[column];
                field::add_products(self.row_mut(row), factor, &line);
            }
            rank += 1;
        }
        rank
    }

    fn swap_rows(&mut self, a: usize, b: usize) {
        for column in 0..self.columns {
            self.cells
                .swap(a * self.columns + column, b * self.columns + column);
        }
    }

    fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.cells[row * self.columns..][..self.columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let code = Matrix::reed_solomon(10, 4);
        let survivors = code.select([1, 2, 4, 5, 6, 9, 10, 11, 12, 13].into_iter());

        let inverse = survivors.invert().unwrap();

        assert_eq!(survivors.multiply(&inverse), Matrix::identity(10));
        assert_eq!(inverse.multiply(&survivors), Matrix::identity(10));
    }

    #[test]
    fn a_matrix_with_dependent_rows_has_no_inverse() {
        let dependent = Matrix::new(3, vec![1, 2, 3, 4, 5, 6, 1 ^ 4, 2 ^ 5, 3 ^ 6]);

        assert_eq!(dependent.invert(), None);
        assert_eq!(dependent.rank(), 2);
    }

    #[test]
    fn every_square_selection_of_a_generator_has_inverse() {
        for generator in [Matrix::reed_solomon(3, 4), Matrix::vandermonde(7, 3)] {
            for rows in
                (0..7).flat_map(|a| (0..a).flat_map(move |b| (0..b).map(move |c| [a, b, c])))
            {
                assert_eq!(generator.select(rows.into_iter()).rank(), 3, "{rows:?}");
            }
        }
    }

    #[test]
    fn the_longest_generators_can_be_made() {
        assert_eq!(Matrix::reed_solomon(128, 127).rows(), 255);
        assert_eq!(Matrix::vandermonde(255, 254).rank(), 254);
    }

    #[test]
    fn a_unit_row_is_found_by_its_only_one() {
        let matrix = Matrix::new(3, vec![0, 1, 0, 0, 2, 0, 1, 0, 1, 0, 0, 0]);

        assert_eq!(matrix.unit(0), Some(1));
        assert!((1..4).all(|row| matrix.unit(row).is_none()));
    }
}
