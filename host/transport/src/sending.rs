//! The sending half of a link: queues, credit, sequence numbers and retransmission.
//!
//! Invariant: what has been charged to a class never exceeds the limit that the peer granted, and a frame keeps its
//! sequence number until it is acknowledged, however often it is sent.
//! Loss is established, not guessed: after a silence the peer is asked for its state, and only frames that went out
//! before the question and are missing from the answer are sent again. Source: docs/FORMATS.md, "Links".

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::{SendError, Violation};
use crate::frame::{ATTACHMENTS_MAX, Frame, FrameClass, HEAD_MAX};
use crate::settings::{LinkSettings, Terms};
use crate::wire::AckBody;

/// First question after this much silence while something is outstanding.
pub(crate) const ASK_AFTER: Duration = Duration::from_millis(200);
/// Each unanswered question doubles the wait, at most this many times.
const ASK_DOUBLINGS_MAX: u32 = 5;
/// Queues that have grown beyond this many entries give their memory back once empty.
const KEEP_CAPACITY: usize = 32;

/// A frame that is on its way or waits for credit.
#[derive(Debug)]
struct Outgoing {
    class: FrameClass,
    frame: Frame,
    cost: u64,
    token: u64,
}

/// The account of one class.
#[derive(Debug, Default)]
struct Account {
    /// Cost of all frames ever given a sequence number.
    charged: u64,
    /// What the peer granted over the link's life.
    limit: u64,
    /// Cost of frames that wait for credit.
    waiting: u64,
    /// Cost of frames kept: waiting or unacknowledged.
    kept: u64,
    /// Most that may be kept.
    queue: u64,
    /// The cost of the largest frame that the peer's window admits.
    window: u64,
    /// A send was refused since the last `Writable`.
    refused: bool,
}

/// What an acknowledgement changed, per class.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) acked: [Option<u64>; 2],
    pub(crate) writable: [bool; 2],
    /// The peer has granted more.
    pub(crate) granted: [bool; 2],
}

/// A frame to put on the wire.
pub(crate) struct Transmission<'a> {
    pub(crate) sequence: u64,
    pub(crate) class: FrameClass,
    pub(crate) frame: &'a Frame,
    pub(crate) again: bool,
}

/// The questions asked since frames were last known to be lost or not.
#[derive(Debug, Default)]
struct Questions {
    /// When to ask next; `None` while nothing is outstanding.
    due: Option<Duration>,
    doublings: u32,
    /// The last number asked.
    number: u64,
    /// To be put in the next acknowledgement.
    wanted: bool,
    /// The first number without an answer, and the sequence below which everything had been sent by then.
    open: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Sending {
    accounts: [Account; 2],
    waiting: [VecDeque<Outgoing>; 2],
    unacked: VecDeque<Outgoing>,
    /// The sequence number of the first unacknowledged frame.
    base: u64,
    /// How many of the unacknowledged are on their way; the rest is to be sent again.
    cursor: usize,
    max_frame: u64,
    questions: Questions,
}

impl Sending {
    pub(crate) fn new(settings: &LinkSettings, theirs: &Terms) -> Self {
        let account = |class| Account {
            limit: theirs.window(class),
            queue: settings.queue(class),
            window: theirs.window(class),
            ..Account::default()
        };
        Self {
            accounts: FrameClass::ALL.map(account),
            waiting: Default::default(),
            unacked: VecDeque::new(),
            base: 1,
            cursor: 0,
            max_frame: theirs.max_frame,
            questions: Questions::default(),
        }
    }

    /// Takes one frame into the queue of its class.
    pub(crate) fn send(
        &mut self,
        now: Duration,
        class: FrameClass,
        frame: Frame,
        token: u64,
    ) -> Result<(), SendError> {
        let (size, cost) = (frame.len(), frame.cost());
        let account = &mut self.accounts[class.index()];
        let bounded = frame.head.len() <= HEAD_MAX && frame.attachments.len() <= ATTACHMENTS_MAX;
        if size > self.max_frame || cost > account.window || !bounded {
            let max = self
                .max_frame
                .min(account.window.saturating_sub(cost - size));
            return Err(SendError::TooLarge { size, max });
        }
        if account.kept > 0 && account.kept + cost > account.queue {
            account.refused = true;
            return Err(SendError::Full);
        }
        account.kept += cost;
        account.waiting += cost;
        self.waiting[class.index()].push_back(Outgoing {
            class,
            frame,
            cost,
            token,
        });
        self.arm(now);
        Ok(())
    }

    /// Bytes of cost that would be sent at once: credit and queue, less what already waits.
    pub(crate) fn available(&self, class: FrameClass) -> u64 {
        let account = &self.accounts[class.index()];
        let credit = account
            .limit
            .saturating_sub(account.charged)
            .saturating_sub(account.waiting);
        credit.min(account.queue.saturating_sub(account.kept))
    }

    /// Cost of the largest frame for which [`Self::available`] can ever suffice.
    pub(crate) fn largest(&self, class: FrameClass) -> u64 {
        let account = &self.accounts[class.index()];
        account.window.min(account.queue)
    }

    /// Whether [`Self::next`] would return a frame.
    pub(crate) fn can_transmit(&self) -> bool {
        self.cursor < self.unacked.len() || self.payable().is_some()
    }

    /// Whether everything given to `send` has been acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.accounts.iter().all(|account| account.kept == 0)
    }

    fn payable(&self) -> Option<FrameClass> {
        FrameClass::ALL.into_iter().find(|class| {
            let account = &self.accounts[class.index()];
            self.waiting[class.index()]
                .front()
                .is_some_and(|out| account.charged + out.cost <= account.limit)
        })
    }

    /// The next frame to send: first what is to be sent again, then control, then data, as credit allows.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Transmission<'_>> {
        let again = self.cursor < self.unacked.len();
        if !again {
            let class = self.payable()?;
            let outgoing = self.waiting[class.index()]
                .pop_front()
                .expect("a payable class has a frame waiting");
            let account = &mut self.accounts[class.index()];
            account.charged += outgoing.cost;
            account.waiting -= outgoing.cost;
            self.unacked.push_back(outgoing);
            self.arm(now);
        }
        let sequence = self.base + self.cursor as u64;
        let outgoing = &self.unacked[self.cursor];
        self.cursor += 1;
        Some(Transmission {
            sequence,
            class: outgoing.class,
            frame: &outgoing.frame,
            again,
        })
    }

    /// Takes the peer's acknowledgement, limits and answers.
    pub(crate) fn on_ack(&mut self, now: Duration, ack: &AckBody) -> Result<Progress, Violation> {
        let sent = self.base + self.unacked.len() as u64 - 1;
        if ack.received > sent {
            return Err(Violation::AckOfUnsent {
                received: ack.received,
                sent,
            });
        }
        let mut granted = [false; 2];
        for ((account, limit), granted) in
            self.accounts.iter_mut().zip(ack.limits).zip(&mut granted)
        {
            *granted = limit > account.limit;
            account.limit = account.limit.max(limit);
        }
        let progress = Progress {
            granted,
            ..self.retire(now, ack.received)
        };
        let missing_first = ack.gap && ack.received + 1 == self.base;
        if missing_first || self.answered(ack.answer) {
            self.cursor = 0;
        }
        if ack.ask != 0 {
            self.hurry(now);
        }
        Ok(progress)
    }

    /// Drops every frame up to `received`.
    fn retire(&mut self, now: Duration, received: u64) -> Progress {
        let mut progress = Progress::default();
        if received < self.base {
            return progress;
        }
        let count = usize::try_from(received + 1 - self.base).expect("no more than are kept");
        for outgoing in self.unacked.drain(..count) {
            self.accounts[outgoing.class.index()].kept -= outgoing.cost;
            progress.acked[outgoing.class.index()] = Some(outgoing.token);
        }
        self.base += count as u64;
        self.cursor = self.cursor.saturating_sub(count);
        for (account, writable) in self.accounts.iter_mut().zip(&mut progress.writable) {
            *writable = account.refused && account.kept * 2 <= account.queue;
            account.refused &= !*writable;
        }
        self.questions.due = None;
        self.questions.doublings = 0;
        self.arm(now);
        self.shrink();
        progress
    }

    /// Whether `answer` shows that frames sent before a question are missing.
    fn answered(&mut self, answer: u64) -> bool {
        match self.questions.open {
            Some((first, below)) if first <= answer && answer <= self.questions.number => {
                self.questions.open = None;
                self.base < below
            }
            _ => false,
        }
    }

    /// When to call [`Self::on_timeout`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.questions.due
    }

    /// Asks the peer for its state if that is due.
    pub(crate) fn on_timeout(&mut self, now: Duration) {
        if self.questions.due.is_some_and(|due| due <= now) {
            self.ask(now);
        }
    }

    /// Asks the peer for its state with the next acknowledgement.
    pub(crate) fn ask(&mut self, now: Duration) {
        let below = self.base + self.cursor as u64;
        let questions = &mut self.questions;
        questions.number += 1;
        questions.wanted = true;
        questions.open.get_or_insert((questions.number, below));
        questions.due = Some(now + ASK_AFTER * 2u32.pow(questions.doublings));
        questions.doublings = (questions.doublings + 1).min(ASK_DOUBLINGS_MAX);
        if self.is_drained() {
            self.questions.due = None;
        }
    }

    /// A peer that asks is back: do not wait out a long pause before asking it in turn.
    fn hurry(&mut self, now: Duration) {
        if self.questions.doublings > 1 {
            self.questions.doublings = 1;
            self.questions.due = self.questions.due.map(|due| due.min(now + ASK_AFTER * 2));
        }
    }

    /// Whether a question waits to be sent.
    pub(crate) fn wants_question(&self) -> bool {
        self.questions.wanted
    }

    /// The question to send now, or 0.
    pub(crate) fn take_question(&mut self) -> u64 {
        if std::mem::take(&mut self.questions.wanted) {
            self.questions.number
        } else {
            0
        }
    }

    fn arm(&mut self, now: Duration) {
        if self.is_drained() {
            self.questions.due = None;
            self.questions.open = None;
        } else if self.questions.due.is_none() {
            self.questions.due = Some(now + ASK_AFTER);
        }
    }

    fn shrink(&mut self) {
        for queue in self.waiting.iter_mut().chain([&mut self.unacked]) {
            if queue.is_empty() && queue.capacity() > KEEP_CAPACITY {
                *queue = VecDeque::new();
            }
        }
    }
}
