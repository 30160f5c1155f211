//! The codes of others, as their crates publish them.

use anyhow::ensure;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use rusty_erasure::{Coder, DecodePlan, Matrix, coder};

use super::engine::{Block, Engine, readable, writable};

/// The crate `rusty_erasure`.
pub(super) struct RustyErasure {
    coder: Coder,
    plan: DecodePlan,
    parity: Vec<Vec<u8>>,
    rebuilt: Vec<Vec<u8>>,
}

impl RustyErasure {
    pub(super) fn new(block: &Block, parity: usize) -> anyhow::Result<Self> {
        let data = block.code.data();
        let coder = coder(Matrix::cauchy(data, parity)?)?;
        let lost: Vec<usize> = (0..parity).collect();
        let present: Vec<bool> = (0..data + parity).map(|index| index >= parity).collect();
        Ok(Self {
            plan: coder.decode_plan(&present, &lost)?,
            coder,
            parity: vec![vec![0; block.piece_bytes()]; parity],
            rebuilt: vec![vec![0; block.piece_bytes()]; parity],
        })
    }
}

impl Engine for RustyErasure {
    fn encode(&mut self, block: &Block) -> anyhow::Result<()> {
        let mut parity = writable(&mut self.parity);
        Ok(self.coder.encode(&block.pieces(), &mut parity)?)
    }

    fn parity(&self) -> Option<&[Vec<u8>]> {
        Some(&self.parity)
    }

    fn decode(&mut self, block: &Block) -> anyhow::Result<()> {
        let lost = self.parity.len();
        let pieces = block.pieces();
        let all = pieces.into_iter().chain(readable(&self.parity)).enumerate();
        let pieces: Vec<_> = all
            .map(|(index, piece)| (index >= lost).then_some(piece))
            .collect();
        let mut rebuilt = writable(&mut self.rebuilt);
        Ok(self.coder.recover_with(&self.plan, &pieces, &mut rebuilt)?)
    }

    fn rebuilt(&self) -> Vec<u8> {
        self.rebuilt.concat()
    }
}

/// The crate `reed-solomon-simd`, whose pieces have an even length.
pub(super) struct ReedSolomonSimd {
    encoder: ReedSolomonEncoder,
    decoder: ReedSolomonDecoder,
    pieces: Vec<Vec<u8>>,
    parity: Vec<Vec<u8>>,
    rebuilt: Vec<Vec<u8>>,
    piece_bytes: usize,
}

impl ReedSolomonSimd {
    pub(super) fn new(block: &Block, parity: usize) -> anyhow::Result<Self> {
        let (data, piece_bytes) = (block.code.data(), block.piece_bytes());
        let even = piece_bytes.next_multiple_of(2);
        let pieces = block.pieces().into_iter().map(|piece| {
            let mut piece = piece.to_vec();
            piece.resize(even, 0);
            piece
        });
        Ok(Self {
            encoder: ReedSolomonEncoder::new(data, parity, even)?,
            decoder: ReedSolomonDecoder::new(data, parity, even)?,
            pieces: pieces.collect(),
            parity: vec![vec![0; even]; parity],
            rebuilt: vec![vec![0; even]; parity],
            piece_bytes,
        })
    }
}

impl Engine for ReedSolomonSimd {
    fn encode(&mut self, _: &Block) -> anyhow::Result<()> {
        for piece in &self.pieces {
            self.encoder.add_original_shard(piece)?;
        }
        let made = self.encoder.encode()?;
        for (parity, made) in self.parity.iter_mut().zip(made.recovery_iter()) {
            parity.copy_from_slice(made);
        }
        Ok(())
    }

    fn decode(&mut self, _: &Block) -> anyhow::Result<()> {
        let lost = self.parity.len();
        for (index, piece) in self.pieces.iter().enumerate().skip(lost) {
            self.decoder.add_original_shard(index, piece)?;
        }
        for (index, piece) in self.parity.iter().enumerate() {
            self.decoder.add_recovery_shard(index, piece)?;
        }
        let made = self.decoder.decode()?;
        for (index, piece) in made.restored_original_iter() {
            self.rebuilt[index].copy_from_slice(piece);
        }
        Ok(())
    }

    fn rebuilt(&self) -> Vec<u8> {
        let pieces = self.rebuilt.iter().map(|piece| &piece[..self.piece_bytes]);
        pieces.collect::<Vec<_>>().concat()
    }
}

/// The crate `rlnc`, which draws the coefficients of each coded piece anew and puts them before it.
pub(super) struct Rlnc {
    encoder: rlnc::full::Encoder,
    recoder: rlnc::full::Recoder,
    random: SmallRng,
    coded: Vec<Vec<u8>>,
    recoded: Vec<u8>,
    rebuilt: Vec<u8>,
}

impl Rlnc {
    pub(super) fn new(block: &Block) -> anyhow::Result<Self> {
        let data = block.code.data();
        let encoder = rlnc::full::Encoder::new(block.block().to_vec(), data)?;
        let mut random = SmallRng::seed_from_u64(1);
        let coded: Vec<Vec<u8>> = (0..data).map(|_| encoder.code(&mut random)).collect();
        let coded_bytes = encoder.get_full_coded_piece_byte_len();
        Ok(Self {
            recoder: rlnc::full::Recoder::new(coded.concat(), coded_bytes, data)?,
            encoder,
            random,
            coded,
            recoded: vec![0; coded_bytes],
            rebuilt: Vec::new(),
        })
    }
}

impl Engine for Rlnc {
    fn encode(&mut self, _: &Block) -> anyhow::Result<()> {
        for coded in &mut self.coded {
            self.encoder.code_with_buf(&mut self.random, coded)?;
        }
        Ok(())
    }

    fn decode(&mut self, block: &Block) -> anyhow::Result<()> {
        let pieces = block.code.data();
        let mut decoder = rlnc::full::Decoder::new(self.encoder.get_piece_byte_len(), pieces)?;
        for coded in &self.coded {
            // One set of coefficients in 255 is dependent: the piece is of no use, and so it is said.
            let _ = decoder.decode(coded);
        }
        while !decoder.is_already_decoded() {
            let _ = decoder.decode(&self.encoder.code(&mut self.random));
        }
        self.rebuilt = decoder.get_decoded_data()?;
        Ok(())
    }

    fn rebuilt(&self) -> Vec<u8> {
        self.rebuilt.clone()
    }

    fn recode(&mut self) -> anyhow::Result<bool> {
        let made = self
            .recoder
            .recode_with_buf(&mut self.random, &mut self.recoded);
        ensure!(made.is_ok(), "the piece has the length that the crate says");
        Ok(true)
    }
}
