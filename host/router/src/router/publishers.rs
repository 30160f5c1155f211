//! Frames of publishers: provisioning, control messages, batches, answers.

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call};
use sc_proto::provision;
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{Frame, FrameClass, LinkId, PeerKey};

use super::{Router, refused};
use crate::calls::{Asked, CallContext, Waiting};
use crate::credit::DebtId;
use crate::domains::DomainId;

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
            return self.refuse_publisher(link, Cause::Malformed, "the frame does not decode");
        };
        let mut attachments = frame.attachments.into_iter();
        let (first, second) = (
            attachments.next().unwrap_or_default(),
            attachments.next().unwrap_or_default(),
        );
        match message {
            from_publisher::Frame::Challenge(challenge) => {
                self.on_challenge(link, key, debt, challenge)
            }
            from_publisher::Frame::Secrets(secrets) => self.on_secrets(link, debt, secrets),
            from_publisher::Frame::Control(control) => {
                let head = receipt_head(
                    &control.domain,
                    control.session,
                    control.start,
                    control.counter,
                );
                self.on_sealed(link, key, debt, head, first, |domain, head| {
                    Asked::Control { domain, head }
                });
            }
            from_publisher::Frame::Batch(batch) => {
                let total: u64 = batch
                    .payload_sizes
                    .iter()
                    .map(|size| u64::from(*size))
                    .sum();
                if total != second.len() as u64 {
                    return self.refuse_publisher(
                        link,
                        Cause::Malformed,
                        "the payloads have not the sizes announced",
                    );
                }
                let head = receipt_head(&batch.domain, batch.session, batch.start, batch.counter);
                let sizes = batch.payload_sizes;
                self.on_sealed(link, key, debt, head, first, |domain, head| Asked::Batch {
                    domain,
                    head,
                    sizes,
                    payloads: second,
                });
            }
            from_publisher::Frame::Answer(answer) => self.on_answer(link, debt, answer, first),
            from_publisher::Frame::Attach(_) | from_publisher::Frame::Ask(_) => self
                .refuse_publisher(
                    link,
                    Cause::UnknownDomain,
                    "this router knows one publisher a domain",
                ),
        }
    }

    pub(super) fn on_challenge(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        challenge: provision::Challenge,
    ) {
        if challenge.owner_key[..] != key.0 {
            return self.refuse_publisher(
                link,
                Cause::Malformed,
                "the owner key is not the key that this link has proved",
            );
        }
        self.call(
            CallContext {
                link,
                debt,
                what: Asked::Challenge,
            },
            call::Call::Challenge(challenge),
        );
    }

    pub(super) fn on_secrets(&mut self, link: LinkId, debt: DebtId, secrets: routing::Secrets) {
        if secrets.plain && !self.settings.plain {
            return self.refuse_publisher(
                link,
                Cause::Plain,
                "this router was not started with --plain, so it takes nothing unencrypted: start the publisher without it, or the router with it",
            );
        }
        let Some(secrets) = secrets.secrets else {
            return self.refuse_publisher(link, Cause::Malformed, "the frame does not decode");
        };
        self.call(
            CallContext {
                link,
                debt,
                what: Asked::Secrets,
            },
            call::Call::Secrets(secrets),
        );
    }

    /// A control message or a batch: goes to the program when its turn has come.
    pub(super) fn on_sealed(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        head: routing::Receipt,
        ciphertext: Bytes,
        what: impl FnOnce(DomainId, routing::Receipt) -> Asked,
    ) {
        let Ok(id) = DomainId::try_from(&head.domain[..]) else {
            return self.refuse_publisher(link, Cause::Malformed, "a domain has 32 bytes");
        };
        let sealed = cbr::Sealed {
            domain: head.domain.clone(),
            session: head.session,
            publisher: Bytes::copy_from_slice(&key.0),
            start: head.start,
            counter: head.counter,
            ciphertext,
        };
        let (counter, session) = (head.counter, head.session);
        let what = what(id, head);
        let call = match &what {
            Asked::Control { .. } => call::Call::Control(sealed),
            _ => call::Call::Batch(sealed),
        };
        let Some(domain) = self
            .domains
            .of_link(&id, link)
            .filter(|domain| domain.session == session)
        else {
            return self.refuse_publisher(
                link,
                Cause::UnknownDomain,
                "no such session was opened on this link",
            );
        };
        let request = cbr::Call { call: Some(call) }.encode_to_vec().into();
        self.credit.extend(debt);
        if domain
            .order
            .push(
                counter,
                Waiting {
                    request,
                    call: CallContext { link, debt, what },
                },
            )
            .is_err()
        {
            self.settle(debt);
            return self.refuse_publisher(link, Cause::Program, "this counter was used before");
        }
        let ready: Vec<_> = std::iter::from_fn(|| domain.order.pop()).collect();
        for waiting in ready {
            self.call_encoded(waiting.call, waiting.request);
        }
    }

    /// Passes an owner's answer on to its consumer.
    pub(super) fn on_answer(
        &mut self,
        link: LinkId,
        debt: DebtId,
        answer: routing::Answer,
        sealed: Bytes,
    ) {
        if self.domains.of_link(&answer.domain, link).is_none() {
            return self.refuse_publisher(
                link,
                Cause::UnknownDomain,
                "no such session was opened on this link",
            );
        }
        let Some(to) = self.consumer(&answer.domain, &answer.consumer) else {
            return self.refuse_publisher(
                link,
                Cause::Unreachable,
                "the consumer is not connected",
            );
        };
        self.send_subscriber(
            Some(debt),
            to,
            FrameClass::Control,
            to_subscriber::Frame::Answer(answer),
            [sealed],
        );
    }

    pub(super) fn refuse_publisher(&mut self, link: LinkId, cause: Cause, what: &str) {
        self.counters.refused += 1;
        self.send_publisher(
            None,
            link,
            to_publisher::Frame::Refused(refused(cause, what, Bytes::new(), None)),
            [],
        );
    }

    pub(super) fn send_publisher<const N: usize>(
        &mut self,
        debt: Option<DebtId>,
        link: LinkId,
        frame: to_publisher::Frame,
        attachments: [Bytes; N],
    ) {
        let head = routing::ToPublisher { frame: Some(frame) }.encode_to_vec();
        self.send(debt, link, FrameClass::Control, head, attachments.into());
    }
}

fn receipt_head(domain: &Bytes, session: u64, start: u64, counter: u64) -> routing::Receipt {
    routing::Receipt {
        domain: domain.clone(),
        session,
        start,
        counter,
    }
}
