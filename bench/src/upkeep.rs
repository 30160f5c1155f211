//! `upkeep`: how quickly a store scrubs and repairs, and what is left for its users while it does, in one run.
//!
//! Invariant: the rates with and without a repair are of the same store, by turns; a repair makes what a location has lost, every time anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::UpkeepArgs;
use crate::machine;
use crate::median::Sorted;
use crate::report::{line, note, table};
use crate::role::Binaries;
use crate::storage::Cell;
use crate::storage::client::{Op, load};
use crate::storage::system::System;
use crate::storage::target::Target;

/// The policies under which objects are, and are repaired.
const POLICIES: [&str; 2] = ["cold", "coded"];
/// Locations that are lost, one after the other,
const LOST: [&str; 3] = ["site-1", "site-3", "site-5"];
/// and those that are lost while clients go on.
const MEANWHILE: [&str; 3] = ["site-2", "site-4", "site-6"];

pub(crate) fn run(arguments: &UpkeepArgs) -> anyhow::Result<()> {
    let binaries = Binaries::find()?;
    line(&machine::describe());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(arguments, &binaries))
}

async fn measure(arguments: &UpkeepArgs, binaries: &Binaries) -> anyhow::Result<()> {
    let folder = match &arguments.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
    .context("a folder to measure in")?;
    let data = folder.path().join("up");
    let system = System::start(binaries, &data, arguments.threads)?;
    let mut lines = vec![
        ["what", "MB/s", "CPU s/GiB", "bytes read", "bytes written"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for policy in POLICIES {
        system.datastore(policy).await?;
        fill(&system, policy, arguments).await?;
        note(&format!("{policy}: scrubbing"));
        for _ in 0..arguments.runs {
            let definition = json!({ "kind": "scrub", "bytes_per_second": 0 });
            lines.push(timed(&system, &format!("scrub, {policy}"), &definition).await?);
        }
    }
    // Room for what was at a lost location.
    for number in 0..LOST.len() + MEANWHILE.len() {
        let path = folder.path().join(format!("spare-{number}"));
        let settings = json!({ "backend": { "kind": "fs", "path": path.display().to_string() } });
        let path = format!("/v1/locations/spare-{number}");
        system
            .ask("PUT", &path, &json!({ "settings": settings }))
            .await?;
    }
    for lost in LOST.iter().take(arguments.runs as usize) {
        note(&format!("{lost} is lost"));
        lines.push(repair(&system, lost, 0).await?);
    }
    table(&lines);
    line("");
    share(&system, arguments).await?;
    system.end()
}

async fn fill(system: &System, policy: &'static str, arguments: &UpkeepArgs) -> anyhow::Result<()> {
    let target: Arc<dyn Target> = Arc::new(system.target(policy));
    note(&format!("{policy}: {} objects", arguments.objects));
    let cell = Cell {
        bytes: arguments.bytes,
        clients: arguments.clients,
        time: Duration::from_secs(3600),
    };
    load(Op::Put, &target, &cell, arguments.objects * arguments.bytes).await?;
    Ok(())
}

/// Has a job done, as quickly as can be.
async fn timed(system: &System, what: &str, definition: &Value) -> anyhow::Result<Vec<String>> {
    let (before, began) = (system.processor_ns()?, Instant::now());
    let done = system.job(definition).await?;
    row(system, what, &done, began, before)
}

fn row(
    system: &System,
    what: &str,
    done: &Value,
    began: Instant,
    before: u64,
) -> anyhow::Result<Vec<String>> {
    let seconds = began.elapsed().as_secs_f64();
    let processor_s = (system.processor_ns()? - before) as f64 / 1e9;
    let count = |name: &str| done[name].as_u64().unwrap_or(0);
    let (read, written) = (count("bytes_read"), count("bytes_written"));
    let gib = read as f64 / f64::from(1 << 30);
    Ok(vec![
        what.to_owned(),
        format!("{:.0}", read as f64 / 1e6 / seconds),
        format!("{:.2}", processor_s / gib),
        read.to_string(),
        written.to_string(),
    ])
}

/// Gives a location up and has what lay there made again.
async fn repair(system: &System, lost: &str, rate: u64) -> anyhow::Result<Vec<String>> {
    let (before, began) = (system.processor_ns()?, Instant::now());
    give_up(system, lost).await?;
    let definition = json!({ "kind": "repair", "bytes_per_second": rate });
    let done = system.job(&definition).await?;
    row(system, &format!("repair of {lost}"), &done, began, before)
}

/// Marks a location as lost; the repair that begins by itself is left to another.
async fn give_up(system: &System, lost: &str) -> anyhow::Result<()> {
    let path = format!("/v1/locations/{lost}");
    system
        .ask("PUT", &path, &json!({ "state": "lost" }))
        .await?;
    let jobs = system.ask("GET", "/v1/jobs?limit=1", &Value::Null).await?;
    let id = jobs["jobs"][0]["id"]
        .as_u64()
        .context("a repair begins by itself")?;
    system
        .ask("DELETE", &format!("/v1/jobs/{id}"), &Value::Null)
        .await?;
    Ok(())
}

/// What clients get done without a repair, and beside one of the default rate.
async fn share(system: &System, arguments: &UpkeepArgs) -> anyhow::Result<()> {
    let target: Arc<dyn Target> = Arc::new(system.target("cold"));
    let cell = Cell {
        bytes: arguments.bytes,
        clients: arguments.clients,
        time: Duration::from_secs_f64(arguments.seconds),
    };
    let objects = arguments.objects;
    let rates = async || -> anyhow::Result<[f64; 2]> {
        let put = load(Op::Put, &target, &cell, u64::MAX / 2).await?;
        let get = load(Op::Get(objects), &target, &cell, u64::MAX / 2).await?;
        Ok([put, get].map(|it| it.done as f64 / it.seconds))
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for lost in MEANWHILE.iter().take(arguments.runs as usize) {
        note(&format!(
            "clients alone, and while what {lost} held is made again"
        ));
        alone.push(rates().await?);
        give_up(system, lost).await?;
        let begun = system
            .ask("POST", "/v1/jobs", &json!({ "kind": "repair" }))
            .await?;
        beside.push(rates().await?);
        let path = format!("/v1/jobs/{}", begun["id"].as_u64().context("a job's id")?);
        let job = system.ask("GET", &path, &Value::Null).await?;
        if job["state"] != "running" {
            note("the repair was over before the clients were: take more objects");
        }
        // The same job again is the same one, to be waited for.
        system.job(&json!({ "kind": "repair" })).await?;
    }
    let mut lines = vec![
        ["clients", "alone, 1/s", "beside a repair, 1/s", "share"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (at, what) in ["put", "get"].into_iter().enumerate() {
        let median = |rates: &[[f64; 2]]| Sorted::new(rates.iter().map(|it| it[at])).median();
        let (alone, beside) = (median(&alone), median(&beside));
        lines.push(vec![
            what.to_owned(),
            format!("{alone:.0}"),
            format!("{beside:.0}"),
            format!("{:.2}", beside / alone),
        ]);
    }
    table(&lines);
    Ok(())
}
