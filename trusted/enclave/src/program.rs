//! The `Program` trait: all that a host knows of a trusted program.

use bytes::Bytes;
use sc_crypto::Entropy;

/// A trusted program, seen from its door.
///
/// Calls may be made concurrently. A program never panics on any request: what it cannot take it refuses in its reply.
pub trait Program: Send + Sync {
    /// Answers one request. `entropy` fills a buffer with random bytes that the host of a real platform cannot choose.
    fn handle(&self, request: Bytes, entropy: &mut dyn FnMut(&mut [u8])) -> Bytes;

    /// Takes back the memory of a reply that the host has, for another one.
    fn recycle(&self, _reply: Bytes) {}
}

/// Lets a closure that fills buffers serve where [`Entropy`] is asked for.
pub struct ClosureEntropy<'a>(pub &'a mut dyn FnMut(&mut [u8]));

impl Entropy for ClosureEntropy<'_> {
    fn fill(&mut self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }
}
