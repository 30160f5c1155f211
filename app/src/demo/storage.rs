//! `demo storage`: real data under each policy; locations are lost, what they held is made again, objects move while they are read, the
//! catalogue is deleted and made again; and every byte is read back after each.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use sc_client::kv::{DatastoreOptions, KvClient, PutOptions, RANGE_WHOLE};
use sc_transport::Role;
use serde_json::{Value, json};

use crate::quotes;
use crate::report::{Report, line};
use crate::storage::{OwnerFolder, Running, UpSettings, connect, start};

const POLICIES: [&str; 3] = ["hot", "cold", "coded"];
const LOCATIONS: u8 = 10;
/// The locations whose folders are deleted.
const LOST: [&str; 2] = ["site-2", "site-5"];
/// Those that are given up for a comparison: of Reed-Solomon, and of network coding.
const GIVEN_UP: [&str; 2] = ["site-1", "site-3"];
const DATASTORE: &str = "demonstration";
/// So long a job of this much data may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is told of one policy.
struct Row {
    policy: &'static str,
    objects: usize,
    bytes: u64,
    stored_bytes: u64,
    put: Duration,
    get: Duration,
}

/// What is told of one job.
struct Work {
    what: String,
    changed: u64,
    read: u64,
    written: u64,
    time: Duration,
}

/// A name and its content.
type Sample = (String, Bytes);

/// Tells what happens, unless a program reads.
#[derive(Clone, Copy)]
struct Narrator {
    is_silent: bool,
}

impl Narrator {
    fn say(self, text: &str) {
        if !self.is_silent {
            line(text);
        }
    }
}

pub(crate) async fn run(json: bool) -> anyhow::Result<()> {
    let narrator = Narrator { is_silent: json };
    narrator.say(sc_enclave::SIMULATION_LINE);
    let folder = tempfile::tempdir()?;
    let samples = samples()?;
    let total: usize = samples.iter().map(|(_, content)| content.len()).sum();
    narrator.say(&format!(
        "{} objects, {:.1} MiB: quotes of a stock exchange by company, and this program itself",
        samples.len(),
        mib(total as u64)
    ));
    narrator.say(
        "ten storage locations in three regions and with two providers, a store, a trusted coder, a gateway",
    );
    let mut rows = store_everything(folder.path(), &samples, narrator).await?;
    for name in LOST {
        narrator.say(&format!("losing {name}: its folder is deleted"));
        std::fs::remove_dir_all(folder.path().join("locations").join(name))?;
    }
    narrator.say("starting again");
    let running = begin(folder.path(), false).await?;
    let client = client(&running, folder.path()).await?;
    for row in &mut rows {
        let began = Instant::now();
        read_everything(&client, row.policy, &samples).await?;
        row.get = began.elapsed();
        narrator.say(&format!(
            "read back everything under {}: every byte is as it was",
            row.policy
        ));
    }
    let work = look_after(&client, &samples, narrator).await?;
    drop(client);
    running.stop().await?;

    let rebuild = lose_the_catalogue(folder.path(), &samples, narrator).await?;
    tell(&rows, &work, rebuild, json);
    Ok(())
}

async fn store_everything(
    folder: &Path,
    samples: &[Sample],
    narrator: Narrator,
) -> anyhow::Result<Vec<Row>> {
    let running = begin(folder, false).await?;
    let client = client(&running, folder).await?;
    let options = DatastoreOptions {
        policy: "cold".into(),
        ..DatastoreOptions::default()
    };
    client.create_datastore(DATASTORE, &options).await?;
    let mut rows = Vec::new();
    for policy in POLICIES {
        narrator.say(&format!("storing everything under {policy}"));
        rows.push(store(&client, policy, samples).await?);
    }
    drop(client);
    running.stop().await?;
    Ok(rows)
}

/// Repairs, moves while everything is read, and compares what repairs read.
async fn look_after(
    client: &KvClient,
    samples: &[Sample],
    narrator: Narrator,
) -> anyhow::Result<Vec<Work>> {
    let mut work = Vec::new();
    narrator.say("giving both up: what they held is made again at others");
    for name in LOST {
        work.push(give_up(client, name, format!("repair of {name}")).await?);
    }
    read_all(client, samples).await?;
    narrator.say("repaired; moving everything to cold (Reed-Solomon 4+2) while it is read");
    work.push(move_while_reading(client, "cold", samples).await?);
    narrator.say(&format!(
        "giving {} up, where everything is Reed-Solomon 4+2",
        GIVEN_UP[0]
    ));
    let of = |code: &str, name: &str| format!("repair of {name}, {code}");
    work.push(give_up(client, GIVEN_UP[0], of("rs 4+2", GIVEN_UP[0])).await?);
    narrator
        .say("moving everything to coded (network coding 4 of 6, two packets) while it is read");
    work.push(move_while_reading(client, "coded", samples).await?);
    narrator.say(&format!(
        "giving {} up, where everything is network coded: locations combine packets",
        GIVEN_UP[1]
    ));
    work.push(give_up(client, GIVEN_UP[1], of("rlnc 4 of 6", GIVEN_UP[1])).await?);
    let [rs, rlnc] = [&work[3], &work[5]].map(|it| it.read as f64 / it.written.max(1) as f64);
    narrator.say(&format!(
        "for each byte made again locations sent {rs:.2} bytes under rs and {rlnc:.2} under rlnc: {:.2} of it",
        rlnc / rs
    ));
    read_all(client, samples).await?;
    Ok(work)
}

/// Deletes the database, has it made again of what lies at the locations, and reads everything; how long that took.
async fn lose_the_catalogue(
    folder: &Path,
    samples: &[Sample],
    narrator: Narrator,
) -> anyhow::Result<Duration> {
    narrator.say("deleting the database of the store");
    for name in ["catalogue.db", "catalogue.db-wal", "catalogue.db-shm"] {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    narrator.say("starting again, with what lies at the locations and the owner's root");
    let began = Instant::now();
    let running = begin(folder, true).await?;
    let rebuild = began.elapsed();
    let client = client(&running, folder).await?;
    read_all(&client, samples).await?;
    narrator.say("the database is made again; every byte is as it was");
    drop(client);
    running.stop().await?;
    Ok(rebuild)
}

/// Marks a location as lost, and waits for what lay there to be made again.
async fn give_up(client: &KvClient, name: &str, what: String) -> anyhow::Result<Work> {
    client.put_location(name, "", "lost").await?;
    // It has begun by itself.
    let jobs: Vec<Value> = serde_json::from_str(&client.jobs(0, 1).await?)?;
    let job = jobs.first().context("a repair begins by itself")?;
    wait(client, &job.to_string(), what, async || Ok(())).await
}

/// Moves everything to a policy; meanwhile all of it is read, again and again.
async fn move_while_reading(
    client: &KvClient,
    policy: &str,
    samples: &[Sample],
) -> anyhow::Result<Work> {
    let definition = json!({ "kind": "migrate", "datastore": DATASTORE, "policy": policy });
    let job = client.put_job(DATASTORE, &definition.to_string()).await?;
    let what = format!("move to {policy}, while it is read");
    wait(client, &job, what, async || {
        read_everything(client, "hot", samples).await
    })
    .await
}

/// Waits for a job, and does something meanwhile, at least once.
async fn wait(
    client: &KvClient,
    job: &str,
    what: String,
    meanwhile: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<Work> {
    let began = Instant::now();
    let mut job: Value = serde_json::from_str(job)?;
    let id = job["id"].as_u64().context("a job has an id")?;
    loop {
        meanwhile().await?;
        job = serde_json::from_str(&client.job(id).await?)?;
        if job["state"] != "running" {
            break;
        }
        if began.elapsed() > PATIENCE {
            bail!("{what} takes too long: {job}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = &job["done"];
    ensure!(done["failed"] == 0, "{what}: {job}");
    let count = |name: &str| done[name].as_u64().unwrap_or(0);
    Ok(Work {
        what,
        changed: count("changed"),
        read: count("bytes_read"),
        written: count("bytes_written"),
        time: began.elapsed(),
    })
}

async fn read_all(client: &KvClient, samples: &[Sample]) -> anyhow::Result<()> {
    for policy in POLICIES {
        read_everything(client, policy, samples).await?;
    }
    Ok(())
}

/// Reads what was stored under a policy, and compares it.
async fn read_everything(
    client: &KvClient,
    policy: &str,
    samples: &[Sample],
) -> anyhow::Result<()> {
    for (name, content) in samples {
        let key = format!("{policy}/{name}");
        let reader = client
            .get(DATASTORE, key.as_bytes(), None, RANGE_WHOLE)
            .await
            .with_context(|| key.clone())?;
        let read = reader.read_all().await.with_context(|| key.clone())?;
        ensure!(read == *content, "{key} came back changed");
    }
    Ok(())
}

async fn begin(folder: &Path, rebuild: bool) -> anyhow::Result<Running> {
    let settings = UpSettings {
        rebuild,
        data: folder.to_owned(),
        rest: SocketAddr::from(([127, 0, 0, 1], 0)),
        router: None,
        processes: false,
        catalogue: None,
        tls: false,
        locations: LOCATIONS,
    };
    let quiet = Report::silent("demo");
    start(settings, &quiet).await
}

async fn client(running: &Running, folder: &Path) -> anyhow::Result<KvClient> {
    let owner = OwnerFolder(folder.join("owner"));
    let (secret, roots) = owner.open()?;
    let credentials = owner.edge(&secret, &roots)?;
    let store = running.store.as_ref().context("the store is a thread")?;
    let requester = connect(store, None, Role::Client).await?;
    Ok(KvClient::new(requester, credentials))
}

/// Real data: the bundled quotes, split by company, and this very binary, which is some megabytes.
fn samples() -> anyhow::Result<Vec<Sample>> {
    let mut by_company: std::collections::BTreeMap<&str, String> = Default::default();
    for quote in quotes::PUBLICATIONS.lines() {
        let company = quote
            .split_once("symbol ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .unwrap_or("other");
        let file = by_company.entry(company).or_default();
        file.push_str(quote);
        file.push('\n');
    }
    let mut samples: Vec<Sample> = by_company
        .into_iter()
        .map(|(company, text)| (format!("quotes/{company}"), text.into()))
        .collect();
    let mut program = std::fs::read(std::env::current_exe()?)?;
    program.truncate(24 << 20);
    samples.push(("program".into(), program.into()));
    Ok(samples)
}

async fn store(client: &KvClient, policy: &'static str, samples: &[Sample]) -> anyhow::Result<Row> {
    let mut row = Row {
        policy,
        objects: samples.len(),
        bytes: 0,
        stored_bytes: 0,
        put: Duration::ZERO,
        get: Duration::ZERO,
    };
    let options = PutOptions {
        policy: policy.into(),
        ..PutOptions::default()
    };
    let began = Instant::now();
    for (name, content) in samples {
        let key = format!("{policy}/{name}");
        client
            .put_bytes(DATASTORE, key.as_bytes(), &options, content.clone())
            .await
            .with_context(|| key.clone())?;
        row.bytes += content.len() as u64;
    }
    row.put = began.elapsed();
    for (name, _) in samples {
        let key = format!("{policy}/{name}");
        let (_, document) = client.stat(DATASTORE, key.as_bytes(), None).await?;
        row.stored_bytes += stored_bytes(&serde_json::from_str(&document)?);
    }
    Ok(row)
}

/// What the fragments of one object take at all locations.
fn stored_bytes(stat: &Value) -> u64 {
    let segments = stat["segments"].as_array().into_iter().flatten();
    segments
        .map(|segment| {
            let fragments = segment["fragments"].as_array().map_or(0, Vec::len) as u64;
            segment["fragment_bytes"].as_u64().unwrap_or(0) * fragments
        })
        .sum()
}

fn tell(rows: &[Row], work: &[Work], rebuild: Duration, json: bool) {
    if json {
        line(&document(rows, work, rebuild).to_string());
        return;
    }
    line("");
    line(
        "policy   objects       data     stored   space   three copies   put s   get s   two locations lost",
    );
    for row in rows {
        line(&format!(
            "{:<8} {:>7} {:>6.1} MiB {:>6.1} MiB   {:>5.2}           3.00 {:>7.2} {:>7.2}   everything intact",
            row.policy,
            row.objects,
            mib(row.bytes),
            mib(row.stored_bytes),
            row.stored_bytes as f64 / row.bytes as f64,
            row.put.as_secs_f64(),
            row.get.as_secs_f64(),
        ));
    }
    line("");
    line(
        "work                              made or moved   locations sent   locations took       s",
    );
    for it in work {
        line(&format!(
            "{:<33} {:>13} {:>12.1} MiB {:>12.1} MiB {:>7.2}",
            it.what,
            it.changed,
            mib(it.read),
            mib(it.written),
            it.time.as_secs_f64(),
        ));
    }
    line(&format!(
        "{:<33} {:>13} {:>16} {:>16} {:>7.2}",
        "database made again, all intact",
        "",
        "",
        "",
        rebuild.as_secs_f64(),
    ));
}

fn document(rows: &[Row], work: &[Work], rebuild: Duration) -> Value {
    let policies: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "policy": row.policy,
                "objects": row.objects,
                "bytes": row.bytes,
                "stored_bytes": row.stored_bytes,
                "put_s": row.put.as_secs_f64(),
                "get_with_two_lost_s": row.get.as_secs_f64(),
                "intact": true,
            })
        })
        .collect();
    let jobs: Vec<Value> = work
        .iter()
        .map(|it| {
            json!({
                "what": it.what,
                "changed": it.changed,
                "bytes_read": it.read,
                "bytes_written": it.written,
                "seconds": it.time.as_secs_f64(),
            })
        })
        .collect();
    json!({
        "lost": LOST,
        "policies": policies,
        "jobs": jobs,
        "rebuild_s": rebuild.as_secs_f64(),
    })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
