//! Sessions: the keys of one ticket, the same on the client's side and on each coder's.
//!
//! Invariant: a request number is used once by its client, and a reply's salt is drawn for it, so that no key meets a nonce twice.
//! Source: `docs/FORMATS.md`, "Storage: sessions".

use bytes::Bytes;
use sc_crypto::kdf::derive;
use sc_crypto::{AeadKey, Nonce, NotAuthentic, Plaintext, Secret};
use sc_proto::coder;

/// The message of a reply that says what it is about; chunks are 1, 2, ….
pub const REPLY_HEAD: u32 = 0;

const CONTEXT: &[u8] = b"storage reply";

/// The keys of a session.
pub struct SessionKeys {
    request: AeadKey,
    reply: Secret,
}

impl SessionKeys {
    /// The keys of the session of this secret.
    #[must_use]
    pub fn new(session: &Secret) -> Self {
        Self {
            request: AeadKey::new(&derive(session, "storage requests", &[])),
            reply: derive(session, "storage replies", &[]),
        }
    }

    /// Seals what only the coder may read of a request; the client's side.
    #[must_use]
    pub fn seal_request(&self, number: u64, operation: &[u8], secret: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let nonce = request_nonce(number, 0);
        self.request.seal(nonce, operation, secret, &mut sealed);
        sealed
    }

    /// Seals block `index` of a request, counted from 0, where it is; the client's side.
    pub fn seal_block(&self, number: u64, index: u32, block: &mut Vec<u8>) {
        self.request
            .seal_in_place(request_nonce(number, index + 1), &[], block);
    }

    pub(crate) fn open_request(
        &self,
        number: u64,
        operation: &[u8],
        sealed: &[u8],
    ) -> Result<Plaintext, NotAuthentic> {
        let nonce = request_nonce(number, 0);
        self.request
            .open(nonce, operation, sealed)
            .map(Plaintext::new)
    }

    pub(crate) fn open_block(
        &self,
        number: u64,
        index: u32,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), NotAuthentic> {
        self.request
            .open_into(request_nonce(number, index + 1), &[], sealed, plain)
    }

    /// The key of one reply.
    #[must_use]
    pub fn reply(&self, number: u64, salt: &[u8]) -> ReplyKey {
        let context: [&[u8]; 2] = [&number.to_le_bytes(), salt];
        ReplyKey(AeadKey::new(&derive(
            &self.reply,
            "storage reply",
            &context,
        )))
    }
}

/// The key of one reply: each message under a number of its own.
pub struct ReplyKey(AeadKey);

impl ReplyKey {
    /// Appends message `index`, sealed; the coder's side.
    pub(crate) fn seal(&self, index: u32, context: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        self.0
            .seal(Nonce::counter(u64::from(index)), context, plain, out);
    }

    /// The reply that says `plain`.
    pub(crate) fn seal_head(&self, salt: [u8; 32], plain: &[u8]) -> coder::Sealed {
        let mut ciphertext = Vec::with_capacity(plain.len() + sc_crypto::TAG_BYTES);
        self.seal(REPLY_HEAD, CONTEXT, plain, &mut ciphertext);
        coder::Sealed {
            salt: Bytes::copy_from_slice(&salt),
            ciphertext: ciphertext.into(),
        }
    }

    /// Opens the message that says what the reply is about.
    ///
    /// # Errors
    /// [`NotAuthentic`]: no coder of this tenant has answered this request so.
    pub fn open_head(&self, ciphertext: &[u8]) -> Result<Plaintext, NotAuthentic> {
        let nonce = Nonce::counter(u64::from(REPLY_HEAD));
        self.0.open(nonce, CONTEXT, ciphertext).map(Plaintext::new)
    }

    /// Appends the plaintext of chunk `index`, counted from 0, which begins at `offset` of its object.
    ///
    /// # Errors
    /// [`NotAuthentic`]: not this chunk of this reply, or not of this place.
    pub fn open_chunk(
        &self,
        index: u32,
        offset: u64,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), NotAuthentic> {
        let nonce = Nonce::counter(u64::from(index) + 1);
        self.0
            .open_into(nonce, &chunk_context(offset), sealed, plain)
    }
}

/// What a chunk of an object is bound to.
#[must_use]
pub fn chunk_context(offset: u64) -> [u8; 8] {
    offset.to_le_bytes()
}

/// The key under which a session's grant is sealed for the client that drew `reply_secret`.
#[must_use]
pub fn grant_key(reply_secret: &Secret, salt: &[u8]) -> ReplyKey {
    ReplyKey(AeadKey::new(&derive(
        reply_secret,
        "storage session grant",
        &[salt],
    )))
}

/// Block in the first four bytes, number in the others, both big-endian.
fn request_nonce(number: u64, block: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&block.to_be_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::from_bytes(bytes)
}
