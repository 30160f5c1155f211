//! Rows that share up to [`COLUMNS_MAX`] columns, on pages under one tree.
//!
//! Invariant: tree and zones know every page. A header whose key is below the zone of a page misses it,
//! and one that reaches the zone's end need not look at the column. A page may have fewer columns than
//! its group: its rows have no bound on the others.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::SubscriptionId;
use super::column::{Bound, Column};
use super::exact::{Exact, Probe};
use super::homes::{Home, Laying};
use super::kernel::Lanes;
use super::matches::Found;
use super::page::{COLUMNS_MAX, DISSOLVE_ROWS, Form, Page};
use super::planes::PLANES_ROWS;
use super::rows::Placed;
use super::sieve::{Dictionary, Sighted};
use super::tree::Tree;
use super::zones::{Visit, Zones};

/// Fewer rows take less memory on planes.
const SIEVE_ROWS_MIN: usize = 64;

/// With so many pages it builds no more sieves: planes take less memory, and less time to be built.
const BYTES_MAX: usize = 192;

/// A row to be laid.
pub(super) struct NewRow<'r> {
    pub(super) id: SubscriptionId,
    pub(super) bounds: &'r [Bound],
    pub(super) exact: Option<Arc<Exact>>,
}

/// What scanning takes; reuse it.
#[derive(Clone, Default)]
pub(super) struct Scanning {
    visits: Vec<Visit>,
    sighted: Box<Sighted>,
}

/// Rows on pages.
#[derive(Clone)]
pub(super) struct Group {
    is_sieved: bool,
    /// What its sieves are written by, those of them that it serves.
    dictionary: Option<Arc<Dictionary>>,
    columns: Vec<Column>,
    /// By column, the least and the greatest bound that a row ever had there.
    spreads: Vec<(u64, u64)>,
    pages: Vec<Arc<Page>>,
    /// The numbers of the pages among all homes.
    numbers: Vec<u32>,
    zones: Zones,
    tree: Tree,
}

impl Group {
    /// A group of one row, on sieves or on planes.
    pub(super) fn new(
        is_sieved: bool,
        row: &NewRow<'_>,
        laying: &mut Laying<'_>,
        home: Home,
    ) -> (Self, u32) {
        let mut group = Self {
            is_sieved,
            dictionary: None,
            columns: row.bounds.iter().map(|bound| bound.column).collect(),
            spreads: row
                .bounds
                .iter()
                .map(|own| (own.least, own.least))
                .collect(),
            pages: Vec::new(),
            numbers: Vec::new(),
            zones: Zones::new(row.bounds.len()),
            tree: Tree::new(),
        };
        laying.rows.begin(group.columns.len());
        let placed = row.bounds.iter().zip(0..).map(|(bound, column)| Placed {
            column,
            least: bound.least,
        });
        laying.rows.push(row.id, placed, row.exact.clone());
        group.add_page(laying, 0..1, home);
        let number = group.numbers[0];
        (group, number)
    }

    /// How a page of so many rows is built.
    fn form(&self, rows: usize) -> Form {
        let pages = self.pages.len();
        // What was a sieve may have more rows than planes.
        let are_too_many = pages >= BYTES_MAX && rows <= PLANES_ROWS;
        match self.is_sieved && rows >= SIEVE_ROWS_MIN && !are_too_many {
            false => Form::Planes,
            true if pages < self.bitmaps_max() => Form::Bits,
            true => Form::Bytes,
        }
    }

    /// With so many pages it builds no more bitmaps: what a header meets of them is beyond the caches then,
    /// and blocks leave out more rows. The more columns, the more kinds of rows are on a page, and the
    /// later that is.
    fn bitmaps_max(&self) -> usize {
        (self.columns.len().pow(2) / 24).clamp(6, 64)
    }

    /// Whether a row with these bounds can be laid here.
    pub(super) fn takes(&self, bounds: &[Bound]) -> bool {
        let new = bounds.iter().filter(|b| !self.columns.contains(&b.column));
        self.columns.len() + new.count() <= COLUMNS_MAX
    }

    /// How many columns it has that these bounds are not on, and how many it would get.
    pub(super) fn misfit(&self, bounds: &[Bound]) -> usize {
        let shared = bounds.iter().filter(|b| self.columns.contains(&b.column));
        self.columns.len() + bounds.len() - 2 * shared.count()
    }

    /// Lays a row, which it takes; returns the number of its page.
    pub(super) fn insert(&mut self, row: &NewRow<'_>, laying: &mut Laying<'_>, home: Home) -> u32 {
        let mut placed = [Placed {
            column: 0,
            least: 0,
        }; COLUMNS_MAX];
        let placed = self.place(row.bounds, &mut placed);
        self.lay(row.id, placed, row.exact.as_ref(), laying, home)
    }

    fn lay(
        &mut self,
        id: SubscriptionId,
        bounds: &[Placed],
        exact: Option<&Arc<Exact>>,
        laying: &mut Laying<'_>,
        home: Home,
    ) -> u32 {
        for Placed { column, least } in bounds {
            let (low, high) = &mut self.spreads[usize::from(*column)];
            (*low, *high) = ((*low).min(*least), (*high).max(*least));
        }
        let slot = self.tree.find(bounds);
        // Planes of few rows become a sieve once they are enough, bitmaps bytes once pages are many.
        let page = &self.pages[slot];
        let has_its_form = match (page.form(), self.form(page.live().min(PLANES_ROWS))) {
            // What is there already serves well enough until it has to be built again.
            (Form::Bytes, _) | (Form::Planes, Form::Bytes) => true,
            (own, best) => own == best,
        };
        let page = &mut self.pages[slot];
        // What readers share is not copied to find that it is full.
        if has_its_form && !page.is_full() && Arc::make_mut(page).append(id, bounds, exact).is_ok()
        {
            self.zones.widen(slot, bounds);
            return self.numbers[slot];
        }
        laying.rows.begin(self.columns.len());
        page.drain_into(laying.rows);
        laying.rows.push(id, bounds.iter().copied(), exact.cloned());
        let form = self.form(laying.rows.len().min(PLANES_ROWS));
        if !form.is_crowded(laying.rows) {
            self.set_page(slot, laying, 0..laying.rows.len());
            return self.numbers[slot];
        }
        self.split(slot, id, laying, home)
    }

    /// Bounds on the columns of this group, of which it may get more, in their order.
    fn place<'r>(&mut self, bounds: &[Bound], room: &'r mut [Placed; COLUMNS_MAX]) -> &'r [Placed] {
        for (placed, bound) in room.iter_mut().zip(bounds) {
            let known = self.columns.iter().position(|own| *own == bound.column);
            let column = known.unwrap_or_else(|| self.add_column(bound.column));
            *placed = Placed {
                column: column as u8,
                least: bound.least,
            };
        }
        let placed = &mut room[..bounds.len()];
        placed.sort_unstable_by_key(|placed| placed.column);
        placed
    }

    fn add_column(&mut self, column: Column) -> usize {
        self.columns.push(column);
        self.spreads.push((u64::MAX, 0));
        self.zones.add_column();
        self.columns.len() - 1
    }

    /// Parts the rows of the page at `slot`, which lie in `laying`, onto it and a new one; returns
    /// the number of the page where `id` came to lie.
    fn split(
        &mut self,
        slot: usize,
        id: SubscriptionId,
        laying: &mut Laying<'_>,
        home: Home,
    ) -> u32 {
        let widths = self.spreads.iter();
        let widths: Vec<u64> = widths
            .map(|(low, high)| high.saturating_sub(*low))
            .collect();
        let (cut, second) = match laying.rows.part(&widths) {
            Some((cut, second)) => (Some(cut), second),
            // Equal rows cannot be told apart: the new one begins a page.
            None => (None, laying.rows.len() - 1),
        };
        let end = laying.rows.len();
        self.set_page(slot, laying, 0..second);
        self.tree.split(slot, cut);
        let number = self.add_page(laying, second..end, home);
        let from = self.numbers[slot];
        let mut own = from;
        for row in second..end {
            let moved = laying.rows.id(row);
            laying.places.moved(moved, from, number);
            if moved == id {
                own = number;
            }
        }
        own
    }

    /// Builds a page for rows in `laying`; the tree knows it already. Returns its number.
    fn add_page(
        &mut self,
        laying: &mut Laying<'_>,
        range: core::ops::Range<usize>,
        home: Home,
    ) -> u32 {
        let slot = self.pages.len();
        let number = laying.homes.insert(Home {
            slot: slot as u32,
            ..home
        });
        self.numbers.push(number);
        let page = self.build(laying, range.clone());
        self.pages.push(Arc::new(page));
        self.zones.push();
        self.zones.set(slot, &laying.rows.zones(range));
        number
    }

    fn build(&mut self, laying: &mut Laying<'_>, range: core::ops::Range<usize>) -> Page {
        let rows = &mut *laying.rows;
        let by_bytes = match self.form(range.len()) {
            Form::Planes => return Page::planes(rows, range),
            Form::Bits => false,
            Form::Bytes => true,
        };
        // The first page knows best how all rows are spread.
        let is_first = self.pages.len() <= 1 && range.start == 0;
        let known = self.dictionary.as_ref().filter(|_| !is_first);
        // Those that it was made for may have been few, or far from these.
        let is_blurred = |known: &&Arc<Dictionary>| by_bytes && known.blurs(rows, range.clone());
        let blurred = known.filter(is_blurred).is_some();
        let serving = known.filter(|_| !blurred).cloned();
        let page = serving.and_then(|own| Page::sieve(rows, range.clone(), &own, by_bytes));
        page.unwrap_or_else(|| {
            let old = self.dictionary.take_if(|_| !is_first);
            // When the first page is parted all rows are at hand, and later only some.
            let is_fine = by_bytes || range.len() < rows.len();
            let new = Dictionary::new(&self.columns, rows, old.as_deref(), is_fine, blurred);
            let new = Arc::new(new);
            let page = Page::sieve(rows, range, &new, by_bytes);
            self.dictionary = Some(new);
            page.expect("the dictionary was made for these rows")
        })
    }

    fn set_page(&mut self, slot: usize, laying: &mut Laying<'_>, range: core::ops::Range<usize>) {
        self.pages[slot] = Arc::new(self.build(laying, range.clone()));
        self.zones.set(slot, &laying.rows.zones(range));
    }

    /// The row of `id`, or one of them, on the page at `slot`.
    #[inline(always)]
    pub(super) fn find<L: Lanes>(&self, lanes: L, slot: usize, id: SubscriptionId) -> Option<u16> {
        self.pages[slot].find(lanes, id)
    }

    /// Removes a live row, and with it the page when that was its last row; returns what the row
    /// had.
    pub(super) fn remove(
        &mut self,
        slot: usize,
        row: u16,
        laying: &mut Laying<'_>,
        home: Home,
    ) -> (u64, Option<Arc<Exact>>) {
        let page = Arc::make_mut(&mut self.pages[slot]);
        let removed = page.remove(row);
        let (live, is_sparse) = (page.live(), page.is_sparse());
        if live == 0 || live < DISSOLVE_ROWS && self.pages.len() > 1 {
            self.dissolve(slot, laying, home);
        } else if is_sparse {
            laying.rows.begin(self.columns.len());
            self.pages[slot].drain_into(laying.rows);
            self.set_page(slot, laying, 0..live);
        }
        (removed.columns, removed.exact)
    }

    /// Gives the rows of a page to the others, and the page away.
    fn dissolve(&mut self, slot: usize, laying: &mut Laying<'_>, home: Home) {
        let mut rows = core::mem::take(laying.rows);
        rows.begin(self.columns.len());
        self.pages[slot].drain_into(&mut rows);
        let number = self.numbers[slot];
        self.remove_page(slot, laying);
        for row in 0..rows.len() {
            let id = rows.id(row);
            let to = self.lay(id, rows.bounds(row), rows.exact(row), laying, home);
            laying.places.moved(id, number, to);
        }
        *laying.rows = rows;
    }

    fn remove_page(&mut self, slot: usize, laying: &mut Laying<'_>) {
        let last = self.pages.len() - 1;
        if last > 0 {
            self.tree.remove(slot);
        }
        self.pages.swap_remove(slot);
        laying.homes.remove(self.numbers.swap_remove(slot));
        if let Some(moved) = self.numbers.get(slot) {
            laying.homes.get_mut(*moved).slot = slot as u32;
        }
        self.zones.swap_remove(slot);
    }

    /// Whether it has no page left.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The column at this place.
    pub(super) fn column(&self, place: usize) -> Column {
        self.columns[place]
    }

    /// Takes down that this group is the one at `place` of its partition now.
    pub(super) fn renumber(&self, place: u32, laying: &mut Laying<'_>) {
        for number in &self.numbers {
            laying.homes.get_mut(*number).group = place;
        }
    }

    /// Appends the rows that the header at hand satisfies.
    #[inline(always)]
    pub(super) fn scan<'p, L: Lanes, K>(
        &'p self,
        lanes: L,
        probe: Probe<'_, K>,
        scanning: &mut Scanning,
        found: &mut Found<'p>,
    ) {
        let Scanning { visits, sighted } = scanning;
        sighted.forget();
        let mut keys = [0; COLUMNS_MAX];
        for (key, column) in keys.iter_mut().zip(&self.columns) {
            *key = probe.keys.get(*column);
        }
        if !self.is_sieved
            && let [page] = &self.pages[..]
        {
            page.scan(lanes, sighted, &keys, probe, found);
            return;
        }
        visits.clear();
        // Sieves look at little more of a page than its zone.
        match self.is_sieved && self.pages.len() <= self.bitmaps_max() {
            true => visits.extend((0..self.pages.len() as u32).map(Visit::part)),
            false => self.zones.visit(lanes, &keys, visits),
        }
        for (at, visit) in visits.iter().enumerate() {
            // What is far away is asked for while something else is looked at: first where it is, then it.
            if let Some(after_next) = visits.get(at + 2) {
                lanes.prefetch(core::slice::from_ref(&**self.page(*after_next)));
            }
            if let Some(next) = visits.get(at + 1) {
                self.page(*next).prefetch(lanes);
            }
            match visit.is_whole {
                true => self.page(*visit).take_all(probe, found),
                false => self.page(*visit).scan(lanes, sighted, &keys, probe, found),
            }
        }
    }

    #[inline(always)]
    fn page(&self, visit: Visit) -> &Arc<Page> {
        &self.pages[visit.slot as usize]
    }
}
