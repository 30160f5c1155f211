//! Where the segments of large versions begin: kept for versions that are being read, so that a range is found without a walk.
//!
//! Invariant: the lengths of a version's segments never change, so what is kept is never wrong; it is bounded in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sc_metadata::VersionId;

/// Segments of all layouts that are kept: some 16 MiB.
const SEGMENTS_MAX: usize = 2 << 20;

/// Where each segment of a version ends.
pub(crate) struct Layout {
    ends: Vec<u64>,
}

impl Layout {
    pub(crate) fn new(lengths: impl Iterator<Item = u32>) -> Self {
        let ends = lengths.scan(0, |end, length| {
            *end += u64::from(length);
            Some(*end)
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// The segment in which `offset` lies, and where it begins; `None` behind the end.
    pub(crate) fn find(&self, offset: u64) -> Option<(u32, u64)> {
        let position = self.ends.partition_point(|end| *end <= offset);
        if position == self.ends.len() {
            return None;
        }
        let start = position
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        Some((u32::try_from(position).ok()?, start))
    }
}

#[derive(Default)]
struct Held {
    layouts: BTreeMap<VersionId, Arc<Layout>>,
    segments: usize,
}

/// The layouts that are kept.
#[derive(Default)]
pub(crate) struct Layouts(Mutex<Held>);

impl Layouts {
    pub(crate) fn get(&self, version: VersionId) -> Option<Arc<Layout>> {
        let held = self.0.lock().expect("no holder of this lock panics");
        held.layouts.get(&version).cloned()
    }

    pub(crate) fn keep(&self, version: VersionId, layout: Arc<Layout>) {
        let mut held = self.0.lock().expect("no holder of this lock panics");
        if held.segments + layout.ends.len() > SEGMENTS_MAX {
            *held = Held::default();
        }
        held.segments += layout.ends.len();
        held.layouts.insert(version, layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_lies_in_the_segment_that_holds_it() {
        let layout = Layout::new([10, 5, 20].into_iter());

        assert_eq!(layout.find(0), Some((0, 0)));
        assert_eq!(layout.find(9), Some((0, 0)));
        assert_eq!(layout.find(10), Some((1, 10)));
        assert_eq!(layout.find(34), Some((2, 15)));
        assert_eq!(layout.find(35), None);
    }
}
