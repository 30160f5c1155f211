//! The verdict: what clients saw, and what is left in the end, against what they were told.
//!
//! The rules of reads are those that any order in which attempts take effect one after another, each between its beginning and its end,
//! obeys; they are checked pair by pair.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::{Change, History, Object, Outcome, Read, Seen};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A read gave what nobody has put there, or not as it was put.
    #[error("{object}: a read gave {what}")]
    Content {
        /// Of what.
        object: String,
        /// What it gave.
        what: String,
    },
    /// A read gave what had been replaced or deleted before it began.
    #[error("{object}: a read gave attempt {attempt}, after {later} was done")]
    Stale {
        /// Of what.
        object: String,
        /// What it gave.
        attempt: usize,
        /// What was done in between.
        later: String,
    },
    /// A read gave nothing, though something was there.
    #[error("{object}: a read gave nothing, though attempt {attempt} was done")]
    Missing {
        /// Of what.
        object: String,
        /// What should have been there.
        attempt: usize,
    },
    /// An acknowledged version is not there any more.
    #[error("{object}: the version of attempt {attempt} is gone")]
    VersionLost {
        /// Of what.
        object: String,
        /// Who was told that it is stored.
        attempt: usize,
    },
    /// A version does not read back while as many locations are away as its policy bears.
    #[error("{object}: attempt {attempt:?} does not read back without {without}")]
    Unreadable {
        /// Of what.
        object: String,
        /// Who has put it.
        attempt: Option<usize>,
        /// The locations that were away.
        without: String,
    },
    /// A version lacks fragments, although nothing has been in the way of making them.
    #[error("{object}: attempt {attempt:?} still owes {names:?}")]
    Owed {
        /// Of what.
        object: String,
        /// Who has put it.
        attempt: Option<usize>,
        /// The fragments.
        names: Vec<String>,
    },
    /// After a rebuild something is other than it was before.
    #[error("{object}: after the rebuild {what}")]
    Rebuilt {
        /// About what.
        object: String,
        /// How.
        what: String,
    },
    /// A client was told what no fault explains.
    #[error("{object}: {what}")]
    Refused {
        /// About what.
        object: String,
        /// What it was told.
        what: String,
    },
    /// Listing and reading do not agree.
    #[error("{object}: {what}")]
    Listing {
        /// What.
        object: String,
        /// How.
        what: String,
    },
    /// Something is left at a location that belongs to nothing.
    #[error("{location} keeps {name}, which belongs to nothing")]
    Orphan {
        /// Where.
        location: String,
        /// Its name.
        name: String,
    },
    /// Something is not where the catalogue says it is.
    #[error("{location} does not keep {name}, which is in use")]
    Removed {
        /// Where.
        location: String,
        /// Its name.
        name: String,
    },
    /// The counters do not say what is there.
    #[error("the counters say {said}, and there is {found}")]
    Usage {
        /// What they say.
        said: String,
        /// What there is.
        found: String,
    },
    /// Something that should have ended has not.
    #[error("{what}")]
    Stalled {
        /// What.
        what: String,
    },
}

impl History {
    /// What the reads of the run break.
    pub(crate) fn judge_reads(&self) -> Vec<Violation> {
        let reads = self.reads.iter();
        reads.filter_map(|read| self.judge(read)).collect()
    }

    fn judge(&self, read: &Read) -> Option<Violation> {
        match read.seen {
            Seen::Content(number) => self.judge_content(read, number),
            Seen::Nothing => self.judge_nothing(read),
        }
    }

    fn judge_content(&self, read: &Read, number: usize) -> Option<Violation> {
        let attempt = &self.attempts[number];
        let object = read.object.to_string();
        if attempt.object != read.object
            || attempt.outcome == Outcome::Refused
            || attempt.began >= read.ended
        {
            let what = format!("what attempt {number} has not put there");
            return Some(Violation::Content { object, what });
        }
        let Outcome::Done(ended) = attempt.outcome else {
            return None;
        };
        // Whoever deletes one version may bring back the one before it.
        let later = self.of(&read.object).find(|(_, other)| {
            other.began > ended
                && other.is_done_before(read.began)
                && match other.change {
                    Change::DeleteVersion(version) => Some(version) == attempt.version,
                    _ => true,
                }
                && !self.is_picked_out(other.version, read.ended)
        });
        later.map(|(later, other)| Violation::Stale {
            object,
            attempt: number,
            later: format!("attempt {later} ({:?})", other.change),
        })
    }

    fn judge_nothing(&self, read: &Read) -> Option<Violation> {
        let puts = self.of(&read.object).filter(|(_, it)| it.is_put());
        let mut done = puts.filter(|(_, put)| put.is_done_before(read.began));
        let is_explained = |began: Duration| {
            self.of(&read.object).any(|(_, other)| {
                !other.is_put()
                    && other.may_be_done_before(read.ended)
                    && !other.is_done_before(began)
            })
        };
        let missing = done.find(|(_, put)| !is_explained(put.began));
        missing.map(|(attempt, _)| Violation::Missing {
            object: read.object.to_string(),
            attempt,
        })
    }
}

/// One version that is there in the end.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: [u8; 16],
    /// What its manifest is called: another id once it was moved.
    pub(crate) manifest: [u8; 16],
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) is_marker: bool,
    /// The attempt that its metadata names; none of a marker.
    pub(crate) attempt: Option<usize>,
    /// Location and name of each fragment that is stored.
    pub(crate) fragments: Vec<(String, String)>,
    /// How many fragments of a segment its policy can do without.
    pub(crate) losses: usize,
    /// The most that one of its segments owes.
    pub(crate) owed_most: usize,
    /// Names of those that are owed: they may have come after all.
    pub(crate) owed: Vec<String>,
    /// Bytes that all its fragments have, those that are owed, too.
    pub(crate) stored_bytes: u64,
    /// Whether its manifest is still a debt.
    pub(crate) is_owed: bool,
    /// How many copies of its manifest the policy wants.
    pub(crate) copies: usize,
}

/// What is there in the end.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// Each object's versions, the newest first.
    pub(crate) versions: BTreeMap<Object, Vec<Version>>,
    /// Keys that the listings of current objects have, with their versions.
    pub(crate) listed: BTreeMap<Object, [u8; 16]>,
    /// Names at each location.
    pub(crate) names: BTreeMap<String, BTreeSet<String>>,
    /// Fragments that faults have damaged or lost, and nobody has looked for.
    pub(crate) harmed: BTreeSet<String>,
    /// Whether everything was mended and collected before.
    pub(crate) is_tended: bool,
    /// The datastores with their settings, as the store describes them.
    pub(crate) datastores: String,
    /// What the counters say: objects, versions, bytes, stored bytes.
    pub(crate) usage: [u64; 4],
}

impl Remains {
    /// The versions that have content.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&Object, &Version)> {
        let all = self.versions.iter();
        let all = all.flat_map(|(object, versions)| versions.iter().map(move |it| (object, it)));
        all.filter(|(_, version)| !version.is_marker)
    }

    /// What is left over, missing or miscounted.
    pub(crate) fn judge(&self, history: &History) -> Vec<Violation> {
        let mut found = Vec::new();
        self.judge_versions(history, &mut found);
        self.judge_listing(&mut found);
        self.judge_locations(&mut found);
        self.judge_usage(&mut found);
        if self.is_tended {
            self.judge_debts(&mut found);
        }
        found
    }

    fn judge_versions(&self, history: &History, found: &mut Vec<Violation>) {
        for (object, versions) in &self.versions {
            let is_sorted = versions.is_sorted_by(|one, next| one.number > next.number);
            if !is_sorted {
                found.push(Violation::Listing {
                    object: object.to_string(),
                    what: "versions are not in the order of their numbers".into(),
                });
            }
            for version in versions.iter().filter(|it| !it.is_marker) {
                let attempt = version.attempt.and_then(|it| history.attempts.get(it));
                let is_put = attempt.is_some_and(|it| {
                    it.object == *object
                        && it.outcome != Outcome::Refused
                        && it.change
                            == Change::Put {
                                bytes: version.bytes as usize,
                            }
                });
                if !is_put {
                    found.push(Violation::Listing {
                        object: object.to_string(),
                        what: format!("a version that nobody has put there: {version:?}"),
                    });
                }
                let is_deleted = history.of(object).any(|(_, it)| {
                    it.change == Change::DeleteVersion(version.id)
                        && matches!(it.outcome, Outcome::Done(_))
                });
                if is_deleted {
                    found.push(Violation::Listing {
                        object: object.to_string(),
                        what: format!("a version that was deleted: {version:?}"),
                    });
                }
            }
        }
        let end = Duration::MAX;
        for (number, attempt) in history.attempts.iter().enumerate() {
            let is_kept = attempt.is_put()
                && attempt.object.datastore == "kept"
                && matches!(attempt.outcome, Outcome::Done(_))
                && !history.is_picked_out(attempt.version, end);
            let versions = self.versions.get(&attempt.object);
            let is_there = versions.is_some_and(|versions| {
                let mut ids = versions.iter().map(|version| version.id);
                ids.any(|id| Some(id) == attempt.version)
            });
            if is_kept && !is_there {
                found.push(Violation::VersionLost {
                    object: attempt.object.to_string(),
                    attempt: number,
                });
            }
        }
    }

    /// The listing of current objects has the newest version of each key, unless that is a marker.
    fn judge_listing(&self, found: &mut Vec<Violation>) {
        let newest = self.versions.iter().filter_map(|(object, versions)| {
            let newest = versions.first().filter(|version| !version.is_marker)?;
            Some((object.clone(), newest.id))
        });
        let newest: BTreeMap<_, _> = newest.collect();
        if newest != self.listed {
            found.push(Violation::Listing {
                object: "all objects".into(),
                what: format!("listed are {:?}, there are {newest:?}", self.listed),
            });
        }
        for (object, versions) in &self.versions {
            if object.datastore == "plain" && versions.len() > 1 {
                found.push(Violation::Listing {
                    object: object.to_string(),
                    what: format!("{} versions where one is kept", versions.len()),
                });
            }
        }
    }

    fn judge_locations(&self, found: &mut Vec<Violation>) {
        let all = || self.versions.values().flatten();
        let stored = all().flat_map(|version| &version.fragments);
        let stored: BTreeSet<&(String, String)> = stored.collect();
        // They may have come after all.
        let owed: BTreeSet<&String> = all().flat_map(|version| &version.owed).collect();
        let manifests: BTreeMap<String, &Version> = all()
            .map(|version| (format!("{}.manifest", hex(&version.manifest)), version))
            .collect();
        for (location, names) in &self.names {
            for name in names {
                // Settings stay as long as their datastore; removals have gone with what they are about.
                let belongs = name.ends_with(".datastore")
                    || manifests.contains_key(name)
                    || owed.contains(name)
                    || stored.contains(&(location.clone(), name.clone()));
                if !belongs {
                    found.push(Violation::Orphan {
                        location: location.clone(),
                        name: name.clone(),
                    });
                }
            }
        }
        for version in all() {
            for (location, name) in &version.fragments {
                let is_there = self.names[location].contains(name);
                if !is_there && !self.harmed.contains(name) {
                    found.push(Violation::Removed {
                        location: location.clone(),
                        name: name.clone(),
                    });
                }
            }
        }
        for (name, version) in manifests {
            let copies = self.names.values().filter(|names| names.contains(&name));
            if copies.count() < version.copies && !version.is_owed {
                found.push(Violation::Removed {
                    location: "too many a location".into(),
                    name,
                });
            }
        }
    }

    fn judge_debts(&self, found: &mut Vec<Violation>) {
        for (object, versions) in &self.versions {
            for version in versions.iter().filter(|it| !it.owed.is_empty()) {
                found.push(Violation::Owed {
                    object: object.to_string(),
                    attempt: version.attempt,
                    names: version.owed.clone(),
                });
            }
        }
    }

    fn judge_usage(&self, found: &mut Vec<Violation>) {
        let all = || self.versions.values().flatten();
        let there = [
            self.listed.len() as u64,
            all().count() as u64,
            all().map(|version| version.bytes).sum(),
            all().map(|version| version.stored_bytes).sum(),
        ];
        if there != self.usage {
            found.push(Violation::Usage {
                said: format!("{:?}", self.usage),
                found: format!("{there:?}"),
            });
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
