//! `ls`: what there is, ascending by key.

use serde_json::json;

use super::Kv;
use super::cli::LsArgs;
use super::name::shown;
use super::remote::{Entry, Object, Objects, Query};
use crate::report::line;

/// Characters of a time, in seconds.
const TIME_WIDTH: usize = 20;

pub(super) async fn run(kv: &Kv, arguments: LsArgs) -> anyhow::Result<()> {
    let target = arguments.target;
    let is_flat = arguments.recursive || arguments.tag.is_some();
    let query = Query {
        datastore: target.datastore,
        prefix: target.prefix.clone(),
        delimiter: if is_flat { "" } else { "/" },
        versions: arguments.versions,
        tag: arguments.tag,
    };
    let mut objects = Objects::new(&kv.remote, query);
    while let Some(entry) = objects.next().await? {
        match entry {
            // A search by tag finds what has any prefix.
            Entry::Object(object) if !object.key_bytes().starts_with(target.prefix.as_bytes()) => {}
            Entry::Object(object) if kv.is_json => line(&json!(object).to_string()),
            Entry::Object(object) => line(&row(&object, arguments.versions)),
            Entry::Prefix(prefix) if kv.is_json => {
                let prefix = String::from_utf8_lossy(&prefix);
                line(&json!({ "prefix": prefix }).to_string());
            }
            Entry::Prefix(prefix) => {
                let space = if arguments.versions { 34 } else { 0 };
                let space = space + TIME_WIDTH;
                line(&format!("{:>14}  {:space$}  {}", "", "", shown(&prefix)));
            }
        }
    }
    Ok(())
}

fn row(object: &Object, has_version: bool) -> String {
    let created = time(&object.created);
    let version = match has_version {
        true => format!("{:32}  ", object.version),
        false => String::new(),
    };
    let bytes = match object.is_delete_marker {
        true => "deleted".to_owned(),
        false => object.bytes.to_string(),
    };
    let key = object.shown_key();
    format!("{bytes:>14}  {created:TIME_WIDTH$}  {version}{key}")
}

/// A time without the part of its second.
pub(super) fn time(created: &str) -> String {
    match created.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => created.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_size_time_and_key() {
        let object = Object {
            key: "a\nb".into(),
            version: "0".repeat(32),
            bytes: 1234,
            created: "2026-11-29T20:15:00.000Z".into(),
            ..Object::default()
        };

        assert_eq!(
            row(&object, false),
            r"          1234  2026-11-29T20:15:00Z  a\nb"
        );
        assert!(row(&object, true).contains(&object.version));
    }
}
