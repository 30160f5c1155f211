//! Keys, metadata and tags as REST has them: percent-encoded.
//!
//! Invariant: a path leads to the key that it was made of, whoever rewrites paths on the way: no component of it is empty or made of dots.
//! Source: docs/REST.md, "Keys" and "Headers of an object".

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::kv::quantity::Pair;

/// Everything that is not unreserved (RFC 3986).
const IN_COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same where slashes stand as they are.
const IN_KEY: &AsciiSet = &IN_COMPONENT.remove(b'/');
/// The same where a path may not be read as a path at all.
const IN_ODD_KEY: &AsciiSet = &IN_COMPONENT.add(b'.');
/// What a header's value cannot hold, with the sign of the encoding itself.
const IN_VALUE: &AsciiSet = &CONTROLS.add(b'%');
/// The same for a value that begins or ends with a space, which a header would lose.
const IN_SPACED_VALUE: &AsciiSet = &IN_VALUE.add(b' ');
/// What a header's name cannot hold, and capital letters, since headers do not tell them apart.
const IN_NAME: &AsciiSet = &{
    let mut set = IN_COMPONENT.add(b'A');
    let mut letter = b'B';
    while letter <= b'Z' {
        set = set.add(letter);
        letter += 1;
    }
    set
};

/// One component of a path, or a value of a query.
pub(super) fn component(text: &str) -> String {
    utf8_percent_encode(text, IN_COMPONENT).to_string()
}

/// A key as the end of a path.
pub(super) fn key(key: &str) -> String {
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    let set = match key.split('/').any(is_odd) {
        true => IN_ODD_KEY,
        false => IN_KEY,
    };
    utf8_percent_encode(key, set).to_string()
}

/// The name of metadata, as the rest of a header's name.
pub(super) fn meta_name(name: &str) -> String {
    utf8_percent_encode(name, IN_NAME).to_string()
}

/// The value of metadata, as a header's value.
pub(super) fn meta_value(value: &str) -> String {
    let is_spaced = value.starts_with(' ') || value.ends_with(' ');
    let set = if is_spaced { IN_SPACED_VALUE } else { IN_VALUE };
    utf8_percent_encode(value, set).to_string()
}

/// Tags, as the value of their header.
pub(super) fn tags(tags: &[Pair]) -> String {
    let members = tags
        .iter()
        .map(|tag| format!("{}={}", component(&tag.name), component(&tag.value)));
    members.collect::<Vec<_>>().join("&")
}

/// A query of those parameters that have a value.
pub(super) fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", component((*value)?))));
    let given: Vec<String> = given.collect();
    match given.is_empty() {
        true => String::new(),
        false => format!("?{}", given.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> String {
        percent_decode_str(text).decode_utf8().unwrap().into_owned()
    }

    #[test]
    fn plain_keys_stay_readable() {
        assert_eq!(key("2026/11/readings.csv"), "2026/11/readings.csv");
        assert_eq!(key("a b/ä?"), "a%20b/%C3%A4%3F");
    }

    #[test]
    fn no_key_is_a_path_that_somebody_rewrites() {
        for odd in ["..", "a/../b", "./a", "a//b", "/a", "a/"] {
            let encoded = key(odd);

            assert!(!encoded.contains(['/', '.']), "{encoded}");
            assert_eq!(decoded(&encoded), odd);
        }
    }

    #[test]
    fn a_query_holds_what_is_given() {
        assert_eq!(query(&[("a", None)]), "");
        assert_eq!(
            query(&[("a", Some("1&2")), ("b", None), ("c", Some(""))]),
            "?a=1%262&c="
        );
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded_again(text in ".{0,60}") {
            prop_assert_eq!(decoded(&key(&text)), text.clone());
            prop_assert_eq!(decoded(&component(&text)), text.clone());
            prop_assert_eq!(decoded(&meta_name(&text)), text.clone());
            prop_assert_eq!(decoded(&meta_value(&text)), text);
        }

        #[test]
        fn an_encoded_key_is_a_path(text in ".{1,60}") {
            let path = format!("/v1/datastores/a/objects/{}", key(&text));

            let uri: hyper::Uri = path.parse().unwrap();

            prop_assert_eq!(uri.path(), &path);
            prop_assert!(!path.contains("//"));
        }

        #[test]
        fn metadata_are_headers(name in ".{1,40}", value in ".{0,60}") {
            let name = format!("x-meta-{}", meta_name(&name));

            prop_assert!(hyper::header::HeaderName::try_from(name).is_ok());
            prop_assert!(hyper::header::HeaderValue::try_from(meta_value(&value)).is_ok());
        }
    }
}
