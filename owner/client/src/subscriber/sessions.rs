//! The sessions whose notices this side can open.
//!
//! Invariant: a session's keys come from an answer of the owner alone, and are set up once.

use std::collections::BTreeMap;
use std::time::Duration;

use sc_cbr::{DeliveryKeys, Origin, Scope, SlowPolicy};
use sc_crypto::{DomainId, OwnerPublic, OwnerSecret, Secret};

use super::memory::{Memory, SESSIONS_MAX};
use crate::answer::{Answer, Verdict};

/// What the owner grants in a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Owner time, milliseconds since the Unix epoch.
    pub(super) lease_until_ms: u64,
    pub(super) slow: SlowPolicy,
    pub(super) retention: Duration,
    /// A heartbeat comes at least so often; zero: none is promised.
    pub(super) heartbeat: Duration,
}

/// One session.
pub(super) struct Session {
    pub(super) scope: Scope,
    pub(super) keys: DeliveryKeys,
    pub(super) next_counter: u64,
    pub(super) terms: Terms,
}

/// The last sessions, by number.
#[derive(Default)]
pub(super) struct Sessions {
    open: BTreeMap<u64, Session>,
}

impl Sessions {
    /// Opens the sessions of an earlier life; returns the last request of it that is known to have been answered. An answer that does not
    /// open, as after a change of mode, is passed over.
    pub(super) fn restore(
        &mut self,
        memory: &Memory,
        owner: &OwnerPublic,
        identity: &OwnerSecret,
        plain: bool,
    ) -> Option<[u8; 32]> {
        let mut answered = None;
        for sealed in memory.answers.values() {
            let Ok(answer) = Answer::open(sealed, owner, identity, plain) else {
                continue;
            };
            if let Some(granted) = granted(&answer.verdict) {
                let of = |session| scope(owner.domain_id(), identity, session);
                self.take(answer.session, &granted, memory, of, plain);
                answered = Some(answer.request);
            }
        }
        answered
    }

    /// Opens the session of an admission, and those before it of which notices may still wait; returns those that are new, ascending.
    ///
    /// A session before the newest one of which a notice was taken is not opened: the router has delivered all that it had of it.
    pub(super) fn take(
        &mut self,
        number: u64,
        granted: &Granted<'_>,
        memory: &Memory,
        scope: impl Fn(u64) -> Scope,
        plain: bool,
    ) -> Vec<u64> {
        let drained = memory.newest_taken();
        let earlier = granted.earlier.iter().map(|(session, key)| (*session, key));
        let mut opened = Vec::new();
        for (session, key) in earlier.filter(|(session, _)| *session >= drained) {
            if !self.contains(session) {
                let taken = memory.taken(session);
                self.open(scope(session), key, granted.terms, taken, plain);
                opened.push(session);
            }
        }
        let taken = memory.taken(number);
        if self.open(
            scope(number),
            granted.delivery_key,
            granted.terms,
            taken,
            plain,
        ) {
            opened.push(number);
        }
        opened.retain(|session| self.contains(*session));
        opened
    }

    /// Whether the session is new; one is not opened twice.
    fn open(
        &mut self,
        scope: Scope,
        delivery_key: &Secret,
        terms: Terms,
        taken: u64,
        plain: bool,
    ) -> bool {
        if let Some(session) = self.open.get_mut(&scope.session) {
            let lease_until_ms = terms.lease_until_ms.max(session.terms.lease_until_ms);
            session.terms = Terms {
                lease_until_ms,
                ..terms
            };
            return false;
        }
        let session = Session {
            scope,
            keys: DeliveryKeys::new(delivery_key, &scope, plain),
            next_counter: taken.saturating_add(1),
            terms,
        };
        self.open.insert(scope.session, session);
        while self.open.len() > SESSIONS_MAX {
            self.open.pop_first();
        }
        true
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.open.contains_key(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Session> {
        self.open.get_mut(&number)
    }

    /// The greatest number of a session; 0 without one.
    pub(super) fn newest(&self) -> u64 {
        self.open.keys().next_back().copied().unwrap_or(0)
    }

    /// What was granted in the newest session.
    pub(super) fn terms(&self) -> Option<Terms> {
        self.open.values().next_back().map(|session| session.terms)
    }

    /// Each with the counter of the last notice taken, ascending.
    pub(super) fn taken(&self) -> impl Iterator<Item = (u64, u64)> {
        let open = self.open.iter();
        open.map(|(number, session)| (*number, session.next_counter - 1))
    }
}

/// Where the notices to `identity` belong.
pub(super) fn scope(domain: DomainId, identity: &OwnerSecret, session: u64) -> Scope {
    Scope {
        domain,
        session,
        party: identity.signing_key().verifying_key(),
        start: 0,
    }
}

/// What an admission brings.
pub(super) struct Granted<'a> {
    pub(super) delivery_key: &'a Secret,
    pub(super) terms: Terms,
    pub(super) lapsed: bool,
    pub(super) covered: Origin,
    pub(super) earlier: &'a [(u64, Secret)],
}

/// What an answer brings, if it is an admission.
pub(super) fn granted(verdict: &Verdict) -> Option<Granted<'_>> {
    match verdict {
        Verdict::Admitted {
            delivery_key,
            lease_until_ms,
            slow,
            retention_ms,
            heartbeat_ms,
            lapsed,
            covered,
            earlier,
            ..
        } => {
            let terms = Terms {
                lease_until_ms: *lease_until_ms,
                slow: *slow,
                retention: Duration::from_millis(*retention_ms),
                heartbeat: Duration::from_millis(*heartbeat_ms),
            };
            Some(Granted {
                delivery_key,
                terms,
                lapsed: *lapsed,
                covered: *covered,
                earlier,
            })
        }
        _ => None,
    }
}
