//! The delivery roots of the last sessions: from each come the delivery keys of all consumers in it.
//!
//! Invariants: a root is random and of one session; the journal has it, sealed to the owner's own key, before a key that comes of it leaves;
//! a consumer is given keys of its own alone.

use std::collections::BTreeMap;

use sc_crypto::kdf::derive;
use sc_crypto::{DomainId, Entropy, OwnerSecret, Secret, Transcript, VerifyingKey};

use super::Roll;
use crate::answer::EARLIER_SESSIONS_MAX;

/// Sessions whose roots are kept: the one that is open, and those whose keys an answer brings along.
pub(super) const ROOTS_MAX: usize = 1 + EARLIER_SESSIONS_MAX;

/// The roots, by session.
pub(super) struct Roots {
    domain: DomainId,
    by_session: BTreeMap<u64, Secret>,
}

impl Roots {
    /// Those that the journal keeps. One that does not open, as with another key, is as if it were not there.
    pub(super) fn restore(owner: &OwnerSecret, roll: &Roll) -> Self {
        let mut roots = Self {
            domain: owner.public().domain_id(),
            by_session: BTreeMap::new(),
        };
        for (session, sealed) in roll.roots() {
            if let Some(root) = open(owner, session, sealed) {
                roots.keep(session, root);
            }
        }
        roots
    }

    /// Draws the root of a session that has opened; returns it as the journal keeps it.
    pub(super) fn begin(
        &mut self,
        owner: &OwnerSecret,
        session: u64,
        entropy: &mut dyn Entropy,
    ) -> Vec<u8> {
        let root = Secret::random(entropy);
        let context = context(&self.domain, session);
        let sealed = owner.public().seal(&context, root.expose(), entropy);
        self.keep(session, root);
        sealed
    }

    fn keep(&mut self, session: u64, root: Secret) {
        self.by_session.insert(session, root);
        while self.by_session.len() > ROOTS_MAX {
            self.by_session.pop_first();
        }
    }

    /// The delivery key of `consumer` in `session`; none if its root is not kept any more.
    pub(super) fn delivery_key(&self, session: u64, consumer: &VerifyingKey) -> Option<Secret> {
        let root = self.by_session.get(&session)?;
        Some(delivery_key(root, &self.domain, session, consumer))
    }

    /// The delivery keys of `consumer` in the sessions before `session`, ascending.
    pub(super) fn earlier(&self, session: u64, consumer: &VerifyingKey) -> Vec<(u64, Secret)> {
        let before = self.by_session.range(..session);
        let mut last: Vec<_> = before.rev().take(EARLIER_SESSIONS_MAX).collect();
        last.reverse();
        last.into_iter()
            .map(|(number, root)| (*number, delivery_key(root, &self.domain, *number, consumer)))
            .collect()
    }
}

fn delivery_key(root: &Secret, domain: &DomainId, session: u64, consumer: &VerifyingKey) -> Secret {
    let fields: [&[u8]; 3] = [
        domain.as_bytes(),
        &session.to_le_bytes(),
        consumer.as_bytes(),
    ];
    derive(root, "delivery", &fields)
}

fn open(owner: &OwnerSecret, session: u64, sealed: &[u8]) -> Option<Secret> {
    let context = context(&owner.public().domain_id(), session);
    let opened = owner.open(&context, sealed).ok()?;
    opened[..].try_into().ok().map(Secret::from_bytes)
}

fn context(domain: &DomainId, session: u64) -> Vec<u8> {
    Transcript::new("delivery root")
        .bytes(domain.as_bytes())
        .u64(session)
        .finish()
}
