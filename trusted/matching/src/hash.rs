//! Keyed hashing of values and names.
//!
//! Invariant: without the key nobody can choose inputs that collide, so hostile subscriptions
//! cannot crowd one bucket of the index.
//! Source: SipHash, Aumasson and Bernstein, INDOCRYPT '12; one compression and three final rounds,
//! as in the hash tables of several languages.

/// A key of 128 bits.
#[derive(Clone)]
pub(crate) struct Key([u64; 2]);

impl Key {
    /// Stretches a seed of 64 bits.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let stretch = |label| sip::<2, 4>([seed, 0], label, &[]);
        Self([stretch(0), stretch(1)])
    }

    /// Hashes `word`, as eight bytes little-endian, followed by `bytes`.
    #[inline]
    pub(crate) fn hash(&self, word: u64, bytes: &[u8]) -> u64 {
        sip::<1, 3>(self.0, word, bytes)
    }
}

#[inline]
fn sip<const COMPRESS: usize, const FINISH: usize>(key: [u64; 2], word: u64, bytes: &[u8]) -> u64 {
    // "somepseudorandomlygeneratedbytes", from the paper.
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    absorb::<COMPRESS>(&mut state, word);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb::<COMPRESS>(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // The top byte of the last word is the length of the input modulo 256.
    let length = (bytes.len() as u64 + 8) << 56;
    absorb::<COMPRESS>(&mut state, u64::from_le_bytes(last) | length);
    state[2] ^= 0xff;
    (0..FINISH).for_each(|_| round(&mut state));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
fn absorb<const ROUNDS: usize>(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    (0..ROUNDS).for_each(|_| round(state));
    state[0] ^= word;
}

#[inline]
fn round(state: &mut [u64; 4]) {
    let [a, b, c, d] = *state;
    let (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
    let (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
    let a = a.rotate_left(32);
    let (c, a) = (c.wrapping_add(b), a.wrapping_add(d));
    let (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
    *state = [a, b, c.rotate_left(32), d];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_paper_comes_out() {
        // Appendix A: key 00..0f, input 00..0e, two and four rounds.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let tail = [0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e];

        assert_eq!(sip::<2, 4>(key, key[0], &tail), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn the_hash_depends_on_seed_word_length_and_bytes() {
        let key = Key::from_seed(1);
        let hash = key.hash(7, b"IBM");

        assert_eq!(hash, Key::from_seed(1).hash(7, b"IBM"));
        assert_ne!(hash, Key::from_seed(2).hash(7, b"IBM"));
        assert_ne!(hash, key.hash(8, b"IBM"));
        assert_ne!(hash, key.hash(7, b"IBN"));
        assert_ne!(hash, key.hash(7, b"IBM\0"));
    }
}
