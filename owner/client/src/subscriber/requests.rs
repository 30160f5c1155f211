//! Requests and their answers.
//!
//! Invariants: an answer is taken to a request of this life that waits for one, or, if it opens a later session, to the last one that was
//! answered by an admission; a request leaves after its sequence number was recorded; a router alone never makes this side give up.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sc_crypto::VerifyingKey;
use sc_proto::routing::{self, from_subscriber, refused::Cause};

use super::memory::session_record;
use super::sessions::{granted, scope};
use super::{Subscriber, SubscriberEvent};
use crate::answer::{Answer, Refusal, Verdict};
use crate::ask::{Ask, Operation, portions};
use crate::link::{Clock, Output};

/// A request without an answer is made again after this long; each further time after twice as long.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// But never later.
const ASK_AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);
/// Requests made again without an answer whose answers are still taken; older ones are forgotten.
const SUPERSEDED_MAX: usize = 64;

/// A request that was made again.
struct Superseded {
    request: [u8; 32],
    /// How many subscriptions follow in further requests.
    remaining: u32,
    /// Of what was asked for.
    edition: u64,
}

/// What was asked and what waits.
#[derive(Default)]
pub(super) struct Requests {
    /// Requests that wait for an answer, by hash, with how many subscriptions follow.
    open: BTreeMap<[u8; 32], u32>,
    /// Requests that were made again before their answer came, oldest first: it may still come, with the keys of a session.
    superseded: VecDeque<Superseded>,
    /// How often the subscriptions that are asked for have changed.
    edition: u64,
    /// The last request that was answered with an admission: answers of later sessions name it.
    answered: Option<[u8; 32]>,
    ask_again: Option<Duration>,
    /// When all was asked for last, and how often since something of the owner came.
    asked_at: Option<Duration>,
    attempts: u32,
    renew_at: Option<Duration>,
    /// The renewal that waits for its answer.
    renewing: Option<[u8; 32]>,
    /// Whether the owner has said once that it knows this side's sequence number.
    is_sequence_doubted: bool,
    /// Whether the domain has changed while a request was open: its answer may be that of an owner that does not know who is still here.
    is_owner_in_doubt: bool,
    /// Whether it was reported that the lease had ended; until the owner says so no more.
    is_lapse_told: bool,
}

impl Requests {
    /// Nothing was asked in this life; `answered` is the last request of an earlier one that is known to have been answered.
    pub(super) fn new(answered: Option<[u8; 32]>) -> Self {
        Self {
            answered,
            ..Self::default()
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.ask_again.into_iter().chain(self.renew_at).min()
    }

    /// The link is gone.
    pub(super) fn on_closed(&mut self) {
        self.supersede_all();
        self.ask_again = None;
        self.attempts = 0;
    }

    /// Nothing is to be asked any more.
    fn stop(&mut self) {
        self.ask_again = None;
        self.renew_at = None;
    }

    pub(super) fn stop_renewing(&mut self) {
        self.renew_at = None;
    }

    /// How long to wait for answers before all is asked for again.
    fn patience(&self) -> Duration {
        let times = 1 << self.attempts.saturating_sub(1).min(10);
        (ASK_AGAIN_AFTER * times).min(ASK_AGAIN_AFTER_MAX)
    }

    /// Whatever waits for an answer is asked again, or will be.
    fn supersede_all(&mut self) {
        let open = core::mem::take(&mut self.open);
        open.into_iter()
            .for_each(|(request, remaining)| self.supersede(request, remaining));
    }

    /// The lease is to be renewed at the next opportunity.
    pub(super) fn renew_now(&mut self) {
        self.renew_at = Some(Duration::ZERO);
    }

    /// An answer to this request may still come, late.
    fn supersede(&mut self, request: [u8; 32], remaining: u32) {
        self.superseded.push_back(Superseded {
            request,
            remaining,
            edition: self.edition,
        });
        while self.superseded.len() > SUPERSEDED_MAX {
            self.superseded.pop_front();
        }
    }

    /// The request, if it was made again before its answer came; from now on it is answered.
    fn take_superseded(&mut self, request: &[u8; 32]) -> Option<Superseded> {
        let place = self.superseded.iter().position(|it| it.request == *request);
        self.superseded.remove(place?)
    }
}

/// An answer as it came.
struct Admission<'a> {
    answer: &'a Answer,
    sealed: &'a Bytes,
    /// Under which the owner publishes.
    owner_key: VerifyingKey,
}

impl Subscriber {
    /// A hint of the router, proved by nothing: it only moves the time at which this side asks.
    pub(super) fn on_domain_state(&mut self, clock: Clock, state: &routing::DomainState) {
        self.requests.is_owner_in_doubt |= self.requests.is_open();
        if !state.open {
            return self.report(SubscriberEvent::Waiting);
        }
        if self.admitted && self.sessions.contains(state.session) {
            return;
        }
        let asked_at = self.requests.asked_at.filter(|_| self.requests.is_open());
        let due = if self.admitted {
            // An owner that knows this subscriber seals its subscriptions into the new session by itself; wait for that a little.
            clock.now + ASK_AGAIN_AFTER
        } else {
            // What waits may have gone to a session that is over; but no router can have it repeated more often than this.
            asked_at.map_or(clock.now, |asked_at| asked_at + ASK_AGAIN_AFTER)
        };
        if self.requests.ask_again.is_none_or(|at| at > due) {
            self.requests.ask_again = Some(due);
        }
        self.do_requests(clock);
    }

    pub(super) fn on_refused(&mut self, clock: Clock, refused: &routing::Refused) {
        if refused.cause() == Cause::UnknownDomain {
            // What they asked for the owner has not heard of.
            self.admitted &= !self.requests.is_open();
            self.requests.supersede_all();
            self.requests.ask_again = Some(clock.now + ASK_AGAIN_AFTER);
            return self.report(SubscriberEvent::Waiting);
        }
        self.report(SubscriberEvent::RouterRefused(refused.what.clone()));
    }

    /// Makes the requests that are due.
    pub(super) fn do_requests(&mut self, clock: Clock) {
        if !self.attached {
            return;
        }
        let now = clock.now;
        if self.requests.ask_again.is_some_and(|at| at <= now) {
            if self.requests.is_open() {
                self.report(SubscriberEvent::Unanswered);
            }
            self.ask_for_all();
            self.requests.asked_at = Some(now);
            self.requests.attempts = self.requests.attempts.saturating_add(1);
            self.requests.ask_again = Some(now + self.requests.patience());
        }
        if self.requests.renew_at.is_some_and(|at| at <= now) {
            self.requests.renew_at = Some(now + ASK_AGAIN_AFTER);
            if let Some(unanswered) = self.requests.renewing.take()
                && self.requests.open.remove(&unanswered).is_some()
            {
                // It says nothing of what is subscribed.
                self.requests.supersede(unanswered, u32::MAX);
            }
            self.requests.renewing = Some(self.ask(Operation::Renew, 0));
        }
    }

    fn ask_for_all(&mut self) {
        self.requests.supersede_all();
        let all = core::mem::take(&mut self.subscriptions);
        let retention_ms = u64::try_from(self.settings.retention.as_millis()).unwrap_or(u64::MAX);
        let mut left = all.len();
        for (number, portion) in portions(&all).into_iter().enumerate() {
            left -= portion.len();
            let remaining = left as u32;
            self.ask(
                Operation::Subscribe {
                    replace: number == 0,
                    retention_ms,
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
        self.requests.edition += 1;
        if self.attached {
            self.ask(Operation::Unsubscribe { ids }, 0);
        } else {
            self.admitted = false;
        }
    }

    /// Sends a request; returns the hash that its answer will name.
    fn ask(&mut self, operation: Operation, remaining: u32) -> [u8; 32] {
        let (sequence, record) = self.memory.next_sequence();
        self.outputs.push(Output::Record(record));
        let ask = Ask {
            consumer: self.identity.public().clone(),
            sequence,
            operation,
        };
        let (sealed, hash) = ask.seal(
            &self.identity,
            &self.owner,
            self.settings.plain,
            &mut *self.entropy,
        );
        self.requests.open.insert(hash, remaining);
        let frame = from_subscriber::Frame::Ask(routing::Ask {
            domain: self.domain_bytes(),
            consumer: Bytes::new(),
            publisher: false,
        });
        self.send(frame, Some(sealed.into()));
        hash
    }

    pub(super) fn on_answer(&mut self, clock: Clock, sealed: &Bytes) {
        let opened = Answer::open_signed(sealed, &self.owner, &self.identity, self.settings.plain);
        let Ok((answer, owner_key)) = opened else {
            // Of the owner all the same, or of nobody?
            let event = match Answer::open(sealed, &self.owner, &self.identity, true) {
                Ok(_) if !self.settings.plain => SubscriberEvent::Unencrypted,
                _ => SubscriberEvent::NotTaken,
            };
            return self.report(event);
        };
        let admission = Admission {
            answer: &answer,
            sealed,
            owner_key,
        };
        let newest = self.sessions.newest();
        let asked = self.requests.open.remove(&answer.request);
        let opens_a_later_session = self.requests.answered == Some(answer.request)
            && answer.session > newest
            && granted(&answer.verdict).is_some();
        match (&answer.verdict, asked) {
            (Verdict::Refused(refusal), Some(_)) => {
                self.on_refusal(clock, answer.request, *refusal);
            }
            (Verdict::Admitted { lease_ms, .. }, Some(remaining)) if answer.session >= newest => {
                let lease_ms = *lease_ms;
                self.on_admission(clock, &admission, Some(lease_ms), remaining);
            }
            // A request is answered again only to open a later session; anything else is a replay, of the request or of the answer.
            (_, None) if opens_a_later_session => {
                self.on_admission(clock, &admission, None, 0);
            }
            (_, None) => self.on_late_answer(clock, &admission, newest),
            _ => self.report(SubscriberEvent::NotTaken),
        }
    }

    /// A refusal for the sequence number is believed when it comes a second time, to a request made after the first: a router can have one
    /// made by carrying a request twice.
    fn on_refusal(&mut self, clock: Clock, request: [u8; 32], refusal: Refusal) {
        if refusal == Refusal::Sequence && !self.requests.is_sequence_doubted {
            self.requests.is_sequence_doubted = true;
            // The answer to the first copy may still come.
            self.requests.supersede(request, u32::MAX);
            self.requests.supersede_all();
            self.requests.ask_again = Some(clock.now);
            return self.do_requests(clock);
        }
        self.requests.stop();
        self.admitted = false;
        self.report(SubscriberEvent::Refused(refusal));
    }

    /// Takes an admission: to a request of this side, with the lease it was given, or by the owner's own accord.
    fn on_admission(
        &mut self,
        clock: Clock,
        admission: &Admission<'_>,
        lease_ms: Option<u64>,
        remaining: u32,
    ) {
        let answer = admission.answer;
        self.requests.answered = Some(answer.request);
        self.requests.renewing = None;
        self.requests.attempts = 0;
        self.requests.is_sequence_doubted = false;
        // An owner that has admitted this side unasked, or has begun anew since it was asked, wants to hear that it is still here.
        let is_in_doubt = core::mem::take(&mut self.requests.is_owner_in_doubt);
        let asked_ms = lease_ms.filter(|_| !is_in_doubt);
        let renew_after = asked_ms.map_or(Duration::ZERO, |lease_ms| {
            Duration::from_millis(lease_ms / 2).max(Duration::from_millis(100))
        });
        self.requests.renew_at = Some(clock.now.saturating_add(renew_after));
        let is_new = self.open_session(admission);
        if self.requests.is_open() {
            // The owner is at work on the others.
            let postponed = clock.now + ASK_AGAIN_AFTER;
            self.requests.ask_again = self.requests.ask_again.map(|_| postponed);
            if is_new && lease_ms.is_none() && self.admitted {
                // The owner has sealed the subscriptions into its new session by itself.
                self.admit(clock, answer.session);
            }
        } else if lease_ms.is_none() && !self.admitted {
            // The owner goes by an older request than the last, which is still to be made again.
            self.requests.ask_again = Some(clock.now);
        } else if remaining == 0 {
            self.requests.ask_again = None;
            if is_new || !self.admitted {
                self.admit(clock, answer.session);
            }
        }
    }

    /// Takes an answer to a request that was made again meanwhile: notices under its keys may come before the later answer. If it answers
    /// the last request for all that is still wanted, this side is admitted: an owner with very many consumers needs longer than they have
    /// patience, and what they ask for again meanwhile changes nothing.
    fn on_late_answer(&mut self, clock: Clock, admission: &Admission<'_>, newest: u64) {
        let answer = admission.answer;
        let Some(late) = self.requests.take_superseded(&answer.request) else {
            return self.report(SubscriberEvent::NotTaken);
        };
        let Verdict::Admitted { lease_ms, .. } = &answer.verdict else {
            return;
        };
        if answer.session < newest {
            return;
        }
        if late.remaining == 0 && late.edition == self.requests.edition && !self.admitted {
            self.requests.supersede_all();
            return self.on_admission(clock, admission, Some(*lease_ms), 0);
        }
        self.requests.answered = Some(answer.request);
        if self.requests.is_open() {
            let postponed = clock.now + self.requests.patience();
            self.requests.ask_again = self.requests.ask_again.map(|_| postponed);
        }
        if self.open_session(admission) && self.admitted {
            // The owner has sealed the subscriptions into its new session by itself.
            self.admit(clock, answer.session);
        }
    }

    fn admit(&mut self, clock: Clock, session: u64) {
        if !self.admitted {
            self.silence.end(clock.now);
        }
        self.admitted = true;
        if let Some(terms) = self.sessions.terms() {
            self.report(SubscriberEvent::Admitted {
                session,
                slow: terms.slow,
                retention: terms.retention,
            });
        }
    }

    /// Whether the answer's session is new; its keys are in the journal before the router hears that they are here. Sessions before it are
    /// named first, so that what waits of them comes first.
    fn open_session(&mut self, admission: &Admission<'_>) -> bool {
        let Some(granted) = granted(&admission.answer.verdict) else {
            return false;
        };
        let number = admission.answer.session;
        self.tell_lapse(granted.lapsed, number);
        let covered = &mut self.memory.covered;
        covered.on_admission(number, admission.owner_key, granted.covered);
        let (domain, identity) = (self.owner.domain_id(), &self.identity);
        let scope = |session| scope(domain, identity, session);
        let plain = self.settings.plain;
        let opened = self
            .sessions
            .take(number, &granted, &self.memory, scope, plain);
        if !opened.is_empty() {
            self.memory.remember(number, admission.sealed.clone());
            let record = session_record(number, admission.sealed);
            self.outputs.push(Output::Record(record));
        }
        for session in &opened {
            self.acknowledge(*session, self.memory.taken(*session));
        }
        opened.contains(&number)
    }

    /// Reports once that the lease had ended where this side believed that it still ran: the owner says so, or a notice does, or both.
    pub(super) fn tell_lapse(&mut self, lapsed: bool, session: u64) {
        let is_news = lapsed && !self.requests.is_lapse_told && self.memory.was_admitted();
        self.requests.is_lapse_told = lapsed;
        if is_news {
            self.report(SubscriberEvent::Lapsed { session });
        }
    }
}
