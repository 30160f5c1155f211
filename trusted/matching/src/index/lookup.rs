//! Numbers by hash, in buckets that a copy shares with its original until one of them changes.
//!
//! Invariant: every number lies in the bucket that the low bits of its hash name, and a bucket
//! holds at most [`BUCKET_MAX`] unless their hashes agree in [`DEPTH_MAX`] bits; so no call moves
//! more than a bucket and the directory.
//! Source: extendible hashing, Fagin et al., TODS 1979.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use hashbrown::HashTable;

/// Numbers in a bucket before it is split.
const BUCKET_MAX: usize = 2048;

/// The directory has at most 2 to this power places.
const DEPTH_MAX: u32 = 24;

/// A multimap from hashes to numbers; the caller knows what the numbers stand for.
#[derive(Clone)]
pub(super) struct Lookup {
    /// A bucket for each value of the low `depth` bits of a hash.
    directory: Vec<u32>,
    depth: u32,
    buckets: Vec<Arc<Bucket>>,
}

#[derive(Clone, Default)]
struct Bucket {
    /// How many low bits its hashes share.
    depth: u32,
    entries: HashTable<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    number: u32,
}

impl Lookup {
    pub(super) fn new() -> Self {
        Self {
            directory: vec![0],
            depth: 0,
            buckets: vec![Arc::default()],
        }
    }

    fn bucket(&self, hash: u64) -> usize {
        self.directory[hash as usize & (self.directory.len() - 1)] as usize
    }

    /// The number under `hash` of which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let entries = &self.buckets[self.bucket(hash)].entries;
        let is_it = |entry: &Entry| entry.hash == hash && is_it(entry.number);
        entries.find(spread(hash), is_it).map(|entry| entry.number)
    }

    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let mut at = self.bucket(hash);
        while self.buckets[at].entries.len() >= BUCKET_MAX && self.buckets[at].depth < DEPTH_MAX {
            self.split(at, hash);
            at = self.bucket(hash);
        }
        let entries = &mut Arc::make_mut(&mut self.buckets[at]).entries;
        entries.insert_unique(spread(hash), Entry { hash, number }, Entry::spread);
    }

    /// Removes `number` from under `hash`.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let at = self.bucket(hash);
        let entries = &mut Arc::make_mut(&mut self.buckets[at]).entries;
        if let Ok(found) = entries.find_entry(spread(hash), |entry| entry.number == number) {
            found.remove();
        }
        if entries.len() < entries.capacity() / 8 {
            entries.shrink_to_fit(Entry::spread);
        }
    }

    /// Moves half of the bucket at `at`, in which `hash` lies, to a bucket of its own.
    fn split(&mut self, at: usize, hash: u64) {
        let depth = self.buckets[at].depth;
        if depth == self.depth {
            self.directory.extend_from_within(..);
            self.depth += 1;
        }
        let (mut stays, mut goes) = (Bucket::at(depth + 1), Bucket::at(depth + 1));
        for entry in &self.buckets[at].entries {
            let half = match entry.hash >> depth & 1 {
                0 => &mut stays.entries,
                _ => &mut goes.entries,
            };
            half.insert_unique(entry.spread(), *entry, Entry::spread);
        }
        self.buckets[at] = Arc::new(stays);
        let number = u32::try_from(self.buckets.len()).expect("buckets are at most 2^DEPTH_MAX");
        self.buckets.push(Arc::new(goes));
        let first = hash as usize & ((1 << depth) - 1) | 1 << depth;
        for place in (first..self.directory.len()).step_by(2 << depth) {
            self.directory[place] = number;
        }
    }
}

impl Bucket {
    fn at(depth: u32) -> Self {
        Self {
            depth,
            entries: HashTable::with_capacity(BUCKET_MAX / 2),
        }
    }
}

impl Entry {
    fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

/// The bits that did not choose the bucket first.
fn spread(hash: u64) -> u64 {
    hash.rotate_right(DEPTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash with well-mixed low bits.
    fn mixed(number: u32) -> u64 {
        u64::from(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .swap_bytes()
            ^ u64::from(number)
    }

    #[test]
    fn every_number_is_found_until_it_is_removed() {
        let mut lookup = Lookup::new();
        let last = 20_000;
        for number in 0..last {
            lookup.insert(mixed(number), number);
        }

        for number in (0..last).step_by(3) {
            lookup.remove(mixed(number), number);
        }

        for number in 0..last {
            let found = lookup.find(mixed(number), |found| found == number);
            assert_eq!(found.is_some(), number % 3 != 0, "{number}");
        }
        assert!(lookup.depth > 2, "buckets were split");
    }

    #[test]
    fn a_bucket_that_many_places_name_is_split_among_all_of_them() {
        let mut lookup = Lookup::new();
        // The directory grows by hashes that end in ones, and the others lie in two buckets meanwhile.
        let ends = [(0, 0xf), (1 << 16, 0x0), (2 << 16, 0x2), (3 << 16, 0x4)];
        let hashes = ends.map(|(first, end)| {
            let numbers = first..first + 2 * BUCKET_MAX as u32;
            numbers.map(move |number| (mixed(number) << 4 | end, number))
        });
        let hashes: Vec<(u64, u32)> = hashes.into_iter().flatten().collect();

        for (hash, number) in &hashes {
            lookup.insert(*hash, *number);
        }

        for (hash, number) in &hashes {
            let found = lookup.find(*hash, |found| found == *number);
            assert_eq!(found, Some(*number));
        }
    }

    #[test]
    fn numbers_under_one_hash_are_told_apart() {
        let mut lookup = Lookup::new();
        lookup.insert(5, 1);
        lookup.insert(5, 2);

        lookup.remove(5, 1);

        assert_eq!(lookup.find(5, |number| number == 2), Some(2));
        assert_eq!(lookup.find(5, |number| number == 1), None);
    }

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let mut lookup = Lookup::new();
        lookup.insert(5, 1);
        let copy = lookup.clone();

        lookup.remove(5, 1);
        (0..10_000).for_each(|number| lookup.insert(mixed(number), number));

        assert_eq!(copy.find(5, |_| true), Some(1));
        assert_eq!(copy.find(mixed(7), |number| number == 7), None);
    }
}
