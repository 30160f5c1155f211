//! One open session: its keys, its counters, the delivery keys that were given out in it.

use std::collections::BTreeMap;

use sc_cbr::{Cipher, DomainSecrets, MessageKind, PublisherKeys, Receipt, Scope, control_cipher};
use sc_crypto::{DomainId, Entropy, OwnerSecret, Secret, VerifyingKey};

/// One session.
pub(super) struct Session {
    pub(super) scope: Scope,
    pub(super) control: Cipher,
    pub(super) keys: PublisherKeys,
    pub(super) next_counter: u64,
    pub(super) next_receipt: u64,
    pub(super) delivery_keys: BTreeMap<VerifyingKey, Secret>,
    /// Admissions that complete what a consumer announced, by counter.
    pub(super) completing: BTreeMap<u64, VerifyingKey>,
    /// Renewals without a receipt, by counter.
    pub(super) renewing: BTreeMap<u64, VerifyingKey>,
}

impl Session {
    pub(super) fn new(domain: DomainId, owner: &OwnerSecret, secrets: &DomainSecrets) -> Self {
        let party = owner.signing_key().verifying_key();
        let scope = Scope {
            domain,
            session: secrets.session,
            party,
            start: secrets.start,
        };
        Self {
            scope,
            control: control_cipher(&secrets.key, &scope, secrets.plain),
            keys: PublisherKeys::new(&secrets.key.publisher_secret(&scope), secrets.plain),
            next_counter: 1,
            next_receipt: 1,
            delivery_keys: BTreeMap::new(),
            completing: BTreeMap::new(),
            renewing: BTreeMap::new(),
        }
    }

    pub(super) fn take_counter(&mut self) -> u64 {
        let counter = self.next_counter;
        self.next_counter += 1;
        counter
    }

    /// The consumer's delivery key in this session, made at its first admission.
    pub(super) fn delivery_key(
        &mut self,
        consumer: &VerifyingKey,
        entropy: &mut dyn Entropy,
    ) -> Secret {
        self.delivery_keys
            .entry(*consumer)
            .or_insert_with(|| Secret::random(entropy))
            .duplicate()
    }

    /// Opens the receipt of the next message; `None` for any other.
    pub(super) fn open_receipt(&mut self, counter: u64, sealed: &mut [u8]) -> Option<Receipt> {
        if counter != self.next_receipt || counter >= self.next_counter {
            return None;
        }
        let plaintext = self
            .keys
            .receipt
            .open(&self.scope, MessageKind::Receipt, counter, sealed)
            .ok()?;
        let receipt = Receipt::decode(plaintext)
            .ok()
            .filter(|receipt| receipt.counter == counter)?;
        self.next_receipt += 1;
        Some(receipt)
    }
}
