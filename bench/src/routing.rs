//! `routing`: the end-to-end campaign.
//!
//! Invariant: no figure is printed of a run that did not deliver exactly what the plain scan expects.
//! Configurations are run in turn, not one after the other, so that a machine's moods reach all of them.

mod run;
mod table;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::cli::RoutingArgs;
use crate::machine;
use crate::report::{line, note};
use crate::role::Binaries;
use crate::workload::{Data, Workload};
use run::{Case, Sample};

/// One row of the table: a case and what was measured of it.
struct Row<'a> {
    case: Case<'a>,
    samples: Vec<Sample>,
}

pub(crate) fn run(arguments: &RoutingArgs) -> anyhow::Result<()> {
    let binaries = Binaries::find()?;
    let csv = arguments.csv.as_deref().map(create).transpose()?;
    line(&machine::describe());
    let workloads = workloads(arguments)?;
    let mut rows: Vec<_> = cases(arguments, &workloads)
        .into_iter()
        .map(|case| Row {
            case,
            samples: Vec::new(),
        })
        .collect();
    for number in 1..=arguments.runs {
        for Row { case, samples } in &mut rows {
            let sample =
                run::run(&binaries, case).with_context(|| format!("run {number} of {case}"))?;
            note(&format!(
                "run {number} of {}, {case}: {:.0} publications/s",
                arguments.runs,
                sample.publications_per_s()
            ));
            samples.push(sample);
        }
    }
    line("");
    table::print(&rows);
    match csv {
        Some((file, path)) => table::write_csv(&rows, &file)
            .and_then(|()| (&file).flush())
            .with_context(|| path.display().to_string()),
        None => Ok(()),
    }
}

/// Made before anything is measured: hours are not lost to a mistyped path.
fn create(path: &std::path::Path) -> anyhow::Result<(File, PathBuf)> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok((file, path.to_owned()))
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

fn cases<'a>(arguments: &RoutingArgs, workloads: &'a [Expecting]) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for (subscriptions, workload, expected) in workloads {
        for repeat in &arguments.repeat {
            for platform in &arguments.platform {
                cases.extend(arguments.mode.iter().map(|mode| Case {
                    mode: *mode,
                    platform: *platform,
                    subscriptions: *subscriptions,
                    workload,
                    expected,
                    repeat: *repeat,
                    payload_bytes: arguments.data.payload_bytes,
                }));
            }
        }
    }
    cases
}
