//! What is measured: anything that codes a block, and rebuilds what was lost of it.

use std::fmt;

use clap::ValueEnum;

/// A code: (k, m) for Reed-Solomon, k for network coding, whose pieces are all coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodeName {
    /// Reed-Solomon, 4 data and 2 parity
    #[value(name = "rs-4-2")]
    Rs4x2,
    /// Reed-Solomon, 6 data and 3 parity
    #[value(name = "rs-6-3")]
    Rs6x3,
    /// Reed-Solomon, 10 data and 4 parity
    #[value(name = "rs-10-4")]
    Rs10x4,
    /// Reed-Solomon, 17 data and 3 parity
    #[value(name = "rs-17-3")]
    Rs17x3,
    /// Network coding of 10 pieces
    #[value(name = "rlnc-10")]
    Rlnc10,
    /// Network coding of 16 pieces
    #[value(name = "rlnc-16")]
    Rlnc16,
    /// Network coding of 32 pieces
    #[value(name = "rlnc-32")]
    Rlnc32,
}

impl CodeName {
    /// Pieces that a block is cut into.
    pub(super) fn data(self) -> usize {
        match self {
            Self::Rs4x2 => 4,
            Self::Rs6x3 => 6,
            Self::Rs10x4 | Self::Rlnc10 => 10,
            Self::Rs17x3 => 17,
            Self::Rlnc16 => 16,
            Self::Rlnc32 => 32,
        }
    }

    /// Pieces of parity; `None` with network coding, where as many coded ones are made as there are pieces.
    pub(super) fn parity(self) -> Option<usize> {
        match self {
            Self::Rs4x2 => Some(2),
            Self::Rs6x3 | Self::Rs17x3 => Some(3),
            Self::Rs10x4 => Some(4),
            Self::Rlnc10 | Self::Rlnc16 | Self::Rlnc32 => None,
        }
    }
}

impl fmt::Display for CodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("hidden", |value| value.get_name()))
    }
}

/// A block, and the pieces that it is cut into.
pub(super) struct Block {
    pub(super) code: CodeName,
    /// The block, followed by the zeros that pad its last pieces.
    padded: Vec<u8>,
    /// Without them.
    pub(super) bytes: usize,
}

impl Block {
    pub(super) fn new(code: CodeName, block: Vec<u8>) -> Self {
        let bytes = block.len();
        let mut padded = block;
        padded.resize(bytes.next_multiple_of(code.data()), 0);
        Self {
            code,
            padded,
            bytes,
        }
    }

    /// Without padding.
    pub(super) fn block(&self) -> &[u8] {
        &self.padded[..self.bytes]
    }

    pub(super) fn piece_bytes(&self) -> usize {
        self.padded.len() / self.code.data()
    }

    pub(super) fn pieces(&self) -> Vec<&[u8]> {
        self.padded.chunks(self.piece_bytes()).collect()
    }

    /// The first pieces, as many as there is parity: those that decoding has to rebuild.
    pub(super) fn lost(&self) -> &[u8] {
        &self.padded[..self.piece_bytes() * self.code.parity().unwrap_or(self.code.data())]
    }
}

/// An engine that has a block, and room for what it makes.
pub(super) trait Engine {
    /// Makes parity, or as many coded pieces as there are pieces.
    ///
    /// # Errors
    /// What the engine says.
    fn encode(&mut self, block: &Block) -> anyhow::Result<()>;

    /// The parity that was made, where it is of the matrix of ISA-L.
    fn parity(&self) -> Option<&[Vec<u8>]> {
        None
    }

    /// Rebuilds [`Block::lost`] of the other pieces and of what encoding made; of a network code's pieces everything.
    ///
    /// # Errors
    /// What the engine says.
    fn decode(&mut self, block: &Block) -> anyhow::Result<()>;

    /// What was rebuilt, padding or other bytes behind it included.
    fn rebuilt(&self) -> Vec<u8>;

    /// Makes one new piece of all coded ones; `false` without network coding.
    ///
    /// # Errors
    /// What the engine says.
    fn recode(&mut self) -> anyhow::Result<bool> {
        Ok(false)
    }
}

/// Rows that may be written.
pub(super) fn writable(rows: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    rows.iter_mut().map(Vec::as_mut_slice).collect()
}

/// Rows that may be read.
pub(super) fn readable(rows: &[Vec<u8>]) -> Vec<&[u8]> {
    rows.iter().map(Vec::as_slice).collect()
}
