//! A publisher in another's domain.

use bytes::Bytes;
use sc_cbr::{ControlBody, MessageKind, Origin, PublisherKeys, Receipt, Scope};
use sc_crypto::VerifyingKey;
use sc_crypto::hash::sha256;
use sc_proto::cbr::{self, call::Call};

use crate::owner::{Enclave, OPENED_MS, Session, publication, write_batch};

/// Its end of one start.
pub(crate) struct Grantee {
    pub(crate) scope: Scope,
    pub(crate) keys: PublisherKeys,
    pub(crate) now_ms: u64,
    pub(crate) next_counter: u64,
    next_origin: u64,
}

/// The identity key of publisher `number`.
pub(crate) fn key(number: u64) -> VerifyingKey {
    VerifyingKey::from_bytes(sha256(&[b"publisher", &number.to_le_bytes()[..]].concat()))
}

pub(crate) fn registration(publisher: VerifyingKey, start: u64, floor: Origin) -> ControlBody {
    ControlBody::Register {
        publisher,
        start,
        floor,
    }
}

impl Grantee {
    /// What publisher `number` has in hand once the owner gave it the secret of this start.
    pub(crate) fn new(session: &Session, number: u64, start: u64) -> Self {
        Self {
            scope: Scope {
                party: key(number),
                start,
                ..session.scope
            },
            keys: PublisherKeys::new(&session.grant(key(number), start), false),
            now_ms: OPENED_MS,
            next_counter: 1,
            next_origin: 1,
        }
    }

    /// Has publisher `number` registered at this start, with nothing settled before.
    pub(crate) fn registered(
        enclave: &mut Enclave,
        session: &mut Session,
        number: u64,
        start: u64,
    ) -> Self {
        let floor = Origin::default();
        let (receipt, _) = session.tell(enclave, registration(key(number), start, floor));
        assert_eq!(receipt.status, sc_cbr::Status::Taken);
        Self::new(session, number, start)
    }

    /// Seals `plaintext` under the next counter, which is thereby used.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> cbr::Sealed {
        let counter = self.next_counter;
        self.next_counter += 1;
        let kind = MessageKind::Batch;
        let mut ciphertext = Vec::new();
        self.keys
            .batch
            .seal(&self.scope, kind, counter, plaintext, &mut ciphertext);
        cbr::Sealed {
            domain: Bytes::copy_from_slice(self.scope.domain.as_bytes()),
            session: self.scope.session,
            publisher: Bytes::copy_from_slice(self.scope.party.as_bytes()),
            start: self.scope.start,
            counter,
            ciphertext: ciphertext.into(),
        }
    }

    /// Its next batch under the origin given, and the sealed payloads.
    pub(crate) fn batch_of(
        &mut self,
        origin: Origin,
        publications: &[&str],
    ) -> (cbr::Sealed, Vec<Vec<u8>>) {
        let publications: Vec<_> = publications.iter().map(|text| publication(text)).collect();
        let sequence = (&self.scope, &self.keys, self.next_counter);
        let (bytes, payloads) = write_batch(sequence, origin, self.now_ms, &publications, false);
        (self.seal(&bytes), payloads)
    }

    pub(crate) fn batch(&mut self, publications: &[&str]) -> (cbr::Sealed, Vec<Vec<u8>>) {
        let origin = Origin {
            start: self.scope.start,
            number: self.next_origin,
        };
        self.next_origin += 1;
        self.batch_of(origin, publications)
    }

    pub(crate) fn receipt(&self, counter: u64, outcome: &cbr::Outcome) -> Receipt {
        let mut bytes = outcome.receipt.to_vec();
        let kind = MessageKind::Receipt;
        let opened = self
            .keys
            .receipt
            .open(&self.scope, kind, counter, &mut bytes);
        let receipt = Receipt::decode(opened.unwrap()).unwrap();
        assert_eq!(receipt.counter, counter);
        receipt
    }

    /// Sends a batch; returns its receipt, its notices and its sealed payloads.
    pub(crate) fn publish(
        &mut self,
        enclave: &mut Enclave,
        publications: &[&str],
    ) -> (Receipt, Vec<cbr::Notice>, Vec<Vec<u8>>) {
        let (sealed, payloads) = self.batch(publications);
        let counter = sealed.counter;
        let outcome = enclave.outcome(Call::Batch(sealed));
        (self.receipt(counter, &outcome), outcome.notices, payloads)
    }
}
