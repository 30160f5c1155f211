//! Documents that people write (policies and locations) and that the store tells.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::remote::Document;
use crate::wrong_use;

/// More than any definition has, in bytes.
const DOCUMENT_MAX: u64 = 1 << 20;

/// Reads a JSON object: from `-`, from a file, or from the words themselves where they begin with a brace.
///
/// # Errors
/// Wrong use: it cannot be read, or is something else.
pub(super) fn read(words: &str) -> anyhow::Result<Document> {
    if words.trim_start().starts_with('{') {
        return parse(words, "the JSON that was given");
    }
    let failed = |error: std::io::Error| wrong_use(format!("{words}: {error}"));
    let mut text = String::new();
    if words == "-" {
        std::io::stdin()
            .take(DOCUMENT_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
        return parse(&text, "standard input");
    }
    std::fs::File::open(words)
        .map_err(failed)?
        .take(DOCUMENT_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    parse(&text, words)
}

fn parse(text: &str, name: &str) -> anyhow::Result<Document> {
    match serde_json::from_str(text) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(wrong_use(format!("{name}: expected a JSON object"))),
        Err(error) => Err(wrong_use(format!("{name}: {error}"))),
    }
}

/// Whether these words mean a document, and not a name: `-`, JSON, or a path that has a slash or ends in `.json`.
pub(super) fn is_document(words: &str) -> bool {
    let is_json = Path::new(words)
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("json"));
    words == "-" || words.contains(['/', '{']) || is_json
}

/// A member for people: without quotes, and empty where there is none.
pub(super) fn words(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => super::name::shown(text.as_bytes()),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(values)) => {
            let values = values.iter().map(|it| words(Some(it)));
            values.collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// A number of bytes for people.
pub(super) fn bytes(value: Option<&Value>) -> String {
    let bytes = value.and_then(Value::as_u64);
    bytes.map(super::quantity::shown_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_stands_in_the_words_or_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.json");
        std::fs::write(&file, r#"{"a": 2}"#).unwrap();

        assert_eq!(read(r#"{"a": 1}"#).unwrap()["a"], 1);
        assert_eq!(read(file.to_str().unwrap()).unwrap()["a"], 2);
        assert!(read("[1]").is_err());
        assert!(read("{").is_err());
    }

    #[test]
    fn a_name_is_no_document() {
        for words in ["-", "{}", "./hot", "hot.json"] {
            assert!(is_document(words), "{words}");
        }
        assert!(!is_document("hot"));
        assert!(!is_document("hot-2.1"));
    }

    #[test]
    fn values_are_told_in_words() {
        let value = serde_json::json!(["a", true, 1, null]);

        assert_eq!(words(Some(&value)), "a, yes, 1, ");
    }
}
