//! A token as whoever holds it keeps it: `sc_`, and 64 characters for 16 bytes of id and 32 of secret.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use sc_crypto::Secret;
use zeroize::Zeroizing;

/// What the text begins with, so that people and scanners know it for a secret.
const PREFIX: &str = "sc_";
const ID_BYTES: usize = 16;
const BYTES: usize = ID_BYTES + 32;

/// A token's text. It is shown only by a call that says so.
#[derive(PartialEq, Eq)]
pub struct TokenText {
    id: [u8; ID_BYTES],
    secret: Secret,
}

impl TokenText {
    pub(crate) fn new(id: [u8; ID_BYTES], secret: Secret) -> Self {
        Self { id, secret }
    }

    /// Reads what [`Self::expose`] wrote; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        let mut bytes = Zeroizing::new([0; BYTES]);
        let read = Base64UrlUnpadded::decode(encoded, bytes.as_mut()).ok()?;
        let (id, secret) = read.split_first_chunk()?;
        let secret: [u8; 32] = secret.try_into().ok()?;
        Some(Self::new(*id, Secret::from_bytes(secret)))
    }

    /// The text itself, for whoever is to use the token.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[..ID_BYTES].copy_from_slice(&self.id);
        bytes[ID_BYTES..].copy_from_slice(self.secret.expose());
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + BYTES.div_ceil(3) * 4));
        text.push_str(PREFIX);
        text.push_str(&Zeroizing::new(Base64UrlUnpadded::encode_string(
            bytes.as_ref(),
        )));
        text
    }

    /// The token's id, which is no secret.
    #[must_use]
    pub fn id_hex(&self) -> String {
        hex(&self.id)
    }

    pub(crate) fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// Bytes in lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// What [`hex`] wrote, of this length and in either case.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_reads_back(id: [u8; 16], secret: [u8; 32]) {
            let text = TokenText::new(id, Secret::from_bytes(secret)).expose();

            let read = TokenText::parse(&text).unwrap();

            prop_assert_eq!(read.id, id);
            prop_assert_eq!(read.secret.expose(), &secret);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,100}") {
            let _ = TokenText::parse(&text);
        }

        #[test]
        fn hexadecimal_digits_read_back(bytes: [u8; 16]) {
            prop_assert_eq!(from_hex(&hex(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn a_token_of_another_length_is_none() {
        let whole = TokenText::new([1; 16], Secret::from_bytes([2; 32])).expose();

        assert!(TokenText::parse(&whole[..whole.len() - 1]).is_none());
        assert!(TokenText::parse(&format!("{}A", &*whole)).is_none());
        assert!(TokenText::parse(&whole[PREFIX.len()..]).is_none());
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = TokenText::new([1; 16], Secret::from_bytes([2; 32]));

        assert_eq!(format!("{token:?}"), "TokenText(..)");
    }
}
