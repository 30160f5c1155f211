//! A batch: many publication headers under one seal, with the hash of each sealed payload.

use sc_matching::{BlockFull, HeaderBlock, HeaderBlockWriter, Publication};

use crate::Malformed;
use crate::bytes::Reader;

const VERSION: u8 = 1;
const HASH_BYTES: usize = 32;

/// Where a batch comes from: kept when it is sealed anew into another session, so that a consumer takes it once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The publisher's start number.
    pub start: u64,
    /// 1, 2, 3 … within that start.
    pub number: u64,
}

impl Origin {
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
    }

    /// Reads sixteen bytes.
    ///
    /// # Errors
    /// [`Malformed`] when there are fewer.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            start: reader.u64()?,
            number: reader.u64()?,
        })
    }
}

/// Collects the publications of one batch.
#[derive(Default)]
pub struct BatchWriter {
    headers: HeaderBlockWriter,
    hashes: Vec<u8>,
}

impl BatchWriter {
    /// Adds a publication; `payload_hash` is SHA-256 of its sealed payload, `None` in the unencrypted mode.
    ///
    /// # Errors
    /// [`BlockFull`]: close this batch and begin another.
    pub fn push(
        &mut self,
        publication: &Publication,
        payload_hash: Option<&[u8; 32]>,
    ) -> Result<(), BlockFull> {
        self.headers.push(publication)?;
        if let Some(hash) = payload_hash {
            self.hashes.extend_from_slice(hash);
        }
        Ok(())
    }

    /// Publications so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.headers.count()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the batch would have if it were closed now, without its seal.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1 + 8 + 16 + 4 + self.headers.encoded_len() + self.hashes.len()
    }

    /// Closes the batch: the bytes to be sealed.
    #[must_use]
    pub fn finish(mut self, origin: Origin, time_ms: u64) -> Vec<u8> {
        encode_batch(&self.headers.finish(), &self.hashes, origin, time_ms)
    }
}

/// The batch of a finished header block and the hashes of its payloads, one behind another: the bytes to be sealed. For whoever keeps the
/// block to seal it again.
#[must_use]
pub fn encode_batch(headers: &[u8], hashes: &[u8], origin: Origin, time_ms: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 8 + 16 + 4 + headers.len() + hashes.len());
    out.push(VERSION);
    out.extend_from_slice(&time_ms.to_le_bytes());
    origin.encode(&mut out);
    out.extend_from_slice(&(headers.len() as u32).to_le_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(hashes);
    out
}

/// An opened batch.
pub struct Batch<'a> {
    /// The publisher's clock when it closed the batch, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// The headers.
    pub headers: HeaderBlock<'a>,
    hashes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads an opened batch; with `plain`, one without payload hashes.
    ///
    /// # Errors
    /// [`Malformed`]; headers past the first are checked as they are read.
    pub fn decode(bytes: &'a [u8], plain: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let time_ms = reader.u64()?;
        let origin = Origin {
            start: reader.u64()?,
            number: reader.u64()?,
        };
        let block_bytes = reader.count(1)?;
        let headers = HeaderBlock::decode(reader.take(block_bytes)?)
            .map_err(|_| Malformed("its headers do not decode"))?;
        let hashes = reader.rest();
        let expected = if plain {
            0
        } else {
            headers.count() * HASH_BYTES
        };
        if hashes.len() != expected {
            return Err(Malformed("it has not one hash a payload"));
        }
        Ok(Self {
            time_ms,
            origin,
            headers,
            hashes,
        })
    }

    /// The hash of payload `index`; `None` in the unencrypted mode.
    #[must_use]
    pub fn payload_hash(&self, index: u32) -> Option<&'a [u8; 32]> {
        let start = index as usize * HASH_BYTES;
        self.hashes.get(start..start + HASH_BYTES)?.try_into().ok()
    }
}
