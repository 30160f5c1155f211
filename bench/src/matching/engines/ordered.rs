//! Rows in the order of a bound.
//!
//! Invariant: the bounds of a chunk are none greater than those of the next, and no chunk is longer than [`CHUNK_MAX`],
//! so that an insertion moves few rows however many there are.

/// Rows of a chunk, at most; it is then split.
const CHUNK_MAX: usize = 1024;

/// Rows by bound.
#[derive(Default)]
pub(super) struct Ordered {
    /// The greatest bound of each chunk.
    lasts: Vec<u64>,
    chunks: Vec<Chunk>,
}

#[derive(Default)]
struct Chunk {
    bounds: Vec<u64>,
    rows: Vec<u32>,
}

impl Ordered {
    pub(super) fn insert(&mut self, bound: u64, row: u32) {
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::default());
            self.lasts.push(bound);
        }
        let at = self.lasts.partition_point(|last| *last < bound);
        let at = at.min(self.chunks.len() - 1);
        let chunk = &mut self.chunks[at];
        let place = chunk.bounds.partition_point(|own| *own < bound);
        chunk.bounds.insert(place, bound);
        chunk.rows.insert(place, row);
        self.lasts[at] = self.lasts[at].max(bound);
        if chunk.rows.len() == CHUNK_MAX {
            let half = Chunk {
                bounds: chunk.bounds.split_off(CHUNK_MAX / 2),
                rows: chunk.rows.split_off(CHUNK_MAX / 2),
            };
            let middle = chunk.bounds[CHUNK_MAX / 2 - 1];
            self.lasts.insert(at, middle);
            self.chunks.insert(at + 1, half);
        }
    }

    /// Removes a row that lies here under this bound.
    pub(super) fn remove(&mut self, bound: u64, row: u32) {
        let first = self.lasts.partition_point(|last| *last < bound);
        for at in first..self.chunks.len() {
            let chunk = &mut self.chunks[at];
            let from = chunk.bounds.partition_point(|own| *own < bound);
            let to = chunk.bounds.partition_point(|own| *own <= bound);
            if let Some(place) = chunk.rows[from..to].iter().position(|own| *own == row) {
                chunk.bounds.remove(from + place);
                chunk.rows.remove(from + place);
                if chunk.rows.is_empty() {
                    self.chunks.remove(at);
                    self.lasts.remove(at);
                }
                return;
            }
        }
    }

    /// The rows whose bound is `key` or less, in pieces.
    pub(super) fn up_to(&self, key: u64) -> impl Iterator<Item = &[u32]> {
        // Of the chunk at the border a part; the ones before it whole.
        let whole = self.lasts.partition_point(|last| *last <= key);
        let border = self.chunks[whole..].first().map(|chunk| {
            let count = chunk.bounds.partition_point(|own| *own <= key);
            &chunk.rows[..count]
        });
        let before = self.chunks[..whole].iter().map(|chunk| &chunk.rows[..]);
        before.chain(border)
    }

    /// The rows whose bound is `key` or more, in pieces.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = &[u32]> {
        let first = self.lasts.partition_point(|last| *last < key);
        let border = self.chunks[first..].first().map(|chunk| {
            let below = chunk.bounds.partition_point(|own| *own < key);
            &chunk.rows[below..]
        });
        let after = self.chunks[first..].iter().skip(1);
        border.into_iter().chain(after.map(|chunk| &chunk.rows[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn sorted<'a>(pieces: impl Iterator<Item = &'a [u32]>) -> Vec<u32> {
        let mut rows: Vec<u32> = pieces.flatten().copied().collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn rows_come_by_bound_after_many_insertions_and_removals() {
        let mut random = Random::new(3);
        let mut ordered = Ordered::default();
        let mut all: Vec<(u64, u32)> = (0..6000).map(|row| (random.below(500), row)).collect();
        all.iter()
            .for_each(|(bound, row)| ordered.insert(*bound, *row));

        let gone = all.split_off(3000);
        gone.iter()
            .for_each(|(bound, row)| ordered.remove(*bound, *row));

        for key in [0, 1, 250, 498, 499, 600] {
            let expected = |holds: &dyn Fn(u64) -> bool| {
                let rows = all.iter().filter(|(bound, _)| holds(*bound));
                rows.map(|(_, row)| *row).collect::<Vec<_>>()
            };
            assert_eq!(sorted(ordered.up_to(key)), expected(&|bound| bound <= key));
            assert_eq!(sorted(ordered.from(key)), expected(&|bound| bound >= key));
        }
    }
}
