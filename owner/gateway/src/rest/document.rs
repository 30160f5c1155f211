//! Documents of the store: JSON that is its word, handed on as it is.

use serde_json::{Map, Value};

use crate::problem::{Kind, Problem};

/// An entry of a document: an object with a name.
pub(super) type Entry = Map<String, Value>;

/// The document, if it is JSON.
pub(super) fn parse(document: &str) -> Result<Value, Problem> {
    serde_json::from_str(document).map_err(|_| malformed())
}

/// The entries of a document that is a list, or an object with the list as its member `name`.
pub(super) fn entries(document: &str, name: &str) -> Result<Vec<Entry>, Problem> {
    let list = match parse(document)? {
        Value::Object(mut object) => object.remove(name),
        list => Some(list),
    };
    let Some(Value::Array(list)) = list else {
        return Err(malformed());
    };
    list.into_iter()
        .map(|entry| match entry {
            Value::Object(entry) => Ok(entry),
            _ => Err(malformed()),
        })
        .collect()
}

/// The entry of this name.
pub(super) fn named(entries: Vec<Entry>, name: &str) -> Option<Entry> {
    entries.into_iter().find(|entry| name_of(entry) == name)
}

/// The name of an entry; empty where it has none.
pub(super) fn name_of(entry: &Entry) -> &str {
    entry
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn malformed() -> Problem {
    Problem::new(
        Kind::STORE_MALFORMED,
        "a document of the store is not of the form that this gateway knows",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_bare_or_under_their_name() {
        for document in [
            r#"[{"name":"a"},{"name":"b"}]"#,
            r#"{"policies":[{"name":"a"},{"name":"b"}]}"#,
        ] {
            let entries = entries(document, "policies").unwrap();

            assert_eq!(entries.len(), 2);
            assert!(named(entries, "b").is_some());
        }
    }

    #[test]
    fn what_is_no_list_is_the_stores_fault() {
        for document in ["", "{}", "1", "[1]", "{\"policies\":{}}"] {
            let problem = entries(document, "policies").unwrap_err();
            assert_eq!(problem.kind, Kind::STORE_MALFORMED, "{document}");
        }
    }
}
