//! The loop around a subscriber.
//!
//! Invariants: what the core has recorded is on the disk before any frame that follows it leaves; what was delivered in one call of
//! [`SubscriberLoop::next`] is written down as taken in the next call, so that the caller can put its own work on a disk between them.

use sc_transport::{Dialer, Driver, LinkEvent};

use super::{ClientError, LinkNews, News, Shell};
use crate::journal::Journal;
use crate::subscriber::{Delivery, Subscriber, SubscriberEvent};

/// Cost of the frames that are taken in one round, about: what a crash before the next has the application given again.
const ROUND_BYTES: u64 = 64 << 10;

/// A subscriber at work.
pub struct SubscriberLoop {
    shell: Shell,
    subscriber: Subscriber,
}

impl SubscriberLoop {
    /// Joins a core to its link and journal.
    #[must_use]
    pub fn new(subscriber: Subscriber, driver: Driver<Dialer>, journal: Journal) -> Self {
        Self {
            shell: Shell::new(driver, journal),
            subscriber,
        }
    }

    /// The core.
    #[must_use]
    pub fn subscriber(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }

    /// The next thing that happened; publications are given to `deliver` as they come. May be dropped at any time without
    /// losing anything.
    ///
    /// Calling it again is the caller's word that it needs nothing again of what `deliver` was given: only then the journal says that it
    /// was taken, and the router may forget it. So flush first, whatever came back, an error too; after a crash between, the same
    /// publications are delivered again.
    ///
    /// # Errors
    /// [`ClientError`]: this loop is over.
    pub async fn next(
        &mut self,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) -> Result<News<SubscriberEvent>, ClientError> {
        loop {
            // Before anything is written down: a process that dies between would never say what its journal holds for said.
            if let Some(event) = self.subscriber.poll_event() {
                return Ok(News::Event(event));
            }
            self.work()?;
            let Some(event) = self.shell.wait(self.subscriber.next_timeout()).await? else {
                self.subscriber.on_timeout(self.shell.clock());
                continue;
            };
            // From here to the return nothing is awaited: who drops this future has been given nothing.
            let mut delivered = false;
            let mut taken = 0;
            let mut next = Some(event);
            while let Some(event) = next {
                if let LinkEvent::Frame { credit, .. } = &event {
                    taken += credit;
                }
                let news = self.on_event(event, &mut |delivery| {
                    delivered = true;
                    deliver(delivery);
                })?;
                if let Some(news) = news {
                    return Ok(News::Link(news));
                }
                next = if taken < ROUND_BYTES {
                    self.shell.driver.try_next()
                } else {
                    None
                };
            }
            if delivered {
                return Ok(News::Delivered);
            }
        }
    }

    fn work(&mut self) -> Result<(), ClientError> {
        self.shell.carry_out(self.subscriber.take_outputs())?;
        if self.shell.journal.has_grown() {
            self.shell
                .journal
                .replace(self.subscriber.memory().records().into_iter())?;
        }
        Ok(())
    }

    fn on_event(
        &mut self,
        event: LinkEvent,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) -> Result<Option<LinkNews>, ClientError> {
        let news = self.shell.note(&event)?;
        match event {
            LinkEvent::Established { .. } => self.subscriber.on_established(),
            LinkEvent::Closed { .. } => self.subscriber.on_closed(),
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } => {
                self.subscriber.on_frame(self.shell.clock(), frame, deliver);
                self.shell.driver.release(link, class, credit);
            }
            _ => {}
        }
        Ok(news)
    }

    /// Writes down how far notices were taken, tells the router, and ends. As with [`SubscriberLoop::next`], the caller has flushed.
    ///
    /// # Errors
    /// [`ClientError::Journal`].
    pub async fn end(mut self, reason: &str) -> Result<bool, ClientError> {
        self.subscriber.acknowledge_all();
        self.work()?;
        self.shell
            .journal
            .replace(self.subscriber.memory().records().into_iter())?;
        self.shell.end(reason).await
    }
}
