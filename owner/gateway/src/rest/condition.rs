//! Conditional requests: entity tags and times, compared with what is current.
//!
//! Invariant: a write on condition is committed only while the version that was compared is still current.
//! Source: RFC 9110, section 13.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use sc_client::kv::{Condition, Head, KvClient};
use sc_proto::store::problem::Code;

use super::extract::header_text;
use super::object::{entity_tag, version_of};
use crate::problem::{Kind, Problem};

/// Entity tags of one header.
pub(super) const ENTITY_TAGS_MAX: usize = 64;

/// What a header names: anything that there is, or one of some entity tags.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    Of(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// Without its quotes.
    text: String,
}

impl Tags {
    fn parse(value: &str) -> Option<Self> {
        if value.trim() == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = value.trim_start_matches([' ', '\t', ',']);
        while !rest.is_empty() {
            let (is_weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let (text, behind) = quoted.strip_prefix('"')?.split_once('"')?;
            if tags.len() == ENTITY_TAGS_MAX {
                return None;
            }
            tags.push(Tag {
                is_weak,
                text: text.to_owned(),
            });
            rest = behind.trim_start_matches([' ', '\t', ',']);
        }
        (!tags.is_empty()).then_some(Self::Of(tags))
    }

    fn of(headers: &HeaderMap, name: &axum::http::HeaderName) -> Result<Option<Self>, Problem> {
        let Some(value) = header_text(headers, name)? else {
            return Ok(None);
        };
        Self::parse(value).map(Some).ok_or_else(|| {
            Problem::malformed(format!(
                "the header {name} is neither * nor a list of quoted entity tags"
            ))
        })
    }

    /// The comparison of If-Match, to which weak tags are never equal.
    fn hold_strongly(&self, current: Option<&Head>) -> bool {
        self.hold(current, false)
    }

    /// The comparison of If-None-Match.
    fn hold_weakly(&self, current: Option<&Head>) -> bool {
        self.hold(current, true)
    }

    fn hold(&self, current: Option<&Head>, takes_weak: bool) -> bool {
        let Some(current) = current else {
            return false;
        };
        match self {
            Self::Any => true,
            Self::Of(tags) => {
                let text = entity_tag(current);
                let mut tags = tags.iter();
                tags.any(|tag| tag.text == text && (takes_weak || !tag.is_weak))
            }
        }
    }
}

/// The conditions of a request that reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReadCondition {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
    modified_since: Option<SystemTime>,
    unmodified_since: Option<SystemTime>,
    /// What the range is of.
    range_of: Option<String>,
}

/// What becomes of a conditional read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done; with its range, or without.
    Read { with_range: bool },
    /// Whoever asks has it already.
    NotModified,
    /// It is not what whoever asks has in mind.
    Failed,
}

impl ReadCondition {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        // A date that does not parse is as good as none.
        let date = |name| {
            let value = header_text(headers, name)?;
            Ok::<_, Problem>(value.and_then(|value| httpdate::parse_http_date(value).ok()))
        };
        Ok(Self {
            matches: Tags::of(headers, &IF_MATCH)?,
            none_matches: Tags::of(headers, &IF_NONE_MATCH)?,
            modified_since: date(&IF_MODIFIED_SINCE)?,
            unmodified_since: date(&IF_UNMODIFIED_SINCE)?,
            range_of: header_text(headers, &IF_RANGE)?.map(str::to_owned),
        })
    }

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Compares with what there is.
    pub(super) fn judge(&self, head: &Head) -> Verdict {
        let modified = modified(head);
        match (&self.matches, self.unmodified_since) {
            (Some(tags), _) if !tags.hold_strongly(Some(head)) => return Verdict::Failed,
            (None, Some(since)) if modified > since => return Verdict::Failed,
            _ => {}
        }
        match (&self.none_matches, self.modified_since) {
            (Some(tags), _) if tags.hold_weakly(Some(head)) => return Verdict::NotModified,
            (None, Some(since)) if modified <= since => return Verdict::NotModified,
            _ => {}
        }
        let with_range = self
            .range_of
            .as_deref()
            .is_none_or(|value| match Tags::parse(value) {
                Some(tags) => tags.hold_strongly(Some(head)),
                None => httpdate::parse_http_date(value).is_ok_and(|date| date == modified),
            });
        Verdict::Read { with_range }
    }
}

/// When a version was made, in whole seconds, as headers say it.
pub(super) fn modified(head: &Head) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(head.created_ms / 1000)
}

/// The condition of a write or deletion, once what is current has been compared.
pub(super) async fn of_write(
    client: &KvClient,
    datastore: &str,
    key: &[u8],
    headers: &HeaderMap,
) -> Result<Condition, Problem> {
    let matches = Tags::of(headers, &IF_MATCH)?;
    let none_matches = Tags::of(headers, &IF_NONE_MATCH)?;
    match (&matches, &none_matches) {
        (None, None) => return Ok(Condition::None),
        (Some(Tags::Any), None) => return Ok(Condition::Exists),
        (None, Some(Tags::Any)) => return Ok(Condition::Absent),
        _ => {}
    }
    let current = match client.head(datastore, key, None).await {
        Ok(head) => Some(head),
        Err(error) if error.code() == Some(Code::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let current = current.as_ref();
    let holds = matches.is_none_or(|tags| tags.hold_strongly(current))
        && none_matches.is_none_or(|tags| !tags.hold_weakly(current));
    if !holds {
        return Err(failed());
    }
    match current {
        Some(head) => version_of(head).map(Condition::Version),
        None => Ok(Condition::Absent),
    }
}

/// The problem of a condition that does not hold.
pub(super) fn failed() -> Problem {
    Problem::new(
        Kind::CONDITION_FAILED,
        "the current version is not the one that the condition names",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn head() -> Head {
        Head {
            version: vec![0xab; 16].into(),
            created_ms: 1_700_000_000_999,
            ..Head::default()
        }
    }

    fn quoted() -> String {
        format!("\"{}\"", entity_tag(&head()))
    }

    fn verdict(pairs: &[(axum::http::HeaderName, &str)]) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        ReadCondition::read(&headers).unwrap().judge(&head())
    }

    const READ: Verdict = Verdict::Read { with_range: true };

    #[test]
    fn if_match_needs_the_same_strong_tag() {
        assert_eq!(verdict(&[(IF_MATCH, &quoted())]), READ);
        assert_eq!(verdict(&[(IF_MATCH, "*")]), READ);
        assert_eq!(
            verdict(&[(IF_MATCH, &format!("\"x\", {}", quoted()))]),
            READ
        );
        assert_eq!(verdict(&[(IF_MATCH, "\"x\"")]), Verdict::Failed);
        assert_eq!(
            verdict(&[(IF_MATCH, &format!("W/{}", quoted()))]),
            Verdict::Failed
        );
    }

    #[test]
    fn if_none_match_knows_what_is_held_already() {
        assert_eq!(verdict(&[(IF_NONE_MATCH, &quoted())]), Verdict::NotModified);
        assert_eq!(
            verdict(&[(IF_NONE_MATCH, &format!("W/{}", quoted()))]),
            Verdict::NotModified
        );
        assert_eq!(verdict(&[(IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(verdict(&[(IF_NONE_MATCH, "\"x\"")]), READ);
    }

    #[test]
    fn times_count_in_whole_seconds_and_only_without_tags() {
        let date = httpdate::fmt_http_date(modified(&head()));

        assert_eq!(verdict(&[(IF_MODIFIED_SINCE, &date)]), Verdict::NotModified);
        assert_eq!(verdict(&[(IF_UNMODIFIED_SINCE, &date)]), READ);
        assert_eq!(
            verdict(&[(IF_MODIFIED_SINCE, &date), (IF_NONE_MATCH, "\"x\"")]),
            READ
        );
    }

    #[test]
    fn a_range_of_another_version_is_not_taken() {
        assert_eq!(verdict(&[(IF_RANGE, &quoted())]), READ);
        assert_eq!(
            verdict(&[(IF_RANGE, "\"x\"")]),
            Verdict::Read { with_range: false }
        );
    }

    #[test]
    fn what_is_no_list_of_tags_is_none() {
        for value in ["", "x", "\"x", "W/x", "\"x\" y", "**"] {
            assert_eq!(Tags::parse(value), None, "{value}");
        }
    }

    #[test]
    fn a_list_beyond_the_bound_is_none() {
        assert!(Tags::parse(&"\"x\",".repeat(ENTITY_TAGS_MAX)).is_some());
        assert!(Tags::parse(&"\"x\",".repeat(ENTITY_TAGS_MAX + 1)).is_none());
    }

    proptest! {
        #[test]
        fn no_value_makes_the_parser_panic(value in ".{0,60}") {
            let _ = Tags::parse(&value);
        }
    }
}
