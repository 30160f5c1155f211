//! `location`: locations are listed, made known, and given another state.

use serde_json::{Value, json};

use super::cli::{LocationCommand, LocationState};
use super::document::{self, bytes, words};
use super::table::Table;
use super::{Kv, jobs};
use crate::report::line;

pub(super) async fn run(kv: &Kv, command: LocationCommand) -> anyhow::Result<()> {
    match command {
        LocationCommand::Ls => list(kv).await?,
        LocationCommand::Add { name, settings } => {
            let settings = document::read(&settings)?;
            let put = kv.remote.put_location(&name, Some(&settings), None);
            put.await?;
            kv.result(
                || json!({ "name": name, "settings": settings }),
                || format!("location {name} is known"),
            );
        }
        LocationCommand::Drain { name, work } => {
            let state = LocationState::Draining.word();
            kv.remote.put_location(&name, None, Some(state)).await?;
            let is_detached = work.wait.detach;
            jobs::follow_drain(kv, &name, work).await?;
            if !is_detached {
                kv.report.say(format!(
                    "its disk may go in a quarter of an hour, when nobody reads there any more: give it up then with `securecloud kv location set {name} lost`"
                ));
            }
        }
        LocationCommand::Set { name, state } => {
            let state = state.word();
            kv.remote.put_location(&name, None, Some(state)).await?;
            // One that was lost is not active at once.
            let locations = kv.remote.locations().await?;
            let found = locations.iter().find(|it| words(it.get("name")) == name);
            let state = found.map_or(state.to_owned(), |it| words(it.get("state")));
            kv.result(
                || json!({ "name": name, "state": state }),
                || match &state[..] {
                    "returning" => format!(
                        "location {name} is returning: what was deleted while it was lost is deleted there, too, and then it is active; see `securecloud kv job ls`"
                    ),
                    "lost" => format!(
                        "location {name} is lost: a repair makes again elsewhere what lay there, see `securecloud kv job ls`"
                    ),
                    "draining" => format!(
                        "location {name} is draining: a job moves what lies there elsewhere, see `securecloud kv job ls`"
                    ),
                    state => format!("location {name} is {state}"),
                },
            );
        }
    }
    Ok(())
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
