//! Further publishers: who asks, who may, what the program and they are told.
//!
//! Invariant: a start number is in the journal before the program or the grantee hears of it; its secret leaves only after the program has
//! registered it, sealed to the one who asked.

use std::mem;

use sc_cbr::{ControlBody, Origin, Status};
use sc_crypto::{OwnerPublic, VerifyingKey};

use super::controls::{Queued, RefusedAsk};
use super::roll::Record;
use super::{GrantList, Publisher, PublisherEvent, State};
use crate::answer::{Refusal, Verdict};
use crate::ask::{Ask, Operation};
use crate::link::Clock;

/// What one was granted.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) public: OwnerPublic,
    pub(super) identity: VerifyingKey,
    pub(super) request: [u8; 32],
    pub(super) start: u64,
    pub(super) floor: Origin,
}

impl Grant {
    fn refused(&self, refusal: Refusal) -> Queued {
        Queued::Refused(Box::new(RefusedAsk {
            public: self.public.clone(),
            identity: self.identity,
            publisher: true,
            request: self.request,
            refusal,
        }))
    }
}

impl Publisher {
    /// Takes the request of one that wants to publish.
    pub(super) fn on_publish_ask(
        &mut self,
        clock: Clock,
        identity: VerifyingKey,
        ask: Ask,
        request: [u8; 32],
    ) {
        let Operation::Publish { floor } = ask.operation else {
            return self.report(PublisherEvent::UnreadableAsk);
        };
        let fingerprint = ask.consumer.fingerprint();
        let mut grant = Box::new(Grant {
            public: ask.consumer.clone(),
            identity,
            request,
            start: 0,
            floor,
        });
        let is_owner = identity == self.secret.signing_key().verifying_key();
        let judged = if is_owner {
            Err(Refusal::NotGranted)
        } else {
            let grants = &self.settings.grants;
            self.roll
                .judge_grant(&ask, &identity, grants, clock.wall_ms)
        };
        match judged {
            Ok(start) => {
                grant.start = start;
                self.roll.drop_ungranted(&self.settings.grants);
                self.record(Record::Granted {
                    ask: Box::new(ask),
                    start,
                });
                if let State::Open(session) = &mut self.state {
                    session.granted.insert(identity, grant.clone());
                }
                self.controls.push(Queued::Register(grant));
            }
            Err(refusal) => {
                // Whoever is not told asks again; strangers fill nothing.
                if !self.controls.is_crowded(0) {
                    self.controls.push(grant.refused(refusal));
                }
                self.report(PublisherEvent::RefusedPublisher {
                    fingerprint,
                    refusal,
                });
            }
        }
    }

    /// The program has registered a publisher, or could not: only now is it answered, so that its first batch finds it registered.
    pub(super) fn on_registered(&mut self, grant: Box<Grant>, status: Status) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        let is_current = session
            .granted
            .get(&grant.identity)
            .is_some_and(|current| current.start == grant.start);
        if !is_current {
            // Dismissed since, or asked again since: that was or will be answered.
            return;
        }
        if status == Status::Taken {
            self.report(PublisherEvent::Granted {
                fingerprint: grant.public.fingerprint(),
                start: grant.start,
            });
            return self.controls.push(Queued::Granted(grant));
        }
        session.granted.remove(&grant.identity);
        self.controls.push(grant.refused(Refusal::Full));
    }

    /// Answers one that was registered, with its secret; not if it was dismissed since.
    pub(super) fn answer_granted(&mut self, grant: &Grant) {
        let State::Open(session) = &self.state else {
            return;
        };
        let is_current = session
            .granted
            .get(&grant.identity)
            .is_some_and(|current| current.start == grant.start);
        if is_current {
            let verdict = Verdict::Granted {
                start: grant.start,
                secret: session.publisher_secret(grant.identity, grant.start),
            };
            self.answer(&grant.public, &grant.identity, true, grant.request, verdict);
        }
    }

    /// Takes a changed list: whom it no longer names may publish no more, and is told so.
    pub fn set_grants(&mut self, grants: GrantList) {
        self.settings.grants = grants;
        let State::Open(session) = &mut self.state else {
            return;
        };
        let (granted, dismissed) = mem::take(&mut session.granted)
            .into_iter()
            .partition(|(_, grant)| self.settings.grants.names(&grant.public));
        session.granted = granted;
        let dismissed: std::collections::BTreeMap<VerifyingKey, Box<Grant>> = dismissed;
        for (publisher, grant) in dismissed {
            self.queue(ControlBody::Dismiss { publisher });
            self.controls.push(grant.refused(Refusal::NotGranted));
            self.report(PublisherEvent::Dismissed {
                fingerprint: grant.public.fingerprint(),
            });
        }
    }
}
