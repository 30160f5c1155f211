//! `location`: locations are listed, made known, and given another state.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Kv;
use super::cli::LocationCommand;
use super::document::{self, bytes, words};
use super::table::Table;
use crate::report::{line, note};

/// How long a location that has just been made known may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn run(kv: &Kv, command: LocationCommand) -> anyhow::Result<()> {
    match command {
        LocationCommand::Ls => list(kv).await?,
        LocationCommand::Add { name, settings } => {
            let settings = document::read(&settings)?;
            let put = kv.remote.put_location(&name, Some(&settings), None);
            put.await?;
            let answers = answers(kv, &name).await?;
            kv.result(
                || json!({ "name": name, "settings": settings, "answers": answers }),
                || {
                    format!(
                        "location {name} is known{}",
                        if answers { ", and answers" } else { "" }
                    )
                },
            );
            if !answers {
                note(&format!(
                    "WARNING: location {name} does not answer. Nothing is stored there until it does: is it running at this address, does it admit the store (its key is in DIR/store.pub), and is its key the one in these settings? `securecloud kv location ls` looks again; `location set {name} lost` gives it up"
                ));
            }
        }
        LocationCommand::Set { name, state } => {
            let state = state.word();
            kv.remote.put_location(&name, None, Some(state)).await?;
            kv.result(
                || json!({ "name": name, "state": state }),
                || format!("location {name} is {state}"),
            );
        }
    }
    Ok(())
}

/// Whether a location that has just been made known answers; the store's link to it may take a moment.
async fn answers(kv: &Kv, name: &str) -> anyhow::Result<bool> {
    let until = Instant::now() + ANSWER_PATIENCE;
    loop {
        let locations = kv.remote.locations().await?;
        let added = locations.iter().find(|it| words(it.get("name")) == name);
        let answers = added.and_then(|it| it.get("answers")?.as_bool());
        if answers == Some(true) || Instant::now() >= until {
            return Ok(answers == Some(true));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn list(kv: &Kv) -> anyhow::Result<()> {
    let locations = kv.remote.locations().await?;
    if kv.is_json {
        let locations = locations.into_iter();
        locations.for_each(|it| line(&Value::from(it).to_string()));
        return Ok(());
    }
    let mut table = Table::new(&[
        "name",
        "state",
        "answers",
        "region",
        "zone",
        "provider",
        "class",
        "kind",
        ">fragments",
        ">size",
        ">free",
    ]);
    for it in &locations {
        let setting = |name: &str| it.get("settings").and_then(|it| it.get(name));
        let kind = setting("backend").and_then(|it| it.get("kind"));
        table.row([
            words(it.get("name")),
            words(it.get("state")),
            words(it.get("answers")),
            words(setting("region")),
            words(setting("zone")),
            words(setting("provider")),
            words(setting("class")),
            words(kind),
            words(it.get("fragments")),
            bytes(it.get("bytes")),
            bytes(it.get("free_bytes")),
        ]);
    }
    table.print();
    for it in &locations {
        if let Some(why) = it.get("why").and_then(Value::as_str) {
            kv.report
                .say(format!("{} does not answer: {why}", words(it.get("name"))));
        }
    }
    Ok(())
}
