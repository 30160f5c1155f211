//! The keys of a domain's session, and what each message is sealed under.
//!
//! Invariant: a (key, nonce) pair is used once. Every key belongs to one (session, publisher, start) or one (session, consumer) and
//! one kind of message; the nonce is that sequence's counter.

use sc_crypto::kdf::derive;
use sc_crypto::{
    AeadKey, DomainId, Nonce, NotAuthentic, PayloadKey, PayloadSecret, Secret, Transcript,
    VerifyingKey,
};

/// Where a message belongs: everything that its associated data names besides its kind and counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The domain of the publisher.
    pub domain: DomainId,
    /// The session, greater at every provisioning.
    pub session: u64,
    /// The publisher whose counter counts, or the consumer that is notified.
    pub party: VerifyingKey,
    /// The publisher's start number; 0 for notices.
    pub start: u64,
}

/// The kinds of sealed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Headers, publisher to program.
    Batch,
    /// Subscriptions, leases, time; owner to program.
    Control,
    /// Program to publisher.
    Receipt,
    /// Program to consumer.
    Notice,
    /// One payload, publisher to consumer.
    Payload,
}

impl MessageKind {
    fn label(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Control => "control",
            Self::Receipt => "receipt",
            Self::Notice => "notice",
            Self::Payload => "payload",
        }
    }
}

impl Scope {
    /// The associated data of the message of `kind` numbered `counter`.
    #[must_use]
    pub fn associated_data(&self, kind: MessageKind, counter: u64) -> Vec<u8> {
        self.fields(kind.label()).u64(counter).finish()
    }

    /// The associated data of payload `index` of batch `counter`, without rebuilding the constant part for each.
    #[must_use]
    pub fn payload_data(&self, counter: u64) -> PayloadData {
        let mut bytes = self
            .fields(MessageKind::Payload.label())
            .u64(counter)
            .u64(0)
            .finish();
        let index_at = bytes.len() - 8;
        bytes.shrink_to_fit();
        PayloadData { bytes, index_at }
    }

    fn fields(&self, label: &str) -> Transcript {
        Transcript::new(label)
            .bytes(self.domain.as_bytes())
            .u64(self.session)
            .bytes(self.party.as_bytes())
            .u64(self.start)
    }
}

/// Associated data of the payloads of one batch; only the index differs.
pub struct PayloadData {
    bytes: Vec<u8>,
    index_at: usize,
}

impl PayloadData {
    /// The associated data of payload `index`.
    pub fn of(&mut self, index: u32) -> &[u8] {
        self.bytes[self.index_at..].copy_from_slice(&u64::from(index).to_le_bytes());
        &self.bytes
    }
}

/// Seals and opens one sequence of messages, or passes them through in the unencrypted mode.
pub enum Cipher {
    /// AES-256-GCM under a key of this sequence.
    Sealed(Box<AeadKey>),
    /// D4.2's unencrypted mode, for measurement.
    Plain,
}

impl Cipher {
    fn derive(secret: &Secret, label: &str, context: &[&[u8]], plain: bool) -> Self {
        if plain {
            Self::Plain
        } else {
            Self::Sealed(Box::new(AeadKey::new(&derive(secret, label, context))))
        }
    }

    /// Seals `plaintext` as message `counter` and appends it to `out`.
    pub fn seal(
        &self,
        scope: &Scope,
        kind: MessageKind,
        counter: u64,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Sealed(key) => key.seal(
                Nonce::counter(counter),
                &scope.associated_data(kind, counter),
                plaintext,
                out,
            ),
            Self::Plain => out.extend_from_slice(plaintext),
        }
    }

    /// Opens message `counter` where it stands.
    ///
    /// # Errors
    /// [`NotAuthentic`], whatever is wrong with it.
    pub fn open<'a>(
        &self,
        scope: &Scope,
        kind: MessageKind,
        counter: u64,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], NotAuthentic> {
        match self {
            Self::Sealed(key) => key.open_in_place(
                Nonce::counter(counter),
                &scope.associated_data(kind, counter),
                sealed,
            ),
            Self::Plain => Ok(sealed),
        }
    }
}

/// A domain's key SK: fresh at every provisioning; everything else comes from it.
pub struct DomainKey(Secret);

impl DomainKey {
    /// A domain key from the bytes in which it was provisioned.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The secret itself, to be provisioned.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// The secret of one publisher at one start: all that a grantee is given.
    #[must_use]
    pub fn publisher_secret(&self, scope: &Scope) -> Secret {
        derive(
            &self.0,
            "publisher",
            &[
                scope.domain.as_bytes(),
                &scope.session.to_le_bytes(),
                scope.party.as_bytes(),
                &scope.start.to_le_bytes(),
            ],
        )
    }
}

/// The cipher of the owner's control messages.
#[must_use]
pub fn control_cipher(key: &DomainKey, scope: &Scope, plain: bool) -> Cipher {
    Cipher::derive(
        &key.0,
        "control",
        &[
            scope.domain.as_bytes(),
            &scope.session.to_le_bytes(),
            scope.party.as_bytes(),
            &scope.start.to_le_bytes(),
        ],
        plain,
    )
}

/// The keys of one publisher at one start.
pub struct PublisherKeys {
    /// Seals its batches.
    pub batch: Cipher,
    /// Seals the receipts for all its messages.
    pub receipt: Cipher,
    payload: Option<PayloadSecret>,
}

impl PublisherKeys {
    /// The keys that come from `secret`; with `plain`, none.
    #[must_use]
    pub fn new(secret: &Secret, plain: bool) -> Self {
        Self {
            batch: Cipher::derive(secret, "batch", &[], plain),
            receipt: Cipher::derive(secret, "receipt", &[], plain),
            payload: (!plain).then(|| PayloadSecret::new(&derive(secret, "payload", &[]))),
        }
    }

    /// The key of payload `index` of batch `counter`; none in the unencrypted mode.
    #[must_use]
    pub fn payload_key(&self, counter: u64, index: u32) -> Option<PayloadKey> {
        self.payload
            .as_ref()
            .map(|secret| secret.key(counter, index))
    }
}

/// The key of one consumer's notices in one session.
pub struct DeliveryKeys {
    /// Seals the notices.
    pub notice: Cipher,
}

impl DeliveryKeys {
    /// KDF(delivery key, session).
    #[must_use]
    pub fn new(delivery_key: &Secret, scope: &Scope, plain: bool) -> Self {
        Self {
            notice: Cipher::derive(
                delivery_key,
                "notice",
                &[
                    scope.domain.as_bytes(),
                    &scope.session.to_le_bytes(),
                    scope.party.as_bytes(),
                ],
                plain,
            ),
        }
    }
}
