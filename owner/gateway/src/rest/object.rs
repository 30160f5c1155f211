//! An object as REST names and describes it: key, version, entity tag, and its description in JSON and in headers.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{ACCEPT_RANGES, ETAG, LAST_MODIFIED};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use sc_client::kv::Head;
use sc_proto::storage::ObjectSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::condition::modified;
use super::metadata;
use crate::problem::{Kind, Problem};
use crate::tokens::{from_hex, hex};

/// Bytes of an object's key.
pub(super) const KEY_BYTES_MAX: usize = 1024;
/// The header of an object's version.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-version");
/// The header of the policy that an object is or is to be stored under.
pub(super) const STORAGE_POLICY: HeaderName = HeaderName::from_static("x-storage-policy");

/// An object, or one version of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObjectHead {
    /// Its key.
    #[schema(example = "2026/11/readings.csv")]
    key: String,
    /// The key's bytes in base64url, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64url: Option<String>,
    /// Its version: 32 hexadecimal digits.
    #[schema(example = "0123456789abcdef0123456789abcdef")]
    version: String,
    /// The place of this version among those of its datastore; later ones have greater numbers.
    number: u64,
    /// Whether this is a delete marker: from here on there is no object.
    is_delete_marker: bool,
    /// Bytes of content.
    bytes: u64,
    /// When it was stored, by the store's clock.
    #[schema(format = DateTime, example = "2026-11-29T20:15:00.000Z")]
    created: String,
    /// Its entity tag, without the quotes that headers put around it.
    etag: String,
    /// The media type of its content; may be empty.
    content_type: String,
    /// The policy that it is stored under.
    policy: String,
    /// Metadata of the user's own.
    metadata: BTreeMap<String, String>,
    /// Tags.
    tags: BTreeMap<String, String>,
}

impl From<&Head> for ObjectHead {
    fn from(head: &Head) -> Self {
        let (key, key_base64url) = key_text(&head.key);
        let object = secret(head);
        Self {
            key,
            key_base64url,
            version: hex(&head.version),
            number: head.number,
            is_delete_marker: head.marker,
            bytes: head.bytes,
            created: time_text(head.created_ms),
            etag: entity_tag(head),
            content_type: object.content_type.clone(),
            policy: head.policy.clone(),
            metadata: metadata::to_map(&object.metadata),
            tags: metadata::to_map(&object.tags),
        }
    }
}

/// A key in JSON, and its bytes in base64url where it is not UTF-8.
pub(super) fn key_text(key: &[u8]) -> (String, Option<String>) {
    match core::str::from_utf8(key) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (
            String::from_utf8_lossy(key).into_owned(),
            Some(Base64UrlUnpadded::encode_string(key)),
        ),
    }
}

/// A time as JSON says it.
pub(super) fn time_text(ms: u64) -> String {
    // The formatter knows years of four digits alone.
    let ms = ms.min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// The entity tag of a version, without quotes.
pub(super) fn entity_tag(head: &Head) -> String {
    let given = &secret(head).etag;
    let is_usable = !given.is_empty()
        && given
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if is_usable {
        given.clone()
    } else {
        hex(&head.version)
    }
}

/// The version of a head.
pub(super) fn version_of(head: &Head) -> Result<[u8; 16], Problem> {
    head.version[..]
        .try_into()
        .map_err(|_| Problem::new(Kind::STORE_MALFORMED, "a version of another length"))
}

/// What a head says that is sealed.
pub(super) fn secret(head: &Head) -> &ObjectSecret {
    static NONE: std::sync::LazyLock<ObjectSecret> = std::sync::LazyLock::new(Default::default);
    head.object.as_ref().unwrap_or(&NONE)
}

/// Writes the headers that name a version: entity tag, version, time.
pub(super) fn write_validators(head: &Head, headers: &mut HeaderMap) {
    let values = [
        (ETAG, format!("\"{}\"", entity_tag(head))),
        (VERSION, hex(&head.version)),
        (LAST_MODIFIED, httpdate::fmt_http_date(modified(head))),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Writes all headers that describe an object.
pub(super) fn write_headers(head: &Head, headers: &mut HeaderMap) {
    write_validators(head, headers);
    metadata::write(secret(head), headers);
    if let Ok(policy) = HeaderValue::from_str(&head.policy)
        && !policy.is_empty()
    {
        headers.insert(STORAGE_POLICY, policy);
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Checks a key that came in a path or a body.
pub(super) fn check_key(key: &str) -> Result<(), Problem> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::malformed(format!(
            "a key of {} bytes: it has 1 to {KEY_BYTES_MAX}",
            key.len()
        )));
    }
    Ok(())
}

/// Reads a version as a query names it.
pub(super) fn parse_version(text: Option<&str>) -> Result<Option<[u8; 16]>, Problem> {
    text.map(|text| {
        from_hex(text).ok_or_else(|| Problem::malformed("a version has 32 hexadecimal digits"))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_tag_of_its_own_the_version_is_the_entity_tag() {
        let mut head = Head {
            version: vec![0xab; 16].into(),
            ..Head::default()
        };
        assert_eq!(entity_tag(&head), "ab".repeat(16));

        for (given, expected) in [
            ("abc", "abc".to_owned()),
            ("a\"b", "ab".repeat(16)),
            ("a b", "ab".repeat(16)),
        ] {
            head.object = Some(ObjectSecret {
                etag: given.to_owned(),
                ..ObjectSecret::default()
            });
            assert_eq!(entity_tag(&head), expected);
        }
    }

    #[test]
    fn a_key_that_is_not_utf_8_is_told_in_base64url_too() {
        assert_eq!(key_text("ä".as_bytes()), ("ä".to_owned(), None));
        assert_eq!(
            key_text(&[0xff]),
            ("\u{fffd}".to_owned(), Some("_w".to_owned()))
        );
    }

    #[test]
    fn any_time_can_be_told() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time_text(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_version_is_32_digits() {
        assert!(parse_version(Some("abc")).is_err());
        assert!(parse_version(Some(&"g".repeat(32))).is_err());
        assert_eq!(parse_version(None).unwrap(), None);
        assert_eq!(
            parse_version(Some(&"0A".repeat(16))).unwrap(),
            Some([10; 16])
        );
    }
}
