//! Asking the owner, and the owner's answer.
//!
//! Invariant: a grant is taken from an answer to this side's own last request, and from nowhere else.

use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{PublisherKeys, Scope};
use sc_crypto::Secret;
use sc_proto::routing::{self, from_publisher, refused::Cause};

use super::memory::Record;
use super::{Grantee, GranteeEvent};
use crate::answer::{Answer, Refusal, Verdict};
use crate::ask::{Ask, Operation};
use crate::link::{Clock, Output};
use crate::outgoing::{Sequence, later};

/// A request without an answer is made again after this long.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Between two requests there is at least this long, whatever a router says.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// An owner that has refused is asked again after this long: its list may have changed.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// Requests and what came of them.
#[derive(Default)]
pub(super) struct Asking {
    /// The request that waits for an answer, by its hash.
    open: Option<[u8; 32]>,
    /// The request that was granted.
    granted: Option<[u8; 32]>,
    /// When to ask, again or for the first time; only while a link stands.
    pub(super) at: Option<Duration>,
    asked_at: Option<Duration>,
}

impl Asking {
    /// The link is gone, and with it what was asked on it.
    pub(super) fn clear(&mut self) {
        *self = Self {
            asked_at: self.asked_at,
            ..Self::default()
        };
    }

    fn soon(&mut self, now: Duration) {
        let earliest = self.asked_at.map_or(now, |at| at + ASK_PAUSE);
        self.at = Some(earliest.max(now));
    }
}

impl Grantee {
    /// A hint of the router, proved by nothing: it only moves the time at which this side asks.
    pub(super) fn on_domain_state(&mut self, clock: Clock, state: &routing::DomainState) {
        if state.domain[..] != self.domain().as_bytes()[..] {
            return;
        }
        if !state.open {
            self.withdraw();
            self.asking.clear();
            return self.report(GranteeEvent::Waiting);
        }
        let session = self.sequence.as_ref().map(|it| it.scope.session);
        if session == Some(state.session) {
            return;
        }
        self.withdraw();
        // While a request is on its way, its own timer decides when to repeat it.
        if self.asking.open.is_none() {
            self.asking.soon(clock.now);
        }
    }

    /// Asks if it is time.
    pub(super) fn ask_if_due(&mut self, clock: Clock) {
        if self.asking.at.is_none_or(|at| at > clock.now) {
            return;
        }
        if self.asking.open.is_some() {
            self.report(GranteeEvent::Unanswered);
        }
        let sequence = later(self.memory.sequence, clock.wall_ms);
        self.record(&Record::Asked(sequence));
        let ask = Ask {
            consumer: self.identity.public().clone(),
            sequence,
            operation: Operation::Publish {
                floor: self.outgoing.floor(),
            },
        };
        let plain = self.settings.plain;
        let (sealed, hash) = ask.seal(&self.identity, &self.owner, plain, &mut *self.entropy);
        self.asking.open = Some(hash);
        self.asking.asked_at = Some(clock.now);
        self.asking.at = Some(clock.now + ASK_AGAIN_AFTER);
        let head = routing::Ask {
            domain: Bytes::copy_from_slice(self.domain().as_bytes()),
            consumer: Bytes::new(),
            publisher: false,
        };
        self.send(from_publisher::Frame::Ask(head), Some(sealed.into()));
    }

    pub(super) fn on_answer(&mut self, clock: Clock, sealed: &[u8]) {
        let plain = self.settings.plain;
        let Ok(answer) = Answer::open(sealed, &self.owner, &self.identity, plain) else {
            return self.report(GranteeEvent::NotTaken);
        };
        let is_open = self.asking.open == Some(answer.request);
        let is_granted = self.asking.granted == Some(answer.request);
        match answer.verdict {
            Verdict::Granted { start, secret } if is_open => {
                self.asking.clear();
                self.asking.granted = Some(answer.request);
                self.begin(answer.session, start, &secret);
            }
            // What was granted is taken back in no other words: the rest is the answer to somebody's replay.
            Verdict::Refused(refusal)
                if is_open || (is_granted && refusal == Refusal::NotGranted) =>
            {
                self.withdraw();
                self.asking.clear();
                let pause = match refusal {
                    Refusal::Sequence => ASK_PAUSE,
                    _ => REFUSED_PAUSE,
                };
                self.asking.at = Some(clock.now + pause);
                self.report(GranteeEvent::Refused(refusal));
            }
            _ => self.report(GranteeEvent::NotTaken),
        }
    }

    fn begin(&mut self, session: u64, start: u64, secret: &Secret) {
        self.withdraw();
        let scope = Scope {
            domain: self.domain(),
            session,
            party: self.identity.signing_key().verifying_key(),
            start,
        };
        let keys = PublisherKeys::new(secret, self.settings.plain);
        self.sequence = Some(Box::new(Sequence::new(scope, keys)));
        self.report(GranteeEvent::Granted { session, start });
    }

    /// A batch that was not taken leaves a hole in the counter, which only a new grant mends. A request that did not reach its owner is
    /// made again in time.
    pub(super) fn on_refused(&mut self, clock: Clock, refused: &routing::Refused) {
        if refused.cause() == Cause::UnknownDomain {
            self.withdraw();
            self.asking.clear();
            self.asking.at = Some(clock.now + ASK_AGAIN_AFTER);
            return self.report(GranteeEvent::Waiting);
        }
        if self.sequence.is_some() {
            self.outputs
                .push(Output::Close(format!("refused: {}", refused.what)));
        }
        self.report(GranteeEvent::RouterRefused(refused.what.clone()));
    }
}
