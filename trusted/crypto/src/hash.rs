//! Unkeyed hashes.
//!
//! Source: FIPS 180-4.

use aws_lc_rs::digest;

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    fixed(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-512 of `bytes`.
#[must_use]
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    fixed(digest::digest(&digest::SHA512, bytes).as_ref())
}

fn fixed<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest
        .try_into()
        .expect("the algorithm fixes the digest's length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::decode;

    #[test]
    fn the_examples_of_fips_180_4_hash_as_printed() {
        let sha256_of_abc =
            "ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad";
        let sha512_of_abc = "ddaf35a193617aba cc417349ae204131 12e6fa4e89a97ea2 0a9eeee64b55d39a \
                             2192992a274fc1a8 36ba3c23a3feebbd 454d4423643ce80e 2a9ac94fa54ca49f";

        assert_eq!(sha256(b"abc").as_slice(), decode(sha256_of_abc));
        assert_eq!(sha512(b"abc").as_slice(), decode(sha512_of_abc));
    }
}
