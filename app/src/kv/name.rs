//! What the command line calls things in a store: `NAME/KEY`, and `NAME` or `NAME/PREFIX`.
//!
//! Invariant: the datastore of either is not empty and holds no slash; an [`ObjectName`] has a key that a store takes.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Bytes of a key.
const KEY_BYTES_MAX: usize = 1024;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) datastore: String,
    pub(crate) key: String,
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Prefix { datastore, prefix } = text.parse()?;
        Self::new(datastore, prefix)
    }
}

impl ObjectName {
    /// An object, if a store takes the key.
    pub(crate) fn new(datastore: String, key: String) -> Result<Self, String> {
        if key.is_empty() {
            return Err(format!(
                "an object is named NAME/KEY, e.g. {datastore}/notes.txt"
            ));
        }
        check_key(&key)?;
        Ok(Self { datastore, key })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.datastore, shown(self.key.as_bytes()))
    }
}

/// A datastore, or what of it begins with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) datastore: String,
    /// Empty: everything.
    pub(crate) prefix: String,
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (datastore, prefix) = text.split_once('/').unwrap_or((text, ""));
        if datastore.is_empty() {
            return Err("it begins with the name of a datastore: NAME or NAME/KEY".to_owned());
        }
        check_key(prefix)?;
        Ok(Self {
            datastore: datastore.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl Prefix {
    /// The same as a folder: `logs` and `logs/` are both `logs/`.
    pub(crate) fn as_folder(&self) -> Self {
        let mut folder = self.clone();
        if !folder.prefix.is_empty() && !folder.prefix.ends_with('/') {
            folder.prefix.push('/');
        }
        folder
    }

    /// The object whose key goes on with `rest`.
    pub(crate) fn object(&self, rest: &str) -> Result<ObjectName, String> {
        ObjectName::new(self.datastore.clone(), format!("{}{rest}", self.prefix))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.datastore, shown(self.prefix.as_bytes()))
    }
}

fn check_key(key: &str) -> Result<(), String> {
    if key.len() > KEY_BYTES_MAX {
        return Err(format!(
            "a key of {} bytes: it has at most {KEY_BYTES_MAX}",
            key.len()
        ));
    }
    Ok(())
}

/// A key or name as a terminal may show it: what is no UTF-8, what steers a terminal and what turns the direction of text is escaped, and
/// so is the backslash, so that no two keys look the same.
pub(crate) fn shown(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for chunk in key.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                letter if letter.is_control() || turns_text(letter) => {
                    text.extend(letter.escape_default());
                }
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            // A string takes whatever is written to it.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn turns_text(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_ends_the_datastore() {
        let name: ObjectName = "logs/a//b/../c ä".parse().unwrap();

        assert_eq!(name.datastore, "logs");
        assert_eq!(name.key, "a//b/../c ä");
    }

    #[test]
    fn an_object_needs_a_datastore_and_a_key() {
        for text in ["", "logs", "logs/", "/key"] {
            assert!(text.parse::<ObjectName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_has_at_most_1024_bytes() {
        let longest = format!("logs/{}", "ä".repeat(512));

        assert!(longest.parse::<ObjectName>().is_ok());
        assert!(format!("{longest}a").parse::<ObjectName>().is_err());
    }

    #[test]
    fn a_prefix_may_be_absent() {
        let all: Prefix = "logs".parse().unwrap();
        let some: Prefix = "logs/2026".parse().unwrap();

        assert_eq!(all.as_folder().prefix, "");
        assert_eq!(some.as_folder().prefix, "2026/");
        assert_eq!(some.as_folder().as_folder().prefix, "2026/");
        assert_eq!(some.to_string(), "logs/2026");
    }

    #[test]
    fn what_a_terminal_should_not_be_told_is_escaped() {
        assert_eq!(shown("a/ä b".as_bytes()), "a/ä b");
        assert_eq!(shown(b"a\x1b[2J\n"), r"a\u{1b}[2J\n");
        assert_eq!(shown(b"\xff\\"), r"\xff\\");
        assert_eq!(shown("\u{202e}".as_bytes()), r"\u{202e}");
    }
}
