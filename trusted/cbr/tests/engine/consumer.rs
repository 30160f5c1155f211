//! A consumer: what it holds, and what it reads in the notices that reach it.

use sc_cbr::{ControlBody, DeliveryKeys, MessageKind, Notice, NoticeKind, Scope, SlowPolicy};
use sc_crypto::hash::sha256;
use sc_crypto::{PayloadKey, Secret, VerifyingKey};
use sc_matching::Subscription;
use sc_proto::cbr;

use crate::owner::{Entropy, LEASE_MS, subscription};

/// A consumer, with the delivery key that the owner gave it.
pub(crate) struct Consumer {
    pub(crate) key: VerifyingKey,
    delivery_key: [u8; 32],
}

/// Index, subscription ids, payload key and hash.
pub(crate) type Entry = (u32, Vec<u64>, Option<([u8; 32], [u8; 32])>);

/// What a consumer reads in a notice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) kind: NoticeKind,
    pub(crate) time_ms: u64,
    pub(crate) entries: Vec<Entry>,
}

impl Opened {
    /// (index, subscription ids) of each entry.
    pub(crate) fn matches(&self) -> Vec<(u32, &[u64])> {
        self.entries
            .iter()
            .map(|(index, ids, _)| (*index, &ids[..]))
            .collect()
    }

    /// Opens the payload of entry `place` among the sealed payloads of the batch.
    pub(crate) fn payload(
        &self,
        scope: &Scope,
        place: usize,
        payloads: &[Vec<u8>],
    ) -> Option<Vec<u8>> {
        let (index, _, key_and_hash) = &self.entries[place];
        let NoticeKind::Matches { counter, .. } = self.kind else {
            return None;
        };
        let (key, hash) = key_and_hash.as_ref()?;
        let sealed = &payloads[*index as usize];
        assert_eq!(sha256(sealed), *hash);
        PayloadKey::from_bytes(*key)
            .open(scope.payload_data(counter).of(*index), sealed)
            .ok()
    }
}

impl Consumer {
    pub(crate) fn new(number: u64) -> Self {
        let mut delivery_key = [0; 32];
        Entropy::new(5000 + number).fill(&mut delivery_key);
        Self {
            key: VerifyingKey::from_bytes(sha256(&number.to_le_bytes())),
            delivery_key,
        }
    }

    pub(crate) fn delivery_key(&self) -> Secret {
        Secret::from_bytes(self.delivery_key)
    }

    pub(crate) fn admission(&self, replace: bool, subscriptions: &[(u64, &str)]) -> ControlBody {
        let subscriptions = subscriptions.iter();
        let parsed = subscriptions.map(|(id, constraints)| (*id, subscription(constraints)));
        self.admission_of(replace, parsed.collect())
    }

    /// As [`Self::admission`], of subscriptions that are parsed.
    pub(crate) fn admission_of(
        &self,
        replace: bool,
        subscriptions: Vec<(u64, Subscription)>,
    ) -> ControlBody {
        ControlBody::Admit {
            retention_ms: 0,
            consumer: self.key,
            delivery_key: self.delivery_key(),
            lease_until_ms: LEASE_MS,
            slow: SlowPolicy::Block,
            replace,
            subscriptions,
        }
    }

    pub(crate) fn scope(&self, of: &Scope) -> Scope {
        Scope {
            party: self.key,
            start: 0,
            ..*of
        }
    }

    /// Opens `notice` as one of the session `of`; `None` when it is not authentic for this consumer, session and counter.
    pub(crate) fn try_open(&self, of: &Scope, notice: &cbr::Notice) -> Option<Opened> {
        let scope = self.scope(of);
        let keys = DeliveryKeys::new(&self.delivery_key(), &scope, false);
        let mut bytes = notice.ciphertext.to_vec();
        let opened = keys
            .notice
            .open(&scope, MessageKind::Notice, notice.counter, &mut bytes)
            .ok()?;
        Some(read_notice(opened))
    }

    pub(crate) fn open(&self, of: &Scope, notice: &cbr::Notice) -> Opened {
        assert_eq!(notice.consumer[..], self.key.as_bytes()[..]);
        self.try_open(of, notice).unwrap()
    }
}

/// Reads an opened notice to its end.
pub(crate) fn read_notice(bytes: &[u8]) -> Opened {
    let mut notice = Notice::decode(bytes).unwrap();
    let (mut entries, mut ids) = (Vec::new(), Vec::new());
    while let Some(entry) = notice.next_entry(&mut ids).unwrap() {
        let key_and_hash = entry.key_and_hash.map(|(key, hash)| (*key, *hash));
        entries.push((entry.index, ids.clone(), key_and_hash));
    }
    Opened {
        kind: notice.kind,
        time_ms: notice.time_ms,
        entries,
    }
}
