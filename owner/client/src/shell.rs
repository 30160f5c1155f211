//! The loops around the cores: a link, a journal and the clocks.
//!
//! Invariant: what a core has recorded is on the disk before any frame that follows it leaves.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sc_crypto::Entropy;
use sc_matching::Publication;
use sc_transport::{CloseReason, Dialer, Driver, FrameClass, LinkEvent, LinkId, SendError};

use crate::journal::{Journal, JournalError};
use crate::link::{Clock, Credit, Output};
use crate::publisher::{Full, Publisher, PublisherEvent};
use crate::subscriber::{Delivery, Subscriber, SubscriberEvent};

/// How long frames that were queued may need to reach the router at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a publisher or subscriber cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket is gone.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The journal cannot be written: nothing that depends on it may be sent.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A frame is larger than the router accepts.
    #[error(
        "a message of {size} bytes exceeds the {max} that the router accepts: make batches or requests smaller, or have its operator raise --max-message"
    )]
    TooLarge {
        /// Of the message.
        size: u64,
        /// What the router accepts.
        max: u64,
    },
    /// Another process has proved the same identity to the router.
    #[error("another process has connected under the same identity; it has taken this one's place")]
    Replaced,
}

/// Something that happened on the link itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkNews {
    /// The router has proved its link key.
    Connected,
    /// The link is gone; it is opened anew.
    Disconnected(String),
    /// The router turned this side away.
    TurnedAway(String),
}

/// What a publisher's or a subscriber's loop reports.
#[derive(Debug)]
pub enum News<E> {
    /// Of the link.
    Link(LinkNews),
    /// Of the core.
    Event(E),
    /// Publications were delivered.
    Delivered,
}

/// Fills buffers from the operating system's random generator.
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// The link and the journal of one core.
struct Shell {
    driver: Driver<Dialer>,
    journal: Journal,
    link: Option<LinkId>,
}

impl Shell {
    fn clock(&self) -> Clock {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            now: self.driver.now(),
            wall_ms: wall.as_millis() as u64,
        }
    }

    fn credit(&self) -> Credit {
        match self.link {
            Some(link) => Credit {
                control: self.driver.available(link, FrameClass::Control),
                data: self.driver.available(link, FrameClass::Data),
            },
            None => Credit {
                control: 0,
                data: 0,
            },
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), ClientError> {
        for output in outputs {
            match (output, self.link) {
                (Output::Record(record), _) => self.journal.append(&record)?,
                (Output::Send { class, frame }, Some(link)) => {
                    self.journal.sync()?;
                    match self.driver.send(link, class, frame, 0) {
                        Ok(()) | Err(SendError::Closed) => {}
                        Err(SendError::Full) => {
                            self.driver.close(link, "the router does not keep up")
                        }
                        Err(SendError::TooLarge { size, max }) => {
                            return Err(ClientError::TooLarge { size, max });
                        }
                    }
                }
                (Output::Close(reason), Some(link)) => self.driver.close(link, &reason),
                (Output::Send { .. } | Output::Close(_), None) => {}
            }
        }
        self.driver.flush()?;
        Ok(())
    }

    /// Waits for an event of the link, until `due` at the latest.
    async fn wait(&mut self, due: Option<Duration>) -> Result<Option<LinkEvent>, ClientError> {
        let Some(due) = due else {
            return Ok(Some(self.driver.next().await?));
        };
        let left = due.saturating_sub(self.driver.now());
        match tokio::time::timeout(left, self.driver.next()).await {
            Ok(event) => Ok(Some(event?)),
            Err(_) => Ok(None),
        }
    }

    /// Keeps the link's name up to date; says what is worth telling.
    fn note(&mut self, event: &LinkEvent) -> Result<Option<LinkNews>, ClientError> {
        Ok(match event {
            LinkEvent::Established { link, .. } => {
                self.link = Some(*link);
                Some(LinkNews::Connected)
            }
            LinkEvent::Closed { reason, .. } => {
                self.link = None;
                if let CloseReason::ByPeer {
                    code: sc_transport::CloseCode::Replaced,
                    ..
                } = reason
                {
                    return Err(ClientError::Replaced);
                }
                Some(LinkNews::Disconnected(reason.to_string()))
            }
            LinkEvent::Refused { reason } => Some(LinkNews::TurnedAway(reason.clone())),
            _ => None,
        })
    }

    async fn end(mut self, reason: &str) -> Result<bool, ClientError> {
        self.journal.sync()?;
        Ok(self.driver.shut_down(reason, PATIENCE).await)
    }
}

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
            shell: Shell {
                driver,
                journal,
                link: None,
            },
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
    /// [`Full`]: call [`PublisherLoop::next`] until receipts have come.
    pub fn publish(&mut self, publication: Publication, payload: Bytes) -> Result<(), Full> {
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

    /// Sends what is queued and ends.
    ///
    /// # Errors
    /// [`ClientError::Journal`].
    pub async fn end(mut self, reason: &str) -> Result<bool, ClientError> {
        self.work()?;
        self.shell.end(reason).await
    }
}

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
            shell: Shell {
                driver,
                journal,
                link: None,
            },
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
    /// # Errors
    /// [`ClientError`]: this loop is over.
    pub async fn next(
        &mut self,
        deliver: &mut dyn FnMut(Delivery<'_>),
    ) -> Result<News<SubscriberEvent>, ClientError> {
        loop {
            self.work()?;
            if let Some(event) = self.subscriber.poll_event() {
                return Ok(News::Event(event));
            }
            let Some(event) = self.shell.wait(self.subscriber.next_timeout()).await? else {
                self.subscriber.on_timeout(self.shell.clock());
                continue;
            };
            let mut delivered = false;
            let mut next = Some(event);
            while let Some(event) = next {
                let news = self.on_event(event, &mut |delivery| {
                    delivered = true;
                    deliver(delivery);
                })?;
                if let Some(news) = news {
                    self.work()?;
                    return Ok(News::Link(news));
                }
                next = self.shell.driver.try_next();
            }
            if delivered {
                self.work()?;
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

    /// Writes down how far notices were taken, and ends.
    ///
    /// # Errors
    /// [`ClientError::Journal`].
    pub async fn end(mut self, reason: &str) -> Result<bool, ClientError> {
        self.work()?;
        self.shell
            .journal
            .replace(self.subscriber.memory().records().into_iter())?;
        self.shell.end(reason).await
    }
}
