//! `rebuild`: how long it takes to make a catalogue again of what lies in folders.
//!
//! Invariant: what is read afterwards was put before the catalogue was lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cli::RebuildArgs;
use crate::machine;
use crate::report::{line, note, table};
use crate::role::Binaries;
use crate::storage::Cell;
use crate::storage::client::{Op, load};
use crate::storage::system::System;
use crate::storage::target::Target;

/// So long the puts may take, and then a rebuild.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) fn run(arguments: &RebuildArgs) -> anyhow::Result<()> {
    let binaries = Binaries::find()?;
    line(&machine::describe());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(arguments, &binaries))
}

async fn measure(arguments: &RebuildArgs, binaries: &Binaries) -> anyhow::Result<()> {
    let folder = match &arguments.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
    .context("a folder to measure in")?;
    let data = folder.path().join("up");
    let system = System::start(binaries, &data, arguments.threads)?;
    system.datastore("cold").await?;
    note(&format!("{} objects", arguments.objects));
    let cell = Cell {
        bytes: arguments.bytes,
        clients: arguments.clients,
        time: PATIENCE,
    };
    let target: Arc<dyn Target> = Arc::new(system.target("cold"));
    let bytes = arguments.objects * arguments.bytes;
    let put = load(Op::Put, &target, &cell, bytes).await?;
    system.end()?;
    let mut lines = vec![
        ["objects", "seconds until it serves", "CPU s"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for _ in 0..arguments.runs {
        for name in ["catalogue.db", "catalogue.db-wal", "catalogue.db-shm"] {
            let path = data.join(name);
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        }
        note("the catalogue is lost");
        let began = Instant::now();
        let system = System::rebuild(binaries, &data, arguments.threads, PATIENCE)?;
        let seconds = began.elapsed().as_secs_f64();
        let processor_s = system.processor_ns()? as f64 / 1e9;
        let target: Arc<dyn Target> = Arc::new(system.target("cold"));
        let cell = Cell {
            time: Duration::from_secs(2),
            ..cell
        };
        load(Op::Get(put.done), &target, &cell, u64::MAX / 2).await?;
        system.end()?;
        lines.push(vec![
            put.done.to_string(),
            format!("{seconds:.1}"),
            format!("{processor_s:.1}"),
        ]);
    }
    table(&lines);
    Ok(())
}
