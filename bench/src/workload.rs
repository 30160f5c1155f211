//! Workloads: the files of a campaign, and what has to come of them.
//!
//! Invariant: the same arguments give the same bytes on every machine; what has to be delivered is counted by the
//! definition of the language, never by the index that is measured.
//! Source: the sample published with the SCBR router (Pires et al., Middleware '16): `s1k`, `p10k`.

mod generate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sc_matching::ascii::{Line, Lines};
use sc_matching::{Publication, Subscription};

use crate::cli::DataArgs;
pub(crate) use generate::quotes;

/// Where the sample lies beside a repository.
const SAMPLE_FOLDER: &str = "shared/datasets";
/// Subscriptions in the sample.
const SAMPLE_SUBSCRIPTIONS: u64 = 1000;

/// What publications come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// This folder has `s1k` and `p10k`.
    Sample(PathBuf),
    /// Generated from the quotes that the project ships.
    Bundled,
}

/// Two files, and where they come from.
pub(crate) struct Workload {
    pub(crate) publications_text: String,
    pub(crate) subscriptions_text: String,
    pub(crate) description: String,
}

impl Data {
    /// The data that the arguments ask for.
    pub(crate) fn find(arguments: &DataArgs) -> Self {
        if arguments.bundled {
            return Self::Bundled;
        }
        let named = arguments.data.clone();
        named
            .or_else(sample_beside)
            .map_or(Self::Bundled, Self::Sample)
    }

    /// Publications of this data with so many subscriptions: those of the sample if it has as many, else generated.
    ///
    /// # Errors
    /// A file of the sample that cannot be read.
    pub(crate) fn workload(&self, subscriptions: u64) -> anyhow::Result<Workload> {
        let (publications_text, publications) = match self {
            Self::Sample(folder) => (read(&folder.join("p10k"))?, "p10k"),
            Self::Bundled => (
                generate::publications(),
                "10,000 publications generated from the bundled quotes",
            ),
        };
        let (subscriptions_text, origin) = match self {
            Self::Sample(folder) if subscriptions == SAMPLE_SUBSCRIPTIONS => {
                (read(&folder.join("s1k"))?, "s1k".to_owned())
            }
            _ => (
                generate::subscriptions(subscriptions),
                format!("{subscriptions} subscriptions generated as s1k is distributed"),
            ),
        };
        Ok(Workload {
            publications_text,
            subscriptions_text,
            description: format!("{origin} x {publications}"),
        })
    }
}

/// The sample beside the repository that this program is run in, or was built in.
fn sample_beside() -> Option<PathBuf> {
    let starts = [std::env::current_dir(), std::env::current_exe()];
    let folders: Vec<PathBuf> = starts
        .into_iter()
        .flatten()
        .flat_map(|start| start.ancestors().map(Path::to_owned).collect::<Vec<_>>())
        .collect();
    let samples = folders.iter().map(|folder| folder.join(SAMPLE_FOLDER));
    samples
        .into_iter()
        .find(|folder| folder.join("s1k").is_file() && folder.join("p10k").is_file())
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

impl Workload {
    /// Its publications.
    ///
    /// # Errors
    /// A line that is none.
    pub(crate) fn publications(&self) -> anyhow::Result<Vec<Publication>> {
        parse_publications(&self.publications_text)
    }

    /// Its subscriptions.
    ///
    /// # Errors
    /// A line that is none.
    pub(crate) fn subscriptions(&self) -> anyhow::Result<Vec<(u64, Subscription)>> {
        parse_subscriptions(&self.subscriptions_text)
    }

    /// How often each subscription matches in one pass, by a plain scan; those that never do are left out.
    ///
    /// # Errors
    /// A line that does not parse.
    pub(crate) fn expected(&self) -> anyhow::Result<BTreeMap<u64, u64>> {
        let publications = self.publications()?;
        let counts = self.subscriptions()?.into_iter().map(|(id, subscription)| {
            let matching = publications
                .iter()
                .filter(|publication| subscription.matches(publication));
            (id, matching.count() as u64)
        });
        Ok(counts.filter(|(_, count)| *count > 0).collect())
    }
}

/// The publications in a text.
///
/// # Errors
/// A line that is none.
pub(crate) fn parse_publications(text: &str) -> anyhow::Result<Vec<Publication>> {
    parse(text, |line| match line {
        Line::Publication(publication) => Some(publication),
        Line::Subscription { .. } => None,
    })
}

/// The subscriptions in a text.
///
/// # Errors
/// A line that is none.
pub(crate) fn parse_subscriptions(text: &str) -> anyhow::Result<Vec<(u64, Subscription)>> {
    parse(text, |line| match line {
        Line::Subscription { id, subscription } => Some((id, subscription)),
        Line::Publication(_) => None,
    })
}

fn parse<T>(text: &str, take: impl Fn(Line) -> Option<T>) -> anyhow::Result<Vec<T>> {
    let items = Lines::new(text).map(|line| {
        let (number, line) = line?;
        take(line).with_context(|| format!("line {number}: not of this file's kind"))
    });
    items.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(publications: &str, subscriptions: &str) -> Workload {
        Workload {
            publications_text: publications.into(),
            subscriptions_text: subscriptions.into(),
            description: String::new(),
        }
    }

    #[test]
    fn expected_counts_each_subscription_by_the_language() {
        let workload = workload(
            "0 0 P i a 1\n0 0 P i a 2\n0 0 P i a 3\n",
            "0 7 S i a >= 2\n0 8 S i a = 1\n0 9 S i a = 4\n",
        );

        let expected = workload.expected().unwrap();

        assert_eq!(expected, BTreeMap::from([(7, 2), (8, 1)]));
    }

    #[test]
    fn a_publication_among_subscriptions_is_an_error() {
        assert!(workload("", "0 0 P i a 1\n").subscriptions().is_err());
    }

    #[test]
    fn a_folder_without_the_sample_is_an_error() {
        let data = Data::Sample("/nowhere".into());

        assert!(data.workload(1000).is_err());
    }

    #[test]
    fn the_sample_has_the_matches_that_its_authors_counted() {
        let Some(folder) = sample_beside() else {
            return;
        };

        let workload = Data::Sample(folder).workload(1000).unwrap();

        assert_eq!(workload.publications().unwrap().len(), 10_000);
        assert_eq!(workload.expected().unwrap().values().sum::<u64>(), 17_517);
    }
}
