//! Randomness as an argument.
//!
//! Invariant: this crate never draws a random byte of its own accord, except inside RSA (key generation, PSS salts,
//! OAEP seeds and blinding), where the library offers no way to pass one in.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// A source of bytes that nobody else can predict.
///
/// A closure `FnMut(&mut [u8])` is one, so a caller can wrap its generator in a line. What a test passes need not be
/// random; what a program passes must come from its operating system or processor.
pub trait Entropy {
    /// Overwrites all of `bytes` with unpredictable ones. A source that cannot must not return.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

/// An [`Entropy`] under the name that the HPKE library asks for.
pub(crate) struct Generator<'a>(pub(crate) &'a mut dyn Entropy);

impl TryRng for Generator<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Generator<'_> {}
