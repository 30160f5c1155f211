//! Keyed hashing of values and names.
//!
//! Invariant: without the key nobody can choose inputs that collide, so hostile subscriptions
//! cannot crowd one bucket of the index.
//! Source: SipHash, Aumasson and Bernstein, INDOCRYPT '12; one compression and three final rounds,
//! as in the hash tables of several languages. Numbers: multiply-add-shift, Dietzfelbinger, STACS '96,
//! of which any two inputs agree in any bits of the hash with the probability that chance gives them.

/// A key of 128 bits for bytes, and one for numbers.
#[derive(Clone)]
pub(crate) struct Key {
    bytes: [u64; 2],
    /// Factors and a summand.
    numbers: [u128; 3],
}

impl Key {
    /// Stretches a seed of 64 bits.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let stretch = |label| sip::<2, 4>([seed, 0], label, &[]);
        let wide = |label| u128::from(stretch(label)) << 64 | u128::from(stretch(label + 1));
        Self {
            bytes: [stretch(0), stretch(1)],
            numbers: [wide(2), wide(4), wide(6)],
        }
    }

    /// Hashes two numbers.
    #[inline]
    pub(crate) fn hash_numbers(&self, one: u64, other: u64) -> u64 {
        let [first, second, add] = self.numbers;
        let sum = first.wrapping_mul(one.into());
        let sum = sum.wrapping_add(second.wrapping_mul(other.into()));
        (sum.wrapping_add(add) >> 64) as u64
    }

    /// Hashes `word`, as eight bytes little-endian, followed by `bytes`.
    #[inline]
    pub(crate) fn hash(&self, word: u64, bytes: &[u8]) -> u64 {
        sip::<1, 3>(self.bytes, word, bytes)
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
    fn the_hash_of_numbers_depends_on_seed_and_both() {
        let key = Key::from_seed(1);
        let hash = key.hash_numbers(7, 9);

        assert_eq!(hash, Key::from_seed(1).hash_numbers(7, 9));
        assert_ne!(hash, Key::from_seed(2).hash_numbers(7, 9));
        assert_ne!(hash, key.hash_numbers(9, 7));
        assert_ne!(hash, key.hash_numbers(7, 10));
        assert_ne!(hash, key.hash_numbers(8, 9));
    }

    #[test]
    fn hashes_of_numbers_in_a_row_differ_in_their_low_bits() {
        let key = Key::from_seed(3);
        let mut low = [0u32; 256];
        for number in 0..25_600 {
            low[key.hash_numbers(1, number << 44) as usize % 256] += 1;
        }

        assert!(low.iter().all(|count| (25..400).contains(count)), "{low:?}");
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
