//! `routing`: the end-to-end campaign.
//!
//! Invariant: no figure of ours is printed of a run that did not deliver exactly what the plain scan expects.
//! Configurations are run in turn, not one after the other, so that a machine's moods reach all of them.

mod case;
mod run;
mod table;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::cli::RoutingArgs;
use crate::machine;
use crate::peers::{self, Peer};
use crate::report::{line, note};
use crate::role::Binaries;
use crate::workload::{Data, Workload};
use run::Ours;

pub(crate) use case::{Case, Delays, Sample, System, check_pace, number};

/// The shortest payload that has room for the time at which it was published.
const STAMPED_BYTES_MIN: usize = 20;

/// One row of the table: a case and what was measured of it; nothing of a peer that is not installed.
struct Row<'a> {
    case: Case<'a>,
    samples: Vec<Sample>,
    delays: Vec<Delays>,
}

impl<'a> Row<'a> {
    fn new(case: Case<'a>) -> Self {
        Self {
            case,
            samples: Vec::new(),
            delays: Vec::new(),
        }
    }
}

/// What runs a case.
enum Runner<'a> {
    Ours(Ours<'a>),
    Peer(Peer, PathBuf),
}

impl<'a> Runner<'a> {
    /// `None` for a peer that is not installed.
    fn of(system: System, binaries: &'a Binaries) -> Option<Self> {
        match system {
            System::SecureCloud { mode, platform } => Some(Self::Ours(Ours {
                binaries,
                mode,
                platform,
            })),
            System::Peer(peer) => Some(Self::Peer(peer, peer.find()?)),
        }
    }

    fn run(&self, case: &Case<'_>) -> anyhow::Result<Sample> {
        match self {
            Self::Ours(ours) => run::run(*ours, case),
            Self::Peer(peer, program) => peers::run(*peer, program, case),
        }
    }

    fn delays(&self, case: &Case<'_>, rate: u32) -> anyhow::Result<Delays> {
        match self {
            Self::Ours(ours) => run::delays(*ours, case, rate),
            Self::Peer(peer, program) => peers::delays(*peer, program, case, rate),
        }
    }
}

pub(crate) fn run(arguments: &RoutingArgs) -> anyhow::Result<()> {
    let binaries = Binaries::find()?;
    let rate = (arguments.rate > 0).then_some(arguments.rate);
    ensure!(
        rate.is_none() || arguments.data.payload_bytes >= STAMPED_BYTES_MIN,
        "latency needs payloads of {STAMPED_BYTES_MIN} bytes or more; --rate 0 does not measure it"
    );
    let csv = arguments.csv.as_deref().map(create).transpose()?;
    line(&machine::describe());
    let peers = peers(arguments);
    let workloads = workloads(arguments)?;
    let mut rows: Vec<_> = cases(arguments, &peers, &workloads)
        .into_iter()
        .map(Row::new)
        .collect();
    for number in 1..=arguments.runs {
        for row in &mut rows {
            if let Some(runner) = Runner::of(row.case.system, &binaries) {
                measure(&runner, row, rate, number)
                    .with_context(|| format!("run {number} of {}", row.case))?;
            }
        }
    }
    line("");
    table::print(&rows, rate);
    match csv {
        Some((file, path)) => table::write_csv(&rows, rate, &file)
            .and_then(|()| (&file).flush())
            .with_context(|| path.display().to_string()),
        None => Ok(()),
    }
}

/// One run as fast as it can, and one at a steady pace.
fn measure(
    runner: &Runner<'_>,
    row: &mut Row<'_>,
    rate: Option<u32>,
    number: u32,
) -> anyhow::Result<()> {
    let sample = runner.run(&row.case)?;
    let mut told = format!(
        "run {number}, {}: {:.0} publications/s, {} of {} deliveries",
        row.case,
        sample.publications_per_s(),
        sample.delivered,
        row.case.deliveries()
    );
    row.samples.push(sample);
    if let Some(rate) = rate {
        let delays = runner.delays(&row.case, rate)?;
        told += &format!("; p50 {:.3} ms, p99 {:.3} ms", delays.p50_ms, delays.p99_ms);
        row.delays.push(delays);
    }
    note(&told);
    Ok(())
}

/// Made before anything is measured: hours are not lost to a mistyped path.
fn create(path: &Path) -> anyhow::Result<(File, PathBuf)> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok((file, path.to_owned()))
}

/// The peers that are asked for; if none is named, those that are installed.
fn peers(arguments: &RoutingArgs) -> Vec<Peer> {
    let peers = match &arguments.peer[..] {
        [] if arguments.no_peers => Vec::new(),
        [] => {
            let is_installed = |peer: &Peer| peer.find().is_some();
            Peer::ALL.into_iter().filter(is_installed).collect()
        }
        named => named.to_vec(),
    };
    for peer in &peers {
        if let Some(version) = peer.version() {
            line(&format!("peer: {peer}: {version}"));
        }
    }
    peers
}

/// A workload, and what each of its subscriptions has to get in one pass.
type Expecting = (u64, Workload, std::collections::BTreeMap<u64, u64>);

fn workloads(arguments: &RoutingArgs) -> anyhow::Result<Vec<Expecting>> {
    let data = Data::find(&arguments.data);
    let workloads = arguments.subscriptions.iter().map(|subscriptions| {
        let workload = data.workload(*subscriptions)?;
        let expected = workload.expected()?;
        let total: u64 = expected.values().sum();
        line(&format!(
            "data: {}: {total} deliveries a pass, by a plain scan; payloads of {} bytes",
            workload.description, arguments.data.payload_bytes
        ));
        Ok((*subscriptions, workload, expected))
    });
    workloads.collect()
}

fn cases<'a>(arguments: &RoutingArgs, peers: &[Peer], workloads: &'a [Expecting]) -> Vec<Case<'a>> {
    let mut systems = Vec::new();
    for platform in &arguments.platform {
        systems.extend(arguments.mode.iter().map(|mode| System::SecureCloud {
            mode: *mode,
            platform: *platform,
        }));
    }
    systems.extend(peers.iter().map(|peer| System::Peer(*peer)));
    let mut cases = Vec::new();
    for (subscriptions, workload, expected) in workloads {
        for repeat in &arguments.repeat {
            cases.extend(systems.iter().map(|system| Case {
                system: *system,
                subscriptions: *subscriptions,
                workload,
                expected,
                repeat: *repeat,
                payload_bytes: arguments.data.payload_bytes,
            }));
        }
    }
    cases
}
