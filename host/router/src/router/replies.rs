//! Replies of the trusted program: what becomes of each call.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call, refusal::Reason, reply};
use sc_proto::routing::{self, refused::Cause, to_publisher};
use sc_transport::LinkId;

use super::notices::Payloads;
use super::{Peer, Router};
use crate::calls::{Asked, CallContext};
use crate::credit::DebtId;
use crate::domains::{Domain, DomainId};

const UNFIT: &str = "the trusted program gave no fitting reply";
const NOT_PINNED: &str =
    "this router serves other owners only: have its operator add --owner with your public key";

impl Router {
    /// Takes the trusted program's reply to the call `token`.
    pub fn on_reply(&mut self, now: Duration, token: u64, reply: Bytes) {
        self.now = now;
        // A reply to no call frees no place: a program that invents replies would have the host make more calls than the door holds.
        let Some(CallContext { origin, what }) = self.calls.remove(&token) else {
            return;
        };
        self.under_way -= 1;
        self.make_waiting_calls();
        let reply = cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply);
        match origin {
            Some((link, debt)) => {
                self.on_reply_to(now, link, debt, what, reply);
                self.settle(debt);
            }
            None => self.on_own_reply(what, reply),
        }
    }

    /// A reply to a call that was made for a publisher's frame.
    fn on_reply_to(
        &mut self,
        now: Duration,
        link: LinkId,
        debt: DebtId,
        what: Asked,
        reply: Option<reply::Reply>,
    ) {
        match (what, reply) {
            (Asked::Challenge, Some(reply::Reply::Offer(offer))) => {
                let offer = routing::Offer {
                    offer: Some(offer),
                    tee: self.settings.tee.clone(),
                };
                self.send_publisher(None, link, to_publisher::Frame::Offer(offer), []);
            }
            (Asked::Secrets, Some(reply::Reply::Opened(opened))) => self.on_opened(link, opened),
            (Asked::Control { domain, head }, Some(reply::Reply::Outcome(outcome))) => {
                self.counters.controls += 1;
                // A control message is settled with its reply: nobody who is away holds its owner's control credit.
                let payloads = Bytes::new();
                let payloads = Payloads::new(&[], &payloads);
                self.on_outcome(now, link, None, &domain, head, outcome, payloads);
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
                let payloads = Payloads::new(&sizes, &payloads);
                self.on_outcome(now, link, Some(debt), &domain, head, outcome, payloads);
            }
            (_, Some(reply::Reply::Refusal(refusal))) => self.on_refusal(link, refusal),
            _ => self.refuse(link, Cause::Program, UNFIT, Bytes::new()),
        }
    }

    /// A reply to a call that the router made of itself.
    fn on_own_reply(&mut self, what: Asked, reply: Option<reply::Reply>) {
        let outcome = match reply {
            Some(reply::Reply::Outcome(outcome)) => Some(outcome),
            _ => None,
        };
        match what {
            Asked::Suspend { mailbox, session } => {
                self.on_suspension(mailbox, session, outcome, false);
            }
            Asked::Resume { mailbox, session } => {
                self.on_suspension(mailbox, session, outcome, true);
            }
            _ => {}
        }
    }

    fn on_opened(&mut self, link: LinkId, opened: cbr::Opened) {
        let id = DomainId::try_from(&opened.domain[..]).ok();
        // The domain becomes this link's: only while it is there, and for the owner whose key it has proved.
        let is_owner = matches!(
            self.peers.get(&link),
            Some(Peer::Publisher { key, .. }) if opened.owner_key[..] == key.0
        );
        let Some(id) = id.filter(|_| is_owner) else {
            return self.refuse(link, Cause::Program, UNFIT, Bytes::new());
        };
        let pinned = self.settings.pinned.as_ref();
        let is_pinned = pinned.is_none_or(|pinned| pinned.contains(&id));
        if !is_pinned || (opened.plain && !self.settings.plain) {
            let close = call::Call::Close(cbr::Close {
                domain: opened.domain,
                session: opened.session,
            });
            let (origin, what) = (None, Asked::Close);
            self.call(CallContext { origin, what }, close);
            return if is_pinned {
                self.refuse_plain(link)
            } else {
                self.refuse(link, Cause::OwnerNotPinned, NOT_PINNED, Bytes::new())
            };
        }
        self.open(link, id, opened);
    }

    fn open(&mut self, link: LinkId, id: DomainId, opened: cbr::Opened) {
        self.counters.sessions += 1;
        let replaced = self.domains.open(id, Domain::new(opened.session, link));
        self.end_lanes(replaced.into_iter().flat_map(Domain::into_lanes));
        self.mailboxes.sweep(&id, opened.session);
        let frame = routing::Opened {
            confirmation: opened.confirmation,
            domain: opened.domain,
            session: opened.session,
        };
        self.send_publisher(None, link, to_publisher::Frame::Opened(frame), []);
        self.tell_states(&id);
    }

    /// What came of a publisher's message: its receipt, whom the host has to know, and the notices. `debt`: what these hold back.
    #[expect(
        clippy::too_many_arguments,
        reason = "the context of one call, taken apart by its only two callers"
    )]
    fn on_outcome(
        &mut self,
        now: Duration,
        link: LinkId,
        debt: Option<DebtId>,
        domain: &DomainId,
        head: routing::Receipt,
        outcome: cbr::Outcome,
        mut payloads: Payloads<'_>,
    ) {
        let session = head.session;
        if let Some(admitted) = &outcome.admitted {
            self.on_admitted(now, domain, session, admitted);
        }
        if let Some(registered) = &outcome.registered {
            self.on_registered(domain, session, registered);
        }
        let receipt = to_publisher::Frame::Receipt(head);
        self.send_publisher(None, link, receipt, [outcome.receipt]);
        for notice in outcome.notices {
            self.forward(now, debt, domain, session, notice, &mut payloads);
        }
    }

    fn on_refusal(&mut self, link: LinkId, refusal: cbr::Refusal) {
        let what = match refusal.reason() {
            Reason::NotAuthentic => "the trusted program could not open or verify it",
            Reason::Session => "the trusted program has no such session, or a newer one",
            Reason::Counter => {
                "the trusted program has taken this counter, or misses one before it"
            }
            Reason::Limit => "the trusted program serves as many domains as it may",
            Reason::Pending => "the trusted program knows no such challenge",
            Reason::Owner => "the trusted program was started for another owner alone",
            Reason::Evidence => "the trusted program's platform makes no evidence",
            _ => "the trusted program could not decode it",
        };
        self.refuse_with(link, Cause::Program, what, Bytes::new(), Some(refusal));
    }
}
