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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(label: &str, fields: &[Vec<u8>]) -> Vec<u8> {
        let transcript = Transcript::new(label);
        fields
            .iter()
            .fold(transcript, |transcript, field| transcript.bytes(field))
            .finish()
    }

    /// Reads the fields back, which is possible only if the encoding is injective.
    fn decode(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut fields = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let (field, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
            fields.push(field.to_vec());
            bytes = rest;
        }
        fields
    }

    #[test]
    fn a_transcript_is_suite_label_and_fields_each_after_its_length() {
        let transcript = Transcript::new("ab").bytes(b"").u64(1);

        let expected = b"\x0d\0\0\0securecloud-1\x02\0\0\0ab\0\0\0\0\x08\0\0\0\x01\0\0\0\0\0\0\0";
        assert_eq!(transcript.as_bytes(), expected);
        assert_eq!(transcript.hash256(), hash::sha256(expected));
        assert_eq!(transcript.hash(), hash::sha512(expected));
    }

    #[test]
    fn moving_a_byte_from_one_field_to_the_next_changes_the_transcript() {
        let one = Transcript::new("label").bytes(b"ab").bytes(b"c");

        assert_ne!(one, Transcript::new("label").bytes(b"a").bytes(b"bc"));
        assert_ne!(one, Transcript::new("label").bytes(b"abc"));
        assert_ne!(
            one,
            Transcript::new("label").bytes(b"ab").bytes(b"c").bytes(b"")
        );
        assert_ne!(one, Transcript::new("labelab").bytes(b"c"));
    }

    proptest! {
        #[test]
        fn the_fields_of_a_transcript_can_be_read_back(
            label in ".{0,8}",
            fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5),
        ) {
            let decoded = decode(&encode(&label, &fields));

            prop_assert_eq!(&decoded[0], SUITE.as_bytes());
            prop_assert_eq!(&decoded[1], label.as_bytes());
            prop_assert_eq!(&decoded[2..], fields);
        }
    }
}
