//! `matching`: content-based matchers beside each other, in one process and one thread.
//!
//! Invariant: no figure without a check. Each engine's answers are compared with a plain scan's in every cell, and the
//! scan's with the definition of the language; one difference ends the campaign with status 1.

mod cell;
mod churn;
mod engine;
mod engines;
mod language;
mod plot;
mod table;
mod workload;

use anyhow::Context;
use clap::ValueEnum;

use sc_matching::{Features, Kernel};

use crate::cli::{DataArgs, KernelName, MatchingArgs};
use crate::machine;
use crate::report::{line, note};
use crate::workload::Data;
use cell::Case;
pub(crate) use engine::EngineName;
use table::Row;
use workload::Workload;
pub(crate) use workload::WorkloadName;

pub(crate) fn run(arguments: &MatchingArgs) -> anyhow::Result<()> {
    let data = Data::find(&DataArgs {
        data: arguments.data.clone(),
        bundled: false,
        payload_bytes: 0,
    });
    let engines = all_unless_named(&arguments.engine);
    let kernel = kernel(arguments.kernel)?;
    line(&machine::describe());
    line(&format!("index and oblivious work by: {}", kernel.name()));
    let mut rows = Vec::new();
    // What cannot be written shall be known before hours are spent.
    write_csv(arguments, &rows)?;
    if let Some(folder) = &arguments.svg {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for name in all_unless_named(&arguments.workload) {
        let Some(workload) = Workload::named(name, &data)? else {
            note(&format!(
                "{}: the sample is not there; --data names the folder that has p10k and s1k",
                name.name()
            ));
            continue;
        };
        for subscriptions in sizes(&workload, &arguments.subscriptions) {
            let case = Case {
                name,
                workload: &workload,
                subscriptions,
                engines: &engines,
                runs: arguments.runs,
                kernel,
            };
            note(&format!("{}: {subscriptions} subscriptions", name.name()));
            let measured = case
                .measure()
                .with_context(|| format!("{} with {subscriptions} subscriptions", name.name()))?;
            rows.extend(measured);
            write_csv(arguments, &rows)?;
        }
    }
    anyhow::ensure!(!rows.is_empty(), "none of these workloads is there");
    table::print(&rows, arguments.runs);
    if let Some(folder) = &arguments.svg {
        plot::draw(&rows, folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// What index and oblivious work by: what was asked for, or the fastest that this processor has.
fn kernel(asked: Option<KernelName>) -> anyhow::Result<Kernel> {
    let Some(asked) = asked else {
        return Ok(Kernel::fastest(Features::ALL));
    };
    Kernel::named(&asked.to_string())
        .with_context(|| format!("this processor cannot run the kernel {asked}"))
}

fn all_unless_named<T: ValueEnum + Copy>(named: &[T]) -> Vec<T> {
    match named {
        [] => T::value_variants().to_vec(),
        named => named.to_vec(),
    }
}

/// The sizes that were asked for, or the only one that a list has.
fn sizes(workload: &Workload, asked: &[u32]) -> Vec<u32> {
    match workload.length() {
        Some(length) => vec![length],
        None => asked.to_vec(),
    }
}

fn write_csv(arguments: &MatchingArgs, rows: &[Row]) -> anyhow::Result<()> {
    let Some(path) = &arguments.csv else {
        return Ok(());
    };
    let file = std::fs::File::create(path);
    file.and_then(|file| table::write_csv(rows, file))
        .with_context(|| path.display().to_string())
}
