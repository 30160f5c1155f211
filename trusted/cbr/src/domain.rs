//! One domain in one session: its publishers' sequences, its consumers and their subscriptions, what each message does to them.
//!
//! Invariants: time is moved by the owner's messages alone; a consumer that is suspended gets no notice of a batch, and none of what
//! matches it goes uncounted.

mod control;

use std::sync::Arc;

use bytes::Bytes;
use sc_crypto::{DomainId, PayloadKey, Plaintext, VerifyingKey};
use sc_proto::cbr;

use crate::Malformed;
use crate::batch::{Batch, Origin};
use crate::consumers::{Consumers, Missed, Place};
use crate::drafts::{Drafts, NOTICES_BYTES_MAX};
use crate::keys::{MessageKind, Scope};
use crate::notice::{COVERAGE_BYTES, HEAD_BYTES, NoticeKind, NoticeWriter};
use crate::portions::{Task, match_batch};
use crate::publishers::{Publishers, Source};
use crate::receipt::{Receipt, Status};
use crate::recipients::Recipients;
use crate::secrets::DomainSecrets;
use crate::workers::{Processors, Workers};

pub use control::{CONSUMERS_MAX, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_PER_CONSUMER_MAX};

/// Why a call was not carried out. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Another session, a publisher that is not registered, or another start of it.
    Session,
    /// Seen already, or one before it is missing: this is the next.
    Counter { expected: u64 },
    /// It does not open.
    NotAuthentic,
    /// No such consumer, or it is suspended already, or not suspended.
    Consumer,
}

pub(crate) struct Domain {
    publishers: Publishers,
    time_ms: u64,
    plain: bool,
    consumers: Consumers,
    recipients: Recipients,
    workers: Arc<dyn Workers>,
    /// Of the registered publishers, the first that the next heartbeats list when they have no room for all.
    turn: usize,
    drafts: Drafts,
}

/// What taking a message produced.
#[derive(Default)]
struct Effect {
    status: Option<Status>,
    matched: u32,
    deliveries: u64,
    notices: Vec<cbr::Notice>,
    admitted: Option<cbr::Admitted>,
    registered: Option<cbr::Registered>,
}

impl Effect {
    fn refused(status: Status) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }
}

impl Domain {
    /// A domain just provisioned; `seed` keys the index's hashing.
    pub(crate) fn new(
        id: DomainId,
        owner: VerifyingKey,
        secrets: DomainSecrets,
        seed: u64,
        processors: Processors,
    ) -> Self {
        let scope = Scope {
            domain: id,
            session: secrets.session,
            party: owner,
            start: secrets.start,
        };
        Self {
            publishers: Publishers::new(secrets.key, scope, secrets.floor, secrets.plain),
            time_ms: secrets.time_ms,
            plain: secrets.plain,
            consumers: Consumers::default(),
            recipients: Recipients::new(seed, &processors),
            workers: processors.workers,
            turn: 0,
            drafts: Drafts::default(),
        }
    }

    /// Takes the next message of a publisher and makes its receipt and notices.
    pub(crate) fn take(
        &mut self,
        kind: MessageKind,
        message: &cbr::Sealed,
    ) -> Result<cbr::Outcome, NotTaken> {
        let source = self.publishers.source(kind, message)?;
        let mut opened = Plaintext::new(message.ciphertext.to_vec());
        let length = self.publishers.open(source, kind, &mut opened)?.len();
        // The plaintext stands where the ciphertext began; its tag follows it.
        opened.truncate(length);

        let effect = match kind {
            MessageKind::Control => self.apply(&opened),
            _ => self.publish(source, message.counter, opened),
        }
        .unwrap_or_else(|_| Effect::refused(Status::Malformed));
        Ok(self.outcome(source, message.counter, effect))
    }

    fn outcome(&self, source: Source, counter: u64, effect: Effect) -> cbr::Outcome {
        let receipt = Receipt {
            counter,
            status: effect.status.unwrap_or(Status::Taken),
            matched: effect.matched,
            deliveries: effect.deliveries,
        };
        let mut sealed = Vec::new();
        self.publishers.keys(source).receipt.seal(
            self.publishers.scope(source),
            MessageKind::Receipt,
            counter,
            &receipt.encode(),
            &mut sealed,
        );
        cbr::Outcome {
            receipt: sealed.into(),
            notices: effect.notices,
            admitted: effect.admitted,
            registered: effect.registered,
        }
    }

    /// Makes no more notices of batches for a consumer, nor heartbeats, and tells it so.
    pub(crate) fn suspend(
        &mut self,
        session: u64,
        consumer: &VerifyingKey,
    ) -> Result<cbr::Outcome, NotTaken> {
        let place = self.served(session, consumer)?;
        let suspended = &mut self.consumers.get_mut(place).suspended;
        if suspended.is_some() {
            return Err(NotTaken::Consumer);
        }
        *suspended = Some(Missed::default());
        Ok(self.told(place, &NoticeKind::Suspended))
    }

    /// Makes notices for a suspended consumer again, and tells it what it has missed.
    pub(crate) fn resume(
        &mut self,
        session: u64,
        consumer: &VerifyingKey,
    ) -> Result<cbr::Outcome, NotTaken> {
        let place = self.served(session, consumer)?;
        let missed = self.consumers.get_mut(place).suspended.take();
        let kind = missed_notice(missed.ok_or(NotTaken::Consumer)?);
        Ok(self.told(place, &kind))
    }

    fn served(&self, session: u64, consumer: &VerifyingKey) -> Result<Place, NotTaken> {
        if session != self.publishers.owner_scope().session {
            return Err(NotTaken::Session);
        }
        self.consumers.find(consumer).ok_or(NotTaken::Consumer)
    }

    fn told(&mut self, place: Place, kind: &NoticeKind) -> cbr::Outcome {
        let mut effect = Effect::default();
        self.tell(place, kind, &mut effect);
        cbr::Outcome {
            notices: effect.notices,
            ..cbr::Outcome::default()
        }
    }

    /// Moves the domain's time forward, never back, and drops what has expired by then.
    fn advance_time(&mut self, time_ms: u64, effect: &mut Effect) {
        if time_ms <= self.time_ms {
            return;
        }
        self.time_ms = time_ms;
        while let Some(place) = self.consumers.pop_expired(time_ms) {
            self.drop_subscriptions(place, &NoticeKind::Expired, effect);
        }
    }

    fn drop_subscriptions(&mut self, place: Place, kind: &NoticeKind, effect: &mut Effect) {
        self.consumers.unsubscribe_all(&mut self.recipients, place);
        self.tell(place, kind, effect);
    }

    /// Gives a heartbeat to each consumer that has subscriptions and is not suspended.
    fn tick(&mut self, effect: &mut Effect) {
        let Self { consumers, .. } = self;
        let listening: Vec<Place> = consumers
            .places()
            .filter(|place| consumers.get(*place).is_listening())
            .collect();
        let kind = self.heartbeat(listening.len());
        for place in listening {
            self.tell(place, &kind, effect);
        }
    }

    /// The heartbeat of this tick. Where `count` of them would have no room for the coverage of all publishers they list the owner and
    /// some, and the next heartbeats the next ones.
    fn heartbeat(&mut self, count: usize) -> NoticeKind {
        let each = NOTICES_BYTES_MAX / count.max(1);
        let listed = each.saturating_sub(HEAD_BYTES) / COVERAGE_BYTES;
        let others = listed.saturating_sub(1).max(1);
        let publishers = self.publishers.coverage(self.turn, others);
        self.turn = if others < self.publishers.registered() {
            (self.turn + others) % self.publishers.registered()
        } else {
            0
        };
        NoticeKind::Heartbeat { publishers }
    }

    /// Matches a batch's headers, and seals a notice for each consumer that one of them matched.
    fn publish(
        &mut self,
        source: Source,
        counter: u64,
        plaintext: Plaintext,
    ) -> Result<Effect, Malformed> {
        let Batch {
            time_ms, origin, ..
        } = Batch::decode(&plaintext, self.plain)?;
        let mut effect = Effect::default();
        if source == Source::OWNER {
            self.advance_time(time_ms, &mut effect);
        }
        match self.collect(source, counter, plaintext) {
            Ok(matched) => {
                effect.matched = self.drafts.entered(matched);
                self.publishers.took(source, origin);
                self.seal_drafts(source, counter, origin, &mut effect);
            }
            // Nobody gets anything of a batch that is refused, and nothing of it stays behind for the next. The notices of leases that
            // its time ended have their counters already: they go out.
            Err(Malformed(_)) => {
                self.drafts.finish(&mut self.consumers);
                effect.status = Some(Status::Malformed);
            }
        }
        self.drafts.clear();
        Ok(effect)
    }

    /// Has every header of a batch matched and enters it for its recipients, in order; returns how many publications matched.
    fn collect(
        &mut self,
        source: Source,
        counter: u64,
        plaintext: Plaintext,
    ) -> Result<u32, Malformed> {
        let task = Task {
            plaintext,
            plain: self.plain,
            view: self.recipients.view(),
            keys: Arc::clone(self.publishers.keys(source)),
            counter,
        };
        let Self {
            consumers, drafts, ..
        } = self;
        let mut with_matches = 0;
        match_batch(&*self.workers, task, |batch, portion| {
            for (matched, recipients) in portion.matched() {
                with_matches += 1;
                let number = matched.number;
                let key = matched.key.as_ref().map(PayloadKey::expose);
                let key_and_hash = key.zip(batch.payload_hash(number));
                drafts.note(consumers, number, recipients, key_and_hash);
            }
        })?;
        Ok(with_matches)
    }

    /// Seals what was collected of a batch: its entries for each consumer, or how much it missed.
    fn seal_drafts(&mut self, source: Source, counter: u64, origin: Origin, effect: &mut Effect) {
        let Scope { party, start, .. } = *self.publishers.scope(source);
        let matches = NoticeKind::Matches {
            publisher: party,
            start,
            counter,
            origin,
        };
        let mut drafts = core::mem::take(&mut self.drafts);
        for draft in drafts.finish(&mut self.consumers) {
            let place = draft.consumer;
            let suspended = &mut self.consumers.get_mut(place).suspended;
            match (draft.missed(), suspended) {
                (Some(missed), Some(before)) => before.add(missed),
                (Some(missed), None) => self.tell(place, &missed_notice(missed), effect),
                (None, _) => {
                    effect.deliveries += draft.writer.deliveries();
                    self.seal_notice(place, &matches, &mut draft.writer, effect);
                }
            }
        }
        self.drafts = drafts;
    }

    /// Seals a notice without entries.
    fn tell(&mut self, place: Place, kind: &NoticeKind, effect: &mut Effect) {
        self.seal_notice(place, kind, &mut NoticeWriter::default(), effect);
    }

    fn seal_notice(
        &mut self,
        place: Place,
        kind: &NoticeKind,
        entries: &mut NoticeWriter,
        effect: &mut Effect,
    ) {
        let payloads = entries.take_payloads();
        let mut plaintext = Plaintext::default();
        entries.finish(kind, self.time_ms, self.plain, &mut plaintext);
        let consumer = self.consumers.get_mut(place);
        let (counter, ciphertext) = consumer.seal_notice(&plaintext);
        effect.notices.push(cbr::Notice {
            consumer: Bytes::copy_from_slice(consumer.scope.party.as_bytes()),
            counter,
            ciphertext: ciphertext.into(),
            payloads,
        });
    }
}

fn missed_notice(missed: Missed) -> NoticeKind {
    NoticeKind::Missed {
        batches: missed.batches,
        publications: missed.publications,
    }
}

#[cfg(test)]
mod tests;
