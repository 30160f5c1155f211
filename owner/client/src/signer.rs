//! An identity, as the link layer needs it.

use std::sync::Arc;

use sc_crypto::OwnerSecret;
use sc_transport::LinkSigner;

/// Proves an identity on a link; the private key stays in its own room.
#[derive(Clone)]
pub struct IdentitySigner(pub Arc<OwnerSecret>);

impl LinkSigner for IdentitySigner {
    fn public_key(&self) -> [u8; 32] {
        *self.0.signing_key().verifying_key().as_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.signing_key().sign_message(message)
    }
}
