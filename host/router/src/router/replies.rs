//! Replies of the trusted program: what becomes of each call.

use bytes::{Bytes, BytesMut};
use prost::Message;
use sc_proto::cbr::{self, call, refusal::Reason, reply};
use sc_proto::routing::{self, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{FrameClass, LinkId, PeerKey};

use super::{Peer, Router, refused};
use crate::calls::{Asked, CallContext};
use crate::credit::DebtId;
use crate::domains::{Domain, DomainId};
use crate::order::Order;

impl Router {
    /// Takes the trusted program's reply to the call `token`.
    pub fn on_reply(&mut self, token: u64, reply: Bytes) {
        // A reply to no call frees no place: a program that invents replies would have the host make more calls than the door holds.
        let Some(CallContext { link, debt, what }) = self.calls.remove(&token) else {
            return;
        };
        self.under_way -= 1;
        self.make_waiting_calls();
        let reply = cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply);
        match (what, reply) {
            (Asked::Challenge, Some(reply::Reply::Offer(offer))) => {
                let offer = routing::Offer {
                    offer: Some(offer),
                    tee: self.settings.tee.clone(),
                };
                self.send_publisher(None, link, to_publisher::Frame::Offer(offer), []);
            }
            (Asked::Secrets, Some(reply::Reply::Opened(opened))) => {
                self.on_opened(link, debt, opened)
            }
            (Asked::Control { domain, head }, Some(reply::Reply::Outcome(outcome))) => {
                self.counters.controls += 1;
                self.on_outcome(link, debt, &domain, head, outcome, &[], &Bytes::new());
            }
            (
                Asked::Batch {
                    domain,
                    head,
                    sizes,
                    payloads,
                },
                Some(reply::Reply::Outcome(outcome)),
            ) => {
                self.counters.batches += 1;
                self.counters.publications += sizes.len() as u64;
                self.on_outcome(link, debt, &domain, head, outcome, &sizes, &payloads);
            }
            (Asked::Close, _) => {}
            (_, Some(reply::Reply::Refusal(refusal))) => self.on_refusal(link, refusal),
            _ => self.refuse_publisher(
                link,
                Cause::Program,
                "the trusted program gave no fitting reply",
            ),
        }
        self.settle(debt);
    }

    pub(super) fn on_opened(&mut self, link: LinkId, debt: DebtId, opened: cbr::Opened) {
        let id = DomainId::try_from(&opened.domain[..]).ok();
        // The domain becomes this link's: only while it is there, and for the owner whose key it has proved.
        let is_owner = matches!(
            self.peers.get(&link),
            Some(Peer::Publisher(key)) if opened.owner_key[..] == key.0
        );
        let Some(id) = id.filter(|_| is_owner) else {
            return self.refuse_publisher(
                link,
                Cause::Program,
                "the trusted program gave no fitting reply",
            );
        };
        let pinned = self
            .settings
            .pinned
            .as_ref()
            .is_none_or(|pinned| pinned.contains(&id));
        if !pinned || (opened.plain && !self.settings.plain) {
            let close = cbr::Close {
                domain: opened.domain,
                session: opened.session,
            };
            self.call(
                CallContext {
                    link,
                    debt,
                    what: Asked::Close,
                },
                call::Call::Close(close),
            );
            return if pinned {
                self.refuse_publisher(
                    link,
                    Cause::Plain,
                    "this router was not started with --plain, so it takes nothing unencrypted: start the publisher without it, or the router with it",
                )
            } else {
                self.refuse_publisher(link, Cause::OwnerNotPinned, "this router serves other owners only: have its operator add --owner with your public key")
            };
        }
        self.counters.sessions += 1;
        let domain = Domain {
            session: opened.session,
            link,
            order: Order::default(),
        };
        let replaced = self.domains.open(id, domain);
        // Admissions into the new session choose anew.
        self.impatient.retain(|(of, _)| *of != id);
        self.forget(
            replaced
                .into_iter()
                .flat_map(|domain| domain.order.into_waiting()),
        );
        let frame = routing::Opened {
            confirmation: opened.confirmation,
            domain: opened.domain,
            session: opened.session,
        };
        self.send_publisher(None, link, to_publisher::Frame::Opened(frame), []);
        let attached: Vec<_> = self.domains.attached(&id).collect();
        attached
            .into_iter()
            .for_each(|subscriber| self.tell_state(subscriber, &id));
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the context of one call, taken apart by its only two callers"
    )]
    pub(super) fn on_outcome(
        &mut self,
        link: LinkId,
        debt: DebtId,
        domain: &DomainId,
        head: routing::Receipt,
        outcome: cbr::Outcome,
        sizes: &[u32],
        payloads: &Bytes,
    ) {
        if let Some(admitted) = &outcome.admitted
            && let Ok(key) = admitted.consumer[..].try_into()
        {
            let consumer = (*domain, PeerKey(key));
            if admitted.slow() == cbr::SlowPolicy::Disconnect {
                self.impatient.insert(consumer);
            } else {
                self.impatient.remove(&consumer);
            }
        }
        let session = head.session;
        self.send_publisher(
            None,
            link,
            to_publisher::Frame::Receipt(head),
            [outcome.receipt],
        );
        let starts = payload_starts(sizes);
        for notice in outcome.notices {
            self.forward(debt, domain, session, notice, sizes, &starts, payloads);
        }
    }

    /// Sends one notice, with the payloads that it gives keys for, to the link that has proved its consumer's key.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one frame, put together here alone"
    )]
    pub(super) fn forward(
        &mut self,
        debt: DebtId,
        domain: &DomainId,
        session: u64,
        notice: cbr::Notice,
        sizes: &[u32],
        starts: &[usize],
        payloads: &Bytes,
    ) {
        let Some(to) = self.consumer(domain, &notice.consumer) else {
            self.counters.undeliverable += 1;
            return;
        };
        let chosen = notice.payloads.iter().filter_map(|index| {
            let index = *index as usize;
            Some((*sizes.get(index)?, *starts.get(index)?))
        });
        let payload_sizes: Vec<u32> = chosen.clone().map(|(size, _)| size).collect();
        let total = payload_sizes.iter().map(|size| *size as usize).sum();
        let attached = if total == payloads.len() {
            payloads.clone()
        } else {
            let mut attached = BytesMut::with_capacity(total);
            chosen.for_each(|(size, start)| {
                attached.extend_from_slice(&payloads[start..start + size as usize])
            });
            attached.freeze()
        };
        self.counters.notices += 1;
        self.counters.payloads += payload_sizes.len() as u64;
        let head = routing::Notice {
            domain: Bytes::copy_from_slice(domain),
            session,
            counter: notice.counter,
            payload_sizes,
        };
        let frame = to_subscriber::Frame::Notice(head);
        self.send_subscriber(
            Some(debt),
            to,
            FrameClass::Data,
            frame,
            [notice.ciphertext, attached],
        );
    }

    pub(super) fn on_refusal(&mut self, link: LinkId, refusal: cbr::Refusal) {
        let what = match refusal.reason() {
            Reason::NotAuthentic => "the trusted program could not open or verify it",
            Reason::Session => "the trusted program has no such session, or a newer one",
            Reason::Counter => {
                "the trusted program has taken this counter, or misses one before it"
            }
            Reason::Limit => "the trusted program serves as many domains as it may",
            Reason::Pending => "the trusted program knows no such challenge",
            _ => "the trusted program could not decode it",
        };
        self.counters.refused += 1;
        let frame = refused(Cause::Program, what, Bytes::new(), Some(refusal));
        self.send_publisher(None, link, to_publisher::Frame::Refused(frame), []);
    }
}

fn payload_starts(sizes: &[u32]) -> Vec<usize> {
    let sum = |start: &mut usize, size: &u32| {
        let this = *start;
        *start += *size as usize;
        Some(this)
    };
    sizes.iter().scan(0, sum).collect()
}
