//! What clients tried and what they were told: the record that a run is judged by.
//!
//! Invariant: an attempt whose answer was lost, or is an error that leaves it open, may have been done or not, at any time after it began.

use std::time::Duration;

use bytes::Bytes;

use crate::random::Random;

/// One object: its datastore and its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    pub(crate) datastore: &'static str,
    pub(crate) key: String,
}

impl std::fmt::Display for Object {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.datastore, self.key)
    }
}

pub(crate) type VersionId = [u8; 16];

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// To store content of so many bytes; which content, the attempt's number says.
    Put {
        /// How long it is.
        bytes: usize,
    },
    /// To delete the current object.
    Delete,
    /// To delete one version for good.
    DeleteVersion(VersionId),
}

/// What its client knows of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has not been answered yet, or the answer says nothing for sure.
    Open,
    /// It was done, at this time at the latest.
    Done(Duration),
    /// It was not done, and never will be.
    Refused,
}

/// One attempt to change an object.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) object: Object,
    pub(crate) change: Change,
    pub(crate) began: Duration,
    pub(crate) outcome: Outcome,
    /// The version that it made, as far as it is known.
    pub(crate) version: Option<VersionId>,
}

impl Attempt {
    /// Whether it was done before `time`, for sure.
    pub(crate) fn is_done_before(&self, time: Duration) -> bool {
        matches!(self.outcome, Outcome::Done(ended) if ended < time)
    }

    /// Whether it may have been done before `time`.
    pub(crate) fn may_be_done_before(&self, time: Duration) -> bool {
        self.outcome != Outcome::Refused && self.began < time
    }

    pub(crate) fn is_put(&self) -> bool {
        matches!(self.change, Change::Put { .. })
    }
}

/// What a read saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Content that this attempt has put.
    Content(usize),
    /// No object.
    Nothing,
}

/// One read of a current object.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) object: Object,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) seen: Seen,
}

/// Everything that clients tried, and read.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) reads: Vec<Read>,
}

impl History {
    /// Notes an attempt that begins; gives its number.
    pub(crate) fn begin(&mut self, object: &Object, change: Change, now: Duration) -> usize {
        self.attempts.push(Attempt {
            object: object.clone(),
            change,
            began: now,
            outcome: Outcome::Open,
            version: None,
        });
        self.attempts.len() - 1
    }

    /// The attempts to change an object, with their numbers.
    pub(crate) fn of<'h>(
        &'h self,
        object: &'h Object,
    ) -> impl Iterator<Item = (usize, &'h Attempt)> {
        let all = self.attempts.iter().enumerate();
        all.filter(move |(_, attempt)| attempt.object == *object)
    }

    /// Whether somebody has tried to delete a version by its id, before `time`.
    pub(crate) fn is_picked_out(&self, version: Option<VersionId>, time: Duration) -> bool {
        version.is_some_and(|version| {
            self.attempts.iter().any(|attempt| {
                attempt.change == Change::DeleteVersion(version) && attempt.may_be_done_before(time)
            })
        })
    }
}

/// The content of a put: what its number determines.
pub(crate) fn content(seed: u64, attempt: usize, bytes: usize) -> Bytes {
    let mut out = vec![0; bytes];
    Random::new(seed, "storage content", attempt).fill(&mut out);
    out.into()
}

/// What names a put in its metadata.
pub(crate) fn label(attempt: usize) -> String {
    format!("attempt/{attempt}")
}

/// The number of the put that an object's metadata names.
pub(crate) fn labelled(content_type: &str) -> Option<usize> {
    content_type.strip_prefix("attempt/")?.parse().ok()
}
