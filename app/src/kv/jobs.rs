//! Jobs: begun, watched, listed and cancelled.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Kv;
use super::cli::{JobCommand, WaitArgs, WorkArgs};
use super::document::{bytes, words};
use super::name::Prefix;
use super::progress::Progress;
use super::table::Table;

/// So often a job that is waited for is looked at, at first,
const LOOK_MIN: Duration = Duration::from_millis(100);
/// and at last.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// The bar of a job is over so many shares.
const SHARES: u64 = 1000;

pub(super) async fn scrub(kv: &Kv, sample: Option<f64>, work: WorkArgs) -> anyhow::Result<()> {
    let mut definition = json!({ "kind": "scrub" });
    if let Some(sample) = sample {
        definition["sample"] = sample.into();
    }
    begin(kv, definition, work).await
}

pub(super) async fn collect_garbage(kv: &Kv, strays: bool, wait: WaitArgs) -> anyhow::Result<()> {
    let mut definition = json!({ "kind": "gc" });
    if strays {
        definition["strays"] = true.into();
    }
    begin(kv, definition, WorkArgs { rate: None, wait }).await
}

pub(super) async fn migrate(
    kv: &Kv,
    target: &Prefix,
    policy: &str,
    one: bool,
    work: WorkArgs,
) -> anyhow::Result<()> {
    let mut definition = json!({
        "kind": "migrate",
        "datastore": target.datastore,
        "policy": policy,
    });
    let of = if one { "key" } else { "prefix" };
    definition[of] = target.prefix.clone().into();
    begin(kv, definition, work).await
}

/// Follows the job that has begun since a location is draining; or begins one of another rate.
pub(super) async fn follow_drain(kv: &Kv, location: &str, work: WorkArgs) -> anyhow::Result<()> {
    let definition = json!({ "kind": "drain", "location": location });
    let jobs = kv.remote.jobs(None).await?;
    let mut begun = jobs.into_iter().map(Value::from);
    let begun = begun.find(|job| job["definition"] == definition && job["state"] == "running");
    match begun {
        Some(job) if work.rate.is_none() => return told(kv, job, work).await,
        Some(job) => drop(kv.remote.cancel_job(id_of(&job)).await?),
        None => {}
    }
    begin(kv, definition, work).await
}

/// Begins a job, and waits for its end unless told otherwise.
pub(super) async fn begin(kv: &Kv, mut definition: Value, work: WorkArgs) -> anyhow::Result<()> {
    if let Some(rate) = work.rate {
        definition["bytes_per_second"] = rate.into();
    }
    let job = kv.remote.put_job(&definition).await?;
    told(kv, job, work).await
}

/// Waits for a job's end unless told otherwise.
async fn told(kv: &Kv, job: Value, work: WorkArgs) -> anyhow::Result<()> {
    if work.wait.detach {
        let id = id_of(&job);
        kv.result(
            || job.clone(),
            || format!("job {id} is running: securecloud kv job wait {id} waits for it"),
        );
        return Ok(());
    }
    wait(kv, job).await
}

pub(super) async fn run(kv: &Kv, command: JobCommand) -> anyhow::Result<()> {
    match command {
        JobCommand::Ls => list(kv).await,
        JobCommand::Show { id } => {
            let job = kv.remote.job(id).await?;
            kv.result(|| job.clone(), || in_words(&job));
            Ok(())
        }
        JobCommand::Wait { id } => wait(kv, kv.remote.job(id).await?).await,
        JobCommand::Cancel { id } => {
            let job = kv.remote.cancel_job(id).await?;
            if job["state"] != "cancelled" {
                kv.report.say(format!("job {id} had ended already"));
            }
            kv.result(|| job.clone(), || in_words(&job));
            Ok(())
        }
    }
}

/// Waits until a job has ended, and tells how.
///
/// # Errors
/// It was cancelled, or something went wrong with some of what it looked at.
async fn wait(kv: &Kv, mut job: Value) -> anyhow::Result<()> {
    let id = id_of(&job);
    let progress = Progress::of_shares(SHARES, !kv.is_silent);
    let mut look = LOOK_MIN;
    while job["state"] == "running" {
        let share = job["share"].as_f64().unwrap_or(0.0);
        progress.stands_at((share * SHARES as f64) as u64);
        sleep(look).await;
        look = LOOK_MAX.min(look * 3 / 2);
        job = kv.remote.job(id).await?;
    }
    drop(progress);
    kv.result(|| job.clone(), || in_words(&job));
    if job["state"] == "cancelled" {
        bail!("job {id} was cancelled: what it has done stays, the rest is left");
    }
    let failed = job["done"]["failed"].as_u64().unwrap_or(0);
    if failed > 0 {
        bail!(
            "{failed} of what it looked at could not be dealt with, the last since {}: mend that and begin the job again",
            words(job["done"].get("problem"))
        );
    }
    Ok(())
}

async fn list(kv: &Kv) -> anyhow::Result<()> {
    let jobs = kv.remote.jobs(None).await?;
    if kv.is_json {
        let jobs = jobs.into_iter();
        jobs.for_each(|it| crate::report::line(&Value::from(it).to_string()));
        return Ok(());
    }
    if jobs.is_empty() {
        kv.report
            .say("there are no jobs, nor were there in the last 30 days");
        return Ok(());
    }
    let mut reasons = Vec::new();
    let mut table = Table::new(&[
        ">id", "kind", "state", ">done", ">seen", ">changed", ">failed", ">read", ">written",
    ]);
    for job in jobs.into_iter().map(Value::from) {
        let done = &job["done"];
        table.row([
            words(job.get("id")),
            words(job.get("kind")),
            words(job.get("state")),
            share(&job),
            words(done.get("seen")),
            words(done.get("changed")),
            words(done.get("failed")),
            bytes(done.get("bytes_read")),
            bytes(done.get("bytes_written")),
        ]);
        let because = reason(&job);
        reasons.extend(because.map(|it| format!("job {}: {it}", words(job.get("id")))));
    }
    table.print();
    reasons.into_iter().for_each(|it| kv.report.say(it));
    Ok(())
}

fn in_words(job: &Value) -> String {
    let done = &job["done"];
    let mut text = format!(
        "job {} ({}) is {}: {} done, {} seen, {} changed, {} read, {} written",
        words(job.get("id")),
        words(job.get("kind")),
        words(job.get("state")),
        share(job),
        words(done.get("seen")),
        words(done.get("changed")),
        bytes(done.get("bytes_read")),
        bytes(done.get("bytes_written")),
    );
    for (name, what) in [
        ("damaged", "damaged"),
        ("unreached", "out of reach"),
        (
            "kept",
            "kept, since they may belong to what lies at locations that are not here (see `securecloud kv gc --help`)",
        ),
        ("failed", "failed"),
    ] {
        if done[name].as_u64().unwrap_or(0) > 0 {
            text.push_str(&format!(", {} {what}", words(done.get(name))));
        }
    }
    if let Some(reason) = reason(job) {
        text.push_str(&format!("; {reason}"));
    }
    text
}

/// What a job waits for, or what went wrong last.
fn reason(job: &Value) -> Option<String> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(what) = word(&job["waits_for"]) {
        return Some(format!("it waits for this: {what}"));
    }
    let problem = word(&job["done"]["problem"])?;
    Some(format!("some of it failed, the last because {problem}"))
}

fn share(job: &Value) -> String {
    let share = job["share"].as_f64().unwrap_or(0.0);
    format!("{:.0} %", share * 100.0)
}

fn id_of(job: &Value) -> u64 {
    job["id"].as_u64().unwrap_or(0)
}
