//! Frames of publishers: provisioning, control messages, batches, answers.

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call};
use sc_proto::provision;
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{Frame, LinkId, PeerKey};

use super::{Peer, Router};
use crate::calls::{Asked, CallContext, Waiting};
use crate::credit::DebtId;
use crate::domains::{Domain, DomainId, Lane};
use crate::order::Order;
use crate::settled::{Message as Numbered, Settled};

const NO_SESSION: &str =
    "no such session was opened on this link, and its key was not registered in it";
const PLAIN: &str = "this router was not started with --plain, so it takes nothing unencrypted: start the publisher without it, or the router with it";

impl Router {
    pub(super) fn on_publisher_frame(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        frame: Frame,
    ) {
        let Some(message) = routing::FromPublisher::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            return self.refuse_malformed(link, "the frame does not decode");
        };
        let mut attachments = frame.attachments.into_iter();
        let first = attachments.next().unwrap_or_default();
        let second = attachments.next().unwrap_or_default();
        match message {
            from_publisher::Frame::Challenge(challenge) => {
                self.on_challenge(link, key, debt, challenge);
            }
            from_publisher::Frame::Secrets(secrets) => self.on_secrets(link, debt, secrets),
            from_publisher::Frame::Control(control) => {
                self.on_control(link, key, debt, control, first);
            }
            from_publisher::Frame::Batch(batch) => {
                self.on_batch(link, key, debt, batch, first, second);
            }
            from_publisher::Frame::Answer(answer) => self.on_answer(link, answer, first),
            from_publisher::Frame::Attach(attach) => {
                self.on_publisher_attach(link, &attach.domain);
            }
            from_publisher::Frame::Ask(ask) => {
                let ask = routing::Ask {
                    consumer: Bytes::copy_from_slice(&key.0),
                    publisher: true,
                    ..ask
                };
                self.on_ask(link, debt, ask, first);
            }
        }
    }

    fn refuse_malformed(&mut self, link: LinkId, what: &str) {
        self.refuse(link, Cause::Malformed, what, Bytes::new());
    }

    fn on_challenge(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        challenge: provision::Challenge,
    ) {
        if challenge.owner_key[..] != key.0 {
            let what = "the owner key is not the key that this link has proved";
            return self.refuse_malformed(link, what);
        }
        let call = call::Call::Challenge(challenge);
        self.call_for(link, debt, Asked::Challenge, call);
    }

    fn on_secrets(&mut self, link: LinkId, debt: DebtId, secrets: routing::Secrets) {
        if secrets.plain && !self.settings.plain {
            return self.refuse_plain(link);
        }
        let Some(secrets) = secrets.secrets else {
            return self.refuse_malformed(link, "the frame does not decode");
        };
        let call = call::Call::Secrets(secrets);
        self.call_for(link, debt, Asked::Secrets, call);
    }

    pub(super) fn refuse_plain(&mut self, link: LinkId) {
        self.refuse(link, Cause::Plain, PLAIN, Bytes::new());
    }

    fn on_control(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        control: routing::Control,
        sealed: Bytes,
    ) {
        let head = routing::Receipt {
            domain: control.domain,
            session: control.session,
            start: control.start,
            counter: control.counter,
        };
        self.on_sealed(link, key, debt, head, sealed, |domain, head| {
            Asked::Control { domain, head }
        });
    }

    fn on_batch(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        batch: routing::Batch,
        sealed: Bytes,
        payloads: Bytes,
    ) {
        let sizes = batch.payload_sizes;
        let total: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
        if total != payloads.len() as u64 {
            return self.refuse_malformed(link, "the payloads have not the sizes announced");
        }
        let head = routing::Receipt {
            domain: batch.domain,
            session: batch.session,
            start: batch.start,
            counter: batch.counter,
        };
        self.on_sealed(link, key, debt, head, sealed, |domain, head| Asked::Batch {
            domain,
            head,
            sizes,
            payloads,
        });
    }

    /// A control message or a batch: goes to the program when its turn has come.
    fn on_sealed(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        head: routing::Receipt,
        ciphertext: Bytes,
        what: impl FnOnce(DomainId, routing::Receipt) -> Asked,
    ) {
        let Ok(id) = DomainId::try_from(&head.domain[..]) else {
            return self.refuse_malformed(link, "a domain has 32 bytes");
        };
        let (session, start, counter) = (head.session, head.start, head.counter);
        let sealed = cbr::Sealed {
            domain: head.domain.clone(),
            session,
            publisher: Bytes::copy_from_slice(&key.0),
            start,
            counter,
            ciphertext,
        };
        let what = what(id, head);
        let Self {
            domains, settled, ..
        } = self;
        let domain = domains
            .get_mut(&id)
            .filter(|domain| domain.session == session);
        let is_control = matches!(what, Asked::Control { .. });
        let call = match &what {
            Asked::Control { .. } => call::Call::Control(sealed),
            _ => call::Call::Batch(sealed),
        };
        let lane = domain.and_then(|domain| lane(domain, settled, &id, link, key, start));
        let Some((lane, _)) = lane.filter(|(_, is_owner)| *is_owner || !is_control) else {
            return self.refuse(link, Cause::UnknownDomain, NO_SESSION, Bytes::new());
        };
        let request = cbr::Call { call: Some(call) }.encode_to_vec().into();
        let origin = Some((link, debt));
        let call = CallContext { origin, what };
        if lane.order.push(counter, Waiting { request, call }).is_err() {
            let what = "this counter was used before";
            return self.refuse(link, Cause::Program, what, Bytes::new());
        }
        let stream = lane.stream;
        let ready: Vec<_> = std::iter::from_fn(|| lane.order.pop()).collect();
        self.credit.extend(debt);
        self.credit.was(debt, Numbered { stream, counter });
        for waiting in ready {
            self.call_encoded(waiting.call, waiting.request);
        }
    }

    /// Passes an owner's answer on to whoever asked. The owner has its credit back at once: an asker that does not take its answers holds
    /// nobody's, and its link is closed when that link's queue is full.
    fn on_answer(&mut self, link: LinkId, answer: routing::Answer, sealed: Bytes) {
        if self.domains.of_link(&answer.domain, link).is_none() {
            return self.refuse(link, Cause::UnknownDomain, NO_SESSION, Bytes::new());
        }
        let Some(to) = self.asker(&answer) else {
            let what = "whoever asked is not connected";
            return self.refuse(link, Cause::Unreachable, what, Bytes::new());
        };
        self.counters.answers += 1;
        if answer.publisher {
            let frame = to_publisher::Frame::Answer(answer);
            self.send_publisher(None, to, frame, [sealed]);
        } else {
            let frame = to_subscriber::Frame::Answer(answer);
            self.send_subscriber(None, to, frame, [sealed]);
        }
    }

    /// The link of whoever an answer is for, if it wants to hear of this domain: an owner reaches nobody else.
    fn asker(&self, answer: &routing::Answer) -> Option<LinkId> {
        let key = PeerKey(answer.consumer[..].try_into().ok()?);
        let links = if answer.publisher {
            &self.publishers
        } else {
            &self.subscribers
        };
        let link = *links.get(&key)?;
        let is_attached = match self.peers.get(&link)? {
            Peer::Publisher { attached, .. } => attached.iter().any(|it| it[..] == answer.domain),
            Peer::Subscriber { attached, .. } => {
                attached.iter().any(|it| it.domain[..] == answer.domain)
            }
        };
        is_attached.then_some(link)
    }
}

/// The lane in which this link may send under this key and start, and whether it is the owner's.
fn lane<'a>(
    domain: &'a mut Domain,
    settled: &mut Settled,
    id: &DomainId,
    link: LinkId,
    key: PeerKey,
    start: u64,
) -> Option<(&'a mut Lane, bool)> {
    let session = domain.session;
    let is_owner = domain.link == link;
    let lane = if is_owner {
        domain.lane.get_or_insert_with(|| Lane {
            link,
            start,
            stream: settled.open(link, Bytes::copy_from_slice(id), session, start),
            order: Order::default(),
        })
    } else {
        domain.registered.get_mut(&key)?
    };
    let fits = lane.link == link && lane.start == start;
    fits.then_some((lane, is_owner))
}
