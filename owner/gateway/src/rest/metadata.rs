//! Content type, metadata of the user's own, and tags: as headers say them.
//!
//! Invariant: what was stored is told in the same words, whatever characters are in it: what a header cannot hold is percent-encoded.
//! Source: docs/REST.md, "Headers of an object".

use std::collections::BTreeMap;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};
use sc_client::kv::{Metadata, Pair};

use super::extract::header_text;
use crate::problem::{Kind, Problem};

/// What the name of a header begins with whose rest is a name of the user's own.
const META_PREFIX: &str = "x-meta-";
/// The header of tags.
pub(super) const TAGS: HeaderName = HeaderName::from_static("x-tags");
/// Bytes of names and values of the user's own, tags included.
pub(super) const METADATA_BYTES_MAX: usize = 16 << 10;
/// Names of the user's own, and tags, each.
pub(super) const PAIRS_MAX: usize = 64;

/// What a value cannot hold, with the sign of the encoding itself.
const IN_VALUE: &AsciiSet = &CONTROLS.add(b'%');
/// The same for a value that begins or ends with a space, which a header would lose.
const IN_SPACED_VALUE: &AsciiSet = &IN_VALUE.add(b' ');
/// What a tag may not show: everything that is not unreserved.
const IN_TAG: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// What the name of a header cannot hold, and capital letters, since headers do not tell them apart.
const IN_NAME: &AsciiSet = &{
    let mut set = IN_TAG.add(b'A');
    let mut letter = b'B';
    while letter <= b'Z' {
        set = set.add(letter);
        letter += 1;
    }
    set
};

/// Reads the headers of an object that is to be stored.
pub(super) fn read(headers: &HeaderMap) -> Result<Metadata, Problem> {
    let mut metadata = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(META_PREFIX) else {
            continue;
        };
        let value = core::str::from_utf8(value.as_bytes()).ok();
        let pair = decoded(name).zip(value.and_then(decoded));
        metadata.push(pair.ok_or_else(|| {
            Problem::malformed(format!(
                "the header {META_PREFIX}{name} is not percent-encoded UTF-8: write % as %25"
            ))
        })?);
    }
    let tags = match header_text(headers, &TAGS)? {
        Some(text) => read_tags(text)?,
        None => Vec::new(),
    };
    let content_type = header_text(headers, &CONTENT_TYPE)?.unwrap_or_default();
    let read = Metadata {
        content_type: content_type.to_owned(),
        metadata,
        tags,
        ..Metadata::default()
    };
    check(&read)?;
    Ok(read)
}

/// Whether the headers say anything of the user's own, and anything of tags.
pub(super) fn is_told(headers: &HeaderMap) -> (bool, bool) {
    let has_metadata = headers
        .keys()
        .any(|name| name.as_str().starts_with(META_PREFIX));
    (has_metadata, headers.contains_key(TAGS))
}

/// Checks metadata against what a gateway can tell in headers.
pub(super) fn check(metadata: &Metadata) -> Result<(), Problem> {
    let pairs = || metadata.metadata.iter().chain(&metadata.tags);
    let bytes: usize = pairs()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>()
        + metadata.content_type.len();
    if bytes > METADATA_BYTES_MAX {
        return Err(Problem::new(
            Kind::LIMIT,
            format!("metadata and tags of {bytes} bytes exceed the {METADATA_BYTES_MAX} allowed"),
        ));
    }
    if metadata.metadata.len() > PAIRS_MAX || metadata.tags.len() > PAIRS_MAX {
        return Err(Problem::new(
            Kind::LIMIT,
            format!("an object has at most {PAIRS_MAX} names of metadata, and as many tags"),
        ));
    }
    if pairs().any(|(name, _)| name.is_empty()) {
        return Err(Problem::malformed(
            "a name of metadata or of a tag is empty",
        ));
    }
    if has_twins(&metadata.metadata) || has_twins(&metadata.tags) {
        return Err(Problem::malformed(
            "a name of metadata or of a tag is given twice",
        ));
    }
    Ok(())
}

fn has_twins(pairs: &[(String, String)]) -> bool {
    let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// Writes the headers of an object that is read.
pub(super) fn write(object: &sc_proto::storage::ObjectSecret, headers: &mut HeaderMap) {
    let content_type = HeaderValue::from_str(&object.content_type).ok();
    let content_type = content_type.filter(|_| !object.content_type.is_empty());
    headers.insert(
        CONTENT_TYPE,
        content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    for pair in &object.metadata {
        let name = format!("{META_PREFIX}{}", utf8_percent_encode(&pair.name, IN_NAME));
        let is_spaced = pair.value.starts_with(' ') || pair.value.ends_with(' ');
        let set = if is_spaced { IN_SPACED_VALUE } else { IN_VALUE };
        let value = utf8_percent_encode(&pair.value, set).to_string();
        let header = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::try_from(value).ok());
        if let Some((name, value)) = header {
            headers.append(name, value);
        }
    }
    if let Ok(tags) = HeaderValue::try_from(write_tags(&object.tags))
        && !tags.is_empty()
    {
        headers.insert(TAGS, tags);
    }
}

/// Pairs as the members of a JSON object.
pub(super) fn to_map(pairs: &[Pair]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|pair| (pair.name.clone(), pair.value.clone()))
        .collect()
}

fn read_tags(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let members = text.split('&').filter(|member| !member.is_empty());
    members
        .map(|member| {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            form_decoded(name).zip(form_decoded(value))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            Problem::malformed("the header x-tags is not of the form name=value&name=value")
        })
}

fn write_tags(tags: &[Pair]) -> String {
    let members = tags.iter().map(|tag| {
        let name = utf8_percent_encode(&tag.name, IN_TAG);
        format!("{name}={}", utf8_percent_encode(&tag.value, IN_TAG))
    });
    members.collect::<Vec<_>>().join("&")
}

/// As in a query, where `+` is a space.
fn form_decoded(text: &str) -> Option<String> {
    decoded(&text.replace('+', " "))
}

/// Percent-decoded; none where a `%` begins no encoding, or what comes out is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(pairs: &[(String, String)]) -> Vec<Pair> {
        let pairs = pairs.iter().map(|(name, value)| Pair {
            name: name.clone(),
            value: value.clone(),
        });
        pairs.collect()
    }

    fn told(metadata: &[(String, String)], tags: &[(String, String)]) -> Metadata {
        let object = sc_proto::storage::ObjectSecret {
            content_type: "text/plain; charset=utf-8".into(),
            metadata: pairs(metadata),
            tags: pairs(tags),
            ..Default::default()
        };
        let mut headers = HeaderMap::new();
        write(&object, &mut headers);
        read(&headers).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_is_stored_is_told_and_read_again(name in ".{1,40}", value in ".{0,80}") {
            let pair = vec![(name, value)];

            let read = told(&pair, &pair);

            prop_assert_eq!(&read.metadata, &pair);
            prop_assert_eq!(&read.tags, &pair);
        }

        #[test]
        fn no_tags_make_the_parser_panic(text in ".{0,80}") {
            let _ = read_tags(&text);
        }
    }

    #[test]
    fn a_percent_sign_by_itself_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("x-meta-discount", HeaderValue::from_static("50%"));

        assert_eq!(read(&headers).unwrap_err().kind, Kind::MALFORMED);
    }

    #[test]
    fn raw_utf_8_is_taken() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes("Zürich".as_bytes()).unwrap();
        headers.insert("x-meta-city", value);

        let read = read(&headers).unwrap();

        assert_eq!(read.metadata, [("city".to_owned(), "Zürich".to_owned())]);
    }

    #[test]
    fn tags_are_read_as_a_query_is() {
        let read = read_tags("a=1&b=x+y&c=%26&d").unwrap();
        let expected = [("a", "1"), ("b", "x y"), ("c", "&"), ("d", "")];

        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn more_than_the_bound_is_refused() {
        let pair = |number: usize| (number.to_string(), String::new());
        let mut metadata = Metadata {
            metadata: (0..PAIRS_MAX).map(pair).collect(),
            ..Metadata::default()
        };
        assert!(check(&metadata).is_ok());

        metadata.metadata.push(pair(PAIRS_MAX));
        assert_eq!(check(&metadata).unwrap_err().kind, Kind::LIMIT);
        metadata.metadata = vec![("a".to_owned(), "b".repeat(METADATA_BYTES_MAX))];
        assert_eq!(check(&metadata).unwrap_err().kind, Kind::LIMIT);
    }
}
