//! `steps`: what each step of a publication's way costs, in one thread.
//!
//! Invariant: the cores are the ones that the roles run; only sockets, pipes, journals and processes between them are
//! left out, and every pass delivers exactly what the plain scan expects.

mod path;
mod pieces;

use anyhow::Context;

use crate::cli::{Mode, StepsArgs};
use crate::machine;
use crate::median::Sorted;
use crate::report::{line, table};
use crate::workload::{Data, Workload};
use path::{Path, STEPS};
use pieces::Opened;

/// Nanoseconds per publication, one value for each batch or pass.
type Values = Vec<f64>;

pub(crate) fn run(arguments: &StepsArgs) -> anyhow::Result<()> {
    let workload = Data::find(&arguments.data).workload(arguments.subscriptions)?;
    line(&machine::describe());
    line(&format!(
        "data: {}; payloads of {} bytes; {} passes in batches of {}",
        workload.description, arguments.data.payload_bytes, arguments.passes, arguments.batch
    ));
    let passes = arguments.passes;
    let expected = workload.expected()?.values().sum();
    let opened = Opened::new(&workload, arguments.batch as usize, expected)?;
    let mut rows = vec![
        row(
            "-",
            "source: parse the ASCII line",
            &pieces::parse(&workload.publications_text, passes)?,
        ),
        row("-", "in the engine: decode", &opened.decode(passes)?),
        row(
            "-",
            "in the engine: decode and match",
            &opened.decode_and_match(passes)?,
        ),
    ];
    for mode in &arguments.mode {
        let values = walk(arguments, &workload, expected, *mode)
            .with_context(|| format!("the {mode} way of a publication"))?;
        let mode = mode.to_string();
        let mut sums = vec![0.0; values[0].len()];
        for (name, values) in STEPS.iter().zip(&values) {
            rows.push(row(&mode, name, values));
            sums.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += value);
        }
        rows.push(row(&mode, "all steps but parsing", &sums));
    }
    let heads = ["mode", "step", "median ns/pub", "p99 ns/pub"].map(str::to_owned);
    rows.insert(0, heads.to_vec());
    line("");
    table(&rows);
    line("");
    line(
        "One thread, one batch after another; each value is of one batch, but that of parsing of one pass.",
    );
    line(
        "In mode plain nothing is sealed, hashed or verified. docs/BENCHMARKS.md says what this means.",
    );
    Ok(())
}

fn row(mode: &str, step: &str, values: &Values) -> Vec<String> {
    let sorted = Sorted::new(values.iter().copied());
    let figure = |value: f64| format!("{value:.0}");
    vec![
        mode.to_owned(),
        step.to_owned(),
        figure(sorted.median()),
        figure(sorted.p99()),
    ]
}

/// Sends all passes along the path, `expected` deliveries each; returns the values of each of its steps.
fn walk(
    arguments: &StepsArgs,
    workload: &Workload,
    expected: u64,
    mode: Mode,
) -> anyhow::Result<[Values; STEPS.len()]> {
    let payload = bytes::Bytes::from(vec![b'.'; arguments.data.payload_bytes]);
    let publications = workload.publications()?;
    let items: Vec<_> = publications
        .into_iter()
        .map(|publication| (publication, payload.clone()))
        .collect();
    let mut path = Path::open(mode, workload.subscriptions()?, arguments.batch as usize)?;
    let mut values: [Values; STEPS.len()] = Default::default();
    for _ in 0..arguments.passes {
        for batch in items.chunks(arguments.batch as usize) {
            let times = path.publish(batch)?;
            for (values, time) in values.iter_mut().zip(times) {
                values.push(time.as_nanos() as f64 / batch.len() as f64);
            }
        }
    }
    let expected = expected * u64::from(arguments.passes);
    anyhow::ensure!(
        path.deliveries() == expected,
        "{} deliveries instead of {expected}",
        path.deliveries()
    );
    Ok(values)
}
