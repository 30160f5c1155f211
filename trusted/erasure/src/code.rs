//! A code, ready to make the pieces of blocks.
//!
//! Invariant: any k of the n fragments that a code makes rebuild what they are made of. For
//! replication and Reed-Solomon that is a property of the matrix, for network coding too: it begins
//! with a matrix of that kind, and what is drawn at random enters with repairs.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::kernel::{Coefficients, Kernel};
use crate::matrix::Matrix;
use crate::packets::Cut;
use crate::redundancy::Redundancy;

/// The prepared generator of a [`Redundancy`].
///
/// Making one costs up to a few milliseconds for the largest codes; keep it.
#[derive(Clone, Debug)]
pub struct Code {
    redundancy: Redundancy,
    kernel: Kernel,
    /// A row for each unit of a fragment, a column for each unit of the block. A unit is a whole piece,
    /// or a packet where the packets of a piece are mixed.
    generator: Matrix,
    /// Packets of a unit.
    unit_packets: usize,
    /// The first fragment that is not a part of the block.
    first_coded: usize,
    /// For the units of the fragments from there on; `None` if there are none.
    coded: Option<Coefficients>,
}

impl Code {
    /// Prepares the generator of `redundancy`, the same each time.
    #[must_use]
    pub fn new(redundancy: Redundancy, kernel: Kernel) -> Self {
        let (data, total) = (redundancy.data(), redundancy.total());
        let (data, total) = (usize::from(data), usize::from(total));
        let subpackets = usize::from(redundancy.subpackets());
        let (generator, unit_packets, first_coded) = match redundancy {
            Redundancy::Replication { .. } => (Matrix::from_fn(total, 1, |_, _| 1), 1, total),
            Redundancy::ReedSolomon { .. } | Redundancy::Rlnc { dense: false, .. } => {
                (Matrix::reed_solomon(data, total - data), subpackets, data)
            }
            Redundancy::Rlnc { dense: true, .. } => (dense(redundancy), 1, 0),
        };
        let units = subpackets / unit_packets;
        let coded = (first_coded < total).then(|| {
            let rows = first_coded * units..generator.rows();
            Coefficients::new(kernel, &generator.select(rows))
        });
        Self {
            redundancy,
            kernel,
            generator,
            unit_packets,
            first_coded,
            coded,
        }
    }

    /// What it was made for.
    #[must_use]
    pub fn redundancy(&self) -> Redundancy {
        self.redundancy
    }

    /// The form of the product that it uses.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The indices of the fragments whose pieces are not bytes of the block itself: all that
    /// [`Self::encode_coded`] makes.
    #[must_use]
    pub fn coded(&self) -> Range<u8> {
        let first = u8::try_from(self.first_coded).expect("it is at most the number of fragments");
        first..self.redundancy.total()
    }

    /// Which bytes of a block of `block_bytes` the piece of fragment `index` holds, before any zeros
    /// that pad it; `None` for a coded fragment, or one that there is not.
    #[must_use]
    pub fn source(&self, index: u8, block_bytes: usize) -> Option<Range<usize>> {
        let plain = usize::from(index) < self.first_coded;
        plain.then(|| self.redundancy.part(index, block_bytes))
    }

    /// Writes all n pieces of `block` to `pieces`.
    ///
    /// # Panics
    /// If there are not n pieces, each of [`Redundancy::piece_bytes`].
    pub fn encode(&self, block: &[u8], pieces: &mut [&mut [u8]]) {
        self.check(block, pieces, usize::from(self.redundancy.total()));
        let (plain, coded) = pieces.split_at_mut(self.first_coded);
        for (index, piece) in (0..).zip(plain) {
            let source = self
                .source(index, block.len())
                .expect("fragments before the first coded one are not coded");
            let (bytes, padding) = piece.split_at_mut(source.len());
            bytes.copy_from_slice(&block[source]);
            padding.fill(0);
        }
        self.encode_coded(block, coded);
    }

    /// Writes the pieces of `block` for the fragments [`Self::coded`] to `pieces`.
    ///
    /// The others need not be written: [`Self::source`] says where in the block they lie.
    ///
    /// # Panics
    /// If there are not as many pieces, each of [`Redundancy::piece_bytes`].
    pub fn encode_coded(&self, block: &[u8], pieces: &mut [&mut [u8]]) {
        self.check(block, pieces, self.coded().len());
        let Some(coefficients) = &self.coded else {
            return;
        };
        if block.is_empty() {
            return;
        }
        let unit_bytes = self.redundancy.packet_bytes(block.len()) * self.unit_packets;
        let cut = Cut::new(block.len(), self.generator.columns(), unit_bytes);
        let units = pieces
            .iter_mut()
            .flat_map(|piece| piece.chunks_mut(unit_bytes));
        cut.combine(coefficients, block, &mut units.collect::<Vec<_>>());
    }

    /// Writes the piece of `block` for a fragment with other `coefficients` than this code's own.
    ///
    /// # Panics
    /// If these are not as many as a fragment has, or the piece has not the length of
    /// [`Redundancy::piece_bytes`].
    pub fn encode_by(&self, coefficients: &[u8], block: &[u8], piece: &mut [u8]) {
        assert_eq!(
            coefficients.len(),
            self.redundancy.coefficient_bytes(),
            "as many as a fragment has"
        );
        self.check(block, &[&mut *piece], 1);
        if block.is_empty() {
            return;
        }
        let (packets, packet_bytes) = (
            self.redundancy.packets(),
            self.redundancy.packet_bytes(block.len()),
        );
        let rows = Matrix::new(packets, coefficients.to_vec());
        let mut outputs: Vec<&mut [u8]> = piece.chunks_mut(packet_bytes).collect();
        let cut = Cut::new(block.len(), packets, packet_bytes);
        cut.combine(&Coefficients::new(self.kernel, &rows), block, &mut outputs);
    }

    fn check(&self, block: &[u8], pieces: &[&mut [u8]], count: usize) {
        let piece_bytes = self.redundancy.piece_bytes(block.len());
        assert_eq!(pieces.len(), count, "a piece for each fragment");
        assert!(
            pieces.iter().all(|piece| piece.len() == piece_bytes),
            "pieces have the length that the redundancy says"
        );
    }

    /// The coefficients with which the packets of fragment `index` are made of the source packets, a row
    /// for each; nothing without network coding.
    ///
    /// # Panics
    /// If there is no such fragment.
    #[must_use]
    pub fn coefficients(&self, index: u8) -> Vec<u8> {
        match self.redundancy {
            Redundancy::Rlnc { .. } => {
                let rows = self.unit_rows(index).spread(self.unit_packets);
                rows.cells().to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// The rows of the generator for fragment `index`, in units.
    pub(crate) fn unit_rows(&self, index: u8) -> Matrix {
        let units = usize::from(self.redundancy.subpackets()) / self.unit_packets;
        let first = usize::from(index) * units;
        self.generator.select(first..first + units)
    }

    /// Packets of a unit.
    pub(crate) fn unit_packets(&self) -> usize {
        self.unit_packets
    }
}

/// The generator in which every packet of every fragment is a combination of all source packets.
///
/// It is a matrix of which any k fragments are independent times an invertible one, whose cells look
/// like drawn ones and follow from the redundancy.
fn dense(redundancy: Redundancy) -> Matrix {
    let (data, total) = (redundancy.data(), redundancy.total());
    let subpackets = usize::from(redundancy.subpackets());
    let independent = Matrix::vandermonde(usize::from(total), usize::from(data));
    let packets = redundancy.packets();
    let mut hasher = blake3::Hasher::new_derive_key("securecloud erasure dense generator v1");
    hasher.update(&[data, total, redundancy.subpackets()]);
    let mut draws = hasher.finalize_xof();
    loop {
        let mut cells = vec![0; packets * packets];
        draws.fill(&mut cells);
        let mixing = Matrix::new(packets, cells);
        // About one draw in 255 is singular.
        if mixing.rank() == packets {
            return independent.spread(subpackets).multiply(&mixing);
        }
    }
}
