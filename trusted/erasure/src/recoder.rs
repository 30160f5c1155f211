//! New packets of packets, without decoding.
//!
//! Invariant: what is done to the packets is done to their coefficients, so that new packets are known
//! as combinations of the source packets like the ones they are made of.
//! Source: Dimakis et al., IEEE Trans. Inf. Theory 56(9), 2010, for repair with less than the block.

use crate::kernel::{Coefficients, Kernel};
use crate::matrix::Matrix;

/// The scalars that packets held are combined with, a row for each new packet.
#[derive(Clone, Debug)]
pub struct Recoder {
    scalars: Matrix,
    prepared: Coefficients,
}

impl Recoder {
    /// Prepares `scalars`, which have a row for each new packet and a column for each packet held.
    #[must_use]
    pub fn new(kernel: Kernel, scalars: Matrix) -> Self {
        let prepared = Coefficients::new(kernel, &scalars);
        Self { scalars, prepared }
    }

    /// The coefficients of the new packets, of those of the packets held: a row for each.
    ///
    /// # Panics
    /// If there are not as many rows as packets held.
    #[must_use]
    pub fn coefficients(&self, held: &Matrix) -> Matrix {
        self.scalars.multiply(held)
    }

    /// Writes the combinations of the packets `held` to `new`.
    ///
    /// # Panics
    /// If there are not as many packets as the scalars say, or they do not all have the same length.
    pub fn recode(&self, held: &[&[u8]], new: &mut [&mut [u8]]) {
        self.prepared.multiply(held, new);
    }
}
