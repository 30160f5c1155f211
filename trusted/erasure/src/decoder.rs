//! What rebuilds blocks of the pieces of k fragments.
//!
//! Invariant: the coefficients are inverted once, for all blocks of a segment; what is decoded is right
//! if the pieces are, which their hashes tell.

use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::code::Code;
use crate::kernel::Coefficients;
use crate::matrix::Matrix;
use crate::packets::Cut;
use crate::redundancy::Redundancy;

/// Why blocks cannot be rebuilt of these fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer fragments are there than are needed: repair, or wait for a location to return.
    #[error("{found} of the {needed} fragments needed are readable")]
    TooFewFragments {
        /// How many there are.
        found: u8,
        /// How many are needed.
        needed: u8,
    },
    /// The fragments are enough and say the same in part: take others.
    #[error("the fragments hold {rank} of the {needed} independent packets needed")]
    Dependent {
        /// How many packets are independent.
        rank: u8,
        /// How many are needed.
        needed: u8,
    },
    /// The code has no such fragment: it was not made for this redundancy.
    #[error("there is no fragment {index} among {total}")]
    NoSuchFragment {
        /// Its index.
        index: u8,
        /// How many there are.
        total: u8,
    },
    /// The coefficients are not those of a fragment of this redundancy.
    #[error("a fragment has {found} bytes of coefficients instead of {needed}")]
    Coefficients {
        /// How many bytes there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
}

/// The inverted coefficients of k fragments.
#[derive(Clone, Debug)]
pub struct Decoder {
    redundancy: Redundancy,
    /// Packets of a unit, of which the pieces have one or more.
    unit_packets: usize,
    /// For each fragment its index, if it holds a part of the block as it is.
    plain: Vec<Option<u8>>,
    /// Units of the block that are units of the pieces.
    copied: Vec<Copied>,
    /// The other units of the block, ascending.
    made: Vec<usize>,
    /// How they are made of the units of the pieces; `None` if there are none.
    coefficients: Option<Coefficients>,
}

/// A unit of the block that a piece holds as it is.
#[derive(Clone, Copy, Debug)]
struct Copied {
    /// Which unit of the block.
    to: usize,
    /// Which unit of the pieces.
    from: usize,
    /// Whether [`Decoder::source`] tells of it.
    is_plain: bool,
}

impl Decoder {
    /// Inverts the coefficients of the first k of `available`: their indices and, for fragments that have
    /// been made by a repair, their coefficients. Without these, those of the code are taken.
    ///
    /// Cost: the cube of the packets, or of k where every fragment is as the code made it.
    ///
    /// # Errors
    /// If there are fewer, if they are not independent, or not fragments of this code.
    pub fn new(code: &Code, available: &[(u8, Option<&[u8]>)]) -> Result<Self, DecodeError> {
        let redundancy = code.redundancy();
        let needed = redundancy.data();
        let Some(chosen) = available.get(..usize::from(needed)) else {
            return Err(DecodeError::TooFewFragments {
                found: available.len() as u8,
                needed,
            });
        };
        check(redundancy, chosen)?;
        let recoded = |index, coefficients: Option<&[u8]>| {
            coefficients.is_some_and(|coefficients| coefficients != code.coefficients(index))
        };
        let plain: Vec<Option<u8>> = chosen
            .iter()
            .map(|&(index, coefficients)| {
                let is_plain = code.source(index, 0).is_some() && !recoded(index, coefficients);
                is_plain.then_some(index)
            })
            .collect();
        let recoded = chosen
            .iter()
            .any(|&(index, coefficients)| recoded(index, coefficients));
        let (unit_packets, rows) = if recoded {
            (1, packet_rows(code, chosen))
        } else {
            (code.unit_packets(), unit_rows(code, chosen))
        };
        let inverse = rows.invert().ok_or_else(|| DecodeError::Dependent {
            rank: (rows.rank() * unit_packets) as u8,
            needed: redundancy.packets() as u8,
        })?;
        Ok(Self::inverted(code, unit_packets, plain, &inverse))
    }

    fn inverted(
        code: &Code,
        unit_packets: usize,
        plain: Vec<Option<u8>>,
        inverse: &Matrix,
    ) -> Self {
        let redundancy = code.redundancy();
        let piece_units = usize::from(redundancy.subpackets()) / unit_packets;
        let (mut copied, mut made) = (Vec::new(), Vec::new());
        for to in 0..inverse.rows() {
            match inverse.unit(to) {
                Some(from) => copied.push(Copied {
                    to,
                    from,
                    is_plain: plain[from / piece_units].is_some(),
                }),
                None => made.push(to),
            }
        }
        let coefficients = (!made.is_empty())
            .then(|| Coefficients::new(code.kernel(), &inverse.select(made.iter().copied())));
        Self {
            redundancy,
            unit_packets,
            plain,
            copied,
            made,
            coefficients,
        }
    }

    /// Which bytes of a block of `block_bytes` the piece at `position`, among the fragments that
    /// [`Self::new`] was given, holds as they are; `None` if it has to be decoded.
    ///
    /// # Panics
    /// If it was given fewer.
    #[must_use]
    pub fn source(&self, position: usize, block_bytes: usize) -> Option<Range<usize>> {
        self.plain[position].map(|index| self.redundancy.part(index, block_bytes))
    }

    /// Rebuilds `block` of the pieces of the fragments that [`Self::new`] was given, in the same order.
    ///
    /// Parts of the block that a piece holds as they are are copied. Pieces whose bytes are wrong
    /// give a wrong block: compare their hashes before.
    ///
    /// # Panics
    /// If there are not k pieces, each of [`Redundancy::piece_bytes`] for the length of `block`.
    pub fn decode(&self, pieces: &[&[u8]], block: &mut [u8]) {
        self.rebuild(pieces, block, false);
    }

    /// As [`Self::decode`], where each piece of which [`Self::source`] tells lies in its place in `block`
    /// already: what was read to where it belongs is not copied again.
    ///
    /// # Panics
    /// As [`Self::decode`].
    pub fn decode_lost(&self, pieces: &[&[u8]], block: &mut [u8]) {
        self.rebuild(pieces, block, true);
    }

    fn rebuild(&self, pieces: &[&[u8]], block: &mut [u8], in_place: bool) {
        let units = self.units(pieces, block.len());
        let Some(unit_bytes) = units.first().map(|unit| unit.len()) else {
            return;
        };
        for copied in &self.copied {
            if in_place && copied.is_plain {
                continue;
            }
            let start = (copied.to * unit_bytes).min(block.len());
            let end = block.len().min(start + unit_bytes);
            block[start..end].copy_from_slice(&units[copied.from][..end - start]);
        }
        if let Some(coefficients) = &self.coefficients {
            let cut = Cut::new(block.len(), units.len(), unit_bytes);
            cut.fill(coefficients, &self.made, &units, block);
        }
    }

    /// The pieces, cut into units; none for an empty block.
    fn units<'a>(&self, pieces: &[&'a [u8]], block_bytes: usize) -> Vec<&'a [u8]> {
        let piece_bytes = self.redundancy.piece_bytes(block_bytes);
        assert_eq!(
            pieces.len(),
            usize::from(self.redundancy.data()),
            "a piece for each fragment needed"
        );
        assert!(
            pieces.iter().all(|piece| piece.len() == piece_bytes),
            "pieces have the length that the redundancy says"
        );
        let unit_bytes = self.redundancy.packet_bytes(block_bytes) * self.unit_packets;
        let units = pieces
            .iter()
            .flat_map(|piece| piece.chunks(unit_bytes.max(1)));
        units.collect()
    }
}

/// The coefficients of fragments that are as the code made them.
fn unit_rows(code: &Code, chosen: &[(u8, Option<&[u8]>)]) -> Matrix {
    let mut cells = Vec::new();
    for &(index, _) in chosen {
        cells.extend_from_slice(code.unit_rows(index).cells());
    }
    Matrix::new(code.redundancy().packets() / code.unit_packets(), cells)
}

/// The coefficients of any fragments.
fn packet_rows(code: &Code, chosen: &[(u8, Option<&[u8]>)]) -> Matrix {
    let mut cells = Vec::new();
    for &(index, coefficients) in chosen {
        match coefficients {
            Some(coefficients) => cells.extend_from_slice(coefficients),
            None => cells.extend_from_slice(&code.coefficients(index)),
        }
    }
    Matrix::new(code.redundancy().packets(), cells)
}

fn check(redundancy: Redundancy, chosen: &[(u8, Option<&[u8]>)]) -> Result<(), DecodeError> {
    let (total, needed) = (redundancy.total(), redundancy.coefficient_bytes());
    for &(index, coefficients) in chosen {
        if index >= total {
            return Err(DecodeError::NoSuchFragment { index, total });
        }
        let found = coefficients.map_or(needed, <[u8]>::len);
        if found != needed {
            return Err(DecodeError::Coefficients { found, needed });
        }
    }
    Ok(())
}
