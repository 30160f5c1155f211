//! `scbr`: the router.

use std::path::PathBuf;

use sc_launcher::Door;
use sc_router::{Counters, Router, RouterNews, RouterSettings, serve};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{PlatformName, ScbrArgs};
use crate::keys::read_public;
use crate::links;
use crate::platform::platform;
use crate::report::Report;

pub(crate) async fn run(arguments: Box<ScbrArgs>) -> anyhow::Result<()> {
    let report = Report::new("scbr", &arguments.verbosity);
    let settings = RouterSettings {
        pinned: pinned(&arguments.owner)?,
        plain: arguments.link.plain,
        tee: String::new(),
        has_store: false,
    };
    announce(&arguments, &report);
    let stop = stopped()?;
    let platform = platform(arguments.platform, arguments.program.as_deref())?;
    let driver = links::accept(
        &arguments.link,
        &arguments.address,
        &arguments.connect,
        &report,
    )
    .await?;
    let launch = move || Door::start(platform.clone());
    let router = Router::new(settings);
    let counters = serve(router, driver, launch, None, stop, |news| {
        tell(&report, &news);
    })
    .await?;
    summarise(&report, &counters);
    Ok(())
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
    if arguments.platform == PlatformName::Inline {
        report.say("INLINE: the trusted program runs in this very process; no claim of confidentiality holds. For tests and measurement only");
    }
}

fn tell(report: &Report, news: &RouterNews) {
    match news {
        RouterNews::Program { program, tee } => {
            report.say(tee);
            report.say(format!("trusted program {program} is ready; ^C ends"));
            report.event(&json!({ "event": "ready", "program": program, "tee": tee }));
        }
        RouterNews::ProgramLost { why, pause } => report.say(format!(
            "the trusted program was lost ({why}), and every session in it; it is started again in {} s, and publishers provision it anew",
            pause.as_secs()
        )),
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
