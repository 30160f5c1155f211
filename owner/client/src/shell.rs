//! The loops around the cores: a link, a journal and the clocks.
//!
//! Invariant: what a core has recorded is on the disk before any frame that follows it leaves.

mod publisher;
mod subscriber;

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sc_crypto::Entropy;
use sc_transport::{CloseReason, Dialer, Driver, FrameClass, LinkEvent, LinkId, SendError};

use crate::journal::{Journal, JournalError};
use crate::link::{Clock, Credit, Output};

pub use publisher::{PublisherLoop, PublishingCore, PublishingLoop};
pub use subscriber::SubscriberLoop;

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
    /// Everything published so far is settled.
    Settled,
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
    fn new(driver: Driver<Dialer>, journal: Journal) -> Self {
        Self {
            driver,
            journal,
            link: None,
        }
    }

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

    /// Whether a data frame that costs so much can ever be sent on this link; a link that is gone says nothing of the next one.
    fn fits(&self, cost: Option<u64>) -> Result<(), ClientError> {
        let link = self.link;
        let max = link.and_then(|link| self.driver.largest(link, FrameClass::Data));
        match (cost, max) {
            (Some(size), Some(max)) if size > max => Err(ClientError::TooLarge { size, max }),
            _ => Ok(()),
        }
    }

    /// All records of a round first, then all frames: however many requests were answered, the disk is waited for once.
    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), ClientError> {
        for output in &outputs {
            if let Output::Record(record) = output {
                self.journal.append(record)?;
            }
        }
        for output in outputs {
            match (output, self.link) {
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
                (Output::Record(_), _) | (Output::Send { .. } | Output::Close(_), None) => {}
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
