//! The bytes that a signature, a derivation or an authenticated context stands for.
//!
//! Invariant: the encoding is injective. Each field carries its length, the suite and a label come first, so two
//! transcripts have equal bytes only if they have the same label and the same fields in the same order.

use crate::SUITE;
use crate::hash;

/// A labelled sequence of byte fields, encoded without ambiguity.
///
/// It is not wiped on drop: public values go in, secrets do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript(Vec<u8>);

impl Transcript {
    /// Begins a transcript. The label names the one use that these bytes have in the whole project.
    #[must_use]
    pub fn new(label: &str) -> Self {
        Self(Vec::with_capacity(128))
            .bytes(SUITE.as_bytes())
            .bytes(label.as_bytes())
    }

    /// Appends a field.
    ///
    /// # Panics
    /// If the field is 4 GiB long or longer; no field of this project comes near.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        let length = u32::try_from(field.len()).expect("a transcript field is shorter than 4 GiB");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Appends a number, as a field of 8 little-endian bytes.
    #[must_use]
    pub fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoded bytes, owned.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// SHA-512 of the encoded bytes: the length that attestation reports bind.
    #[must_use]
    pub fn hash(&self) -> [u8; 64] {
        hash::sha512(&self.0)
    }

    /// SHA-256 of the encoded bytes: the length of an identifier.
    #[must_use]
    pub fn hash256(&self) -> [u8; 32] {
        hash::sha256(&self.0)
    }
}
