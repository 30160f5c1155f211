//! Identities of a campaign: the owner's, made afresh, and the consumers', each of its number.

use sc_client::OsEntropy;
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerSecret, Secret};

use crate::cli::OwnerKind;

/// Bits of an RSA owner's key.
const RSA_BITS: usize = 3072;

/// Makes the owner of a domain.
///
/// # Errors
/// The library makes no such RSA key.
pub(super) fn generate(kind: OwnerKind) -> anyhow::Result<OwnerSecret> {
    Ok(match kind {
        OwnerKind::XWing => OwnerSecret::generate(&mut OsEntropy),
        OwnerKind::Rsa3072 => OwnerSecret::generate_rsa(RSA_BITS)?,
    })
}

/// The identity of a consumer: the same number gives the same on every machine. Good for measurement alone.
pub(super) fn consumer(number: u64) -> OwnerSecret {
    let label = [&b"consumer of a measurement "[..], &number.to_le_bytes()].concat();
    OwnerSecret::from_seed(Secret::from_bytes(sha256(&label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_is_the_same_each_time_and_no_other_is_like_it() {
        let fingerprint = |number| consumer(number).public().fingerprint();

        assert_eq!(fingerprint(3), fingerprint(3));
        assert_ne!(fingerprint(3), fingerprint(4));
    }

    #[test]
    fn owners_have_the_kind_of_key_that_was_asked_for() {
        let is_rsa = |kind| generate(kind).unwrap().public().identity_key().is_none();

        assert!(!is_rsa(OwnerKind::XWing));
        assert!(is_rsa(OwnerKind::Rsa3072));
    }
}
