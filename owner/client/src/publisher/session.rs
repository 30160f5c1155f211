//! One open session: its keys, who was told of in it, what waits for receipts.

use std::collections::{BTreeMap, BTreeSet};

use sc_cbr::{Cipher, DomainKey, DomainSecrets, PublisherKeys, Scope, control_cipher};
use sc_crypto::{DomainId, OwnerSecret, Secret, VerifyingKey};

use super::grants::Grant;
use crate::outgoing::Sequence;

/// One session.
pub(super) struct Session {
    pub(super) sequence: Sequence,
    pub(super) control: Cipher,
    key: DomainKey,
    /// Consumers that the program was told of.
    pub(super) introduced: BTreeSet<VerifyingKey>,
    /// Admissions that complete what a consumer announced, by counter.
    pub(super) completing: BTreeMap<u64, VerifyingKey>,
    /// Renewals without a receipt, by counter.
    pub(super) renewing: BTreeMap<u64, VerifyingKey>,
    /// Registrations without a receipt, by counter.
    pub(super) registering: BTreeMap<u64, Box<Grant>>,
    /// Who may publish besides the owner.
    pub(super) granted: BTreeMap<VerifyingKey, Box<Grant>>,
}

impl Session {
    pub(super) fn new(domain: DomainId, owner: &OwnerSecret, secrets: &DomainSecrets) -> Self {
        let scope = Scope {
            domain,
            session: secrets.session,
            party: owner.signing_key().verifying_key(),
            start: secrets.start,
        };
        let key = DomainKey::new(secrets.key.secret().duplicate());
        let keys = PublisherKeys::new(&key.publisher_secret(&scope), secrets.plain);
        Self {
            sequence: Sequence::new(scope, keys),
            control: control_cipher(&key, &scope, secrets.plain),
            key,
            introduced: BTreeSet::new(),
            completing: BTreeMap::new(),
            renewing: BTreeMap::new(),
            registering: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.sequence.scope.session
    }

    /// What another needs to publish in this session from the start number that it was given.
    pub(super) fn publisher_secret(&self, publisher: VerifyingKey, start: u64) -> Secret {
        self.key.publisher_secret(&Scope {
            party: publisher,
            start,
            ..self.sequence.scope
        })
    }
}
