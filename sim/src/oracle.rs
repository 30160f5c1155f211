//! The oracle: reads everything that passes the trusted program's door, with the keys that owners drew, and knows what must come of it.
//!
//! It has the random bytes of every owner, finds by trial which of them became a session's key, and opens what was sealed. A model
//! without index, seals or counters of its own says which notices each message must lead to, and the program is held to that.
//! Invariants: no two messages were ever sealed under one key and counter; what the program made is what the model says.

mod model;
mod seals;
mod truth;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_cbr::{
    Cipher, Control, DomainKey, MessageKind, PublisherKeys, Receipt, Scope, control_cipher,
};
use sc_crypto::{Secret, VerifyingKey};
use sc_proto::Message as _;
use sc_proto::cbr::{self, call, reply};

use crate::random::Random;
use crate::violation::Violation;
use crate::workload::Workload;
use model::Model;
pub(crate) use seals::{Seal, Seals};
pub(crate) use truth::{Article, Place, Truth};

/// The 32-byte strings that a party has drawn: its keys are among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draws(Arc<Mutex<Vec<[u8; 32]>>>);

impl Draws {
    /// The entropy of a party whose draws are kept here.
    pub(crate) fn entropy(&self, mut random: Random) -> sc_transport::Entropy {
        let draws = Arc::clone(&self.0);
        Box::new(move |bytes: &mut [u8]| {
            random.fill(bytes);
            if let Ok(drawn) = <[u8; 32]>::try_from(&bytes[..]) {
                let mut draws = draws.lock().expect("no holder of this lock panics");
                draws.push(drawn);
            }
        })
    }

    /// The newest draw that `is_it` accepts.
    fn find(&self, is_it: impl Fn(&DomainKey) -> bool) -> Option<DomainKey> {
        let draws = self.0.lock().expect("no holder of this lock panics");
        let keys = draws.iter().rev().map(|drawn| Secret::from_bytes(*drawn));
        keys.map(DomainKey::new).find(is_it)
    }
}

/// One session as the oracle reads it.
pub(crate) struct Session {
    pub(crate) key: DomainKey,
    pub(crate) scope: Scope,
    pub(crate) model: Model,
    /// Whether its floor was looked at.
    judged: bool,
}

impl Session {
    pub(crate) fn control(&self) -> Cipher {
        control_cipher(&self.key, &self.scope, false)
    }
}

/// Everything known of what went through the door.
pub(crate) struct Oracle {
    /// Each owner's draws, by its domain.
    draws: BTreeMap<[u8; 32], Draws>,
    /// The time of day when each owner last handed over its keys: the domain's time begins with it.
    entrusted: BTreeMap<[u8; 32], u64>,
    began: BTreeMap<([u8; 32], u64), u64>,
    sessions: BTreeMap<([u8; 32], u64), Session>,
    pub(crate) seals: Seals,
    pub(crate) truth: Truth,
    violations: Vec<Violation>,
}

impl Oracle {
    pub(crate) fn new(workload: &Workload, draws: &[Draws]) -> Self {
        let owners = workload.sources.iter().zip(draws);
        let draws = owners
            .map(|(owner, draws)| {
                let domain = owner.identity.public().domain_id();
                (*domain.as_bytes(), draws.clone())
            })
            .collect();
        Self {
            draws,
            entrusted: BTreeMap::new(),
            began: BTreeMap::new(),
            sessions: BTreeMap::new(),
            seals: Seals::default(),
            truth: Truth::new(workload),
            violations: Vec::new(),
        }
    }

    pub(crate) fn take_violations(&mut self) -> Vec<Violation> {
        let mut all = core::mem::take(&mut self.violations);
        all.append(&mut self.seals.take_violations());
        all
    }

    /// The program has answered `request` with `reply`.
    pub(crate) fn on_call(&mut self, now: Duration, request: &[u8], reply: &[u8]) {
        self.truth.now = now;
        let call = cbr::Call::decode(request).ok().and_then(|call| call.call);
        let reply = cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply);
        let (Some(call), Some(reply)) = (call, reply) else {
            return;
        };
        match (call, reply) {
            (_, reply::Reply::Opened(opened)) => self.on_opened(&opened),
            (call::Call::Control(sealed), reply::Reply::Outcome(outcome)) => {
                self.on_taken(MessageKind::Control, &sealed, &outcome);
            }
            (call::Call::Batch(sealed), reply::Reply::Outcome(outcome)) => {
                self.on_taken(MessageKind::Batch, &sealed, &outcome);
            }
            (call::Call::Suspend(suspend), reply::Reply::Outcome(outcome)) => {
                self.on_told(
                    &suspend.domain,
                    suspend.session,
                    &suspend.consumer,
                    &outcome,
                );
            }
            (call::Call::Resume(resume), reply::Reply::Outcome(outcome)) => {
                self.on_told(&resume.domain, resume.session, &resume.consumer, &outcome);
            }
            _ => {}
        }
    }

    fn complain(&mut self, what: impl Into<String>) {
        self.violations
            .push(Violation::Program { what: what.into() });
    }

    /// A session number opens once.
    fn on_opened(&mut self, opened: &cbr::Opened) {
        let id = (array(&opened.domain), opened.session);
        let time_ms = self.entrusted.get(&id.0).copied().unwrap_or_default();
        self.began.insert(id, time_ms);
        if !self.truth.opened.insert(id) {
            self.violations.push(Violation::SessionReused {
                session: opened.session,
            });
        }
    }

    /// The session, whose key is found when its first message is here.
    fn session(&mut self, kind: MessageKind, sealed: &cbr::Sealed) -> Option<&mut Session> {
        let id = (array(&sealed.domain), sealed.session);
        if !self.sessions.contains_key(&id) {
            let scope = scope_of(sealed);
            let opens = |key: &DomainKey| {
                let cipher = match kind {
                    MessageKind::Control => control_cipher(key, &scope, false),
                    _ => PublisherKeys::new(&key.publisher_secret(&scope), false).batch,
                };
                let mut bytes = sealed.ciphertext.to_vec();
                cipher
                    .open(&scope, kind, sealed.counter, &mut bytes)
                    .is_ok()
            };
            let key = self.draws.get(&id.0)?.find(opens)?;
            let time_ms = self.began.get(&id).copied().unwrap_or_default();
            let model = Model::new(scope.party, time_ms);
            let session = Session {
                key,
                scope,
                model,
                judged: false,
            };
            self.sessions.insert(id, session);
        }
        self.sessions.get_mut(&id)
    }

    /// Reads a message that was taken, and holds its receipt and notices against the model.
    fn on_taken(&mut self, kind: MessageKind, sealed: &cbr::Sealed, outcome: &cbr::Outcome) {
        self.seals.note(Seal::of(sealed, kind), &sealed.ciphertext);
        self.seals
            .note(Seal::of(sealed, MessageKind::Receipt), &outcome.receipt);
        let Some(mut session) = self.session(kind, sealed).map(core::mem::take) else {
            return self.complain("a message was taken that no owner's key opens");
        };
        let read = self.read(&mut session, kind, sealed, outcome);
        let id = (array(&sealed.domain), sealed.session);
        self.sessions.insert(id, session);
        if read.is_none() {
            self.complain(format!(
                "message {} was taken and does not open",
                sealed.counter
            ));
        }
    }

    fn read(
        &mut self,
        session: &mut Session,
        kind: MessageKind,
        sealed: &cbr::Sealed,
        outcome: &cbr::Outcome,
    ) -> Option<()> {
        let scope = scope_of(sealed);
        let keys = PublisherKeys::new(&session.key.publisher_secret(&scope), false);
        let cipher = match kind {
            MessageKind::Control => &session.control(),
            _ => &keys.batch,
        };
        let mut bytes = sealed.ciphertext.to_vec();
        let plaintext = cipher.open(&scope, kind, sealed.counter, &mut bytes).ok()?;
        let mut receipt = outcome.receipt.to_vec();
        let receipt = keys
            .receipt
            .open(&scope, MessageKind::Receipt, sealed.counter, &mut receipt)
            .ok()?;
        let receipt = Receipt::decode(receipt).ok()?;
        let expected = match kind {
            MessageKind::Control => {
                let control = Control::decode(plaintext).ok()?;
                session.model.on_control(&control, receipt.status)
            }
            _ => session
                .model
                .on_batch(&scope, sealed.counter, plaintext, &mut self.truth)?,
        };
        if let Some((matched, deliveries)) = expected.counts
            && (receipt.matched, receipt.deliveries) != (matched, deliveries)
        {
            self.complain(format!(
                "receipt {} counts {} matched and {} deliveries instead of {matched} and {deliveries}",
                sealed.counter, receipt.matched, receipt.deliveries
            ));
        }
        self.compare(session, expected.notices, &outcome.notices);
        Some(())
    }

    fn on_told(&mut self, domain: &[u8], number: u64, consumer: &[u8], outcome: &cbr::Outcome) {
        let id = (array(domain), number);
        let Some(mut session) = self.sessions.get_mut(&id).map(core::mem::take) else {
            return;
        };
        let consumer = VerifyingKey::from_bytes(array(consumer));
        let expected = session.model.on_suspension(&consumer);
        self.compare(&mut session, expected.notices, &outcome.notices);
        self.sessions.insert(id, session);
    }

    /// Opens the notices made and compares them with those expected, in the order of each consumer.
    fn compare(
        &mut self,
        session: &mut Session,
        mut expected: BTreeMap<VerifyingKey, Vec<model::Expected>>,
        made: &[cbr::Notice],
    ) {
        for notice in made {
            let scope = Scope {
                party: VerifyingKey::from_bytes(array(&notice.consumer)),
                start: 0,
                ..session.scope
            };
            let seal = Seal::notice(&scope, notice.counter);
            self.seals.note(seal, &notice.ciphertext);
            let next = expected
                .get_mut(&scope.party)
                .filter(|left| !left.is_empty())
                .map(|left| left.remove(0));
            let opened = session.model.open(&scope, notice);
            match (next, opened) {
                (Some(mut next), Some(opened)) if session.model.accepts(&next, &opened) => {
                    next.kind = opened.kind;
                    self.truth.made(&scope, notice.counter, next);
                }
                (next, opened) => self.complain(format!(
                    "a notice of {} says {opened:?} instead of {next:?}",
                    self.truth.name(&scope.party)
                )),
            }
        }
        self.judge_floor(session);
        for (key, left) in expected {
            if !left.is_empty() {
                self.complain(format!(
                    "{} got no notice of {left:?}",
                    self.truth.name(&key)
                ));
            }
        }
    }

    /// The subscriptions that the program holds of a consumer in a session.
    pub(crate) fn held(
        &self,
        domain: &[u8; 32],
        session: u64,
        consumer: &VerifyingKey,
    ) -> Vec<u64> {
        let session = self.sessions.get(&(*domain, session));
        session.map_or_else(Vec::new, |session| session.model.held(consumer))
    }

    /// An owner hands over its keys, at this time of its day.
    pub(crate) fn on_entrusting(&mut self, domain: [u8; 32], wall_ms: u64) {
        self.entrusted.insert(domain, wall_ms);
    }

    /// What an owner calls settled before a session must have been taken in an earlier one.
    fn judge_floor(&mut self, session: &mut Session) {
        let Some(floor) = session.model.floor().filter(|_| !session.judged) else {
            return;
        };
        session.judged = true;
        if !self.truth.holds_all_up_to(&session.scope.party, floor) {
            self.violations.push(Violation::Floor {
                start: floor.start,
                number: floor.number,
            });
        }
    }

    /// The session, for a bug that is planted behind the program.
    pub(crate) fn session_of(&self, domain: &[u8], session: u64) -> Option<&Session> {
        self.sessions.get(&(array(domain), session))
    }
}

impl Default for Session {
    /// What stands in for a session that is being read.
    fn default() -> Self {
        let nobody = VerifyingKey::from_bytes([0; 32]);
        Self {
            key: DomainKey::new(Secret::from_bytes([0; 32])),
            scope: Scope {
                domain: sc_crypto::DomainId::from_bytes([0; 32]),
                session: 0,
                party: nobody,
                start: 0,
            },
            model: Model::new(nobody, 0),
            judged: false,
        }
    }
}

pub(crate) fn scope_of(sealed: &cbr::Sealed) -> Scope {
    Scope {
        domain: sc_crypto::DomainId::from_bytes(array(&sealed.domain)),
        session: sealed.session,
        party: VerifyingKey::from_bytes(array(&sealed.publisher)),
        start: sealed.start,
    }
}

/// 32 bytes; zeros for anything else, which names nobody.
pub(crate) fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}
