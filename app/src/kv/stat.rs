//! `stat`: an object, and a map of where its fragments lie: a row for each segment, a column for each location.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Kv;
use super::cli::StatArgs;
use super::ls::time;
use super::name::shown;
use super::quantity::shown_bytes;
use super::remote::{Document, Object, RemoteError};
use super::table::Table;
use crate::report::line;

/// A fragment is where it should be.
const STORED: &str = "stored";
/// A fragment is still to be made.
const OWED: &str = "owed";
/// A fragment is where nobody answers.
const SILENT: &str = "location not answering";

/// The store's word of where an object lies.
#[derive(Debug, Deserialize)]
struct Storage {
    #[serde(default)]
    policy_version: u64,
    #[serde(default)]
    segments: Vec<Segment>,
}

#[derive(Debug, Deserialize)]
struct Segment {
    bytes: u64,
    fragment_bytes: u64,
    fragments: Vec<Fragment>,
}

#[derive(Debug, Deserialize)]
struct Fragment {
    index: u64,
    location: String,
    state: String,
}

/// What one location holds of an object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Holding {
    fragments: u64,
    bytes: u64,
    /// Fragments in each state but the good one.
    amiss: BTreeMap<String, u64>,
}

pub(super) async fn run(kv: &Kv, arguments: &StatArgs) -> anyhow::Result<()> {
    let target = &arguments.target;
    let stat = kv
        .remote
        .stat(&target.datastore, &target.key, arguments.version);
    let (object, storage) = stat.await?;
    if kv.is_json {
        line(&json!({ "object": object, "storage": storage }).to_string());
        return Ok(());
    }
    let mut storage: Storage = serde_json::from_value(storage)
        .map_err(|_| RemoteError::Malformed("a map of another form"))?;
    // The map is what the catalogue says. Who may not look at locations is told that alone.
    if let Ok(locations) = kv.remote.locations().await {
        mark_silent(&mut storage, &locations);
    }
    line(&description(&object, &storage));
    if !storage.segments.is_empty() {
        line("");
        map(&storage).print();
        line("");
        totals(&storage).print();
        line("");
    }
    line(&verdict(&object, &storage));
    Ok(())
}

/// Fragments at locations that do not answer now are not within reach, whatever the catalogue says of them.
fn mark_silent(storage: &mut Storage, locations: &[Document]) {
    let is_silent = |name: &str| {
        locations.iter().any(|it| {
            it.get("name").and_then(Value::as_str) == Some(name)
                && it.get("answers").and_then(Value::as_bool) == Some(false)
        })
    };
    let segments = storage.segments.iter_mut();
    for fragment in segments.flat_map(|segment| &mut segment.fragments) {
        if fragment.state == STORED && is_silent(&fragment.location) {
            SILENT.clone_into(&mut fragment.state);
        }
    }
}

fn description(object: &Object, storage: &Storage) -> String {
    let segments = storage.segments.len();
    let mut lines = vec![
        format!("key       {}", object.shown_key()),
        format!("version   {}", object.version),
        format!("stored    {}", time(&object.created)),
        format!(
            "policy    {}, version {}",
            object.policy, storage.policy_version
        ),
        format!(
            "size      {} bytes ({}) in {segments} segments",
            object.bytes,
            shown_bytes(object.bytes)
        ),
    ];
    if !object.content_type.is_empty() {
        let kind = shown(object.content_type.as_bytes());
        lines.push(format!("type      {kind}"));
    }
    for (heading, pairs) in [("metadata", &object.metadata), ("tags", &object.tags)] {
        for (name, value) in pairs {
            let (name, value) = (shown(name.as_bytes()), shown(value.as_bytes()));
            lines.push(format!("{heading:9} {name}={value}"));
        }
    }
    lines.join("\n")
}

/// A row for each segment, and in the column of each location the numbers of the fragments that it holds.
fn map(storage: &Storage) -> Table {
    let holdings = holdings(storage);
    let fixed = ["segment", "bytes", "fragment bytes"].map(|it| format!(">{it}"));
    let locations = holdings.keys().map(|it| shown(it.as_bytes()));
    let headings: Vec<String> = fixed.into_iter().chain(locations).collect();
    let headings: Vec<&str> = headings.iter().map(|it| &**it).collect();
    let mut table = Table::new(&headings);
    for (place, segment) in storage.segments.iter().enumerate() {
        let numbers = [place as u64, segment.bytes, segment.fragment_bytes];
        let cells = holdings.keys().map(|location| cell(segment, location));
        table.row(numbers.map(|it| it.to_string()).into_iter().chain(cells));
    }
    table
}

fn cell(segment: &Segment, location: &str) -> String {
    let fragments = segment.fragments.iter();
    let fragments = fragments.filter(|it| it.location == location);
    let cells = fragments.map(|it| match &*it.state {
        STORED => it.index.to_string(),
        state => format!("{} {}", it.index, brief(state)),
    });
    let cells: Vec<String> = cells.collect();
    match cells.is_empty() {
        true => "-".to_owned(),
        false => cells.join(", "),
    }
}

/// A state in a word or two.
fn brief(state: &str) -> &str {
    state.strip_prefix("location ").unwrap_or(state)
}

fn holdings(storage: &Storage) -> BTreeMap<&str, Holding> {
    let mut holdings: BTreeMap<&str, Holding> = BTreeMap::new();
    for segment in &storage.segments {
        for fragment in &segment.fragments {
            let holding = holdings.entry(&fragment.location).or_default();
            if fragment.state != OWED {
                holding.fragments += 1;
                holding.bytes += segment.fragment_bytes;
            }
            if fragment.state != STORED {
                let amiss = holding.amiss.entry(brief(&fragment.state).to_owned());
                *amiss.or_default() += 1;
            }
        }
    }
    holdings
}

fn totals(storage: &Storage) -> Table {
    let mut table = Table::new(&["location", ">fragments", ">size", "amiss"]);
    for (location, holding) in holdings(storage) {
        let amiss = holding.amiss.iter();
        let amiss = amiss.map(|(state, count)| format!("{count} {state}"));
        table.row([
            shown(location.as_bytes()),
            holding.fragments.to_string(),
            shown_bytes(holding.bytes),
            amiss.collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

/// What it all takes up, and what is owed.
fn verdict(object: &Object, storage: &Storage) -> String {
    let holdings = holdings(storage);
    let stored: u64 = holdings.values().map(|it| it.bytes).sum();
    let factor = match object.bytes {
        0 => String::new(),
        content => format!(", {:.2} times the content", stored as f64 / content as f64),
    };
    let count = |is_meant: fn(&str) -> bool| -> u64 {
        let amiss = holdings.values().flat_map(|it| &it.amiss);
        let amiss = amiss.filter(|(state, _)| is_meant(state));
        amiss.map(|(_, count)| count).sum()
    };
    let owed = count(|state| state == OWED);
    let unreadable = count(|state| state != OWED);
    let debt = match owed {
        0 => "nothing is owed".to_owned(),
        1 => "1 fragment is owed".to_owned(),
        owed => format!("{owed} fragments are owed"),
    };
    let places = holdings.iter().filter_map(|(location, it)| {
        let states = it.amiss.keys().filter(|state| *state != OWED);
        let states: Vec<_> = states.map(String::as_str).collect();
        let name = shown(location.as_bytes());
        (!states.is_empty()).then(|| format!("{name} {}", states.join(", ")))
    });
    let places = places.collect::<Vec<_>>().join(", ");
    let out_of_reach = match unreadable {
        0 => String::new(),
        1 => format!("; 1 fragment is out of reach: {places}"),
        unreadable => format!("; {unreadable} fragments are out of reach: {places}"),
    };
    format!(
        "{} stored{factor}; {debt}{out_of_reach}",
        shown_bytes(stored)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage() -> Storage {
        let fragment = |index: u64, location: &str, state: &str| json!({"index": index, "location": location, "name": "n", "state": state});
        serde_json::from_value(json!({
            "policy": "cold",
            "policy_version": 2,
            "segments": [{
                "bytes": 100,
                "fragment_bytes": 60,
                "fragments": [
                    fragment(0, "north", "stored"),
                    fragment(1, "south", "location not answering"),
                    fragment(2, "west", "owed"),
                ],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_cell_shows_what_a_location_holds_and_what_is_amiss_with_it() {
        let storage = storage();
        let segment = &storage.segments[0];

        assert_eq!(cell(segment, "north"), "0");
        assert_eq!(cell(segment, "south"), "1 not answering");
        assert_eq!(cell(segment, "west"), "2 owed");
        assert_eq!(cell(segment, "east"), "-");
    }

    #[test]
    fn what_is_owed_takes_up_nothing_yet() {
        let object = Object {
            bytes: 100,
            ..Object::default()
        };

        let verdict = verdict(&object, &storage());

        assert_eq!(
            verdict,
            "120 B stored, 1.20 times the content; 1 fragment is owed; 1 fragment is out of reach: south not answering"
        );
    }

    #[test]
    fn what_lies_where_nobody_answers_now_is_out_of_reach() {
        let mut storage = storage();
        let location = |name: &str, answers: bool| {
            let location = json!({"name": name, "answers": answers});
            location.as_object().cloned().unwrap()
        };

        mark_silent(
            &mut storage,
            &[location("north", false), location("west", false)],
        );

        let states: Vec<_> = storage.segments[0]
            .fragments
            .iter()
            .map(|it| &*it.state)
            .collect();
        assert_eq!(states, [SILENT, SILENT, OWED]);
    }
}
