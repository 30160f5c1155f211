//! Seals: every message that was sealed under a counter, anywhere in a run.
//!
//! Invariant: a key belongs to one sequence and the nonce is its counter, so a second message under one name would be a nonce that was
//! used twice; the same bytes may be seen as often as they like.

use std::collections::BTreeMap;

use sc_cbr::{MessageKind, Scope};
use sc_crypto::hash::sha256;
use sc_proto::cbr;

use crate::violation::Violation;

/// The name of a key and a nonce: everything that the key is derived from, and the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seal {
    kind: u8,
    domain: [u8; 32],
    session: u64,
    party: [u8; 32],
    start: u64,
    counter: u64,
}

impl Seal {
    pub(crate) fn new(kind: MessageKind, scope: &Scope, counter: u64) -> Self {
        Self {
            kind: kind as u8,
            domain: *scope.domain.as_bytes(),
            session: scope.session,
            party: *scope.party.as_bytes(),
            start: scope.start,
            counter,
        }
    }

    pub(crate) fn of(sealed: &cbr::Sealed, kind: MessageKind) -> Self {
        Self::new(kind, &super::scope_of(sealed), sealed.counter)
    }

    pub(crate) fn notice(scope: &Scope, counter: u64) -> Self {
        Self::new(MessageKind::Notice, scope, counter)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Seals {
    seen: BTreeMap<Seal, [u8; 32]>,
    violations: Vec<Violation>,
}

impl Seals {
    pub(crate) fn note(&mut self, seal: Seal, ciphertext: &[u8]) {
        let hash = sha256(ciphertext);
        if *self.seen.entry(seal).or_insert(hash) != hash {
            self.violations.push(Violation::NonceReused {
                what: format!("{seal:?}",),
            });
        }
    }

    pub(crate) fn take_violations(&mut self) -> Vec<Violation> {
        core::mem::take(&mut self.violations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_under_one_name_are_found_and_the_same_bytes_or_another_name_are_not() {
        let mut seals = Seals::default();
        let seal = |kind, counter| {
            let sealed = cbr::Sealed {
                counter,
                ..cbr::Sealed::default()
            };
            Seal::of(&sealed, kind)
        };
        seals.note(seal(MessageKind::Batch, 1), b"one");
        seals.note(seal(MessageKind::Batch, 1), b"one");
        seals.note(seal(MessageKind::Batch, 2), b"two");
        seals.note(seal(MessageKind::Receipt, 1), b"three");
        assert!(seals.take_violations().is_empty());

        seals.note(seal(MessageKind::Batch, 1), b"other");

        assert_eq!(seals.take_violations().len(), 1);
    }
}
