//! The publisher on a thread of the campaign's own process: the real core with its link and its journal on a disk.
//!
//! Invariant: whatever a publisher should not see ends the run. Its processor time is that of this process, which does
//! nothing else meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use sc_attestation::Policy;
use sc_client::{
    IdentitySigner, Journal, LinkNews, News, OsEntropy, Publisher, PublisherEvent, PublisherLoop,
    PublisherSettings, Roll,
};
use sc_crypto::OwnerSecret;
use sc_matching::Publication;
use sc_transport::{Attach, Driver, Endpoint, LinkSettings, Role};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{PATIENCE, now_ns};

/// What is published at once.
pub(super) type Batch = Vec<(Publication, Bytes)>;

/// What the publisher tells, with the time at which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The router's link is proved; provisioning begins.
    Connected(u64),
    /// All consumers that were announced are admitted and indexed.
    Complete(u64),
    /// A batch has its receipt, with so many (publication, subscription) pairs.
    Published(u64),
}

/// The publisher's thread; it ends when this is dropped.
pub(super) struct Publishing {
    batches: UnboundedSender<Batch>,
    told: Receiver<anyhow::Result<Told>>,
}

impl Publishing {
    /// Connects to the router at `address` and waits for `consumers`.
    pub(super) fn start(
        owner: Arc<OwnerSecret>,
        journal: PathBuf,
        address: &str,
        consumers: usize,
    ) -> anyhow::Result<Self> {
        let endpoint: Endpoint = address.parse()?;
        let attach = Attach::Connect(vec![endpoint]);
        let (journal, _) = Journal::open(&journal)?;
        let (batches, to_publish) = unbounded_channel();
        let (teller, told) = channel();
        std::thread::spawn(move || {
            let mut source = Source {
                teller,
                consumers,
                was_complete: false,
            };
            let ended = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(anyhow::Error::from)
                .and_then(|runtime| {
                    runtime.block_on(source.run(owner, journal, attach, to_publish))
                });
            if let Err(error) = ended {
                // Whoever has ended meanwhile does not want to know.
                let _ = source.teller.send(Err(error));
            }
        });
        Ok(Self { batches, told })
    }

    /// The next that it tells.
    ///
    /// # Errors
    /// The publisher has failed, or tells nothing for long.
    pub(super) fn next(&self) -> anyhow::Result<Told> {
        match self.told.recv_timeout(PATIENCE) {
            Ok(told) => told.context("the publisher"),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the publisher tells nothing for {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the publisher has ended"),
        }
    }

    /// Publishes one batch.
    pub(super) fn publish(&self, batch: Batch) -> anyhow::Result<()> {
        self.batches
            .send(batch)
            .map_err(|_| anyhow!("the publisher has ended"))
    }
}

struct Source {
    teller: Sender<anyhow::Result<Told>>,
    consumers: usize,
    was_complete: bool,
}

impl Source {
    async fn run(
        &mut self,
        owner: Arc<OwnerSecret>,
        journal: Journal,
        attach: Attach,
        mut batches: UnboundedReceiver<Batch>,
    ) -> anyhow::Result<()> {
        let signer = IdentitySigner(Arc::clone(&owner));
        let settings = LinkSettings::default();
        let driver = Driver::initiator(&attach, None, Role::Publisher, settings, signer).await?;
        let settings = PublisherSettings {
            policy: Policy::development(),
            ..PublisherSettings::default()
        };
        let publisher = Publisher::new(owner, settings, Roll::default(), Box::new(OsEntropy));
        let mut publishing = PublisherLoop::new(publisher, driver, journal);
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(batch) => publish(&mut publishing, batch)?,
                    None => return publishing.end("measured").await.map(drop).map_err(Into::into),
                },
                news = publishing.next() => {
                    let complete = publishing.publisher().complete_consumers();
                    self.on_news(news?, complete)?;
                }
            }
        }
    }

    fn on_news(&mut self, news: News<PublisherEvent>, complete: usize) -> anyhow::Result<()> {
        match news {
            News::Link(LinkNews::Connected) => self.tell(Told::Connected(now_ns())),
            News::Event(PublisherEvent::Complete { .. }) => {
                if complete == self.consumers && !self.was_complete {
                    self.was_complete = true;
                    self.tell(Told::Complete(now_ns()));
                }
            }
            News::Event(PublisherEvent::Published { deliveries, .. }) => {
                self.tell(Told::Published(deliveries));
            }
            // Slow, and no loss: the clocks say how slow.
            News::Event(
                PublisherEvent::Opened { .. }
                | PublisherEvent::Admitted { .. }
                | PublisherEvent::ReceiptsOverdue,
            ) => {}
            News::Link(other) => bail!("{other:?}"),
            News::Event(other) => bail!("{other:?}"),
            News::Delivered | News::Settled => {}
        }
        Ok(())
    }

    fn tell(&self, told: Told) {
        // Whoever has ended meanwhile does not want to know.
        let _ = self.teller.send(Ok(told));
    }
}

fn publish(publishing: &mut PublisherLoop, batch: Batch) -> anyhow::Result<()> {
    let clock = publishing.clock();
    for (publication, payload) in batch {
        publishing.publish(clock, &publication, payload)?;
    }
    publishing.publisher().flush();
    Ok(publishing.work()?)
}
