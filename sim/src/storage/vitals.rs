//! How a segment does, by what lies at the locations: whether more of it may be harmed within what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use sc_backend::FragmentName;
use sc_erasure::FragmentHeader;
use sc_metadata::{Fragment, FragmentState, Segment};

use super::process::Outside;

/// The fragments that faults have damaged or lost, by segment.
#[derive(Default)]
pub(crate) struct Harmed(Mutex<BTreeMap<String, BTreeSet<String>>>);

impl Harmed {
    pub(crate) fn add(&self, name: &FragmentName) {
        let mut all = self.all();
        let of_segment = all.entry(stem(name.as_str()).to_owned()).or_default();
        of_segment.insert(name.as_str().to_owned());
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.all().values().flatten().cloned().collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.all()
            .get(stem(name))
            .is_some_and(|it| it.contains(name))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// The segment's part of a fragment's name.
pub(crate) fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// How a segment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Fragments that are where the catalogue says, and were not damaged.
    pub(crate) well: usize,
    /// So many it needs.
    pub(crate) needed: usize,
}

impl Outside {
    /// How a segment does, not counting what lies at `without`; none where nothing of it is left.
    pub(crate) fn vitals(&self, segment: &Segment, without: Option<&str>) -> Option<Vitals> {
        let stored = segment.fragments.iter();
        let well = stored.filter(|it| {
            it.state == FragmentState::Stored
                && without != Some(&it.location)
                && !self.harmed.contains(&it.name)
        });
        let bodies: Vec<Bytes> = well.filter_map(|it| self.body(it)).collect();
        let (header, _) = FragmentHeader::parse(bodies.first()?).ok()?;
        Some(Vitals {
            well: bodies.len(),
            needed: usize::from(header.redundancy.data()),
        })
    }

    fn body(&self, fragment: &Fragment) -> Option<Bytes> {
        let name = FragmentName::new(&fragment.name).ok()?;
        let place = self.places.iter().find(|it| it.name == fragment.location)?;
        place.faults().stored(&name)
    }
}
