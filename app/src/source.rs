//! `source`: the publisher.

mod feed;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sc_attestation::Policy;
use sc_cbr::{SlowPolicy, Status};
use sc_client::{
    Admission, BatchBounds, Journal, LinkNews, News, OsEntropy, Publisher, PublisherEvent,
    PublisherLoop, PublisherSettings, Roll,
};
use sc_transport::Role;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Slow, SourceArgs};
use crate::keys::{beside, read_private};
use crate::links::{self, Loneliness};
use crate::report::Report;
use crate::scbr::{cpu_us, stopped};
use crate::wrong_use;
use feed::Feed;
pub(crate) use feed::now_ns;

pub(crate) async fn run(arguments: Box<SourceArgs>) -> anyhow::Result<()> {
    let report = Report::new("source", &arguments.verbosity);
    let secret = Arc::new(read_private(&arguments.key)?);
    let settings = settings(&arguments, &report)?;
    let parsing = Instant::now();
    let feed = Feed::open(&arguments)?;
    let parse_us = parsing.elapsed().as_micros() as u64;

    let (mut journal, records) = Journal::open(&beside(&arguments.key, ".journal"))?;
    let roll = Roll::replay(&records)
        .map_err(|place| anyhow::anyhow!("record {place} of the journal is of a later version"))?;
    journal.replace(roll.records())?;
    report.say(format!(
        "domain {} ({})",
        secret.public().domain_id(),
        secret.public().fingerprint()
    ));
    let stop = stopped()?;
    let hang_up = signal(SignalKind::hangup())?;
    let driver = links::dial(
        &arguments.link,
        &arguments.address,
        arguments.connect.as_ref(),
        Role::Publisher,
        &secret,
        0,
        &report,
    )
    .await?;
    let publisher = Publisher::new(secret, settings, roll, Box::new(OsEntropy));
    let lonely = Loneliness::begin(arguments.connect.is_some(), &arguments.link);
    let source = Source {
        arguments,
        report,
        publishing: PublisherLoop::new(publisher, driver, journal),
        feed,
        parse_us,
        lonely,
        progress: Progress::default(),
    };
    source.run(stop, hang_up).await
}

fn settings(arguments: &SourceArgs, report: &Report) -> anyhow::Result<PublisherSettings> {
    Ok(PublisherSettings {
        policy: policy(arguments, report)?,
        admission: admission(arguments.admit.as_deref(), report)?,
        quota: arguments.quota,
        lease: Duration::from_secs(arguments.lease),
        slow: match arguments.slow {
            Slow::Block => SlowPolicy::Block,
            Slow::Disconnect => SlowPolicy::Disconnect,
        },
        batch: BatchBounds {
            publications: arguments.batch as usize,
            bytes: (arguments.link.max_message / 4) as usize,
            linger: Duration::from_micros(arguments.linger),
        },
        plain: arguments.link.plain,
        ..PublisherSettings::default()
    })
}

/// The policy to appraise with. Without a file, D4.2's bare form: the development simulation is accepted, on this machine alone.
fn policy(arguments: &SourceArgs, report: &Report) -> anyhow::Result<Policy> {
    if arguments.link.plain {
        report.say("PLAIN: headers, subscriptions and payloads travel unencrypted, and the router reads them. For measurement only");
    }
    let Some(path) = &arguments.policy else {
        if arguments.link.link_keys.is_some() {
            return Err(wrong_use(
                "a router beyond this machine needs --policy: which trusted programs may have the keys",
            ));
        }
        report.say("no --policy: the keys go to any program that runs in the development simulation, on this machine alone");
        return Ok(Policy::development());
    };
    let text = read_text(path)?;
    let policy =
        Policy::parse(&text).map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    Ok(Policy {
        allow_simulation: arguments.allow_simulation,
        ..policy
    })
}

fn admission(admit: Option<&str>, report: &Report) -> anyhow::Result<Admission> {
    match admit {
        None | Some("all") => {
            report.say("admission is open: whoever asks may subscribe; name a list of fingerprints with --admit");
            Ok(Admission::Open)
        }
        Some(path) => read_admission(path),
    }
}

fn read_admission(path: &str) -> anyhow::Result<Admission> {
    Admission::parse(&read_text(Path::new(path))?)
        .map_err(|line| wrong_use(format!("{path}: line {line}: expected a fingerprint, SHA256: and 43 characters, as `consumer` prints it")))
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| wrong_use(format!("{}: {error}", path.display())))
}

struct Source {
    arguments: Box<SourceArgs>,
    report: Report,
    publishing: PublisherLoop,
    feed: Feed,
    parse_us: u64,
    lonely: Loneliness,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    taken: u64,
    matched: u64,
    deliveries: u64,
    first_ns: Option<u64>,
    last_receipt_ns: u64,
    has_audience: bool,
    unreadable: u64,
    done: bool,
}

impl Source {
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
            }
            let idle = !self.may_publish();
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                _ = hang_up.recv() => self.read_list_again(),
                news = self.publishing.next() => self.on_news(news?)?,
                words = self.lonely.felt() => self.report.say(words),
                () = self.feed.ready(), if idle && self.wants_input() => {}
                // Lets the socket work between two batches.
                () = tokio::task::yield_now(), if !idle => {}
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
        let complete = self.publishing.publisher().complete_consumers();
        self.progress.has_audience |= complete >= self.arguments.await_consumers;
        self.progress.has_audience
    }

    fn wants_input(&mut self) -> bool {
        self.has_audience() && self.publishing.publisher().is_open() && !self.feed.is_over()
    }

    fn may_publish(&mut self) -> bool {
        self.feed.has_next() && self.wants_input() && !self.publishing.publisher().is_full()
    }

    fn is_done(&mut self) -> bool {
        self.feed.is_over() && self.has_audience() && self.publishing.publisher().is_drained()
    }

    /// Publishes up to one batch.
    fn publish_some(&mut self) -> anyhow::Result<()> {
        self.progress.first_ns.get_or_insert_with(now_ns);
        for _ in 0..self.arguments.batch {
            if self.publishing.publisher().is_full() {
                break;
            }
            let Some((publication, payload)) = self.feed.next() else {
                break;
            };
            self.publishing.publish(publication, payload)?;
        }
        if self.feed.is_over() {
            self.publishing.publisher().flush();
        }
        self.publishing.work()?;
        Ok(())
    }

    fn on_news(&mut self, news: News<PublisherEvent>) -> anyhow::Result<()> {
        let report = &self.report;
        match news {
            News::Link(LinkNews::Connected) => {
                self.lonely.end();
                report.detail("a router has connected");
            }
            News::Link(LinkNews::Disconnected(why)) => report.say(format!("the router is gone ({why}); what has no receipt is published again when one is back")),
            News::Link(LinkNews::TurnedAway(why)) => report.say(format!("no link to the router: {why}")),
            News::Event(event) => self.on_event(event)?,
            _ => {}
        }
        Ok(())
    }

    fn on_event(&mut self, event: PublisherEvent) -> anyhow::Result<()> {
        let report = &self.report;
        match event {
            PublisherEvent::Opened {
                session,
                tee_line,
                measurement,
            } => {
                let measurement: String = measurement
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                report.say(tee_line);
                report.say(format!(
                    "session {session} is open in a trusted program of measurement {measurement}"
                ));
                report.event(&json!({ "event": "opened", "session": session, "tee": tee_line, "measurement": measurement }));
                if !self.progress.has_audience {
                    report.say(format!(
                        "waiting until the files of {} consumer(s) are admitted",
                        self.arguments.await_consumers
                    ));
                }
            }
            PublisherEvent::Admitted {
                fingerprint,
                subscriptions,
            } => {
                report.say(format!(
                    "admitted {fingerprint}: {subscriptions} subscriptions"
                ));
                report.event(&json!({ "event": "admitted", "consumer": fingerprint, "subscriptions": subscriptions }));
            }
            PublisherEvent::RefusedConsumer {
                fingerprint,
                refusal,
            } => {
                report.say(format!("refused {fingerprint}: {refusal}"));
                report.event(&json!({ "event": "refused", "consumer": fingerprint, "reason": refusal.to_string() }));
            }
            PublisherEvent::UnreadableAsk => {
                self.progress.unreadable += 1;
                // Anyone who reaches the router may send such things, as many as they like.
                if self.progress.unreadable.is_power_of_two() {
                    report.say(format!(
                        "{} request(s) did not open: made for another key, or with --plain where this source runs without it",
                        self.progress.unreadable
                    ));
                }
            }
            PublisherEvent::Published {
                publications,
                matched,
                deliveries,
            } => {
                self.progress.taken += publications as u64;
                self.progress.matched += u64::from(matched);
                self.progress.deliveries += deliveries;
                self.progress.last_receipt_ns = now_ns();
            }
            PublisherEvent::NotCarriedOut(status @ (Status::Limit | Status::Malformed)) => {
                let why = if status == Status::Limit {
                    "a bound of the trusted program is reached: lower --quota or --batch"
                } else {
                    "the trusted program cannot read it"
                };
                report.say(format!("a message was not carried out: {why}"));
                report.event(&json!({ "event": "not_carried_out", "reason": why }));
            }
            PublisherEvent::NotProvisioned(error) => {
                return Err(wrong_use(format!(
                    "the router was not given the keys: {error}"
                )));
            }
            PublisherEvent::RouterRefused {
                what,
                lasting: true,
            } => return Err(wrong_use(format!("the router refused: {what}"))),
            PublisherEvent::RouterRefused { what, .. } => {
                report.say(format!("the router refused: {what}"))
            }
            PublisherEvent::ReceiptNotAuthentic => {
                report.say("a receipt was forged, withheld or reordered; leaving this session")
            }
            other => report.detail(format!("{other:?}")),
        }
        Ok(())
    }

    /// SIGHUP: whoever the list names no longer is revoked at once.
    fn read_list_again(&mut self) {
        let Some(path) = self.arguments.admit.clone().filter(|path| path != "all") else {
            return;
        };
        match read_admission(&path) {
            Ok(admission) => {
                self.publishing.publisher().set_admission(admission);
                self.report.say(format!("{path} was read again"));
            }
            Err(error) => self
                .report
                .say(format!("{error:#}; the list in force stays")),
        }
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
