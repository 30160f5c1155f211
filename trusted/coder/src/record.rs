//! Segment records: what a manifest says of one segment, with its wrapped key.
//!
//! Invariant: a record opens under the version it was made for alone, and all of it is authenticated.
//! Source: `docs/FORMATS.md`, "Storage: records".

use sc_crypto::{AeadKey, Nonce, Secret, TAG_BYTES};
use sc_erasure::Redundancy;

use crate::keys;
use crate::refused::Refused;

const CLEAR_BYTES: usize = 32 + 4 + 4 + 4 + 4;
/// Length of a record.
pub(crate) const RECORD_BYTES: usize = CLEAR_BYTES + 32 + TAG_BYTES;

/// What can be read of a record without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) segment: [u8; 32],
    pub(crate) part: u32,
    pub(crate) index: u32,
    pub(crate) plain_bytes: u32,
    pub(crate) redundancy: Redundancy,
}

impl Record {
    fn clear(&self) -> [u8; CLEAR_BYTES] {
        let mut out = [0; CLEAR_BYTES];
        out[..32].copy_from_slice(&self.segment);
        out[32..36].copy_from_slice(&self.part.to_le_bytes());
        out[36..40].copy_from_slice(&self.index.to_le_bytes());
        out[40..44].copy_from_slice(&self.plain_bytes.to_le_bytes());
        out[44..].copy_from_slice(&code(self.redundancy));
        out
    }

    /// The record, with the segment's key wrapped for `version`.
    pub(crate) fn seal(
        &self,
        version: &[u8; 16],
        secret: &Secret,
        segment_key: &Secret,
    ) -> Vec<u8> {
        let mut out = self.clear().to_vec();
        let context = context(&out, version);
        keys::segment(secret, &self.segment, &code(self.redundancy)).seal(
            Nonce::ONCE,
            &context,
            segment_key.expose(),
            &mut out,
        );
        out
    }

    /// Reads a record; nothing of it is known to be true.
    pub(crate) fn parse(record: &[u8]) -> Result<Self, Refused> {
        let record: &[u8; RECORD_BYTES] = record.try_into().map_err(|_| Refused::STORED)?;
        let number = |at: usize| {
            u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
        };
        let mut segment = [0; 32];
        segment.copy_from_slice(&record[..32]);
        let [code, data, total, subpackets] = [44, 45, 46, 47].map(|at| record[at]);
        Ok(Self {
            segment,
            part: number(32),
            index: number(36),
            plain_bytes: number(40),
            redundancy: Redundancy::from_parts(code, data, total, subpackets)
                .map_err(|_| Refused::STORED)?,
        })
    }

    /// The segment's key; a refusal unless this record was made for `version`.
    pub(crate) fn open(
        &self,
        record: &[u8],
        version: &[u8; 16],
        secret: &Secret,
    ) -> Result<AeadKey, Refused> {
        Ok(AeadKey::new(&self.unwrap(record, version, secret)?))
    }

    /// The same as the secret that it is.
    pub(crate) fn unwrap(
        &self,
        record: &[u8],
        version: &[u8; 16],
        secret: &Secret,
    ) -> Result<Secret, Refused> {
        let (clear, sealed) = record
            .split_first_chunk::<CLEAR_BYTES>()
            .ok_or(Refused::STORED)?;
        let mut key = zeroize::Zeroizing::new(Vec::with_capacity(32 + TAG_BYTES));
        keys::segment(secret, &self.segment, &code(self.redundancy))
            .open_into(Nonce::ONCE, &context(clear, version), sealed, &mut key)
            .map_err(|_| Refused::STORED)?;
        let key: [u8; 32] = key[..].try_into().map_err(|_| Refused::STORED)?;
        Ok(Secret::from_bytes(key))
    }
}

fn context(clear: &[u8], version: &[u8; 16]) -> Vec<u8> {
    [clear, version].concat()
}

/// A redundancy in four bytes.
pub(crate) fn code(redundancy: Redundancy) -> [u8; 4] {
    [
        redundancy.code_id(),
        redundancy.data(),
        redundancy.total(),
        redundancy.subpackets(),
    ]
}
