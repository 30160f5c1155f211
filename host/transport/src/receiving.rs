//! The receiving half of a link: order, credit granted, and when to acknowledge.
//!
//! Invariant: a frame is delivered once and in order, or not at all; the peer never had more credit than the limits
//! last put on the wire, and a frame beyond them is a violation.
//! Source: docs/FORMATS.md, "Links".

use std::time::Duration;

use crate::event::Violation;
use crate::frame::{ATTACHMENTS_MAX, Frame, FrameClass, HEAD_MAX};
use crate::settings::Terms;
use crate::wire::AckBody;

/// What is small waits this long for company before it is acknowledged.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(2);
/// A change of this part of a window is told at once.
const URGENT_PART: u64 = 4;

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is next: deliver it; releasing its cost is up to the layer above.
    Next { cost: u64 },
    /// It came before.
    Duplicate,
    /// One before it is missing.
    Gap,
}

/// The account of one class.
#[derive(Debug)]
struct Account {
    window: u64,
    /// Cost of all frames that arrived.
    arrived: u64,
    /// Cost released by the layer above.
    released: u64,
    /// The limit last put on the wire.
    granted: u64,
}

#[derive(Debug)]
pub(crate) struct Receiving {
    accounts: [Account; 2],
    /// The highest sequence delivered.
    received: u64,
    /// Cost that arrived since the last acknowledgement, per class.
    untold: [u64; 2],
    max_frame: u64,
    urgent: bool,
    due: Option<Duration>,
    /// The sequence whose absence was last reported.
    gap_at: u64,
    gap: bool,
    answer: u64,
}

impl Receiving {
    pub(crate) fn new(ours: &Terms) -> Self {
        let account = |class| Account {
            window: ours.window(class),
            arrived: 0,
            released: 0,
            granted: ours.window(class),
        };
        Self {
            accounts: FrameClass::ALL.map(account),
            received: 0,
            untold: [0; 2],
            max_frame: ours.max_frame,
            urgent: false,
            due: None,
            gap_at: 0,
            gap: false,
            answer: 0,
        }
    }

    /// Judges one frame.
    pub(crate) fn on_frame(
        &mut self,
        now: Duration,
        sequence: u64,
        class: FrameClass,
        frame: &Frame,
    ) -> Result<Arrival, Violation> {
        let cost = self.check(class, frame)?;
        if sequence <= self.received {
            self.urgent = true;
            return Ok(Arrival::Duplicate);
        }
        if sequence > self.received + 1 {
            self.report_gap();
            return Ok(Arrival::Gap);
        }
        let account = &mut self.accounts[class.index()];
        let left = account.granted.saturating_sub(account.arrived);
        if cost > left {
            return Err(Violation::OverCredit {
                cost,
                granted: left,
            });
        }
        account.arrived += cost;
        self.received = sequence;
        self.untold[class.index()] += cost;
        self.urgent |= self.untold[class.index()] >= account.window / URGENT_PART;
        self.due.get_or_insert(now + ACK_DELAY);
        Ok(Arrival::Next { cost })
    }

    /// The bounds that hold for every frame, wanted or not.
    fn check(&self, class: FrameClass, frame: &Frame) -> Result<u64, Violation> {
        let (size, cost) = (frame.len(), frame.cost());
        let window = self.accounts[class.index()].window;
        if size > self.max_frame {
            return Err(Violation::FrameTooLarge {
                size,
                max: self.max_frame,
            });
        }
        if frame.head.len() > HEAD_MAX {
            return Err(Violation::HeadTooLarge(frame.head.len()));
        }
        if frame.attachments.len() > ATTACHMENTS_MAX {
            return Err(Violation::TooManyParts(frame.attachments.len()));
        }
        if cost > window {
            return Err(Violation::OverCredit {
                cost,
                granted: window,
            });
        }
        Ok(cost)
    }

    /// Reports a missing frame once; if the report is lost too, the sender's question finds out.
    fn report_gap(&mut self) {
        let missing = self.received + 1;
        if self.gap_at != missing {
            self.gap_at = missing;
            self.gap = true;
            self.urgent = true;
        }
    }

    /// Gives `bytes` of credit back to the peer.
    pub(crate) fn release(&mut self, now: Duration, class: FrameClass, bytes: u64) {
        let account = &mut self.accounts[class.index()];
        debug_assert!(
            account.released + bytes <= account.arrived,
            "more credit released than arrived"
        );
        account.released = (account.released + bytes).min(account.arrived);
        self.urgent |=
            account.released + account.window - account.granted >= account.window / URGENT_PART;
        self.due.get_or_insert(now + ACK_DELAY);
    }

    /// The peer asks for this side's state.
    pub(crate) fn on_question(&mut self, number: u64) {
        if number != 0 {
            self.answer = self.answer.max(number);
            self.urgent = true;
        }
    }

    /// Asks for an acknowledgement to be sent at once.
    pub(crate) fn tell_now(&mut self) {
        self.urgent = true;
    }

    /// Whether an acknowledgement should go out even alone.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether the peer does not know this side's state.
    pub(crate) fn has_news(&self) -> bool {
        self.urgent || self.due.is_some()
    }

    /// When what is untold becomes urgent.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.due.filter(|_| !self.urgent)
    }

    pub(crate) fn on_timeout(&mut self, now: Duration) {
        self.urgent |= self.due.is_some_and(|due| due <= now);
    }

    /// The acknowledgement to put on the wire now.
    pub(crate) fn acknowledge(&mut self) -> AckBody {
        for account in &mut self.accounts {
            account.granted = account.released + account.window;
        }
        self.untold = [0; 2];
        self.urgent = false;
        self.due = None;
        AckBody {
            received: self.received,
            limits: [self.accounts[0].granted, self.accounts[1].granted],
            ask: 0,
            answer: std::mem::take(&mut self.answer),
            gap: std::mem::take(&mut self.gap),
        }
    }
}
