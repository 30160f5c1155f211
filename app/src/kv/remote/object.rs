//! An object as it is told, by a gateway in JSON and by the store itself in a head.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use sc_client::kv::{Head, Pair};
use serde::{Deserialize, Serialize};

use crate::kv::cli::{Version, parse_version};
use crate::kv::modified::{MODIFIED, Modified};
use crate::kv::name::shown;

/// The last millisecond of the year 9999, beyond which the formatter knows no year.
const CREATED_MS_MAX: u64 = 253_402_300_799_999;

/// An object, or one version of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// The key's bytes in base64url, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_base64url: Option<String>,
    /// 32 hexadecimal digits.
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) is_delete_marker: bool,
    pub(crate) bytes: u64,
    /// When it was stored, by the store's clock: RFC 3339.
    #[serde(default)]
    pub(crate) created: String,
    #[serde(default)]
    pub(crate) etag: String,
    #[serde(default)]
    pub(crate) content_type: String,
    #[serde(default)]
    pub(crate) policy: String,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

impl Object {
    /// The key, as the store has it.
    pub(crate) fn key_bytes(&self) -> Vec<u8> {
        let bytes = self.key_base64url.as_deref();
        let bytes = bytes.and_then(|it| Base64UrlUnpadded::decode_vec(it).ok());
        bytes.unwrap_or_else(|| self.key.clone().into_bytes())
    }

    /// The key for people.
    pub(crate) fn shown_key(&self) -> String {
        shown(&self.key_bytes())
    }

    /// The version's id, if it is one.
    pub(crate) fn version_id(&self) -> Option<Version> {
        parse_version(&self.version).ok()
    }

    /// When the file was modified that it was made of, if it says so.
    pub(crate) fn modified(&self) -> Option<Modified> {
        self.metadata.get(MODIFIED)?.parse().ok()
    }

    /// When it was stored, by the store's clock.
    pub(crate) fn created(&self) -> Option<Modified> {
        let time = humantime::parse_rfc3339(&self.created).ok()?;
        Some(time.into())
    }
}

impl From<&Head> for Object {
    fn from(head: &Head) -> Self {
        let (key, key_base64url) = match str::from_utf8(&head.key) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (
                String::from_utf8_lossy(&head.key).into_owned(),
                Some(Base64UrlUnpadded::encode_string(&head.key)),
            ),
        };
        let version = hexadecimal(&head.version);
        let object = head.object.clone().unwrap_or_default();
        let created = Duration::from_millis(head.created_ms.min(CREATED_MS_MAX));
        Self {
            key,
            key_base64url,
            number: head.number,
            is_delete_marker: head.marker,
            bytes: head.bytes,
            created: humantime::format_rfc3339_millis(UNIX_EPOCH + created).to_string(),
            etag: match object.etag.is_empty() {
                true => version.clone(),
                false => object.etag,
            },
            version,
            content_type: object.content_type,
            policy: head.policy.clone(),
            metadata: map(object.metadata),
            tags: map(object.tags),
        }
    }
}

fn map(pairs: Vec<Pair>) -> BTreeMap<String, String> {
    let pairs = pairs.into_iter();
    pairs.map(|pair| (pair.name, pair.value)).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_no_utf_8_keeps_its_bytes() {
        let head = Head {
            key: vec![0xff, b'a'].into(),
            version: vec![1; 16].into(),
            ..Head::default()
        };

        let object = Object::from(&head);
        let read: Object = serde_json::from_str(&serde_json::to_string(&object).unwrap()).unwrap();

        assert_eq!(read.key_bytes(), [0xff, b'a']);
        assert_eq!(read.shown_key(), r"\xffa");
        assert_eq!(read.version_id(), Some([1; 16]));
        assert_eq!(read, object);
    }

    #[test]
    fn times_are_read() {
        let head = Head {
            created_ms: 1500,
            ..Head::default()
        };
        let mut object = Object::from(&head);
        object.metadata.insert(MODIFIED.into(), "1.5".into());

        assert_eq!(object.created(), object.modified());
        assert!(object.created().is_some());
    }
}
