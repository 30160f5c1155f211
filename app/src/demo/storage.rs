//! `demo storage`: real data under each policy, two locations lost, everything read back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use sc_client::kv::{DatastoreOptions, KvClient, PutOptions, RANGE_WHOLE};
use sc_transport::Role;
use serde_json::{Value, json};

use crate::quotes;
use crate::report::{Report, line};
use crate::storage::{OwnerFolder, Running, UpSettings, connect, start};

const POLICIES: [&str; 3] = ["hot", "cold", "coded"];
/// The locations that are lost.
const LOST: [&str; 2] = ["site-2", "site-5"];
const DATASTORE: &str = "demonstration";

/// What is told of one policy.
struct Row {
    policy: &'static str,
    objects: usize,
    bytes: u64,
    stored_bytes: u64,
    put: Duration,
    get: Duration,
}

/// A name and its content.
type Sample = (String, Bytes);

pub(crate) async fn run(json: bool) -> anyhow::Result<()> {
    let say = |text: &str| {
        if !json {
            line(text);
        }
    };
    say(sc_enclave::SIMULATION_LINE);
    let folder = tempfile::tempdir()?;
    let samples = samples()?;
    let total: usize = samples.iter().map(|(_, content)| content.len()).sum();
    say(&format!(
        "{} objects, {:.1} MiB: quotes of a stock exchange by company, and this program itself",
        samples.len(),
        mib(total as u64)
    ));
    say(
        "six storage locations in three regions and with two providers, a store, a trusted coder, a gateway",
    );
    let running = begin(folder.path()).await?;
    let client = client(&running, folder.path()).await?;
    let options = DatastoreOptions {
        policy: "cold".into(),
        ..DatastoreOptions::default()
    };
    client.create_datastore(DATASTORE, &options).await?;
    let mut rows = Vec::new();
    for policy in POLICIES {
        say(&format!("storing everything under {policy}"));
        rows.push(store(&client, policy, &samples).await?);
    }
    drop(client);
    running.stop().await?;

    for name in LOST {
        say(&format!("losing {name}: its folder is deleted"));
        std::fs::remove_dir_all(folder.path().join("locations").join(name))?;
    }
    say("starting again");
    let running = begin(folder.path()).await?;
    let client = self::client(&running, folder.path()).await?;
    for row in &mut rows {
        let began = Instant::now();
        for (name, content) in &samples {
            let key = format!("{}/{name}", row.policy);
            let reader = client
                .get(DATASTORE, key.as_bytes(), None, RANGE_WHOLE)
                .await
                .with_context(|| key.clone())?;
            let read = reader.read_all().await.with_context(|| key.clone())?;
            ensure!(read == *content, "{key} came back changed");
        }
        row.get = began.elapsed();
        say(&format!(
            "read back everything under {}: every byte is as it was",
            row.policy
        ));
    }
    drop(client);
    running.stop().await?;
    tell(&rows, json);
    Ok(())
}

async fn begin(folder: &Path) -> anyhow::Result<Running> {
    let settings = UpSettings {
        rebuild: false,
        data: folder.to_owned(),
        rest: SocketAddr::from(([127, 0, 0, 1], 0)),
        router: None,
        processes: false,
        catalogue: None,
        tls: false,
        locations: 6,
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

fn tell(rows: &[Row], json: bool) {
    if json {
        let each: Vec<Value> = rows
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
        line(&json!({ "lost": LOST, "policies": each }).to_string());
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
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
