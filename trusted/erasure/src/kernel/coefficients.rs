//! A matrix, prepared for a kernel.

use alloc::vec::Vec;

use zeroize::Zeroize as _;

use super::{
    Kernel,
    pass::{self, Pass},
};
use crate::matrix::Matrix;

/// The coefficients that outputs are made of inputs with, in the form that a kernel takes them in.
///
/// Preparing costs a few nanoseconds for each coefficient and is done once for many rows.
#[derive(Clone, Debug)]
pub struct Coefficients {
    kernel: Kernel,
    outputs: usize,
    inputs: usize,
    tables: Vec<u64>,
}

impl Coefficients {
    /// Prepares `matrix`, which has a row for each output and a column for each input.
    #[must_use]
    pub fn new(kernel: Kernel, matrix: &Matrix) -> Self {
        let words = kernel.words();
        let mut tables = Vec::with_capacity(matrix.cells().len() * words);
        for group in pass::groups(matrix.rows()) {
            for input in 0..matrix.columns() {
                for output in group.clone() {
                    let table = kernel.table(matrix.row(output)[input]);
                    tables.extend_from_slice(&table[..words]);
                }
            }
        }
        Self {
            kernel,
            outputs: matrix.rows(),
            inputs: matrix.columns(),
            tables,
        }
    }

    /// Overwrites what it was made of: nothing right is made with it afterwards.
    pub(crate) fn wipe(&mut self) {
        self.tables.as_mut_slice().zeroize();
    }

    /// How many outputs it makes.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Of how many inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Writes the product of the matrix with the rows `inputs` to the rows `outputs`, whatever these held.
    ///
    /// One pass over the inputs makes several outputs. Cost: outputs times inputs times their length.
    ///
    /// # Panics
    /// If there are not as many inputs and outputs as the matrix has columns and rows, or they do not all
    /// have the same length.
    pub fn multiply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert_eq!(inputs.len(), self.inputs, "a row for each column");
        assert_eq!(outputs.len(), self.outputs, "a row for each row");
        let pass = Pass::new(&self.tables, self.kernel.words(), inputs, outputs);
        self.kernel.run(pass);
    }
}
