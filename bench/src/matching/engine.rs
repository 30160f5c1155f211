//! What is measured: anything that keeps subscriptions and finds those that a publication satisfies.
//!
//! Invariant: every engine gives the ids that the language defines; a cell of the table is checked against [`Scan`] and
//! [`Scan`] against [`sc_matching::Subscription::matches`].

use std::fmt;

use anyhow::Context;
use clap::ValueEnum;
use sc_matching::{Header, HeaderBlock, HeaderBlockWriter, Kernel, Publication, Subscription};

use super::engines::{Aspe, Counting, Forest, Index, Oblivious, Prefilter, Rein, Scan, Tree};
use super::language::Unsupported;

/// Keeps subscriptions.
pub(crate) trait Engine {
    /// Adds a subscription under an id that it does not hold.
    ///
    /// # Errors
    /// It cannot express the subscription.
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported>;

    /// Removes the subscription `id`; `false` when there is none.
    ///
    /// # Errors
    /// It cannot remove.
    fn remove(&mut self, id: u32) -> Result<bool, Unsupported>;

    /// Looks up what is the same for all publications of a block, and makes room for the work of matching.
    ///
    /// # Errors
    /// It cannot take these publications.
    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported>;
}

/// Matches the publications of a block, one after another.
pub(crate) trait Pass {
    /// Tells which publications are asked for next, in this order, maybe several times over: an engine that matches several at once
    /// takes them together. The clock does not run yet.
    fn announce(&mut self, places: &[usize]) {
        let _ = places;
    }

    /// Sets `ids` to those of the subscriptions that publication number `at` satisfies, in any order.
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>);

    /// How many these are, for an engine that knows it without making a list.
    fn count(&mut self, at: usize) -> Option<usize> {
        let _ = at;
        None
    }
}

/// Publications, with their headers decoded.
pub(crate) struct Publications<'a> {
    pub(crate) list: &'a [Publication],
    pub(crate) block: HeaderBlock<'a>,
    pub(crate) headers: Vec<Header<'a>>,
}

impl<'a> Publications<'a> {
    /// Writes the headers of `list` into one block.
    ///
    /// # Errors
    /// There are more than one block can hold.
    pub(crate) fn encode(list: &[Publication]) -> anyhow::Result<Vec<u8>> {
        let mut writer = HeaderBlockWriter::new();
        for publication in list {
            writer.push(publication).context("one block for all")?;
        }
        Ok(writer.finish())
    }

    /// Decodes `bytes`, which [`Self::encode`] made of `list`.
    ///
    /// # Errors
    /// It did not.
    pub(crate) fn decode(list: &'a [Publication], bytes: &'a [u8]) -> anyhow::Result<Self> {
        let block = HeaderBlock::decode(bytes)?;
        let mut reader = block.headers();
        let mut headers = Vec::with_capacity(list.len());
        loop {
            let mut header = Header::new();
            if !reader.next_header(&mut header)? {
                break;
            }
            headers.push(header);
        }
        anyhow::ensure!(headers.len() == list.len(), "a header for each publication");
        Ok(Self {
            list,
            block,
            headers,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.headers.len()
    }
}

/// What an engine may know beforehand, as somebody who sets it up for some purpose would.
pub(crate) struct Sample<'a> {
    pub(crate) subscriptions: &'a [Subscription],
    pub(crate) publications: &'a [Publication],
}

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// Each subscription in turn, up to its first constraint that fails
    Scan,
    /// Subscriptions arranged by containment, as in SCBR
    Forest,
    /// A Bloom filter of the equalities before the exact test
    Prefilter,
    /// Counts the constraints that hold
    Counting,
    /// Bitmaps of what fails
    Rein,
    /// Encrypted vectors: matching without a trusted program
    Aspe,
    /// The crate a-tree
    ATree,
    /// The index of this project
    Index,
    /// The matcher of this project whose accesses to memory do not depend on what matches
    Oblivious,
}

impl EngineName {
    /// Makes an empty one; `kernel` is for those of this project.
    ///
    /// # Errors
    /// It cannot serve the workload that `sample` is of.
    pub(crate) fn create(
        self,
        sample: &Sample<'_>,
        kernel: Kernel,
    ) -> Result<Box<dyn Engine>, Unsupported> {
        Ok(match self {
            Self::Scan => Box::new(Scan::default()),
            Self::Forest => Box::new(Forest::default()),
            Self::Prefilter => Box::new(Prefilter::default()),
            Self::Counting => Box::new(Counting::default()),
            Self::Rein => Box::new(Rein::new(sample)?),
            Self::Aspe => Box::new(Aspe::new(sample)?),
            Self::ATree => Box::new(Tree::new(sample)?),
            Self::Index => Box::new(Index::new(kernel)),
            Self::Oblivious => Box::new(Oblivious::new(kernel)),
        })
    }

    /// Most subscriptions that are worth a try.
    pub(crate) fn subscriptions_max(self) -> u32 {
        match self {
            Self::ATree | Self::Aspe | Self::Oblivious => 100_000,
            Self::Rein => 1_000_000,
            _ => u32::MAX,
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no engine is skipped");
        f.pad(value.get_name())
    }
}
