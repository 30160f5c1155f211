//! `source`: the publisher, as the owner of its domain or under another owner's grant.

mod feed;
mod granted;
mod owner;
mod pace;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sc_client::{BatchBounds, Journal, LinkNews, News, PublishingCore, PublishingLoop};
use sc_crypto::OwnerSecret;
use sc_matching::bound::ITEM_BYTES_MAX;
use sc_transport::Role;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::SourceArgs;
use crate::keys::read_private;
use crate::links::{self, Loneliness};
use crate::memory;
use crate::metrics::{Metrics, Sample};
use crate::report::Report;
use crate::scbr::{cpu_us, stopped};
use crate::wrong_use;
use feed::Feed;
pub(crate) use feed::now_ns;
use pace::Pace;

/// What the loop of a source needs of its core besides what every loop needs.
trait Core: PublishingCore + Sized {
    fn is_open(&self) -> bool;
    fn is_full(&self) -> bool;
    fn finish(&mut self);
    fn resumed_publications(&self) -> u64;
    /// Whether so many consumers are there.
    fn has_audience(&self, consumers: usize) -> bool;
    fn read_lists_again(&mut self, arguments: &SourceArgs, report: &Report);
    fn on_event(event: Self::Event, progress: &mut Progress, report: &Report)
    -> anyhow::Result<()>;
}

pub(crate) async fn run(arguments: Box<SourceArgs>) -> anyhow::Result<()> {
    let report = Report::new("source", &arguments.verbosity);
    let secret = Arc::new(read_private(&arguments.key)?);
    let parsing = Instant::now();
    let feed = Feed::open(&arguments)?;
    let parse_us = parsing.elapsed().as_micros() as u64;
    memory::make_ready();
    // Time cuts the batches of a paced input, and a stamp is never the same again: neither can be taken up in its middle.
    let takes_up = !arguments.anew && arguments.rate.is_none() && !arguments.stamp;
    let stream = feed.digest().filter(|_| takes_up);
    match arguments.domain.clone() {
        None => {
            let (mut core, journal) = owner::open(&arguments, Arc::clone(&secret), &report)?;
            if let Some(digest) = &stream {
                core = core.of_stream(digest);
            }
            let publishing = publish(core, journal, arguments, report, &secret, feed, parse_us);
            Box::pin(publishing).await
        }
        Some(domain) => {
            let (mut core, journal) =
                granted::open(&arguments, &domain, Arc::clone(&secret), &report)?;
            if let Some(digest) = &stream {
                core = core.of_stream(digest);
            }
            let publishing = publish(core, journal, arguments, report, &secret, feed, parse_us);
            Box::pin(publishing).await
        }
    }
}

async fn publish<C: Core>(
    core: C,
    journal: Journal,
    arguments: Box<SourceArgs>,
    report: Report,
    identity: &Arc<OwnerSecret>,
    mut feed: Feed,
    parse_us: u64,
) -> anyhow::Result<()> {
    let resumed = feed.skip(core.resumed_publications());
    if resumed > 0 {
        report.say(format!(
            "an earlier start of this source was ended in the middle of this input: going on after {resumed} publications; --anew publishes all of it"
        ));
        report.event(&json!({ "event": "resumed", "publications": resumed }));
    }
    let metrics = Metrics::listen(arguments.link.metrics, &report)?;
    let stop = stopped()?;
    let hang_up = signal(SignalKind::hangup())?;
    let driver = links::dial(
        &arguments.link,
        &arguments.address,
        arguments.connect.as_ref(),
        Role::Publisher,
        identity,
        0,
        &report,
    )
    .await?;
    let lonely = Loneliness::begin(arguments.connect.is_some(), &arguments.link);
    let progress = Progress {
        awaited: arguments.await_consumers,
        ..Progress::default()
    };
    let source = Source {
        pace: arguments.rate.map(Pace::new),
        publishing: PublishingLoop::new(core, driver, journal),
        arguments,
        report,
        feed,
        parse_us,
        lonely,
        metrics,
        progress,
    };
    source.run(stop, hang_up).await
}

fn batch_bounds(arguments: &SourceArgs) -> BatchBounds {
    BatchBounds {
        publications: arguments.batch as usize,
        bytes: (arguments.link.max_message / 4) as usize,
        linger: Duration::from_micros(arguments.linger),
    }
}

/// One publication at most: `--max-message` bounds its payload, and its header has a bound of its own.
fn publication_bytes(arguments: &SourceArgs) -> usize {
    arguments.link.max_message as usize + ITEM_BYTES_MAX
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| wrong_use(format!("{}: {error}", path.display())))
}

/// Waits until then; without a time, for ever.
async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn tell_overdue(report: &Report) {
    report.say("no receipt has come for ten seconds: the router or the program withholds them, or cannot keep up");
    report.event(&json!({ "event": "receipts_overdue" }));
}

struct Source<C> {
    arguments: Box<SourceArgs>,
    report: Report,
    publishing: PublishingLoop<C>,
    feed: Feed,
    pace: Option<Pace>,
    parse_us: u64,
    lonely: Loneliness,
    metrics: Option<Metrics>,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    taken: u64,
    matched: u64,
    deliveries: u64,
    first_ns: Option<u64>,
    last_receipt_ns: u64,
    /// Consumers without whom nothing is published.
    awaited: usize,
    has_audience: bool,
    unreadable: u64,
    done: bool,
}

impl Progress {
    fn on_published(&mut self, publications: usize, matched: u32, deliveries: u64) {
        self.taken += publications as u64;
        self.matched += u64::from(matched);
        self.deliveries += deliveries;
        self.last_receipt_ns = now_ns();
    }

    fn samples(&self) -> [Sample; 3] {
        [
            Sample::Counter(
                "securecloud_source_publications_total",
                "Publications with a receipt.",
                self.taken,
            ),
            Sample::Counter(
                "securecloud_source_matched_total",
                "Publications that matched a subscription.",
                self.matched,
            ),
            Sample::Counter(
                "securecloud_source_deliveries_total",
                "Pairs of a publication and a subscription that it matched.",
                self.deliveries,
            ),
        ]
    }
}

impl<C: Core> Source<C> {
    async fn run(mut self, stop: impl Future<Output = ()>, hang_up: Signal) -> anyhow::Result<()> {
        let worked = self.work(stop, hang_up).await;
        let has_begun = self.progress.first_ns.is_some();
        if !self.progress.done && (worked.is_ok() || has_begun) {
            self.summarise();
        }
        // However it ends, the router hears of it.
        let ended = self.publishing.end("the source has ended").await;
        worked?;
        ended?;
        Ok(())
    }

    async fn work(
        &mut self,
        stop: impl Future<Output = ()>,
        mut hang_up: Signal,
    ) -> anyhow::Result<()> {
        tokio::pin!(stop);
        loop {
            if self.may_publish() {
                self.publish_some()?;
                // Lets the socket have the batch before the next is sealed, however many receipts wait to be reported: what is
                // sealed in a row leaves in a row, and meanwhile everybody behind has nothing to do.
                tokio::task::yield_now().await;
            }
            let idle = !self.may_publish();
            let next_due = self.pace.as_ref().and_then(Pace::next);
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                _ = hang_up.recv() => self.publishing.publisher().read_lists_again(&self.arguments, &self.report),
                news = self.publishing.next() => self.on_news(news?)?,
                words = self.lonely.felt() => self.report.say(words),
                () = self.feed.ready(), if idle && !self.feed.has_next() && self.wants_input() => {}
                () = wait_until(next_due), if idle && self.has_room() => {}
                () = std::future::ready(()), if !idle => {}
            }
            if let Some(metrics) = &self.metrics {
                metrics.tell(self.progress.samples());
            }
            if self.is_done() && !self.progress.done {
                self.progress.done = true;
                self.summarise();
                if let Some(error) = self.feed.take_failure() {
                    return Err(error);
                }
                if self.arguments.once {
                    return Ok(());
                }
                self.report
                    .say("everything is published; staying for leases, ^C ends");
            }
        }
    }

    /// Whether as many consumers as were announced have been there at once; that some have left since changes nothing.
    fn has_audience(&mut self) -> bool {
        let awaited = self.progress.awaited;
        self.progress.has_audience |= self.publishing.publisher().has_audience(awaited);
        self.progress.has_audience
    }

    fn wants_input(&mut self) -> bool {
        self.has_audience() && self.publishing.publisher().is_open() && !self.feed.is_over()
    }

    /// Whether the next publication could be taken now, if only it is due.
    fn has_room(&mut self) -> bool {
        self.feed.has_next() && self.wants_input() && !self.publishing.publisher().is_full()
    }

    fn may_publish(&mut self) -> bool {
        self.is_due() && self.has_room()
    }

    fn is_due(&self) -> bool {
        let pace = self.pace.as_ref();
        pace.is_none_or(|pace| pace.is_due(Instant::now()))
    }

    fn is_done(&mut self) -> bool {
        self.feed.is_over() && self.has_audience() && self.publishing.publisher().is_drained()
    }

    /// Publishes up to one batch.
    fn publish_some(&mut self) -> anyhow::Result<()> {
        self.progress.first_ns.get_or_insert_with(now_ns);
        let clock = self.publishing.clock();
        for _ in 0..self.arguments.batch {
            if !self.is_due() || self.publishing.publisher().is_full() {
                break;
            }
            let Some((publication, payload)) = self.feed.next() else {
                break;
            };
            self.publishing.publish(clock, publication, payload)?;
            if let Some(pace) = &mut self.pace {
                pace.count(Instant::now());
            }
        }
        if self.feed.is_over() {
            self.publishing.publisher().finish();
        }
        self.publishing.work()?;
        Ok(())
    }

    fn on_news(&mut self, news: News<C::Event>) -> anyhow::Result<()> {
        let report = &self.report;
        match news {
            News::Link(LinkNews::Connected) => {
                self.lonely.end();
                report.detail("a router has connected");
            }
            News::Link(LinkNews::Disconnected(why)) => report.say(format!("the router is gone ({why}); what is not settled is published again when one is back")),
            News::Link(LinkNews::TurnedAway(why)) => report.say(format!("no link to the router: {why}")),
            News::Event(event) => C::on_event(event, &mut self.progress, report)?,
            _ => {}
        }
        Ok(())
    }

    fn summarise(&self) {
        let Progress {
            taken,
            matched,
            deliveries,
            first_ns,
            last_receipt_ns,
            ..
        } = self.progress;
        let seconds = first_ns.map_or(0.0, |first| {
            last_receipt_ns.saturating_sub(first) as f64 / 1e9
        });
        let rate = if seconds > 0.0 {
            taken as f64 / seconds
        } else {
            0.0
        };
        self.report.say(format!(
            "published {taken} publications in {seconds:.3} s ({rate:.0} a second): {matched} matched, {deliveries} deliveries; parsing took {:.3} s",
            self.parse_us as f64 / 1e6
        ));
        self.report.event(&json!({
            "event": "summary", "publications": taken, "matched": matched, "deliveries": deliveries, "seconds": seconds,
            "first_ns": first_ns, "last_receipt_ns": last_receipt_ns, "parse_us": self.parse_us, "cpu_us": cpu_us(),
        }));
    }
}
