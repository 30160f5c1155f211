//! Bytes that must not outlive their use, however many they are.
//!
//! Invariant: all memory that the value holds is overwritten when it is dropped, in use or not. What it leaves behind when it grows is not:
//! reserve what is needed first.

use core::fmt;
use core::ops::{Deref, DerefMut};

use zeroize::Zeroize as _;

/// An opened message, or one about to be sealed.
#[derive(Default)]
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    /// Takes over `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Plaintext {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Plaintext {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

/// Overwrites and empties `bytes`, and keeps their memory.
///
/// The vector's own way to be zeroed goes byte by byte, which a slice's does not: a batch's headers are tens of kibibytes, and were a
/// twelfth of the time that the trusted program had for them.
pub fn wipe(bytes: &mut Vec<u8>) {
    bytes.as_mut_slice().zeroize();
    // Within the capacity nothing moves, so that what lies behind the length is overwritten, too.
    let used = bytes.len();
    bytes.resize(bytes.capacity(), 0);
    bytes[used..].zeroize();
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wiped_is_empty_and_keeps_its_room() {
        let mut bytes = b"secret".to_vec();
        bytes.reserve(100);
        let room = bytes.capacity();

        wipe(&mut bytes);

        assert_eq!((bytes.len(), bytes.capacity()), (0, room));
    }

    #[test]
    fn a_plaintext_prints_no_byte() {
        assert_eq!(format!("{:?}", Plaintext::new(vec![7])), "Plaintext(..)");
    }
}
