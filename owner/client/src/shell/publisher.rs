//! The loop around a publisher.
//!
//! Invariant: what the core has recorded is on the disk before any frame that follows it leaves.

use bytes::Bytes;
use sc_matching::Publication;
use sc_transport::{Dialer, Driver, LinkEvent};

use super::{ClientError, LinkNews, News, PATIENCE, Shell};
use crate::journal::Journal;
use crate::outgoing::PublishError;
use crate::publisher::{Publisher, PublisherEvent};

/// A publisher at work.
pub struct PublisherLoop {
    shell: Shell,
    publisher: Publisher,
}

impl PublisherLoop {
    /// Joins a core to its link and journal.
    #[must_use]
    pub fn new(publisher: Publisher, driver: Driver<Dialer>, journal: Journal) -> Self {
        Self {
            shell: Shell::new(driver, journal),
            publisher,
        }
    }

    /// The core.
    #[must_use]
    pub fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// Publishes; what is published leaves within the batch's linger, while [`PublisherLoop::next`] is called.
    ///
    /// # Errors
    /// [`PublishError`]; when it is full, call [`PublisherLoop::next`] until more is settled.
    pub fn publish(
        &mut self,
        publication: Publication,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.publisher
            .publish(self.shell.clock(), publication, payload)
    }

    /// The next thing that happened. May be dropped at any time without losing anything.
    ///
    /// # Errors
    /// [`ClientError`]: this loop is over.
    pub async fn next(&mut self) -> Result<News<PublisherEvent>, ClientError> {
        loop {
            self.work()?;
            if let Some(event) = self.publisher.poll_event() {
                return Ok(News::Event(event));
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
                .replace(self.publisher.roll().records())?;
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
