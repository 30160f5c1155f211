//! `demo`: D4.2's demonstrations.

pub(crate) mod process;
mod storage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use sc_client::OsEntropy;
use sc_crypto::OwnerSecret;
use sc_matching::ascii::{Line, Lines};
use sc_matching::{Publication, Subscription};
use serde_json::{Value, json};

use crate::cli::Demo;
use crate::keys::{beside, write_new};
use crate::platform::build_with_cargo;
use crate::quotes;
use crate::report::line;
use crate::wrong_use;
use process::Role;

/// How long any one step of the demonstration may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(demo: Demo) -> anyhow::Result<()> {
    match demo {
        Demo::Files { dir } => files(&dir),
        Demo::Routing { plain, json } => routing(plain, json).await,
        Demo::Storage { json } => storage::run(json).await,
    }
}

/// Writes what D4.2's three commands name: publications, subscriptions, a pair of keys.
fn files(dir: &Path) -> anyhow::Result<()> {
    write_files(dir)?;
    for text in [
        format!("in {}, each in a terminal of its own:", dir.display()),
        "  securecloud scbr -c localhost:5553 -c localhost:5551".to_owned(),
        "  securecloud consumer -i cbr-prefilter/subs/s10 -a *:5551 -k key.pub".to_owned(),
        "  securecloud source -i cbr-prefilter/pubs/plk -a *:5553 -k key.prv".to_owned(),
    ] {
        line(&text);
    }
    Ok(())
}

fn write_files(dir: &Path) -> anyhow::Result<()> {
    let input = dir.join("cbr-prefilter");
    for folder in ["pubs", "subs"] {
        let folder = input.join(folder);
        std::fs::create_dir_all(&folder)
            .map_err(|error| wrong_use(format!("{}: {error}", folder.display())))?;
    }
    write_new(
        &input.join("pubs/plk"),
        quotes::PUBLICATIONS.as_bytes(),
        0o644,
        true,
    )?;
    write_new(
        &input.join("subs/s10"),
        quotes::SUBSCRIPTIONS.as_bytes(),
        0o644,
        true,
    )?;
    if !dir.join("key.prv").exists() {
        let owner = OwnerSecret::generate(&mut OsEntropy);
        write_new(
            &dir.join("key.prv"),
            owner.to_pem().as_bytes(),
            0o600,
            false,
        )?;
        write_new(
            &dir.join("key.pub"),
            owner.public().to_pem().as_bytes(),
            0o644,
            true,
        )?;
    }
    Ok(())
}

/// What the three processes said.
struct Outcome {
    tee: String,
    source: Value,
    consumer: Value,
    router: Value,
    seconds: f64,
}

async fn routing(plain: bool, json: bool) -> anyhow::Result<()> {
    let tell = |text: &str| {
        if !json {
            line(text);
        }
    };
    build_with_cargo("sc-cbr")?;
    let folder = Folder::make()?;
    write_files(&folder.0)?;
    let subscriptions = subscriptions();
    let expected = expected(&subscriptions);
    tell(
        "Three processes are started on this machine: a router in a cloud that may not see the data, a publisher",
    );
    tell(
        "of 1,000 real daily quotes, and a consumer with 10 filters. Files and keys are made for this run alone.",
    );
    if plain {
        tell(
            "PLAIN: nothing is encrypted in this run, and the router reads everything. For measurement only.",
        );
    }
    tell("");
    let outcome = run_processes(&folder.0, plain, &tell).await?;
    let received = received(&outcome.consumer);
    let complete = received == expected;
    if json {
        line(&summary(&outcome, &expected, &received, complete).to_string());
    } else {
        print_table(&outcome, plain, &subscriptions, &expected, &received);
    }
    anyhow::ensure!(
        complete,
        "what was received is not what an offline match of the same files gives"
    );
    Ok(())
}

async fn run_processes(
    folder: &Path,
    plain: bool,
    tell: &impl Fn(&str),
) -> anyhow::Result<Outcome> {
    let flags: &[&str] = if plain { &["--plain"] } else { &[] };
    let mut router = Role::start(
        folder,
        "scbr",
        &[&["-a", "localhost:0", "--spill", "spill"], flags].concat(),
    )?;
    let address = endpoint(&router.event("endpoints", PATIENCE).await?)?;
    let ready = router.event("ready", PATIENCE).await?;
    let tee = ready["tee"].as_str().unwrap_or_default().to_owned();
    tell(&format!(
        "router    listens at {address}; its matching runs in a child process, sc-cbr"
    ));
    tell(&format!("          {tee}"));

    let arguments = [
        "-c",
        &address,
        "-i",
        "cbr-prefilter/subs/s10",
        "-k",
        "key.pub",
        "--quiet",
    ];
    let mut consumer = Role::start(folder, "consumer", &[&arguments, flags].concat())?;
    let identity = consumer.event("identity", PATIENCE).await?;
    tell(&format!(
        "consumer  asks under identity {}",
        identity["fingerprint"].as_str().unwrap_or_default()
    ));

    let arguments = [
        "-c",
        &address,
        "-i",
        "cbr-prefilter/pubs/plk",
        "-k",
        "key.prv",
        "--once",
    ];
    let mut source = Role::start(folder, "source", &[&arguments, flags].concat())?;
    let opened = source.event("opened", PATIENCE).await?;
    tell(&format!(
        "source    has appraised the trusted program and given it the domain's key: session {}",
        opened["session"]
    ));
    consumer.event("admitted", PATIENCE).await?;
    tell(if plain {
        "consumer  is admitted: its filters went to the source, and from it to the trusted program, for all to read"
    } else {
        "consumer  is admitted: its filters were sealed to the source, and by it to the trusted program"
    });
    let source_said = source.event("summary", PATIENCE).await?;
    source.end(PATIENCE).await?;
    tell(if plain {
        "source    has published; every batch has its receipt"
    } else {
        "source    has published; every batch has its sealed receipt"
    });

    // The receipts are in, so every notice is on its way; asking the router to end makes it deliver them first.
    router.interrupt()?;
    let router_said = router.event("summary", PATIENCE).await?;
    router.end(PATIENCE).await?;
    consumer.interrupt()?;
    let consumer_said = consumer.event("summary", PATIENCE).await?;
    consumer.end(PATIENCE).await?;
    let ns = |event: &Value, key: &str| event[key].as_u64().unwrap_or_default();
    let seconds =
        ns(&consumer_said, "last_ns").saturating_sub(ns(&source_said, "first_ns")) as f64 / 1e9;
    Ok(Outcome {
        tee,
        source: source_said,
        consumer: consumer_said,
        router: router_said,
        seconds,
    })
}

fn endpoint(event: &Value) -> anyhow::Result<String> {
    Ok(event["endpoints"][0]
        .as_str()
        .context("the router names no endpoint")?
        .to_owned())
}

fn subscriptions() -> Vec<(u64, Subscription)> {
    let line = |line: Line| match line {
        Line::Subscription { id, subscription } => Some((id, subscription)),
        Line::Publication(_) => None,
    };
    Lines::new(quotes::SUBSCRIPTIONS)
        .filter_map(Result::ok)
        .filter_map(|(_, parsed)| line(parsed))
        .collect()
}

fn publications() -> impl Iterator<Item = Publication> {
    Lines::new(quotes::PUBLICATIONS)
        .filter_map(Result::ok)
        .filter_map(|(_, parsed)| match parsed {
            Line::Publication(publication) => Some(publication),
            Line::Subscription { .. } => None,
        })
}

/// How many publications each subscription matches, by the definition of the language.
fn expected(subscriptions: &[(u64, Subscription)]) -> BTreeMap<u64, u64> {
    let mut expected = BTreeMap::new();
    for publication in publications() {
        for (id, subscription) in subscriptions {
            *expected.entry(*id).or_default() += u64::from(subscription.matches(&publication));
        }
    }
    expected
}

fn received(consumer: &Value) -> BTreeMap<u64, u64> {
    let counts = consumer["by_subscription"]
        .as_object()
        .into_iter()
        .flatten();
    counts
        .filter_map(|(id, count)| Some((id.parse().ok()?, count.as_u64()?)))
        .collect()
}

fn print_table(
    outcome: &Outcome,
    plain: bool,
    subscriptions: &[(u64, Subscription)],
    expected: &BTreeMap<u64, u64>,
    received: &BTreeMap<u64, u64>,
) {
    line("");
    line(&format!(
        "{:>8}  {:>8}  {:>8}  filter",
        "id", "expected", "received"
    ));
    for (id, subscription) in subscriptions {
        let count = |counts: &BTreeMap<u64, u64>| counts.get(id).copied().unwrap_or_default();
        let filter: Vec<_> = subscription
            .constraints()
            .iter()
            .map(ToString::to_string)
            .collect();
        line(&format!(
            "{id:>8}  {:>8}  {:>8}  {}",
            count(expected),
            count(received),
            filter.join(", ")
        ));
    }
    let total = |counts: &BTreeMap<u64, u64>| counts.values().sum::<u64>();
    line(&format!(
        "{:>8}  {:>8}  {:>8}",
        "all",
        total(expected),
        total(received)
    ));
    line("");
    let publications = &outcome.source["publications"];
    let rate = outcome.source["publications"].as_f64().unwrap_or_default() / outcome.seconds;
    line(&format!(
        "{publications} publications, {} of them wanted by a filter, in {:.1} ms: {rate:.0} a second from the first batch to the last",
        outcome.source["matched"],
        outcome.seconds * 1e3
    ));
    let forwarded = &outcome.router["payloads"];
    line(&if plain {
        format!("delivery. The router forwarded {forwarded} payloads and could read them all.")
    } else {
        format!("delivery. The router forwarded {forwarded} sealed payloads and could read none.")
    });
    line(
        "(A thousand publications are over before the machine is warm: docs/BENCHMARKS.md has measurements.)",
    );
    line(&outcome.tee);
}

fn summary(
    outcome: &Outcome,
    expected: &BTreeMap<u64, u64>,
    received: &BTreeMap<u64, u64>,
    complete: bool,
) -> Value {
    json!({
        "tee": outcome.tee, "seconds": outcome.seconds, "expected": expected, "received": received, "complete": complete,
        "source": outcome.source, "router": outcome.router,
    })
}

/// A folder for one run, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let path = beside(
            &std::env::temp_dir().join("securecloud-demo-"),
            &format!("{:016x}", u64::from_le_bytes(name)),
        );
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a few kilobytes in the folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
