//! `scbr`: the router.

use std::path::PathBuf;
use std::time::Duration;

use sc_launcher::Door;
use sc_program::Choice;
use sc_router::{
    Counters, Recovered, Router, RouterNews, RouterSettings, Spill, SpillSettings, serve,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{PlatformName, ScbrArgs};
use crate::keys::read_public;
use crate::links;
use crate::memory;
use crate::metrics::Metrics;
use crate::platform::platform;
use crate::report::Report;
use crate::{spill, wrong_use};

mod numbers;

/// How large a file of the store grows, in bytes.
const SPILL_SEGMENT_BYTES: u64 = 32 << 20;

pub(crate) async fn run(arguments: Box<ScbrArgs>) -> anyhow::Result<()> {
    let stop = stopped()?;
    run_until(arguments, stop).await
}

/// Runs a router until `stop` completes.
pub(crate) async fn run_until(
    arguments: Box<ScbrArgs>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let report = Report::new("scbr", &arguments.verbosity);
    let pinned = pinned(&arguments.owner)?;
    announce(&arguments, &report);
    let metrics = Metrics::listen(arguments.link.metrics, &report)?;
    let spill = open_spill(&arguments, &report)?;
    let mut router = Router::new(RouterSettings {
        pinned,
        plain: arguments.link.plain,
        tee: String::new(),
        has_store: spill.is_some(),
    });
    let spill = spill.map(|(spill, recovered)| {
        router.recover(Duration::ZERO, recovered);
        spill
    });
    let choice = Choice {
        kernel: arguments.kernel.clone(),
        threads: arguments.threads,
        oblivious: arguments.oblivious,
        oblivious_matches: arguments.oblivious_matches,
    };
    memory::make_ready();
    let platform = platform(arguments.platform, arguments.program.as_deref(), &choice)?;
    let driver = links::accept(
        &arguments.link,
        &arguments.address,
        &arguments.connect,
        &report,
    )
    .await?;
    let launch = move || Door::start(platform.clone());
    let counters = serve(router, driver, launch, spill, stop, |news| {
        tell(&report, metrics.as_ref(), &news);
    })
    .await?;
    summarise(&report, &counters);
    Ok(())
}

/// The store for what waits, with what an earlier process has left in it.
fn open_spill(
    arguments: &ScbrArgs,
    report: &Report,
) -> anyhow::Result<Option<(Spill, Vec<Recovered>)>> {
    let Some(folder) = spill::folder(arguments)? else {
        report.say("--spill none: what slow and absent consumers do not take waits in memory, and their publishers with it");
        return Ok(None);
    };
    let settings = SpillSettings {
        folder: folder.clone(),
        quota_bytes: arguments.spill_quota,
        segment_bytes: SPILL_SEGMENT_BYTES,
    };
    let (spill, recovered) = Spill::open(settings).map_err(|error| {
        wrong_use(format!(
            "{error}: name a folder of this router's own with --spill"
        ))
    })?;
    if !recovered.is_empty() {
        let notices: u64 = recovered.iter().map(|left| left.records).sum();
        report.say(format!(
            "{notices} notices for {} consumers were left in {}",
            recovered.len(),
            folder.display()
        ));
    }
    Ok(Some((spill, recovered)))
}

/// The domains of the owners that are pinned.
fn pinned(owners: &[PathBuf]) -> anyhow::Result<Option<Vec<[u8; 32]>>> {
    if owners.is_empty() {
        return Ok(None);
    }
    let domains = owners
        .iter()
        .map(|path| Ok(*read_public(path)?.domain_id().as_bytes()));
    domains.collect::<anyhow::Result<Vec<_>>>().map(Some)
}

fn announce(arguments: &ScbrArgs, report: &Report) {
    if arguments.owner.is_empty() {
        report.say("no --owner: any owner may open a domain here, which only a simulation allows");
    }
    if arguments.link.plain {
        report.say("PLAIN: publishers may choose to run unencrypted; this router would then read what they send. For measurement only");
    }
    if arguments.oblivious {
        report.say("OBLIVIOUS: the memory that matching touches does not show what matches, at the cost of a full pass for up to eight publications; docs/THREAT_MODEL.md says what stays visible");
    }
    if arguments.platform == PlatformName::Inline {
        report.say("INLINE: the trusted program runs in this very process; no claim of confidentiality holds. For tests and measurement only");
    }
}

fn tell(report: &Report, metrics: Option<&Metrics>, news: &RouterNews) {
    match news {
        RouterNews::ProgramLost { why, pause } => {
            report.say(format!(
                "the trusted program has ended; starting it again in {} s, and its publishers give it their keys anew",
                pause.as_secs()
            ));
            report.event(&json!({ "event": "program_lost", "why": why }));
        }
        RouterNews::Measured { counters, gauges } => {
            if let Some(metrics) = metrics {
                metrics.tell(numbers::samples(counters, gauges));
            }
        }
        RouterNews::Program { program, tee } => {
            report.say(tee);
            report.say(format!("trusted program {program} is ready; ^C ends"));
            report.event(&json!({ "event": "ready", "program": program, "tee": tee }));
        }
        RouterNews::Established { peer, role } => {
            report.detail(format!("{role:?} {peer} has connected"))
        }
        RouterNews::TurnedAway { reason } => report.say(format!("no link: {reason}")),
        RouterNews::Closed { link, reason } => report.detail(format!("{link} is closed: {reason}")),
        _ => {}
    }
}

fn summarise(report: &Report, counters: &Counters) {
    let Counters {
        sessions,
        batches,
        publications,
        controls,
        notices,
        payloads,
        undeliverable,
        refused,
        disconnected,
        acked,
        suspended,
        ..
    } = counters;
    report.say(format!(
        "routed {publications} publications in {batches} batches; sent {payloads} payloads in {notices} notices; \
         {undeliverable} notices undeliverable, {refused} frames refused, {disconnected} consumers disconnected, {suspended} suspended"
    ));
    report.event(&json!({
        "event": "summary", "sessions": sessions, "batches": batches, "publications": publications, "controls": controls,
        "notices": notices, "payloads": payloads, "undeliverable": undeliverable, "refused": refused,
        "disconnected": disconnected, "acked": acked, "suspended": suspended, "cpu_us": cpu_us(),
    }));
}

/// Processor time of this process so far, in microseconds, user and system.
pub(crate) fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
    ticks * 1_000_000 / rustix::param::clock_ticks_per_second()
}

/// Completes when somebody asks this process to end: ^C, or SIGTERM. From this call on neither ends it by itself.
pub(crate) fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
