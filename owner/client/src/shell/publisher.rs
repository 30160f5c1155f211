//! The loop around a publisher, whether it owns its domain or publishes in another's.
//!
//! Invariant: what the core has recorded is on the disk before any frame that follows it leaves.

use std::time::Duration;

use bytes::Bytes;
use sc_matching::Publication;
use sc_transport::{Dialer, Driver, Frame, LinkEvent};

use super::{ClientError, LinkNews, News, PATIENCE, Shell};
use crate::grantee::{Grantee, GranteeEvent};
use crate::journal::Journal;
use crate::link::{Clock, Credit, Output};
use crate::outgoing::PublishError;
use crate::publisher::{Publisher, PublisherEvent};

/// What a loop needs of a publisher's core; see the methods of the same names of [`Publisher`] and [`Grantee`].
pub trait PublishingCore {
    /// What it reports.
    type Event;
    /// A link is established.
    fn on_established(&mut self);
    /// The link is gone.
    fn on_closed(&mut self);
    /// A frame has come.
    fn on_frame(&mut self, clock: Clock, frame: Frame);
    /// Sends what may be sent.
    fn pump(&mut self, clock: Clock, credit: Credit);
    /// When to pump at the latest.
    fn next_timeout(&self) -> Option<Duration>;
    /// What the next batch costs.
    fn next_batch_cost(&self) -> Option<u64>;
    /// What is to be done.
    fn take_outputs(&mut self) -> Vec<Output>;
    /// The next report.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// Publishes.
    ///
    /// # Errors
    /// [`PublishError`].
    fn publish(
        &mut self,
        clock: Clock,
        publication: &Publication,
        payload: Bytes,
    ) -> Result<(), PublishError>;
    /// Whether everything published is settled, and every report was taken.
    fn is_drained(&self) -> bool;
    /// Begins an orderly end.
    fn take_leave(&mut self);
    /// Whether it is reached.
    fn has_left(&self) -> bool;
    /// The fewest records from which its memory is rebuilt.
    fn records(&self) -> Vec<Vec<u8>>;
}

macro_rules! publishing_core {
    ($core:ty, $event:ty, $records:expr) => {
        impl PublishingCore for $core {
            type Event = $event;
            fn on_established(&mut self) {
                self.on_established();
            }
            fn on_closed(&mut self) {
                self.on_closed();
            }
            fn on_frame(&mut self, clock: Clock, frame: Frame) {
                self.on_frame(clock, frame);
            }
            fn pump(&mut self, clock: Clock, credit: Credit) {
                self.pump(clock, credit);
            }
            fn next_timeout(&self) -> Option<Duration> {
                self.next_timeout()
            }
            fn next_batch_cost(&self) -> Option<u64> {
                self.next_batch_cost()
            }
            fn take_outputs(&mut self) -> Vec<Output> {
                self.take_outputs()
            }
            fn poll_event(&mut self) -> Option<$event> {
                self.poll_event()
            }
            fn publish(
                &mut self,
                clock: Clock,
                publication: &Publication,
                payload: Bytes,
            ) -> Result<(), PublishError> {
                self.publish(clock, publication, payload)
            }
            fn is_drained(&self) -> bool {
                self.is_drained()
            }
            fn take_leave(&mut self) {
                self.take_leave();
            }
            fn has_left(&self) -> bool {
                self.has_left()
            }
            fn records(&self) -> Vec<Vec<u8>> {
                $records(self)
            }
        }
    };
}

publishing_core!(Publisher, PublisherEvent, |core: &Publisher| {
    core.roll().records().collect()
});
publishing_core!(Grantee, GranteeEvent, |core: &Grantee| {
    core.memory().records()
});

/// A publisher that owns its domain, at work.
pub type PublisherLoop = PublishingLoop<Publisher>;

/// A publisher at work.
pub struct PublishingLoop<C> {
    shell: Shell,
    publisher: C,
    /// Whether the caller knows that everything is settled.
    was_drained: bool,
}

impl<C: PublishingCore> PublishingLoop<C> {
    /// Joins a core to its link and journal.
    #[must_use]
    pub fn new(publisher: C, driver: Driver<Dialer>, journal: Journal) -> Self {
        Self {
            shell: Shell::new(driver, journal),
            publisher,
            was_drained: true,
        }
    }

    /// The core.
    #[must_use]
    pub fn publisher(&mut self) -> &mut C {
        &mut self.publisher
    }

    /// The present time. One reading serves all publications that are at hand together: the clock costs as much as the rest of what
    /// takes one.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shell.clock()
    }

    /// Publishes at the time `clock`; what is published leaves within the batch's linger, while [`PublishingLoop::next`] is called.
    ///
    /// # Errors
    /// [`PublishError`]; when it is full, call [`PublishingLoop::next`] until more is settled.
    pub fn publish(
        &mut self,
        clock: Clock,
        publication: &Publication,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.publisher.publish(clock, publication, payload)
    }

    /// The next thing that happened. May be dropped at any time without losing anything.
    ///
    /// # Errors
    /// [`ClientError`]: this loop is over.
    pub async fn next(&mut self) -> Result<News<C::Event>, ClientError> {
        loop {
            self.work()?;
            if let Some(event) = self.publisher.poll_event() {
                return Ok(News::Event(event));
            }
            let is_drained = self.publisher.is_drained();
            if core::mem::replace(&mut self.was_drained, is_drained) != is_drained && is_drained {
                return Ok(News::Settled);
            }
            let event = self.shell.wait(self.publisher.next_timeout()).await?;
            if let Some(news) = event
                .map(|event| self.on_event(event))
                .transpose()?
                .flatten()
            {
                self.work()?;
                return Ok(News::Link(news));
            }
            while let Some(event) = self.shell.driver.try_next() {
                if let Some(news) = self.on_event(event)? {
                    self.work()?;
                    return Ok(News::Link(news));
                }
            }
        }
    }

    /// Sends what may be sent, without waiting.
    ///
    /// # Errors
    /// [`ClientError`]: this loop is over.
    pub fn work(&mut self) -> Result<(), ClientError> {
        self.publisher.pump(self.shell.clock(), self.shell.credit());
        self.shell.carry_out(self.publisher.take_outputs())?;
        self.shell.fits(self.publisher.next_batch_cost())?;
        if self.shell.journal.has_grown() {
            self.shell
                .journal
                .replace(self.publisher.records().into_iter())?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: LinkEvent) -> Result<Option<LinkNews>, ClientError> {
        let news = self.shell.note(&event)?;
        match event {
            LinkEvent::Established { .. } => self.publisher.on_established(),
            LinkEvent::Closed { .. } => self.publisher.on_closed(),
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } => {
                self.publisher.on_frame(self.shell.clock(), frame);
                self.shell.driver.release(link, class, credit);
            }
            _ => {}
        }
        Ok(news)
    }

    /// Waits a little until everything sent is settled and consumers were told that nothing is missing, and ends. What is still not
    /// settled then does not come again, unless it is of a stream.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end(mut self, reason: &str) -> Result<bool, ClientError> {
        self.publisher.take_leave();
        let until = self.shell.clock().now + PATIENCE;
        self.work()?;
        while !self.publisher.has_left() && self.shell.clock().now < until {
            let due = self
                .publisher
                .next_timeout()
                .map_or(until, |due| due.min(until));
            if let Some(event) = self.shell.wait(Some(due)).await? {
                self.on_event(event)?;
            }
            self.work()?;
        }
        self.shell.end(reason).await
    }
}
