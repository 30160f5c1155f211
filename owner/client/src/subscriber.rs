//! The subscriber: asks a domain's owner for its subscriptions, opens notices and payloads; a core without sockets, clocks or files.
//!
//! Invariants: a notice is taken only as the next of its session, or after a gap that was reported; an origin is taken once; nothing is
//! delivered whose hash and key did not come from the trusted program.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_cbr::{DeliveryKeys, MessageKind, Notice, NoticeKind, Origin, Scope};
use sc_crypto::hash::sha256;
use sc_crypto::{DomainId, Entropy, OwnerPublic, OwnerSecret, PayloadKey, VerifyingKey};
use sc_matching::Subscription;
use sc_proto::routing::{self, from_subscriber, refused::Cause, to_subscriber};
use sc_transport::{Frame, FrameClass};

use crate::answer::{Answer, Refusal, Verdict};
use crate::ask::{Ask, Operation, portions};
use crate::link::{Clock, Output};

/// A request without an answer is made again after this long.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Sessions whose keys are kept; older ones are forgotten.
const SESSIONS_MAX: usize = 4;
/// Requests made again without an answer whose answers are still taken; older ones are forgotten.
const SUPERSEDED_MAX: usize = 64;

const SEQUENCE: u8 = 1;
const TAKEN: u8 = 2;

/// What a subscriber's journal keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// The last sequence number used in a request.
    pub sequence: u64,
    /// The session that the last notice taken belongs to, and its counter.
    pub taken: (u64, u64),
}

impl Memory {
    /// Rebuilds it from the records of a journal; records of later versions are passed over.
    #[must_use]
    pub fn replay(records: &[Vec<u8>]) -> Self {
        let mut memory = Self::default();
        for record in records {
            match record
                .split_first()
                .map(|(kind, rest)| (*kind, rest.as_chunks::<8>().0))
            {
                Some((SEQUENCE, [sequence])) => memory.sequence = u64::from_le_bytes(*sequence),
                Some((TAKEN, [session, counter])) => {
                    memory.taken = (u64::from_le_bytes(*session), u64::from_le_bytes(*counter));
                }
                _ => {}
            }
        }
        memory
    }

    /// The records from which it is rebuilt.
    #[must_use]
    pub fn records(&self) -> [Vec<u8>; 2] {
        [
            record(SEQUENCE, &[self.sequence]),
            record(TAKEN, &[self.taken.0, self.taken.1]),
        ]
    }
}

fn record(kind: u8, numbers: &[u64]) -> Vec<u8> {
    [kind]
        .into_iter()
        .chain(numbers.iter().flat_map(|number| number.to_le_bytes()))
        .collect()
}

/// What a subscriber chooses.
#[derive(Debug, Clone, Default)]
pub struct SubscriberSettings {
    /// D4.2's unencrypted mode.
    pub plain: bool,
}

/// One publication that matched, with its payload opened.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Who published it.
    pub publisher: VerifyingKey,
    /// The batch it came in.
    pub origin: Origin,
    /// Its place in the batch.
    pub index: u32,
    /// The subscriber's own ids of the subscriptions that it matched, ascending.
    pub subscriptions: &'a [u64],
    /// The payload.
    pub payload: &'a [u8],
}

/// What a subscriber reports besides deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriberEvent {
    /// The domain has no session at this router yet; the request goes out when one opens.
    Waiting,
    /// The owner has admitted all subscriptions.
    Admitted {
        /// In which session.
        session: u64,
    },
    /// The owner has refused.
    Refused(Refusal),
    /// No answer has come to a request, which is made again: the owner cannot open it, or somebody keeps it or the answer.
    Unanswered,
    /// An answer of the owner came unencrypted and was dropped: the owner runs D4.2's unencrypted mode and this side does not.
    Unencrypted,
    /// Notices are missing: withheld by the router, or missed while this subscriber was away.
    Missing {
        /// The session.
        session: u64,
        /// The first missing counter.
        from: u64,
        /// The last missing counter.
        to: u64,
    },
    /// A notice was not the program's, or came twice; it was dropped.
    NotTaken,
    /// A batch came that is not newer than the last one taken of its publisher: published again after its session had ended, or held
    /// back by the router until a later one was here, or published by an owner that has lost its journal.
    PassedOver {
        /// The batch.
        origin: Origin,
    },
    /// A payload that a notice promised was changed or left out by the router.
    PayloadWithheld {
        /// Of the batch.
        origin: Origin,
        /// In the batch.
        index: u32,
    },
    /// The lease has run out, or the owner has revoked this identity: nothing will come any more.
    Ended(Ending),
    /// The router did not carry something.
    RouterRefused(String),
}

/// Why subscriptions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The lease was not renewed in time.
    Expired,
    /// The owner has revoked the identity.
    Revoked,
}

struct Session {
    scope: Scope,
    keys: DeliveryKeys,
    next_counter: u64,
}

/// A subscriber to one domain under one identity.
pub struct Subscriber {
    owner: OwnerPublic,
    identity: Arc<OwnerSecret>,
    settings: SubscriberSettings,
    entropy: Box<dyn Entropy + Send>,
    subscriptions: Vec<(u64, Subscription)>,
    memory: Memory,
    attached: bool,
    /// Requests that wait for an answer, by hash.
    open_asks: BTreeMap<[u8; 32], u32>,
    /// Requests that were made again before their answer came, oldest first: it may still come, with the keys of a session.
    superseded: VecDeque<[u8; 32]>,
    /// The last request that was answered with an admission: answers of later sessions name it.
    answered: Option<[u8; 32]>,
    /// Whether the owner holds all subscriptions, as far as this side knows.
    admitted: bool,
    ask_again: Option<Duration>,
    renew_at: Option<Duration>,
    /// The renewal that waits for its answer.
    renewing: Option<[u8; 32]>,
    sessions: BTreeMap<u64, Session>,
    origins: BTreeMap<VerifyingKey, Origin>,
    outputs: Vec<Output>,
    events: VecDeque<SubscriberEvent>,
}

impl Subscriber {
    /// A subscriber that will ask for `subscriptions` and replace whatever its identity held before.
    #[must_use]
    pub fn new(
        owner: OwnerPublic,
        identity: Arc<OwnerSecret>,
        subscriptions: Vec<(u64, Subscription)>,
        settings: SubscriberSettings,
        memory: Memory,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        Self {
            owner,
            identity,
            settings,
            entropy,
            subscriptions,
            memory,
            attached: false,
            open_asks: BTreeMap::new(),
            superseded: VecDeque::new(),
            answered: None,
            admitted: false,
            ask_again: None,
            renew_at: None,
            renewing: None,
            sessions: BTreeMap::new(),
            origins: BTreeMap::new(),
            outputs: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The domain that it subscribes to.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.owner.domain_id()
    }

    /// What has to survive a restart.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// What is to be done, in order: each record has to be on the disk before the next frame is sent.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    /// The next report.
    pub fn poll_event(&mut self) -> Option<SubscriberEvent> {
        self.events.pop_front()
    }

    /// A link to a router is established: asks for the domain.
    pub fn on_established(&mut self) {
        self.on_closed();
        self.attached = true;
        let domain = Bytes::copy_from_slice(self.domain().as_bytes());
        self.send(
            from_subscriber::Frame::Attach(routing::Attach { domain }),
            None,
        );
    }

    /// The link is gone, and with it the requests that were on their way: whether they were taken nobody here knows.
    pub fn on_closed(&mut self) {
        self.attached = false;
        self.admitted &= self.open_asks.is_empty();
        self.supersede_all();
        self.ask_again = None;
    }

    /// Takes a frame of the router; each publication that it brings is given to `deliver`.
    pub fn on_frame(&mut self, clock: Clock, frame: Frame, deliver: &mut dyn FnMut(Delivery<'_>)) {
        let mut attachments = frame.attachments.into_iter();
        let (first, second) = (
            attachments.next().unwrap_or_default(),
            attachments.next().unwrap_or_default(),
        );
        let Some(frame) = routing::ToSubscriber::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            return self.outputs.push(Output::Close(
                "the router sent a frame that does not decode".into(),
            ));
        };
        match frame {
            to_subscriber::Frame::DomainState(state) => self.on_domain_state(clock, &state),
            to_subscriber::Frame::Answer(_) => self.on_answer(clock, &first),
            to_subscriber::Frame::Notice(notice) => {
                self.on_notice(&notice, &first, &second, deliver)
            }
            to_subscriber::Frame::Refused(refused) => self.on_refused(clock, &refused),
        }
    }

    /// A hint of the router, proved by nothing: it only moves the time at which this side asks.
    fn on_domain_state(&mut self, clock: Clock, state: &routing::DomainState) {
        if !state.open {
            return self.events.push_back(SubscriberEvent::Waiting);
        }
        // While requests are on their way, their own timer decides when to repeat them.
        let is_known = self.admitted && self.sessions.contains_key(&state.session);
        if is_known || !self.open_asks.is_empty() {
            return;
        }
        // An owner that knows this subscriber seals its subscriptions into the new session by itself; wait for that a little.
        let wait = if self.admitted {
            ASK_AGAIN_AFTER
        } else {
            Duration::ZERO
        };
        let due = clock.now + wait;
        if self.ask_again.is_none_or(|at| at > due) {
            self.ask_again = Some(due);
        }
        self.on_timeout(clock);
    }

    fn on_refused(&mut self, clock: Clock, refused: &routing::Refused) {
        if refused.cause() == Cause::UnknownDomain {
            self.supersede_all();
            self.ask_again = Some(clock.now + ASK_AGAIN_AFTER);
            return self.events.push_back(SubscriberEvent::Waiting);
        }
        self.events
            .push_back(SubscriberEvent::RouterRefused(refused.what.clone()));
    }

    /// When [`Subscriber::on_timeout`] has something to do even if nothing happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        if !self.attached {
            return None;
        }
        self.ask_again.into_iter().chain(self.renew_at).min()
    }

    /// Does what is due.
    pub fn on_timeout(&mut self, clock: Clock) {
        if !self.attached {
            return;
        }
        if self.ask_again.is_some_and(|at| at <= clock.now) {
            if !self.open_asks.is_empty() {
                self.events.push_back(SubscriberEvent::Unanswered);
            }
            self.ask_for_all();
            self.ask_again = Some(clock.now + ASK_AGAIN_AFTER);
        }
        if self.renew_at.is_some_and(|at| at <= clock.now) {
            self.renew_at = Some(clock.now + ASK_AGAIN_AFTER);
            if let Some(unanswered) = self.renewing.take()
                && self.open_asks.remove(&unanswered).is_some()
            {
                self.supersede([unanswered]);
            }
            self.renewing = Some(self.ask(Operation::Renew, 0));
        }
    }

    /// Whatever waits for an answer is asked again, or will be.
    fn supersede_all(&mut self) {
        let open = core::mem::take(&mut self.open_asks);
        self.supersede(open.into_keys());
    }

    /// An answer to one of these requests may still come, late.
    fn supersede(&mut self, requests: impl IntoIterator<Item = [u8; 32]>) {
        self.superseded.extend(requests);
        while self.superseded.len() > SUPERSEDED_MAX {
            self.superseded.pop_front();
        }
    }

    fn ask_for_all(&mut self) {
        self.supersede_all();
        let all = core::mem::take(&mut self.subscriptions);
        let mut left = all.len();
        for (number, portion) in portions(&all).into_iter().enumerate() {
            left -= portion.len();
            let remaining = left as u32;
            self.ask(
                Operation::Subscribe {
                    replace: number == 0,
                    retention_ms: 0,
                    remaining,
                    subscriptions: portion.to_vec(),
                },
                remaining,
            );
        }
        self.subscriptions = all;
    }

    /// Drops subscriptions; none named drops all. Without a link the owner is told when there is one again.
    pub fn unsubscribe(&mut self, ids: Vec<u64>) {
        self.subscriptions
            .retain(|(id, _)| !ids.is_empty() && !ids.contains(id));
        if self.attached {
            self.ask(Operation::Unsubscribe { ids }, 0);
        } else {
            self.admitted = false;
        }
    }

    /// Sends a request; returns the hash that its answer will name.
    fn ask(&mut self, operation: Operation, remaining: u32) -> [u8; 32] {
        self.memory.sequence += 1;
        self.outputs
            .push(Output::Record(record(SEQUENCE, &[self.memory.sequence])));
        let ask = Ask {
            consumer: self.identity.public().clone(),
            sequence: self.memory.sequence,
            operation,
        };
        let (sealed, hash) = ask.seal(
            &self.identity,
            &self.owner,
            self.settings.plain,
            &mut *self.entropy,
        );
        self.open_asks.insert(hash, remaining);
        let domain = Bytes::copy_from_slice(self.domain().as_bytes());
        self.send(
            from_subscriber::Frame::Ask(routing::Ask {
                domain,
                consumer: Bytes::new(),
                publisher: false,
            }),
            Some(sealed.into()),
        );
        hash
    }

    fn on_answer(&mut self, clock: Clock, sealed: &[u8]) {
        let opened = Answer::open(sealed, &self.owner, &self.identity, self.settings.plain);
        let Ok(answer) = opened else {
            // Of the owner all the same, or of nobody?
            let event = match Answer::open(sealed, &self.owner, &self.identity, true) {
                Ok(_) if !self.settings.plain => SubscriberEvent::Unencrypted,
                _ => SubscriberEvent::NotTaken,
            };
            return self.events.push_back(event);
        };
        let newest = self.sessions.keys().next_back().copied().unwrap_or(0);
        let asked = self.open_asks.remove(&answer.request);
        let remaining = match asked {
            Some(remaining) => remaining,
            // A request is answered again only to open a later session; anything else is a replay, of the request or of the answer.
            None if self.answered == Some(answer.request) && answer.session > newest => 0,
            None => return self.on_late_answer(&answer, newest),
        };
        match answer.verdict {
            Verdict::Granted { .. } => self.events.push_back(SubscriberEvent::NotTaken),
            Verdict::Refused(refusal) => {
                self.ask_again = None;
                self.renew_at = None;
                self.events.push_back(SubscriberEvent::Refused(refusal));
            }
            Verdict::Admitted { .. } if answer.session < newest => {
                self.events.push_back(SubscriberEvent::NotTaken);
            }
            Verdict::Admitted {
                delivery_key,
                lease_ms,
                ..
            } => {
                self.answered = Some(answer.request);
                self.renewing = None;
                let renew_after =
                    Duration::from_millis(lease_ms / 2).max(Duration::from_millis(100));
                // An owner that has admitted this side unasked wants to hear that it is still here.
                let renew_after = asked.map_or(Duration::ZERO, |_| renew_after);
                self.renew_at = Some(clock.now + renew_after);
                let is_new = self.open_session(answer.session, &delivery_key);
                if !self.open_asks.is_empty() {
                    // The owner is at work on the others.
                    self.ask_again = self.ask_again.map(|_| clock.now + ASK_AGAIN_AFTER);
                } else if remaining == 0 {
                    self.ask_again = None;
                    if is_new || !self.admitted {
                        self.admitted = true;
                        self.events.push_back(SubscriberEvent::Admitted {
                            session: answer.session,
                        });
                    }
                }
            }
        }
    }

    /// Takes the keys from an answer to a request that was made again meanwhile: notices under them may come before the later answer,
    /// which says the rest.
    fn on_late_answer(&mut self, answer: &Answer, newest: u64) {
        let late = |hash: &[u8; 32]| *hash == answer.request;
        let Some(place) = self.superseded.iter().position(late) else {
            return self.events.push_back(SubscriberEvent::NotTaken);
        };
        self.superseded.remove(place);
        if let Verdict::Admitted { delivery_key, .. } = &answer.verdict
            && answer.session >= newest
        {
            self.answered = Some(answer.request);
            if self.open_session(answer.session, delivery_key) && self.admitted {
                // The owner has sealed the subscriptions into its new session by itself.
                let session = answer.session;
                self.events.push_back(SubscriberEvent::Admitted { session });
            }
        }
    }

    /// Whether the session is new; the newest is not opened twice.
    fn open_session(&mut self, number: u64, delivery_key: &sc_crypto::Secret) -> bool {
        if self.sessions.contains_key(&number) {
            return false;
        }
        let party = self.identity.signing_key().verifying_key();
        let scope = Scope {
            domain: self.domain(),
            session: number,
            party,
            start: 0,
        };
        let keys = DeliveryKeys::new(delivery_key, &scope, self.settings.plain);
        let (session, counter) = self.memory.taken;
        let next_counter = if session == number { counter + 1 } else { 1 };
        self.sessions.insert(
            number,
            Session {
                scope,
                keys,
                next_counter,
            },
        );
        while self.sessions.len() > SESSIONS_MAX {
            self.sessions.pop_first();
        }
        true
    }

    fn on_notice(
        &mut self,
        head: &routing::Notice,
        sealed: &[u8],
        payloads: &Bytes,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) {
        let plain = self.settings.plain;
        let Some(session) = self.sessions.get_mut(&head.session) else {
            return self.events.push_back(SubscriberEvent::NotTaken);
        };
        if head.counter < session.next_counter {
            return self.events.push_back(SubscriberEvent::NotTaken);
        }
        let mut sealed = zeroize::Zeroizing::new(sealed.to_vec());
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
            return self.events.push_back(SubscriberEvent::NotTaken);
        };
        if head.counter > session.next_counter {
            let (from, to) = (session.next_counter, head.counter - 1);
            self.events.push_back(SubscriberEvent::Missing {
                session: head.session,
                from,
                to,
            });
        }
        session.next_counter = head.counter + 1;
        // A late notice of an older session must not turn back what a restart goes on from.
        if head.session >= self.memory.taken.0 {
            self.memory.taken = (head.session, head.counter);
        }
        match notice.kind {
            NoticeKind::Matches { .. } => self.take_matches(notice, head, payloads, deliver),
            NoticeKind::Expired => self.end(Ending::Expired),
            NoticeKind::Revoked => self.end(Ending::Revoked),
            _ => {}
        }
        // Only now: whoever crashes before has it reported as missing rather than passed over.
        let (session, counter) = self.memory.taken;
        self.outputs
            .push(Output::Record(record(TAKEN, &[session, counter])));
    }

    /// The program holds nothing of this subscriber any more.
    fn end(&mut self, ending: Ending) {
        self.admitted = false;
        self.renew_at = None;
        self.events.push_back(SubscriberEvent::Ended(ending));
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
        let newest = self.origins.entry(publisher).or_insert(Origin {
            start: 0,
            number: 0,
        });
        if origin <= *newest {
            return self
                .events
                .push_back(SubscriberEvent::PassedOver { origin });
        }
        *newest = origin;
        let scope = Scope {
            domain: self.owner.domain_id(),
            session: head.session,
            party: publisher,
            start,
        };
        let mut data = scope.payload_data(counter);
        let mut sizes = head.payload_sizes.iter();
        let mut rest = &payloads[..];
        let mut ids = Vec::new();
        loop {
            let entry = match notice.next_entry(&mut ids) {
                Ok(Some(entry)) => entry,
                Ok(None) => return,
                Err(_) => return self.events.push_back(SubscriberEvent::NotTaken),
            };
            let attached = sizes
                .next()
                .and_then(|size| rest.split_at_checked(*size as usize));
            let sealed = attached.map(|(payload, others)| {
                rest = others;
                payload
            });
            let payload = sealed.and_then(|sealed| match entry.key_and_hash {
                None => Some(sealed.to_vec()),
                Some((_, hash)) if sha256(sealed) != *hash => None,
                Some((key, _)) => PayloadKey::from_bytes(*key)
                    .open(data.of(entry.index), sealed)
                    .ok(),
            });
            match payload {
                Some(payload) => deliver(Delivery {
                    publisher,
                    origin,
                    index: entry.index,
                    subscriptions: &ids,
                    payload: &payload,
                }),
                None => self.events.push_back(SubscriberEvent::PayloadWithheld {
                    origin,
                    index: entry.index,
                }),
            }
        }
    }

    fn send(&mut self, frame: from_subscriber::Frame, attachment: Option<Bytes>) {
        let head = routing::FromSubscriber { frame: Some(frame) }.encode_to_vec();
        let frame = Frame {
            head: head.into(),
            attachments: attachment.into_iter().collect(),
        };
        self.outputs.push(Output::Send {
            class: FrameClass::Control,
            frame,
        });
    }
}
