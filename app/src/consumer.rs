//! `consumer`: the subscriber.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufWriter, Write, stdout};
use std::sync::Arc;

use sc_cbr::Origin;
use sc_client::{
    Delivery, Ending, Journal, LinkNews, Memory, News, OsEntropy, Subscriber, SubscriberEvent,
    SubscriberLoop, SubscriberSettings, UNKNOWN_END,
};
use sc_crypto::VerifyingKey;
use sc_matching::Subscription;
use sc_transport::Role;
use serde_json::json;

use crate::cli::{BATCH_DEFAULT, ConsumerArgs};
use crate::keys::{beside, read_or_make_identity, read_public};
use crate::links::{self, Loneliness};
use crate::matching::read_subscriptions;
use crate::memory;
use crate::metrics::{Metrics, Sample};
use crate::report::{Report, quit_unless_written};
use crate::scbr::{cpu_us, stopped};
use crate::source::now_ns;

pub(crate) async fn run(arguments: Box<ConsumerArgs>) -> anyhow::Result<()> {
    let report = Report::new("consumer", &arguments.verbosity);
    let owner = read_public(&arguments.key)?;
    let subscriptions = read_subscriptions(&arguments.input)?;
    memory::make_ready();
    let identity_file = arguments
        .identity
        .clone()
        .unwrap_or_else(|| beside(&arguments.key, ".consumer"));
    let identity = Arc::new(read_or_make_identity(&identity_file)?);
    let (mut journal, records) = Journal::open(&beside(&identity_file, ".journal"))?;
    let memory = Memory::replay(&records);
    journal.replace(memory.records().into_iter())?;

    report.say(format!(
        "identity {} ({})",
        identity.public().fingerprint(),
        identity_file.display()
    ));
    report.event(&json!({ "event": "identity", "fingerprint": identity.public().fingerprint() }));
    if arguments.link.plain {
        report.say("PLAIN: subscriptions and payloads travel unencrypted, and the router reads them. For measurement only");
    }
    let metrics = Metrics::listen(arguments.link.metrics, &report)?;
    let stop = stopped()?;
    let driver = links::dial(
        &arguments.link,
        &arguments.address,
        arguments.connect.as_ref(),
        Role::Subscriber,
        &identity,
        ids_bytes(&subscriptions),
        &report,
    )
    .await?;
    report.say(format!(
        "asking for {} subscriptions in domain {}",
        subscriptions.len(),
        owner.domain_id()
    ));
    let settings = SubscriberSettings {
        plain: arguments.link.plain,
        retention: arguments.durable.unwrap_or_default(),
    };
    let subscriber = Subscriber::new(
        owner,
        identity,
        subscriptions,
        settings,
        memory,
        Box::new(OsEntropy),
    );
    let received = Received::new(&arguments, metrics);
    let lonely = Loneliness::begin(arguments.connect.is_some(), &arguments.link);
    let consuming = SubscriberLoop::new(subscriber, driver, journal);
    consume(consuming, &report, stop, lonely, received, arguments.count).await
}

/// Bytes of ids in a notice that says of as many publications as a batch usually has that each matches all of `subscriptions`.
fn ids_bytes(subscriptions: &[(u64, Subscription)]) -> u64 {
    let varint_bytes = |id: u64| u64::from((u64::BITS - id.leading_zeros()).max(1).div_ceil(7));
    let once: u64 = subscriptions.iter().map(|(id, _)| varint_bytes(*id)).sum();
    u64::from(BATCH_DEFAULT) * once
}

async fn consume(
    mut consuming: SubscriberLoop,
    report: &Report,
    stop: impl Future<Output = ()>,
    mut lonely: Loneliness,
    mut received: Received,
    count: Option<u64>,
) -> anyhow::Result<()> {
    tokio::pin!(stop);
    let mut verdict = Ok(());
    let mut was_admitted = false;
    while verdict.is_ok() && count.is_none_or(|count| received.deliveries < count) {
        let mut deliver = |delivery: Delivery<'_>| received.take(&delivery);
        tokio::select! {
            biased;
            () = &mut stop => break,
            news = consuming.next(&mut deliver) => {
                match &news {
                    Ok(News::Link(LinkNews::Connected)) => lonely.end(),
                    Ok(News::Event(SubscriberEvent::Admitted { .. })) => was_admitted = true,
                    // What was meant for an earlier start of this consumer cannot be told from a forgery, and is to be expected.
                    Ok(News::Event(SubscriberEvent::NotTaken)) if !was_admitted => {
                        received.flush();
                        continue;
                    }
                    Ok(News::Event(event)) => received.count(event),
                    _ => {}
                }
                verdict = news.map_err(Into::into).and_then(|news| on_news(report, news));
            }
            words = lonely.felt() => report.say(words),
        }
        received.flush();
    }
    received.flush();
    received.summarise(report);
    // However it ends, the router hears of it.
    let ended = consuming.end("the consumer has ended").await;
    verdict?;
    ended?;
    Ok(())
}

fn on_news(report: &Report, news: News<SubscriberEvent>) -> anyhow::Result<()> {
    match news {
        News::Link(LinkNews::Connected) => report.detail("a router has connected"),
        News::Link(LinkNews::Disconnected(why)) => {
            report.say(format!("the router is gone ({why}); waiting for it"))
        }
        News::Link(LinkNews::TurnedAway(why)) => {
            report.say(format!("no link to the router: {why}"))
        }
        News::Event(SubscriberEvent::Waiting) => {
            report.say("the publisher has not opened this domain at the router yet; waiting for it")
        }
        News::Event(SubscriberEvent::Admitted {
            session, retention, ..
        }) => {
            report.say(format!("admitted in session {session}; ^C ends"));
            if !retention.is_zero() {
                let kept = humantime::format_duration(retention);
                report.say(format!(
                    "while this consumer is away, what matches is kept for {kept}"
                ));
            }
            report.event(&json!({ "event": "admitted", "session": session, "retention_ms": retention.as_millis() as u64 }));
        }
        News::Event(SubscriberEvent::Uncovered {
            publisher,
            from,
            to,
        }) => tell_uncovered(report, &publisher, from, to),
        News::Event(SubscriberEvent::Suspended { session }) => {
            report.say("the router keeps no more for this consumer, which was away for too long or did not keep up: from here on what matches is only counted");
            report.event(&json!({ "event": "suspended", "session": session }));
        }
        News::Event(SubscriberEvent::Missed {
            batches,
            publications,
        }) => {
            report.say(format!("{publications} publications in {batches} batches matched and were not kept for this consumer"));
            report.event(
                &json!({ "event": "missed", "batches": batches, "publications": publications }),
            );
        }
        News::Event(SubscriberEvent::Silent) => {
            report.say("no heartbeat has come for longer than two intervals: the publisher is gone, or the router withholds everything");
            report.event(&json!({ "event": "silent" }));
        }
        News::Event(SubscriberEvent::Lapsed { session }) => {
            report.say("the lease had run out while this consumer was away; what was published between is missing, and asking anew");
            report.event(&json!({ "event": "lapsed", "session": session }));
        }
        News::Event(SubscriberEvent::Missing { session, from, to }) => {
            report.say(format!("notices {from} to {to} of session {session} are missing: withheld by the router, or given up by it while this consumer was away"));
            report
                .event(&json!({ "event": "missing", "session": session, "from": from, "to": to }));
        }
        News::Event(SubscriberEvent::PassedOver { origin }) => {
            report.say(format!(
                "batch {} of start {} is not newer than the last one taken and was passed over: published again, or held back by the router; \
                 if the publisher has lost its journal, start this consumer anew",
                origin.number, origin.start
            ));
            report.event(
                &json!({ "event": "passed_over", "start": origin.start, "batch": origin.number }),
            );
        }
        News::Event(SubscriberEvent::PayloadWithheld { origin, index }) => {
            report.say(format!(
                "the router withheld or changed payload {index} of batch {}",
                origin.number
            ));
            report.event(
                &json!({ "event": "payload_withheld", "batch": origin.number, "index": index }),
            );
        }
        News::Event(SubscriberEvent::Unanswered) => {
            report.say("the publisher does not answer: is -k its present public key, and do both or neither run with --plain? Asking again");
            report.event(&json!({ "event": "unanswered" }));
        }
        News::Event(SubscriberEvent::Unencrypted) => {
            report.say("an unencrypted answer came and was dropped: the publisher runs with --plain and this consumer does not; start both with it or neither");
            report.event(&json!({ "event": "unencrypted" }));
        }
        News::Event(SubscriberEvent::NotTaken) => {
            report.say("something came that is not genuine, or came twice; it was dropped")
        }
        News::Event(SubscriberEvent::Refused(refusal)) => anyhow::bail!("not admitted: {refusal}"),
        News::Event(SubscriberEvent::Ended(Ending::Expired)) => {
            anyhow::bail!("the lease has run out")
        }
        News::Event(SubscriberEvent::Ended(Ending::Revoked)) => {
            anyhow::bail!("the publisher has revoked this identity")
        }
        News::Event(SubscriberEvent::RouterRefused(what)) => {
            report.say(format!("the router refused: {what}"))
        }
        other => report.detail(format!("{other:?}")),
    }
    Ok(())
}

/// Batches of which this consumer cannot know whether they matched: they came at the end of a session that was over too early.
fn tell_uncovered(report: &Report, publisher: &VerifyingKey, from: Origin, to: Origin) {
    let is_known = to.number != UNKNOWN_END;
    let last = if is_known {
        format!("batch {} of start {}", to.number, to.start)
    } else {
        format!("the unknown end of start {}", to.start)
    };
    report.say(format!(
        "what was published after batch {} of start {} up to {last} is not accounted for: the session ended before the router said whether it was for this consumer",
        from.number, from.start
    ));
    report.event(&json!({
        "event": "uncovered", "publisher": hex(publisher),
        "from": { "start": from.start, "batch": from.number },
        "to": { "start": to.start, "batch": is_known.then_some(to.number) },
    }));
}

/// A publisher's key as the events have it.
fn hex(publisher: &VerifyingKey) -> String {
    let mut text = String::with_capacity(2 * publisher.as_bytes().len());
    for byte in publisher.as_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What has come, and where it is shown.
struct Received {
    out: Option<BufWriter<std::io::Stdout>>,
    json: bool,
    line: String,
    publications: u64,
    deliveries: u64,
    by_subscription: Tally,
    /// Whether something has come since the last flush.
    is_fresh: bool,
    first_ns: Option<u64>,
    last_ns: u64,
    /// Notices that are missing, publications that were not kept, reports that something is not accounted for.
    missing: u64,
    missed: u64,
    uncovered: u64,
    metrics: Option<Metrics>,
}

impl Received {
    fn new(arguments: &ConsumerArgs, metrics: Option<Metrics>) -> Self {
        let shows = !arguments.quiet && (arguments.verbosity.json || !arguments.verbosity.silent);
        Self {
            out: shows.then(|| BufWriter::with_capacity(1 << 16, stdout())),
            json: arguments.verbosity.json,
            line: String::new(),
            publications: 0,
            deliveries: 0,
            by_subscription: Tally::default(),
            is_fresh: false,
            first_ns: None,
            last_ns: 0,
            missing: 0,
            missed: 0,
            uncovered: 0,
            metrics,
        }
    }

    fn count(&mut self, event: &SubscriberEvent) {
        match event {
            SubscriberEvent::Missing { from, to, .. } => self.missing += to - from + 1,
            SubscriberEvent::Missed { publications, .. } => self.missed += publications,
            SubscriberEvent::Uncovered { .. } => self.uncovered += 1,
            _ => {}
        }
    }

    fn samples(&self) -> [Sample; 5] {
        [
            Sample::Counter(
                "securecloud_consumer_publications_total",
                "Publications given to this consumer.",
                self.publications,
            ),
            Sample::Counter(
                "securecloud_consumer_deliveries_total",
                "Pairs of a publication and a subscription that it matched.",
                self.deliveries,
            ),
            Sample::Counter(
                "securecloud_consumer_missing_notices_total",
                "Notices that are missing.",
                self.missing,
            ),
            Sample::Counter(
                "securecloud_consumer_missed_publications_total",
                "Publications that matched and were not kept.",
                self.missed,
            ),
            Sample::Counter(
                "securecloud_consumer_uncovered_total",
                "Reports that batches are not accounted for.",
                self.uncovered,
            ),
        ]
    }

    fn take(&mut self, delivery: &Delivery<'_>) {
        self.publications += 1;
        self.deliveries += delivery.subscriptions.len() as u64;
        for id in delivery.subscriptions {
            self.by_subscription.count(*id);
        }
        self.is_fresh = true;
        if let Some(out) = &mut self.out {
            let received_ns = self.json.then(now_ns);
            self.line.clear();
            write_delivery(&mut self.line, delivery, received_ns);
            quit_unless_written(out.write_all(self.line.as_bytes()));
        }
    }

    /// Shows what has come: only then it may be written down as taken.
    fn flush(&mut self) {
        // One look at the clock for all that came together: one for each costs as much as to open a short payload's seal.
        if std::mem::take(&mut self.is_fresh) {
            self.last_ns = now_ns();
            self.first_ns.get_or_insert(self.last_ns);
        }
        if let Some(metrics) = &self.metrics {
            metrics.tell(self.samples());
        }
        if let Some(out) = &mut self.out {
            quit_unless_written(out.flush());
        }
    }

    fn summarise(&self, report: &Report) {
        report.say(format!(
            "received {} publications in {} deliveries",
            self.publications, self.deliveries
        ));
        report.event(&json!({
            "event": "summary", "publications": self.publications, "deliveries": self.deliveries, "first_ns": self.first_ns,
            "last_ns": self.last_ns, "by_subscription": self.by_subscription.all(), "cpu_us": cpu_us(),
        }));
    }
}

/// Subscriptions whose deliveries are counted by their place.
const TALLY_PLACES: u64 = 1 << 16;

/// How often each subscription was delivered. Ids of a file count from zero, and to find one's place costs nothing then; the map has all
/// others, of which there are no more than there are subscriptions.
#[derive(Default)]
struct Tally {
    places: Vec<u64>,
    others: BTreeMap<u64, u64>,
}

impl Tally {
    fn count(&mut self, id: u64) {
        if id >= TALLY_PLACES {
            *self.others.entry(id).or_default() += 1;
            return;
        }
        let place = id as usize;
        if place >= self.places.len() {
            self.places.resize(place + 1, 0);
        }
        self.places[place] += 1;
    }

    /// Those that were delivered at all.
    fn all(&self) -> BTreeMap<u64, u64> {
        let places = (0..).zip(self.places.iter().copied());
        let others = self.others.iter().map(|(id, count)| (*id, *count));
        places
            .filter(|(_, count)| *count > 0)
            .chain(others)
            .collect()
    }
}

/// One line: an event, which has the time, or else the ids of the subscriptions that matched, a tab, the payload.
fn write_delivery(line: &mut String, delivery: &Delivery<'_>, event_ns: Option<u64>) {
    let payload = String::from_utf8_lossy(delivery.payload);
    if let Some(received_ns) = event_ns {
        let event = json!({
            "event": "delivery", "subscriptions": delivery.subscriptions, "publisher": hex(&delivery.publisher), "start": delivery.origin.start, "batch": delivery.origin.number,
            "index": delivery.index, "received_ns": received_ns, "payload": payload,
        });
        let _ = writeln!(line, "{event}");
        return;
    }
    for (place, id) in delivery.subscriptions.iter().enumerate() {
        let _ = write!(line, "{}{id}", if place == 0 { "" } else { "," });
    }
    // A payload comes from somebody else: it may not speak to the terminal.
    let _ = writeln!(
        line,
        "\t{}",
        payload.escape_debug().to_string().replace("\\\"", "\"")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_counted_wherever_it_lies_and_no_other_is_told() {
        let mut tally = Tally::default();
        let ids = [3, 0, 3, TALLY_PLACES, u64::MAX, TALLY_PLACES - 1, u64::MAX];

        ids.into_iter().for_each(|id| tally.count(id));

        let expected = [
            (0, 1),
            (3, 2),
            (TALLY_PLACES - 1, 1),
            (TALLY_PLACES, 1),
            (u64::MAX, 2),
        ];
        assert_eq!(tally.all(), BTreeMap::from(expected));
    }
}
