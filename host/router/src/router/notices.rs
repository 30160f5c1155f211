//! Mailboxes: what the program makes for consumers goes in, and what they want done is carried out.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use sc_proto::cbr::{self, call};
use sc_proto::routing::{self, refused::Cause, to_subscriber};
use sc_transport::{Frame, FrameClass, PeerKey};

use super::{Peer, Router};
use crate::calls::{Asked, CallContext};
use crate::credit::DebtId;
use crate::domains::DomainId;
use crate::mailbox::{Effect, Mailbox, Notice, Policy};
use crate::memory::{Gauge, Load, Weight};
use crate::outputs::Output;
use crate::spill::{MailboxId, Recovered, SpillEvent};

/// What is said to a consumer for which nothing can be kept.
const NO_MAILBOX: &str = "this router keeps notices for as many consumers as it can, and for this one none: ask again later";
/// For so long the host keeps notices at most, whatever a publisher grants.
const RETENTION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// For so long what an earlier process has left is kept, until the consumer's publisher says better.
const RETENTION_RECOVERED: Duration = Duration::from_secs(24 * 3600);

/// The payloads of a batch, of which each notice names some.
pub(super) struct Payloads<'a> {
    sizes: &'a [u32],
    starts: Vec<usize>,
    bytes: &'a Bytes,
    /// What all of them take, while any notice holds them all.
    weight: Option<Arc<Weight>>,
}

impl<'a> Payloads<'a> {
    pub(super) fn new(sizes: &'a [u32], bytes: &'a Bytes) -> Self {
        let sum = |start: &mut usize, size: &u32| {
            let this = *start;
            *start += *size as usize;
            Some(this)
        };
        Self {
            sizes,
            starts: sizes.iter().scan(0, sum).collect(),
            bytes,
            weight: None,
        }
    }

    /// The sizes and the bytes of those that are chosen.
    fn choose(&self, indexes: &[u32]) -> (Vec<u32>, Bytes) {
        let chosen = indexes.iter().filter_map(|index| {
            let index = *index as usize;
            Some((*self.sizes.get(index)?, *self.starts.get(index)?))
        });
        let sizes: Vec<u32> = chosen.clone().map(|(size, _)| size).collect();
        let total = sizes.iter().map(|size| *size as usize).sum();
        if total == self.bytes.len() {
            return (sizes, self.bytes.clone());
        }
        if let Some(run) = self.run(indexes) {
            return (sizes, self.bytes.slice(run));
        }
        let mut bytes = BytesMut::with_capacity(total);
        chosen.for_each(|(size, start)| {
            bytes.extend_from_slice(&self.bytes[start..start + size as usize]);
        });
        (sizes, bytes.freeze())
    }

    /// Where these are, if they follow one another.
    fn run(&self, indexes: &[u32]) -> Option<Range<usize>> {
        let (first, last) = (*indexes.first()? as usize, *indexes.last()? as usize);
        let follow = |pair: &[u32]| pair[0].checked_add(1) == Some(pair[1]);
        let size = *self.sizes.get(last)? as usize;
        indexes
            .windows(2)
            .all(follow)
            .then(|| self.starts[first]..self.starts[last] + size)
    }

    /// What a notice with `attached` takes of memory: a slice of the batch keeps all of it, together with others.
    fn load(&mut self, gauge: &Arc<Gauge>, cost: u64, attached: &Bytes) -> Load {
        let batch = self.bytes.as_ptr_range();
        if attached.is_empty() || !batch.contains(&attached.as_ptr()) {
            return Load::new(gauge, cost, None);
        }
        let weigh = || Arc::new(Weight::new(gauge, self.bytes.len() as u64));
        let shared = Arc::clone(self.weight.get_or_insert_with(weigh));
        Load::new(gauge, cost - attached.len() as u64, Some(shared))
    }
}

impl Router {
    /// Puts a notice, with the payloads that it gives keys for, into its consumer's mailbox.
    pub(super) fn forward(
        &mut self,
        now: Duration,
        debt: Option<DebtId>,
        domain: &DomainId,
        session: u64,
        notice: cbr::Notice,
        payloads: &mut Payloads<'_>,
    ) {
        let Ok(consumer) = notice.consumer[..].try_into() else {
            self.counters.undeliverable += 1;
            return;
        };
        let id = MailboxId {
            domain: *domain,
            consumer,
        };
        self.counters.queued += 1;
        let (sizes, attached) = payloads.choose(&notice.payloads);
        self.counters.payloads += sizes.len() as u64;
        let place = (session, notice.counter);
        let frame = notice_frame(domain, session, notice, sizes, attached.clone());
        if let Some(debt) = debt {
            self.credit.extend(debt);
        }
        let mut parts = Some((frame, debt));
        let mut put = |mailbox: &mut Mailbox, out: &mut Vec<Effect>| {
            if let Some((frame, debt)) = parts.take() {
                let load = payloads.load(mailbox.gauge(), frame.cost(), &attached);
                let notice = Notice {
                    place,
                    frame,
                    debt,
                    load,
                };
                mailbox.push(notice, out);
            }
        };
        if self.with_mailbox(id, &mut put) {
            return;
        }
        if self.add_mailbox(now, id) {
            self.with_mailbox(id, &mut put);
        } else {
            self.counters.undeliverable += 1;
            if let Some(debt) = debt {
                self.settle(debt);
            }
            self.turn_away(id, session);
        }
    }

    /// The program has admitted a consumer: from now on its notices are kept as its publisher chose.
    pub(super) fn on_admitted(
        &mut self,
        now: Duration,
        domain: &DomainId,
        session: u64,
        admitted: &cbr::Admitted,
    ) {
        let Ok(consumer) = admitted.consumer[..].try_into() else {
            return;
        };
        let id = MailboxId {
            domain: *domain,
            consumer,
        };
        if !self.mailboxes.contains(&id) && !self.add_mailbox(now, id) {
            return self.turn_away(id, session);
        }
        let policy = Policy::of(admitted.slow(), self.settings.has_store);
        let retention = Duration::from_millis(admitted.retention_ms).min(RETENTION_MAX);
        self.with_mailbox(id, |mailbox, out| {
            mailbox.admit(now, session, policy, retention, out);
        });
    }

    /// There is no room for this consumer's mailbox: the program makes no notices for it, so that no batch is settled as if it had got its own,
    /// and the consumer is told.
    fn turn_away(&mut self, id: MailboxId, session: u64) {
        if let Some(link) = self.subscribers.get(&PeerKey(id.consumer)).copied() {
            let domain = Bytes::copy_from_slice(&id.domain);
            self.refuse(link, Cause::Limit, NO_MAILBOX, domain);
        }
        if self.is_live(&id, session) {
            self.suspend(id, session);
        }
    }

    /// Makes a mailbox, for the link of its consumer if that is here.
    fn add_mailbox(&mut self, now: Duration, id: MailboxId) -> bool {
        if self.mailboxes.add(now, id).is_none() {
            return false;
        }
        let link = self.subscribers.get(&PeerKey(id.consumer)).copied();
        let peer = link.and_then(|link| self.peers.get(&link).map(|peer| (link, peer)));
        let found = match peer {
            Some((link, Peer::Subscriber { attached, .. })) => attached
                .iter()
                .find(|it| it.domain == id.domain)
                .map(|it| (link, it.named.clone())),
            _ => None,
        };
        self.with_mailbox(id, |mailbox, out| {
            if let Some((link, named)) = found {
                mailbox.attach(now, link, &named, out);
            }
        });
        true
    }

    /// What an earlier process has left in the store. Call before anything else happens.
    pub fn recover(&mut self, now: Duration, recovered: impl IntoIterator<Item = Recovered>) {
        self.now = now;
        for found in recovered {
            let (id, last) = (found.mailbox, found.last);
            if self.mailboxes.add(now, id).is_none() {
                self.counters.given_up += found.records;
                self.outputs.push(Output::Discard { mailbox: id });
                continue;
            }
            self.with_mailbox(id, |mailbox, out| {
                mailbox.recover(found.first, last, found.records);
                mailbox.admit(now, last.0, Policy::Spill, RETENTION_RECOVERED, out);
            });
        }
    }

    /// Takes what the store has to say.
    pub fn on_spill(&mut self, event: SpillEvent) {
        match event {
            SpillEvent::Stored { mailbox, token } => {
                self.counters.stored += 1;
                self.with_mailbox(mailbox, |mailbox, out| mailbox.on_stored(token, out));
            }
            SpillEvent::Failed { mailbox, token, .. } => {
                self.counters.store_failures += 1;
                self.with_mailbox(mailbox, |mailbox, out| mailbox.on_store_failed(token, out));
            }
            SpillEvent::Fetched {
                mailbox,
                records,
                more,
            } => {
                self.counters.fetched += records.len() as u64;
                self.with_mailbox(mailbox, |mailbox, out| {
                    mailbox.on_fetched(records, more, out);
                });
            }
            SpillEvent::Lost { .. } => self.counters.store_losses += 1,
        }
    }

    /// Does what has become due: what waits for consumers that stay away for longer than their retention is given up, and consumers of
    /// impatient publishers that have not named their session are disconnected.
    pub fn on_timeout(&mut self, now: Duration) {
        self.now = now;
        while let Some(id) = self.mailboxes.due(now) {
            let session = self.mailboxes.get_mut(&id).map(|mailbox| mailbox.session());
            let is_live = session.is_some_and(|session| self.is_live(&id, session));
            let mut has_expired = false;
            self.with_mailbox(id, |mailbox, out| {
                has_expired = mailbox.on_timeout(now, is_live, out);
            });
            if !has_expired {
                continue;
            }
            self.counters.expired += 1;
            let is_idle = |mailbox: &mut Mailbox| mailbox.is_idle();
            if !is_live && self.mailboxes.get_mut(&id).is_some_and(is_idle) {
                self.mailboxes.remove(&id);
            }
        }
    }

    /// Whether the program has this session.
    fn is_live(&self, id: &MailboxId, session: u64) -> bool {
        let domain = self.domains.get(&id.domain);
        domain.is_some_and(|domain| domain.session == session)
    }

    /// Lets a mailbox act, and carries out what it wants; `false` when there is no such mailbox.
    pub(super) fn with_mailbox(
        &mut self,
        id: MailboxId,
        act: impl FnOnce(&mut Mailbox, &mut Vec<Effect>),
    ) -> bool {
        let mut effects = core::mem::take(&mut self.effects);
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return false;
        };
        act(mailbox, &mut effects);
        mailbox.note_progress(self.now);
        if mailbox.deadline() != mailbox.timer {
            self.mailboxes.refresh(&id);
        }
        effects
            .drain(..)
            .for_each(|effect| self.carry_out(id, effect));
        self.effects = effects;
        true
    }

    fn carry_out(&mut self, mailbox: MailboxId, effect: Effect) {
        match effect {
            Effect::Send(link, frame) => {
                self.counters.notices += 1;
                self.counters.notice_bytes += frame.len();
                self.outputs.push(Output::Send {
                    link,
                    class: FrameClass::Data,
                    frame,
                    token: 0,
                });
            }
            Effect::Settle(debt) => self.settle(debt),
            Effect::Acked(count) => self.counters.acked += count,
            Effect::GivenUp(count) => self.counters.given_up += count,
            Effect::Store(token, record) => {
                self.counters.stored_bytes += record.frame.len();
                self.outputs.push(Output::Store {
                    mailbox,
                    token,
                    record,
                });
            }
            Effect::Fetch(bytes_max) => self.outputs.push(Output::Fetch { mailbox, bytes_max }),
            Effect::Rewind => self.outputs.push(Output::Rewind { mailbox }),
            Effect::Trim((session, counter)) => self.outputs.push(Output::Trim {
                mailbox,
                session,
                counter,
            }),
            Effect::Discard => self.outputs.push(Output::Discard { mailbox }),
            Effect::Suspend(session) => self.suspend(mailbox, session),
            Effect::Resume(session) => self.resume(mailbox, session),
            Effect::Disconnect(link) => self.disconnect(link, super::deliveries::BEHIND),
        }
    }

    fn suspend(&mut self, mailbox: MailboxId, session: u64) {
        if !self.is_live(&mailbox, session) {
            self.with_mailbox(mailbox, |mailbox, out| {
                mailbox.on_suspend_refused(session, out);
            });
            return;
        }
        let call = cbr::Suspend {
            domain: Bytes::copy_from_slice(&mailbox.domain),
            session,
            consumer: Bytes::copy_from_slice(&mailbox.consumer),
        };
        let what = Asked::Suspend { mailbox, session };
        self.call(
            CallContext { origin: None, what },
            call::Call::Suspend(call),
        );
    }

    fn resume(&mut self, mailbox: MailboxId, session: u64) {
        if !self.is_live(&mailbox, session) {
            self.with_mailbox(mailbox, |mailbox, _| mailbox.on_resume_refused(session));
            return;
        }
        let call = cbr::Resume {
            domain: Bytes::copy_from_slice(&mailbox.domain),
            session,
            consumer: Bytes::copy_from_slice(&mailbox.consumer),
        };
        let what = Asked::Resume { mailbox, session };
        self.call(CallContext { origin: None, what }, call::Call::Resume(call));
    }

    /// The program has answered a suspension or its end: `outcome` has one notice, or the call was refused.
    pub(super) fn on_suspension(
        &mut self,
        id: MailboxId,
        session: u64,
        outcome: Option<cbr::Outcome>,
        resumes: bool,
    ) {
        let notices = outcome.map(|outcome| outcome.notices).unwrap_or_default();
        let notice = notices
            .into_iter()
            .find(|notice| notice.consumer[..] == id.consumer);
        let counter = match (&notice, resumes) {
            (None, _) => None,
            (Some(_), false) => Some(&mut self.counters.suspended),
            (Some(_), true) => Some(&mut self.counters.resumed),
        };
        if let Some(counter) = counter {
            *counter += 1;
            self.counters.queued += 1;
        }
        self.with_mailbox(id, |mailbox, out| match (notice, resumes) {
            (Some(notice), _) => {
                let place = (session, notice.counter);
                let frame = notice_frame(&id.domain, session, notice, Vec::new(), Bytes::new());
                let load = Load::new(mailbox.gauge(), frame.cost(), None);
                let notice = Notice {
                    place,
                    frame,
                    debt: None,
                    load,
                };
                if resumes {
                    mailbox.on_resumed(notice, out);
                } else {
                    mailbox.on_suspended(notice, out);
                }
            }
            (None, true) => mailbox.on_resume_refused(session),
            (None, false) => mailbox.on_suspend_refused(session, out),
        });
    }
}

/// A notice as its consumer gets it.
fn notice_frame(
    domain: &DomainId,
    session: u64,
    notice: cbr::Notice,
    payload_sizes: Vec<u32>,
    payloads: Bytes,
) -> Frame {
    let head = routing::Notice {
        domain: Bytes::copy_from_slice(domain),
        session,
        counter: notice.counter,
        payload_sizes,
    };
    let frame = to_subscriber::Frame::Notice(head);
    let head = routing::ToSubscriber { frame: Some(frame) }.encode_to_vec();
    Frame {
        head: head.into(),
        attachments: vec![notice.ciphertext, payloads],
    }
}
