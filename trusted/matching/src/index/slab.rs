//! Numbered places that a copy shares with its original until one of them changes.
//!
//! Invariant: a place keeps its number until it is freed; no call moves or copies more than one
//! chunk, and the list of chunks.

use alloc::sync::Arc;
use alloc::vec::Vec;

/// Places of one chunk.
const CHUNK: usize = 256;

/// Values by small numbers, which are used again.
#[derive(Clone)]
pub(super) struct Slab<T> {
    chunks: Vec<Arc<Vec<Slot<T>>>>,
    len: u32,
    /// The place that was freed last.
    free: Option<u32>,
}

#[derive(Clone)]
enum Slot<T> {
    Used(T),
    /// The place that was freed before this one.
    Free(Option<u32>),
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
            free: None,
        }
    }
}

impl<T: Clone> Slab<T> {
    /// Greater than every number in use.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free {
            let slot = self.slot_mut(number);
            let Slot::Free(next) = *slot else {
                unreachable!("only freed places are in the list of free ones")
            };
            *slot = Slot::Used(value);
            self.free = next;
            return number;
        }
        let number = self.len;
        if (number as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::new()));
        }
        let last = self.chunks.last_mut().expect("a chunk was pushed for it");
        Arc::make_mut(last).push(Slot::Used(value));
        self.len = number.checked_add(1).expect("a slab holds below 2^32");
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> T {
        let free = self.free;
        let slot = self.slot_mut(number);
        let Slot::Used(value) = core::mem::replace(slot, Slot::Free(free)) else {
            unreachable!("a number is freed once")
        };
        self.free = Some(number);
        value
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        match &self.chunks[number as usize / CHUNK][number as usize % CHUNK] {
            Slot::Used(value) => value,
            Slot::Free(_) => unreachable!("a number in use"),
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        match self.slot_mut(number) {
            Slot::Used(value) => value,
            Slot::Free(_) => unreachable!("a number in use"),
        }
    }

    fn slot_mut(&mut self, number: u32) -> &mut Slot<T> {
        &mut Arc::make_mut(&mut self.chunks[number as usize / CHUNK])[number as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_numbers_are_used_again() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..1000).map(|n| slab.insert(n)).collect();

        assert_eq!(slab.remove(numbers[7]), 7);
        assert_eq!(slab.remove(numbers[900]), 900);

        assert_eq!(slab.insert(1), numbers[900]);
        assert_eq!(slab.insert(2), numbers[7]);
        assert_eq!(slab.insert(3), 1000);
        assert_eq!((*slab.get(7), *slab.get(899)), (2, 899));
    }

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let mut slab = Slab::default();
        let number = slab.insert(1);
        let copy = slab.clone();

        *slab.get_mut(number) = 2;
        slab.insert(3);

        assert_eq!(*copy.get(number), 1);
        assert_eq!((copy.len(), slab.len()), (1, 2));
    }
}
