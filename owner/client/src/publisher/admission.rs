//! Consumers: their requests, the answers, what the program is told of them.

use bytes::Bytes;
use sc_cbr::ControlBody;
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerPublic, VerifyingKey};
use sc_matching::Subscription;
use sc_proto::routing::{self, from_publisher};

use super::roll::Record;
use super::{Admission, Publisher, PublisherEvent, Queued, State};
use crate::answer::{Answer, Refusal, Verdict};
use crate::ask::{Ask, Operation, portions};
use crate::link::Clock;

impl Publisher {
    /// Seals the live subscriptions into a session just opened, and tells their consumers.
    pub(super) fn admit_live_members(&mut self, clock: Clock) {
        let live: Vec<_> = self
            .roll
            .members()
            .filter(|(_, member)| member.is_live(clock.wall_ms))
            .map(|(identity, _)| *identity)
            .collect();
        for identity in live {
            self.controls.push_back(Queued::Answer(identity));
            // Whether it is still there, nobody knows before it has renewed or asked again.
            self.readmit(clock, &identity, false);
        }
    }

    /// Tells the program all subscriptions of a consumer, if they are live, in place of those that it holds. They are sent one after the
    /// other, before any batch: no publication meets a part of them.
    pub(super) fn readmit(&mut self, clock: Clock, identity: &VerifyingKey, is_here: bool) {
        let Some(member) = self.roll.member(identity) else {
            return;
        };
        if !member.is_live(clock.wall_ms) {
            return;
        }
        let all: Vec<_> = member
            .subscriptions
            .iter()
            .map(|(id, subscription)| (*id, subscription.clone()))
            .collect();
        let completes = is_here && member.whole;
        let mut left = all.len();
        for (part, portion) in portions(&all).into_iter().enumerate() {
            left -= portion.len();
            self.queue_admission(
                identity,
                part == 0,
                portion.to_vec(),
                completes && left == 0,
            );
        }
    }

    pub(super) fn on_ask(&mut self, clock: Clock, frame: &routing::Ask, sealed: &[u8]) {
        let opened = Ask::open(sealed, &self.secret, self.settings.plain)
            .and_then(|ask| Ok((ask.identity()?, ask)));
        let Ok((identity, ask)) = opened else {
            return self.report(PublisherEvent::UnreadableAsk);
        };
        // The notices will go to the link that proved this key; a request carried by another link is somebody's replay.
        if frame.consumer[..] != identity.as_bytes()[..] || !self.is_open() {
            return self.report(PublisherEvent::UnreadableAsk);
        }
        let request = sha256(sealed);
        let fingerprint = ask.consumer.fingerprint();
        match self.roll.judge(
            &ask,
            &identity,
            &self.settings.admission,
            self.settings.quota,
        ) {
            Err(refusal) => {
                if refusal != Refusal::Sequence && self.roll.member(&identity).is_some() {
                    self.record(Record::Taken {
                        ask: Box::new(ask.clone()),
                        request,
                        lease_until_ms: None,
                    });
                }
                self.answer(&ask.consumer, &identity, request, Verdict::Refused(refusal));
                self.report(PublisherEvent::RefusedConsumer {
                    fingerprint,
                    refusal,
                });
            }
            Ok(()) => {
                let was_whole = self
                    .roll
                    .member(&identity)
                    .is_none_or(|member| member.whole);
                let lease_ms = u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX);
                let lease_until_ms = Some(clock.wall_ms.saturating_add(lease_ms));
                self.record(Record::Taken {
                    ask: Box::new(ask.clone()),
                    request,
                    lease_until_ms,
                });
                self.carry_out(clock, identity, ask.operation, was_whole);
                let subscriptions = self
                    .roll
                    .member(&identity)
                    .map_or(0, |member| member.subscriptions.len());
                self.report(PublisherEvent::Admitted {
                    fingerprint,
                    subscriptions,
                });
            }
        }
    }

    /// Answers first, so that the consumer has its key before the first notice; then tells the program. What comes in several requests
    /// goes to the program when all of it is here: until then that holds what it held before.
    pub(super) fn carry_out(
        &mut self,
        clock: Clock,
        identity: VerifyingKey,
        operation: Operation,
        was_whole: bool,
    ) {
        self.answer_admitted(clock, &identity);
        match operation {
            Operation::Subscribe { remaining: 1.., .. } => {}
            Operation::Subscribe { replace: false, .. } if !was_whole => {
                self.readmit(clock, &identity, true);
            }
            Operation::Subscribe {
                replace,
                subscriptions,
                ..
            } => self.queue_admission(&identity, replace, subscriptions, true),
            Operation::Unsubscribe { ids } if ids.is_empty() => {
                self.queue_admission(&identity, true, Vec::new(), false)
            }
            Operation::Unsubscribe { ids } => {
                self.queue(ControlBody::Withdraw {
                    consumer: identity,
                    ids,
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
        self.controls.push_back(Queued::Control {
            body,
            completes: completes.then_some(consumer),
        });
    }

    pub(super) fn queue_admission(
        &mut self,
        identity: &VerifyingKey,
        replace: bool,
        subscriptions: Vec<(u64, Subscription)>,
        completes: bool,
    ) {
        let lease_until_ms = self
            .roll
            .member(identity)
            .map_or(0, |member| member.lease_until_ms);
        let State::Open(session) = &mut self.state else {
            return;
        };
        let delivery_key = session.delivery_key(identity, &mut *self.entropy);
        let body = ControlBody::Admit {
            consumer: *identity,
            delivery_key,
            lease_until_ms,
            slow: self.settings.slow,
            retention_ms: 0,
            replace,
            subscriptions,
        };
        self.controls.push_back(Queued::Control {
            body,
            completes: completes.then_some(*identity),
        });
    }

    pub(super) fn answer_admitted(&mut self, clock: Clock, identity: &VerifyingKey) {
        let Some(member) = self.roll.member(identity) else {
            return;
        };
        let (public, request, lease_until_ms) =
            (member.public.clone(), member.request, member.lease_until_ms);
        let State::Open(session) = &mut self.state else {
            return;
        };
        let verdict = Verdict::Admitted {
            delivery_key: session.delivery_key(identity, &mut *self.entropy),
            lease_until_ms,
            lease_ms: lease_until_ms.saturating_sub(clock.wall_ms),
            slow: self.settings.slow,
            retention_ms: 0,
            heartbeat_ms: u64::try_from(self.settings.tick.as_millis()).unwrap_or(u64::MAX),
        };
        self.answer(&public, identity, request, verdict);
    }

    pub(super) fn answer(
        &mut self,
        public: &OwnerPublic,
        identity: &VerifyingKey,
        request: [u8; 32],
        verdict: Verdict,
    ) {
        let State::Open(session) = &self.state else {
            return;
        };
        let answer = Answer {
            request,
            session: session.scope.session,
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
            publisher: false,
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
        if let State::Open(session) = &self.state
            && session.delivery_keys.contains_key(&identity)
        {
            self.queue(ControlBody::Revoke { consumer: identity });
        }
    }
}
