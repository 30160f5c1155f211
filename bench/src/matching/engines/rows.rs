//! Subscriptions as rows of demands, sorted into classes by how many they have.
//!
//! Invariant: all rows of a class have as many demands as it has columns, without gaps; a row that goes leaves its place
//! to the last one.

use crate::matching::language::Demand;

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) class: u32,
    pub(super) row: u32,
}

/// Rows by id. Ids are dense here, so the way to a row is an array; elsewhere it would be a hash table.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) classes: Vec<Class>,
    places: Vec<Option<Place>>,
}

/// Rows with the same number of demands.
#[derive(Default)]
pub(super) struct Class {
    pub(super) ids: Vec<u32>,
    pub(super) columns: Vec<Column>,
}

/// The n-th demands of the rows of a class.
#[derive(Default)]
pub(super) struct Column {
    attributes: Vec<u16>,
    lows: Vec<u64>,
    widths: Vec<u64>,
}

impl Rows {
    /// Adds a row with one demand or more.
    pub(super) fn insert(&mut self, id: u32, demands: &[Demand]) -> Place {
        if self.classes.len() < demands.len() {
            self.classes.resize_with(demands.len(), Class::default);
        }
        let class = &mut self.classes[demands.len() - 1];
        if class.columns.is_empty() {
            class.columns.resize_with(demands.len(), Column::default);
        }
        for (column, demand) in class.columns.iter_mut().zip(demands) {
            column.attributes.push(demand.attribute);
            column.lows.push(demand.low);
            column.widths.push(demand.width);
        }
        class.ids.push(id);
        let place = Place {
            class: demands.len() as u32 - 1,
            row: class.ids.len() as u32 - 1,
        };
        self.set_place(id, place);
        place
    }

    fn set_place(&mut self, id: u32, place: Place) {
        let id = id as usize;
        if self.places.len() <= id {
            self.places.resize(id + 1, None);
        }
        self.places[id] = Some(place);
    }

    /// Removes a row and tells where it was; the last one of its class is there now.
    pub(super) fn remove(&mut self, id: u32) -> Option<Place> {
        let place = self.places.get_mut(id as usize)?.take()?;
        let row = place.row as usize;
        let class = &mut self.classes[place.class as usize];
        class.ids.swap_remove(row);
        for column in &mut class.columns {
            column.attributes.swap_remove(row);
            column.lows.swap_remove(row);
            column.widths.swap_remove(row);
        }
        if let Some(moved) = class.ids.get(row) {
            self.places[*moved as usize] = Some(place);
        }
        Some(place)
    }
}

impl Class {
    /// Whether every demand of a row holds.
    #[inline(always)]
    pub(super) fn holds(&self, row: usize, keys: &[u64]) -> bool {
        self.columns.iter().all(|column| column.holds(row, keys))
    }

    /// Adds the ids of the rows whose demands all hold.
    #[inline]
    pub(super) fn scan(&self, keys: &[u64], ids: &mut Vec<u32>) {
        let Some((first, others)) = self.columns.split_first() else {
            return;
        };
        let bounds = first.lows.iter().zip(&first.widths);
        let rows = first.attributes.iter().zip(bounds).enumerate();
        for (row, (attribute, (low, width))) in rows {
            if keys[usize::from(*attribute)].wrapping_sub(*low) <= *width
                && others.iter().all(|column| column.holds(row, keys))
            {
                ids.push(self.ids[row]);
            }
        }
    }
}

impl Column {
    #[inline(always)]
    fn holds(&self, row: usize, keys: &[u64]) -> bool {
        let key = keys[usize::from(self.attributes[row])];
        key.wrapping_sub(self.lows[row]) <= self.widths[row]
    }
}
