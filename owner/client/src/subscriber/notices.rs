//! Notices and the payloads that come with them.
//!
//! Invariants: a notice is taken only as the next of its session, or after a gap that was reported; nothing is delivered whose hash and
//! key did not come from the trusted program.

use bytes::Bytes;
use sc_cbr::{MessageKind, Notice, NoticeKind, Origin, Scope};
use sc_crypto::hash::sha256;
use sc_crypto::{PayloadKey, Plaintext};
use sc_proto::routing;

use super::coverage::Standing;
use super::{Delivery, Ending, Subscriber, SubscriberEvent};
use crate::link::Clock;

impl Subscriber {
    pub(super) fn on_notice(
        &mut self,
        clock: Clock,
        head: &routing::Notice,
        sealed: &[u8],
        payloads: &Bytes,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) {
        let plain = self.settings.plain;
        let Some(session) = self.sessions.get_mut(head.session) else {
            return self.report(SubscriberEvent::NotTaken);
        };
        let expected = session.next_counter;
        if head.counter < expected || head.counter == u64::MAX {
            return self.report(SubscriberEvent::NotTaken);
        }
        let bytes = sealed.len() + payloads.len();
        let mut sealed = Plaintext::new(sealed.to_vec());
        let opened = session.keys.notice.open(
            &session.scope,
            MessageKind::Notice,
            head.counter,
            &mut sealed,
        );
        let notice = opened
            .ok()
            .and_then(|plaintext| Notice::decode(plaintext).ok());
        let Some(notice) = notice.filter(|notice| notice.is_plain() == plain) else {
            return self.report(SubscriberEvent::NotTaken);
        };
        session.next_counter = head.counter + 1;
        if head.counter > expected {
            self.report(SubscriberEvent::Missing {
                session: head.session,
                from: expected,
                to: head.counter - 1,
            });
        }
        self.silence.end(clock.now);
        self.take_notice(notice, head, payloads, deliver);
        self.memory.take(head.session, head.counter);
        self.acks
            .on_taken(clock.now, head.session, head.counter, bytes);
    }

    fn take_notice(
        &mut self,
        notice: Notice<'_>,
        head: &routing::Notice,
        payloads: &Bytes,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) {
        let session = head.session;
        match &notice.kind {
            NoticeKind::Matches { .. } => self.take_matches(notice, head, payloads, deliver),
            NoticeKind::Heartbeat { publishers } => {
                for one in self.memory.covered.on_heartbeat(session, publishers) {
                    self.report(SubscriberEvent::Uncovered {
                        publisher: one.publisher,
                        from: one.from,
                        to: one.to,
                    });
                }
            }
            NoticeKind::Expired => self.expire(session, notice.time_ms),
            NoticeKind::Revoked => self.end(session, Ending::Revoked),
            NoticeKind::Suspended => self.report(SubscriberEvent::Suspended { session }),
            NoticeKind::Missed {
                batches,
                publications,
            } => self.report(SubscriberEvent::Missed {
                batches: *batches,
                publications: *publications,
            }),
            _ => {}
        }
    }

    /// The lease had run out at `time_ms` of the owner. That is the end only of a consumer that has not been admitted anew since, and does
    /// not wait for it: notices may have waited for a long time.
    fn expire(&mut self, session: u64, time_ms: u64) {
        let renewed = self.sessions.get_mut(session);
        if renewed.is_some_and(|session| session.terms.lease_until_ms >= time_ms) {
            // An owner whose clock has gone back meanwhile has given less than before: a renewal shows it.
            self.requests.renew_now();
            return self.tell_lapse(true, session);
        }
        if self.requests.is_open() {
            self.admitted = false;
            return self.tell_lapse(true, session);
        }
        self.end(session, Ending::Expired);
    }

    /// The program holds nothing of this subscriber any more, unless a later session has begun.
    fn end(&mut self, session: u64, ending: Ending) {
        if session == self.sessions.newest() {
            self.admitted = false;
            self.requests.stop_renewing();
            self.report(SubscriberEvent::Ended(ending));
        }
    }

    fn take_matches(
        &mut self,
        mut notice: Notice<'_>,
        head: &routing::Notice,
        payloads: &Bytes,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) {
        let NoticeKind::Matches {
            publisher,
            start,
            counter,
            origin,
        } = notice.kind
        else {
            return;
        };
        let covered = &mut self.memory.covered;
        match covered.on_batch(head.session, publisher, origin) {
            Standing::New => {}
            Standing::Known => return,
            Standing::Late => return self.report(SubscriberEvent::PassedOver { origin }),
        }
        let scope = Scope {
            domain: self.owner.domain_id(),
            session: head.session,
            party: publisher,
            start,
        };
        let mut data = scope.payload_data(counter);
        let mut attached = Attached::new(head, payloads);
        // One piece of memory for the payloads of the whole notice: most are too short to be worth one each.
        let (mut ids, mut opened) = (Vec::new(), Vec::new());
        loop {
            let entry = match notice.next_entry(&mut ids) {
                Ok(Some(entry)) => entry,
                Ok(None) => return,
                Err(_) => return self.report(SubscriberEvent::NotTaken),
            };
            let payload = attached.next().and_then(|sealed| match entry.key_and_hash {
                None => Some(sealed),
                Some((_, hash)) if sha256(sealed) != *hash => None,
                Some((key, _)) => PayloadKey::from_bytes(*key)
                    .open_into(data.of(entry.index), sealed, &mut opened)
                    .ok()
                    .map(|()| &opened[..]),
            });
            match payload {
                Some(payload) => deliver(Delivery {
                    publisher,
                    origin,
                    index: entry.index,
                    subscriptions: &ids,
                    payload,
                }),
                None => self.report_withheld(origin, entry.index),
            }
        }
    }

    fn report_withheld(&mut self, origin: Origin, index: u32) {
        self.report(SubscriberEvent::PayloadWithheld { origin, index });
    }
}

/// The payloads that came with a notice, as its head cuts them.
struct Attached<'a> {
    sizes: core::slice::Iter<'a, u32>,
    rest: &'a [u8],
}

impl<'a> Attached<'a> {
    fn new(head: &'a routing::Notice, payloads: &'a Bytes) -> Self {
        Self {
            sizes: head.payload_sizes.iter(),
            rest: payloads,
        }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let size = self.sizes.next()?;
        let (payload, rest) = self.rest.split_at_checked(*size as usize)?;
        self.rest = rest;
        Some(payload)
    }
}
