//! Whose the subscriptions of an oblivious matcher are, told without showing which of one consumer's are meant.
//!
//! Invariants: a number belongs to a *shelf*, [`SHELF`] numbers side by side that one consumer has. Finding passes over all numbers for
//! each slot of an answer, over all shelves for each header, and over all shelves of each consumer of which anything matched. So what
//! shows is which consumers a header concerns, which the host is told anyway, and how many subscriptions of each.

use sc_matching::SubscriptionId;

use super::Row;
use crate::consumers::Place;

/// Numbers of one shelf.
pub(crate) const SHELF: usize = 16;
const SHELVES_OF_WORD: usize = u64::BITS as usize / SHELF;

/// Which numbers of a shelf are meant, a bit for each.
type Piece = u16;
const FULL: Piece = Piece::MAX;

/// Numbers by shelf.
#[derive(Clone, Default)]
pub(super) struct Shelves {
    /// By number, as its consumer knows it.
    ids: Vec<u64>,
    /// By shelf: its numbers that are in use.
    used: Vec<Piece>,
    free: Vec<u32>,
    /// By consumer: its shelves.
    owned: Vec<Vec<u32>>,
    in_use: usize,
}

impl Shelves {
    /// Shelves in use.
    pub(super) fn count(&self) -> usize {
        self.in_use
    }

    /// Shelves of this consumer.
    pub(super) fn count_of(&self, consumer: Place) -> usize {
        self.owned.get(at(consumer)).map_or(0, Vec::len)
    }

    /// Takes a number for subscription `id` of this consumer: on a shelf of its own that has room, else on a further one.
    pub(super) fn put(&mut self, consumer: Place, id: u64) -> SubscriptionId {
        let own = self.owned.get(at(consumer)).map_or(&[][..], Vec::as_slice);
        let with_room = own
            .iter()
            .rfind(|shelf| self.used[**shelf as usize] != FULL);
        let shelf = match with_room {
            Some(shelf) => *shelf,
            None => self.add(consumer),
        };
        let used = &mut self.used[shelf as usize];
        let place = used.trailing_ones();
        *used |= 1 << place;
        let number = shelf * SHELF as u32 + place;
        self.ids[number as usize] = id;
        SubscriptionId(number)
    }

    fn add(&mut self, consumer: Place) -> u32 {
        let shelf = self.free.pop().unwrap_or_else(|| {
            self.used.push(0);
            self.ids.resize(self.used.len() * SHELF, 0);
            self.used.len() as u32 - 1
        });
        if self.owned.len() <= at(consumer) {
            self.owned.resize(at(consumer) + 1, Vec::new());
        }
        self.owned[at(consumer)].push(shelf);
        self.in_use += 1;
        shelf
    }

    /// Gives a number of this consumer back, and its shelf when it was the last there.
    pub(super) fn take(&mut self, consumer: Place, number: SubscriptionId) {
        let shelf = number.0 / SHELF as u32;
        let used = &mut self.used[shelf as usize];
        *used &= !(1 << (number.0 % SHELF as u32));
        if *used == 0 {
            self.owned[at(consumer)].retain(|own| *own != shelf);
            self.free.push(shelf);
            self.in_use -= 1;
        }
    }

    /// Appends whose the subscriptions in `slots` are, by consumer and then by id. A slot without a number that is in use counts for
    /// nothing.
    pub(super) fn find(
        &self,
        slots: &[SubscriptionId],
        seeking: &mut Seeking,
        rows: &mut Vec<Row>,
    ) {
        seeking.mark(slots, self.used.len());
        for (number, shelves) in (0..).zip(&self.owned) {
            let meant = shelves.iter().map(|shelf| self.meant(seeking, *shelf));
            let count: u32 = meant.map(Piece::count_ones).sum();
            if count == 0 {
                continue;
            }
            let consumer = Place::from_number(number);
            let ids = self.ids_of(shelves, count as usize, seeking);
            rows.extend(ids.iter().map(|id| Row { consumer, id: *id }));
        }
    }

    fn meant(&self, seeking: &Seeking, shelf: u32) -> Piece {
        seeking.piece(shelf) & self.used[shelf as usize]
    }

    /// The ids on these shelves that are meant, of which there are `count`, ascending.
    fn ids_of<'s>(&self, shelves: &[u32], count: usize, seeking: &'s mut Seeking) -> &'s [u64] {
        let mut ids = core::mem::take(&mut seeking.ids);
        ids.clear();
        ids.resize(count.next_power_of_two(), 0);
        let mut found = 0;
        for shelf in shelves {
            let piece = self.meant(seeking, *shelf);
            let own = &self.ids[*shelf as usize * SHELF..][..SHELF];
            for (place, id) in own.iter().enumerate() {
                let meant = u64::from(piece >> place & 1).wrapping_neg();
                for (slot, kept) in (0..).zip(&mut ids[..count]) {
                    *kept |= id & meant & equal(slot, found);
                }
                found += meant & 1;
            }
        }
        // What is left behind those that were found orders behind all of them.
        ids[count..].fill(u64::MAX);
        sort(&mut ids);
        seeking.ids = ids;
        &seeking.ids[..count]
    }
}

/// The memory of finding.
#[derive(Default)]
pub(crate) struct Seeking {
    /// A bit for each number.
    words: Vec<u64>,
    ids: Vec<u64>,
}

impl Seeking {
    /// Sets the bits of `slots`, for so many shelves, by a pass over all of them for each.
    fn mark(&mut self, slots: &[SubscriptionId], shelves: usize) {
        self.words.clear();
        self.words.resize(shelves.div_ceil(SHELVES_OF_WORD), 0);
        for slot in slots {
            let (word, bit) = (u64::from(slot.0 / u64::BITS), slot.0 % u64::BITS);
            for (at, own) in (0..).zip(&mut self.words) {
                *own |= (1 << bit) & equal(at, word);
            }
        }
    }

    fn piece(&self, shelf: u32) -> Piece {
        let shelf = shelf as usize;
        (self.words[shelf / SHELVES_OF_WORD] >> (shelf % SHELVES_OF_WORD * SHELF)) as Piece
    }
}

fn at(consumer: Place) -> usize {
    consumer.number() as usize
}

/// All bits set where `a` and `b` are equal, else none, without a branch.
#[inline(always)]
fn equal(a: u64, b: u64) -> u64 {
    let differ = a ^ b;
    ((differ | differ.wrapping_neg()) >> 63).wrapping_sub(1)
}

/// Sorts by steps that depend on the length alone, a power of two.
///
/// Source: the bitonic network of Batcher, AFIPS '68.
fn sort(items: &mut [u64]) {
    debug_assert!(items.len().is_power_of_two());
    let mut run = 2;
    while run <= items.len() {
        let mut step = run / 2;
        while step > 0 {
            for low in (0..items.len()).filter(|at| at & step == 0) {
                let high = low | step;
                let (a, b) = (items[low], items[high]);
                let [least, most] = [a.min(b), a.max(b)];
                let falls = low & run != 0;
                (items[low], items[high]) = if falls { (most, least) } else { (least, most) };
            }
            step /= 2;
        }
        run *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Place = Place::FIRST;

    fn two() -> Place {
        Place::from_number(1)
    }

    /// Whose these numbers are, as pairs of consumer and id.
    fn found(shelves: &Shelves, numbers: &[u32]) -> Vec<(u32, u64)> {
        let slots: Vec<_> = numbers
            .iter()
            .map(|number| SubscriptionId(*number))
            .collect();
        let mut rows = Vec::new();
        shelves.find(&slots, &mut Seeking::default(), &mut rows);
        rows.iter()
            .map(|row| (row.consumer.number(), row.id))
            .collect()
    }

    #[test]
    fn what_is_found_comes_by_consumer_and_id_and_empty_slots_count_for_nothing() {
        let mut shelves = Shelves::default();
        let of_two: Vec<_> = (0..40).map(|id| shelves.put(two(), 1000 - id).0).collect();
        let of_one: Vec<_> = (0..3).map(|id| shelves.put(ONE, id ^ 1).0).collect();

        let slots = [
            of_two[39],
            of_one[0],
            u32::MAX,
            of_two[0],
            of_one[1],
            of_two[16],
        ];
        let all: Vec<u32> = [of_one.clone(), of_two.clone()].concat();

        assert_eq!(
            found(&shelves, &slots),
            [(0, 0), (0, 1), (1, 961), (1, 984), (1, 1000)]
        );
        assert_eq!(found(&shelves, &all).len(), 43);
        assert!(found(&shelves, &all).is_sorted());
        assert_eq!(found(&shelves, &[u32::MAX; 9]), []);
        assert_eq!(found(&Shelves::default(), &[3]), []);
    }

    #[test]
    fn a_shelf_belongs_to_one_consumer_until_it_is_empty() {
        let mut shelves = Shelves::default();
        let first = shelves.put(ONE, 1);
        let second = shelves.put(ONE, 2);
        let other = shelves.put(two(), 1);
        assert_eq!(first.0 / SHELF as u32, second.0 / SHELF as u32);
        assert_ne!(first.0 / SHELF as u32, other.0 / SHELF as u32);

        shelves.take(ONE, first);
        assert_eq!((shelves.count(), shelves.count_of(ONE)), (2, 1));
        assert_eq!(shelves.put(ONE, 3), first);
        shelves.take(ONE, first);
        shelves.take(ONE, second);

        assert_eq!((shelves.count(), shelves.count_of(ONE)), (1, 0));
        let next = shelves.put(two(), 2);
        assert_eq!(next.0 / SHELF as u32, other.0 / SHELF as u32);
        for id in 3..=17 {
            shelves.put(two(), id);
        }
        assert_eq!((shelves.count(), shelves.count_of(two())), (2, 2));
        assert_eq!(found(&shelves, &[0, 1, 2]), [(1, 17)]);
    }

    #[test]
    fn the_network_sorts() {
        for length in [1_u64, 2, 4, 64, 256] {
            let mut items: Vec<u64> = (0..length)
                .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7)
                .collect();
            let mut expected = items.clone();
            expected.sort_unstable();

            sort(&mut items);

            assert_eq!(items, expected);
        }
    }
}
