//! Whose subscriptions a header satisfies, by the matcher that the domain has.
//!
//! Invariant: recipients come by consumer and then by id, and are the same by either matcher.

use sc_matching::{
    Header, HeaderBlock, Kernel, Matches, Names, ObliviousMatches, ObliviousNames, Snapshot,
};

use crate::recipients::{Hidden, Matching, Row, Seeking, View};

/// Headers that are matched in one call at most.
pub(super) const TOGETHER: u32 = 8;

/// One worker's way through a batch.
pub(super) enum Finder<'a> {
    /// One header after another.
    Index(Box<Looking<'a>>),
    /// Up to [`TOGETHER`] headers in one pass.
    Oblivious(Box<Passing<'a>>),
}

pub(super) struct Looking<'a> {
    view: &'a View,
    snapshot: &'a Snapshot,
    kernel: Kernel,
    names: Names<'a>,
    matches: Matches<'a>,
    ids: Vec<u32>,
}

pub(super) struct Passing<'a> {
    hidden: &'a Hidden,
    names: ObliviousNames<'a>,
    /// Those that were taken since the last pass.
    headers: Vec<Header<'a>>,
    matches: ObliviousMatches,
    seeking: Seeking,
}

impl<'a> Finder<'a> {
    pub(super) fn new(view: &'a View, block: &HeaderBlock<'a>) -> Self {
        match &view.matching {
            Matching::Index(snapshot) => Self::Index(Box::new(Looking {
                view,
                snapshot,
                kernel: view.kernel,
                names: snapshot.names(block),
                matches: Matches::new(),
                ids: Vec::new(),
            })),
            Matching::Oblivious(hidden) => Self::Oblivious(Box::new(Passing {
                hidden,
                names: hidden.matcher.names(block),
                headers: Vec::new(),
                matches: ObliviousMatches::new(),
                seeking: Seeking::default(),
            })),
        }
    }

    /// How many headers it is worth to take before they are matched.
    pub(super) fn together(&self) -> u32 {
        match self {
            Self::Index(_) => 1,
            Self::Oblivious(_) => TOGETHER,
        }
    }

    /// Takes a header to be matched with those taken before, if they are matched together.
    pub(super) fn take(&mut self, header: &Header<'a>) {
        if let Self::Oblivious(passing) = self {
            passing.headers.push(header.clone());
        }
    }

    /// Matches what was taken, the last of which is `header`, and calls `each` for each of them in order, with what appends its
    /// recipients.
    pub(super) fn find(
        &mut self,
        header: &Header<'a>,
        mut each: impl FnMut(&mut dyn FnMut(&mut Vec<Row>)),
    ) {
        match self {
            Self::Index(looking) => each(&mut |rows| looking.append(header, rows)),
            Self::Oblivious(passing) => passing.pass(each),
        }
    }
}

impl<'a> Looking<'a> {
    fn append(&mut self, header: &Header<'a>, rows: &mut Vec<Row>) {
        self.snapshot
            .matches(&self.names, header, &mut self.matches);
        if self.matches.count() == 0 {
            return;
        }
        self.matches.copy_ids(self.kernel, &mut self.ids);
        let begin = rows.len();
        rows.extend(self.ids.iter().map(|id| self.view.row(*id)));
        rows[begin..].sort_unstable_by_key(|row| row.order());
    }
}

impl Passing<'_> {
    fn pass(&mut self, mut each: impl FnMut(&mut dyn FnMut(&mut Vec<Row>))) {
        let Self {
            hidden,
            names,
            headers,
            matches,
            seeking,
        } = self;
        let mut slots = hidden.slots.get();
        loop {
            hidden.matcher.matches(names, headers, slots, matches);
            let most = matches.answers().map(|answer| answer.count).max();
            // Nothing is left out: it shows, to a power of two, when one of these headers matches more than there are slots.
            match most {
                Some(most) if most > slots => slots = most.next_power_of_two(),
                _ => break,
            }
        }
        for answer in matches.answers() {
            each(&mut |rows| hidden.rows(answer.slots, seeking, rows));
        }
        headers.clear();
    }
}
