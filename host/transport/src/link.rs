//! One established link: both halves, and what keeps it alive.
//!
//! Invariant: a link that lives says something at least every keepalive, and ends after `idle_timeout` of silence.

use std::time::Duration;

use bytes::Bytes;

use crate::event::{CloseReason, SendError, Violation};
use crate::frame::{Frame, FrameClass};
use crate::receiving::{Arrival, Receiving};
use crate::sending::{Progress, Sending};
use crate::settings::{LinkSettings, Terms};
use crate::transcript::Tag;
use crate::wire::{AckBody, Datagram};

/// A side goes silent for at most this part of the idle timeout before it says that it is there.
const KEEPALIVES_PER_TIMEOUT: u32 = 3;

#[derive(Debug)]
pub(crate) struct Link {
    /// The tag, as it goes into every header.
    name: Bytes,
    sending: Sending,
    receiving: Receiving,
    heard: Duration,
    spoken: Duration,
    /// When the peer was last told what has arrived and what it may send.
    told: Duration,
    idle_timeout: Duration,
}

impl Link {
    pub(crate) fn new(now: Duration, tag: Tag, settings: &LinkSettings, theirs: &Terms) -> Self {
        Self {
            name: Bytes::copy_from_slice(&tag.0),
            sending: Sending::new(settings, theirs),
            receiving: Receiving::new(&settings.terms),
            heard: now,
            spoken: now,
            told: now,
            idle_timeout: settings.idle_timeout,
        }
    }

    pub(crate) fn tag(&self) -> Tag {
        Tag(self.name[..]
            .try_into()
            .expect("the name was made of a tag"))
    }

    /// How long this side may say nothing.
    fn keepalive(&self) -> Duration {
        self.idle_timeout / KEEPALIVES_PER_TIMEOUT
    }

    pub(crate) fn send(
        &mut self,
        now: Duration,
        class: FrameClass,
        frame: Frame,
        token: u64,
    ) -> Result<(), SendError> {
        self.sending.send(now, class, frame, token)
    }

    pub(crate) fn available(&self, class: FrameClass) -> u64 {
        self.sending.available(class)
    }

    pub(crate) fn largest(&self, class: FrameClass) -> u64 {
        self.sending.largest(class)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.sending.is_drained()
    }

    pub(crate) fn release(&mut self, now: Duration, class: FrameClass, bytes: u64) {
        self.receiving.release(now, class, bytes);
    }

    pub(crate) fn on_frame(
        &mut self,
        now: Duration,
        sequence: u64,
        class: FrameClass,
        frame: &Frame,
    ) -> Result<Arrival, Violation> {
        self.heard = now;
        self.receiving.on_frame(now, sequence, class, frame)
    }

    pub(crate) fn on_ack(&mut self, now: Duration, ack: &AckBody) -> Result<Progress, Violation> {
        self.heard = now;
        self.receiving.on_question(ack.ask);
        self.sending.on_ack(now, ack)
    }

    /// Asks for an acknowledgement to go out at once.
    pub(crate) fn tell_now(&mut self) {
        self.receiving.tell_now();
    }

    /// Asks the peer whether it still knows this link.
    pub(crate) fn ask(&mut self, now: Duration) {
        self.sending.ask(now);
    }

    pub(crate) fn can_transmit(&self) -> bool {
        self.sending.can_transmit() || self.sending.wants_question() || self.receiving.is_urgent()
    }

    /// The next datagram, and whether it carries a frame that went out before.
    pub(crate) fn transmit(&mut self, now: Duration) -> Option<(Datagram, bool)> {
        let question = self.sending.take_question();
        // The credit that a lost acknowledgement gave back is told again, also on a link that is never silent.
        let stale = self.told + self.keepalive() <= now;
        let news = question != 0 || stale || self.receiving.has_news();
        let urgent = question != 0 || self.receiving.is_urgent();
        if let Some(next) = self.sending.next(now) {
            let ack = news.then(|| AckBody {
                ask: question,
                ..self.receiving.acknowledge()
            });
            self.told = if ack.is_some() { now } else { self.told };
            self.spoken = now;
            return Some((
                Datagram::carry(&self.name, next.sequence, next.class, ack, next.frame),
                next.again,
            ));
        }
        if !urgent {
            return None;
        }
        (self.spoken, self.told) = (now, now);
        Some((
            Datagram::ack(
                &self.name,
                AckBody {
                    ask: question,
                    ..self.receiving.acknowledge()
                },
            ),
            false,
        ))
    }

    /// When to call [`Self::on_timeout`] at the latest.
    pub(crate) fn deadline(&self) -> Duration {
        let silence = self.heard + self.idle_timeout;
        let keepalive = (!self.receiving.is_urgent()).then(|| self.spoken + self.keepalive());
        [
            keepalive,
            self.receiving.deadline(),
            self.sending.deadline(),
        ]
        .into_iter()
        .flatten()
        .fold(silence, Duration::min)
    }

    /// Does what has become due.
    ///
    /// # Errors
    /// The link is to be closed: the peer was silent for too long.
    pub(crate) fn on_timeout(&mut self, now: Duration) -> Result<(), CloseReason> {
        if self.heard + self.idle_timeout <= now {
            return Err(CloseReason::Silent(self.idle_timeout));
        }
        if self.spoken + self.keepalive() <= now {
            self.receiving.tell_now();
        }
        self.receiving.on_timeout(now);
        self.sending.on_timeout(now);
        Ok(())
    }
}
