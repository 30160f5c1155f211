//! Consumers: their requests, the answers, what the program is told of them.

use bytes::Bytes;
use sc_cbr::ControlBody;
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerPublic, VerifyingKey};
use sc_matching::Subscription;
use sc_proto::routing::{self, from_publisher};

use super::controls::{Queued, RefusedAsk};
use super::roll::Record;
use super::settings::millis;
use super::{Admission, Publisher, PublisherEvent, State};
use crate::answer::{Answer, Refusal, Verdict};
use crate::ask::{Ask, Operation};
use crate::link::{Clock, Credit};

impl Publisher {
    /// Seals the live subscriptions into a session just opened, and tells their consumers.
    pub(super) fn admit_live_members(&mut self, clock: Clock) {
        let live: Vec<_> = self
            .roll
            .members()
            .filter(|(_, member)| member.is_live(clock.wall_ms))
            .map(|(identity, member)| (*identity, member.request))
            .collect();
        for (identity, request) in live {
            self.controls.push(Queued::Admitted {
                consumer: identity,
                request,
            });
            // Whether it is still there, nobody knows before it has renewed or asked again.
            self.readmit(clock, &identity, false);
        }
    }

    /// Tells the program all subscriptions of a consumer, if its lease runs, in place of those that it holds. They are sent one after the
    /// other, before any batch: no publication meets a part of them.
    pub(super) fn readmit(&mut self, clock: Clock, identity: &VerifyingKey, is_here: bool) {
        if self.roll.is_admitted(identity, clock.wall_ms) {
            self.controls.push(Queued::Readmit {
                consumer: *identity,
                is_here,
                after: None,
            });
        }
    }

    /// Sends the next portion of a consumer's subscriptions; gives back what is left to do.
    pub(super) fn send_readmission(
        &mut self,
        clock: Clock,
        left: &mut Credit,
        consumer: VerifyingKey,
        is_here: bool,
        after: Option<u64>,
    ) -> Option<Queued> {
        let member = self
            .roll
            .member(&consumer)
            .filter(|_| self.roll.is_admitted(&consumer, clock.wall_ms))?;
        let (portion, has_more) = member.portion_after(after);
        let last = portion.last().map(|(id, _)| *id);
        let completes = is_here && member.whole && !has_more;
        let body = self.admission(&consumer, after.is_none(), portion)?;
        let queued = |after| Queued::Readmit {
            consumer,
            is_here,
            after,
        };
        let Some(Queued::Control { .. }) =
            self.send_message(clock, left, body, completes.then_some(consumer), 0)
        else {
            if has_more {
                self.controls.put_back(queued(last));
            }
            return None;
        };
        Some(queued(after))
    }

    pub(super) fn on_ask(&mut self, clock: Clock, frame: &routing::Ask, sealed: &[u8]) {
        let opened = Ask::open(sealed, &self.secret, self.settings.plain)
            .and_then(|ask| Ok((ask.identity()?, ask)));
        let Ok((identity, ask)) = opened else {
            return self.report(PublisherEvent::UnreadableAsk);
        };
        // What comes of it will go to the link that proved this key; a request carried by another link is somebody's replay.
        if frame.consumer[..] != identity.as_bytes()[..] || !self.is_open() {
            return self.report(PublisherEvent::UnreadableAsk);
        }
        let request = sha256(sealed);
        match (frame.publisher, &ask.operation) {
            (true, Operation::Publish { .. }) => {
                self.on_publish_ask(clock, identity, ask, request);
            }
            (true, _) | (false, Operation::Publish { .. }) => {
                self.report(PublisherEvent::UnreadableAsk);
            }
            (false, _) => self.on_consumer_ask(clock, identity, ask, request, sealed.len()),
        }
    }

    fn on_consumer_ask(
        &mut self,
        clock: Clock,
        identity: VerifyingKey,
        ask: Ask,
        request: [u8; 32],
        bytes: usize,
    ) {
        let fingerprint = ask.consumer.fingerprint();
        if let Err(refusal) = self.judge(clock, &ask, &identity) {
            if refusal != Refusal::Sequence && self.roll.member(&identity).is_some() {
                self.record(Record::Taken {
                    ask: Box::new(ask.clone()),
                    request,
                    lease_until_ms: None,
                });
            }
            self.refuse(ask.consumer, identity, request, refusal);
            return self.report(PublisherEvent::RefusedConsumer {
                fingerprint,
                refusal,
            });
        }
        let has_lapsed = self.roll.has_lapsed(&identity, clock.wall_ms);
        let was_whole = self
            .roll
            .member(&identity)
            .is_none_or(|member| member.whole);
        let lease_until_ms = clock.wall_ms.saturating_add(millis(self.settings.lease));
        self.record(Record::Taken {
            ask: Box::new(ask.clone()),
            request,
            lease_until_ms: Some(lease_until_ms),
        });
        if has_lapsed {
            self.record(Record::Lapsed(identity));
        }
        self.controls.push(Queued::Admitted {
            consumer: identity,
            request,
        });
        self.carry_out(clock, identity, ask.operation, was_whole, bytes);
        let subscriptions = self
            .roll
            .member(&identity)
            .map_or(0, |member| member.subscriptions.len());
        self.report(PublisherEvent::Admitted {
            fingerprint,
            subscriptions,
        });
    }

    /// Judges a consumer's request; a full roll forgets first whose lease ended long ago.
    fn judge(&mut self, clock: Clock, ask: &Ask, identity: &VerifyingKey) -> Result<(), Refusal> {
        let (admission, quota) = (&self.settings.admission, self.settings.quota);
        let first = self.roll.judge(ask, identity, admission, quota);
        if first != Err(Refusal::Full) {
            return first;
        }
        for record in self.roll.forgettable(clock.wall_ms) {
            self.record(record);
        }
        let (admission, quota) = (&self.settings.admission, self.settings.quota);
        self.roll.judge(ask, identity, admission, quota)
    }

    /// Strangers are told as long as there is room; whoever is not told asks again.
    fn refuse(
        &mut self,
        public: OwnerPublic,
        identity: VerifyingKey,
        request: [u8; 32],
        refusal: Refusal,
    ) {
        if !self.controls.is_crowded(0) {
            self.controls.push(Queued::Refused(Box::new(RefusedAsk {
                public,
                identity,
                publisher: false,
                request,
                refusal,
            })));
        }
    }

    /// Tells the program, behind the answer, so that the consumer has its key before the first notice. What comes in several requests goes
    /// to the program when all of it is here: until then that holds what it held before.
    fn carry_out(
        &mut self,
        clock: Clock,
        identity: VerifyingKey,
        operation: Operation,
        was_whole: bool,
        bytes: usize,
    ) {
        let is_large = !matches!(operation, Operation::Renew);
        if is_large && self.controls.is_crowded(bytes) {
            // The roll has all of it.
            return self.readmit(clock, &identity, true);
        }
        match operation {
            Operation::Subscribe { remaining: 1.., .. } => {}
            Operation::Subscribe { replace: false, .. } if !was_whole => {
                self.readmit(clock, &identity, true);
            }
            Operation::Subscribe {
                replace,
                subscriptions,
                ..
            } => self.queue_admission(&identity, replace, subscriptions, true, bytes),
            Operation::Unsubscribe { ids } if ids.is_empty() => {
                self.queue_admission(&identity, true, Vec::new(), false, bytes);
            }
            Operation::Unsubscribe { ids } => {
                self.controls.push(Queued::Control {
                    body: ControlBody::Withdraw {
                        consumer: identity,
                        ids,
                    },
                    completes: None,
                    bytes,
                });
                // The answer has promised what every answer promises: a whole lease.
                self.queue_renewal(identity);
            }
            Operation::Renew => self.queue_renewal(identity),
            Operation::Publish { .. } => {}
        }
    }

    fn queue_renewal(&mut self, consumer: VerifyingKey) {
        let member = self.roll.member(&consumer);
        let lease_until_ms = member.map_or(0, |member| member.lease_until_ms);
        let completes =
            member.is_some_and(|member| member.whole && !member.subscriptions.is_empty());
        let body = ControlBody::Renew {
            consumer,
            lease_until_ms,
        };
        self.controls.push(Queued::Control {
            body,
            completes: completes.then_some(consumer),
            bytes: 0,
        });
    }

    fn queue_admission(
        &mut self,
        identity: &VerifyingKey,
        replace: bool,
        subscriptions: Vec<(u64, Subscription)>,
        completes: bool,
        bytes: usize,
    ) {
        if let Some(body) = self.admission(identity, replace, subscriptions) {
            self.controls.push(Queued::Control {
                body,
                completes: completes.then_some(*identity),
                bytes,
            });
        }
    }

    /// What the program is told of an admitted consumer; nothing without a session.
    fn admission(
        &mut self,
        identity: &VerifyingKey,
        replace: bool,
        subscriptions: Vec<(u64, Subscription)>,
    ) -> Option<ControlBody> {
        let (lease_until_ms, asked_ms) = self
            .roll
            .member(identity)
            .map(|member| (member.lease_until_ms, member.retention_ms))?;
        let State::Open(session) = &mut self.state else {
            return None;
        };
        let delivery_key = self.roots.delivery_key(session.number(), identity)?;
        session.introduced.insert(*identity);
        Some(ControlBody::Admit {
            consumer: *identity,
            delivery_key,
            lease_until_ms,
            slow: self.settings.slow,
            retention_ms: self.settings.retention_ms(asked_ms),
            replace,
            subscriptions,
        })
    }

    pub(super) fn answer_admitted(
        &mut self,
        clock: Clock,
        identity: &VerifyingKey,
        request: [u8; 32],
    ) {
        let Some(member) = self.roll.member(identity) else {
            return;
        };
        let public = member.public.clone();
        let (lease_until_ms, asked_ms) = (member.lease_until_ms, member.retention_ms);
        let lapsed = member.lapsed;
        let State::Open(session) = &self.state else {
            return;
        };
        let number = session.number();
        let Some(delivery_key) = self.roots.delivery_key(number, identity) else {
            return;
        };
        let verdict = Verdict::Admitted {
            delivery_key,
            lease_until_ms,
            lease_ms: lease_until_ms.saturating_sub(clock.wall_ms),
            slow: self.settings.slow,
            retention_ms: self.settings.retention_ms(asked_ms),
            heartbeat_ms: millis(self.settings.tick),
            lapsed,
            covered: self.outgoing.covered(),
            earlier: self.roots.earlier(number, identity),
        };
        self.answer(&public, identity, false, request, verdict);
    }

    pub(super) fn answer(
        &mut self,
        public: &OwnerPublic,
        identity: &VerifyingKey,
        publisher: bool,
        request: [u8; 32],
        verdict: Verdict,
    ) {
        let State::Open(session) = &self.state else {
            return;
        };
        let answer = Answer {
            request,
            session: session.number(),
            verdict,
        };
        let sealed = answer.seal(
            &self.secret,
            public,
            self.settings.plain,
            &mut *self.entropy,
        );
        let head = routing::Answer {
            domain: Bytes::copy_from_slice(self.domain().as_bytes()),
            consumer: Bytes::copy_from_slice(identity.as_bytes()),
            publisher,
        };
        self.send_control(from_publisher::Frame::Answer(head), [sealed.into()]);
    }

    /// Takes a changed list: admitted consumers that it no longer names are revoked at once, until a later list names them again.
    pub fn set_admission(&mut self, admission: Admission) {
        for identity in self.roll.no_longer_listed(&admission) {
            self.expel(identity, Record::Unlisted(identity));
        }
        self.settings.admission = admission;
    }

    /// Drops a consumer with all its subscriptions; it is refused from now on, also after a restart and whatever a list says.
    pub fn revoke(&mut self, identity: VerifyingKey) {
        self.expel(identity, Record::Revoked(identity));
    }

    fn expel(&mut self, identity: VerifyingKey, record: Record) {
        self.record(record);
        self.complete.remove(&identity);
        self.controls.completes_no_more(&identity);
        if let State::Open(session) = &mut self.state
            && session.introduced.contains(&identity)
        {
            session.completing.retain(|_, other| *other != identity);
            self.queue(ControlBody::Revoke { consumer: identity });
        }
    }
}
