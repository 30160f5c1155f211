//! `storage`: a whole store on this machine, beside one bare location and a plain file, in one run.
//!
//! Invariant: every figure is of requests that were answered as they should be, and of bytes that were compared; everything that is counted as
//! written was durable when it was counted.

pub(crate) mod client;
pub(crate) mod system;
mod table;
pub(crate) mod target;

use std::fs::File;
use std::time::Duration;

use anyhow::Context;

use crate::cli::StorageArgs;
use crate::machine;
use crate::report::note;
use crate::role::Binaries;
use system::System;
use table::Row;
use target::{Bare, Plain, Target};

/// The policies that are measured.
const POLICIES: [&str; 3] = ["hot", "cold", "coded"];
/// Bytes that one cell writes at most, and reads.
const CELL_BYTES: u64 = 1 << 30;

pub(crate) fn run(arguments: &StorageArgs) -> anyhow::Result<()> {
    let binaries = Binaries::find()?;
    crate::report::line(&machine::describe());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let rows = runtime.block_on(measure(arguments, &binaries))?;
    table::print(&rows);
    Ok(())
}

async fn measure(arguments: &StorageArgs, binaries: &Binaries) -> anyhow::Result<Vec<Row>> {
    let folder = match &arguments.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
    .context("a folder to measure in")?;
    let mut rows = Vec::new();
    let save = |rows: &[Row]| -> anyhow::Result<()> {
        if let Some(path) = &arguments.csv {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            table::write_csv(rows, file)?;
        }
        Ok(())
    };
    save(&rows)?;
    let plain = Plain::new(&folder.path().join("plain"))?;
    let bare = Bare::new(&folder.path().join("bare"))?;
    let system = System::start(binaries, &folder.path().join("up"), arguments.threads)?;
    for policy in POLICIES {
        system.datastore(policy).await?;
    }
    for &bytes in &arguments.bytes {
        for &clients in &arguments.clients {
            let mut targets: Vec<Box<dyn Target>> =
                vec![Box::new(plain.clone()), Box::new(bare.clone())];
            for policy in POLICIES {
                targets.push(Box::new(system.target(policy)));
            }
            for target in targets {
                note(&format!(
                    "{} {}: {bytes} bytes, {clients} clients",
                    target.name(),
                    target.policy()
                ));
                let cell = Cell {
                    bytes,
                    clients,
                    time: Duration::from_secs_f64(arguments.seconds),
                };
                rows.extend(cell.measure(target).await?);
                save(&rows)?;
            }
        }
    }
    system.end()?;
    Ok(rows)
}

/// One size and number of clients.
pub(crate) struct Cell {
    pub(crate) bytes: u64,
    pub(crate) clients: usize,
    pub(crate) time: Duration,
}

impl Cell {
    async fn measure(&self, target: Box<dyn Target>) -> anyhow::Result<Vec<Row>> {
        let target = std::sync::Arc::<dyn Target>::from(target);
        let put = client::load(client::Op::Put, &target, self, CELL_BYTES).await?;
        let keys = put.done;
        let get = client::load(client::Op::Get(keys), &target, self, CELL_BYTES).await?;
        Ok(vec![
            Row::of(&*target, "put", self.bytes, self.clients, put),
            Row::of(&*target, "get", self.bytes, self.clients, get),
        ])
    }
}
