//! Counts, for each subscription, the constraints that hold.
//!
//! Invariant: during a pass `left` says of each row how many of its constraints have not been met yet; it matches when
//! none is left.
//! Source: the counting algorithm of Yan and Garcia-Molina, TODS '94, with bounds in order for each attribute as in
//! Fabret et al., SIGMOD '01.

use std::collections::HashMap;

use sc_matching::{Number, Subscription};

use super::ordered::Ordered;
use crate::matching::engine::{Engine, Pass, Publications};
use crate::matching::language::{Demand, Language, Slots, Unsupported};

#[derive(Default)]
pub(crate) struct Counting {
    language: Language,
    attributes: Vec<Attribute>,
    /// Constraints of each row; 255 for a row that is free.
    needed: Vec<u8>,
    ids: Vec<u32>,
    demands: Vec<Box<[Demand]>>,
    free: Vec<u32>,
    /// The row of each id. Ids are dense here; elsewhere this would be a hash table.
    places: Vec<Option<u32>>,
    scratch: Vec<Demand>,
}

/// The constraints on one attribute.
#[derive(Default)]
struct Attribute {
    equalities: HashMap<u64, Vec<u32>>,
    lows: Ordered,
    highs: Ordered,
}

/// Rows that are free need more than they can get.
const FREE: u8 = u8::MAX;

/// The one or two constraints of a demand.
struct Parts {
    equality: Option<u64>,
    low: Option<u64>,
    high: Option<u64>,
}

impl Parts {
    fn of(demand: &Demand) -> Self {
        if demand.is_equality() {
            return Self {
                equality: Some(demand.low),
                low: None,
                high: None,
            };
        }
        // Only a number looks at the upper bounds, so that a demand may do without the lower one.
        let low = (demand.low > Number::KEY_MIN).then_some(demand.low);
        let high = (demand.high() < Number::KEY_MAX || low.is_none()).then_some(demand.high());
        Self {
            equality: None,
            low,
            high,
        }
    }

    fn count(&self) -> usize {
        [self.equality, self.low, self.high]
            .iter()
            .flatten()
            .count()
    }
}

impl Counting {
    fn take_row(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.needed.push(FREE);
            self.ids.push(0);
            self.demands.push(Box::default());
            self.needed.len() as u32 - 1
        })
    }
}

impl Engine for Counting {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        let mut demands = std::mem::take(&mut self.scratch);
        self.language.demands(subscription, &mut demands)?;
        let needed: usize = demands.iter().map(|demand| Parts::of(demand).count()).sum();
        if needed >= usize::from(FREE) {
            return Err(Unsupported::because("a subscription of many constraints"));
        }
        self.attributes
            .resize_with(self.language.attributes(), Attribute::default);
        let row = self.take_row();
        for demand in &demands {
            let attribute = &mut self.attributes[usize::from(demand.attribute)];
            let parts = Parts::of(demand);
            if let Some(key) = parts.equality {
                attribute.equalities.entry(key).or_default().push(row);
            }
            if let Some(low) = parts.low {
                attribute.lows.insert(low, row);
            }
            if let Some(high) = parts.high {
                attribute.highs.insert(high, row);
            }
        }
        let at = row as usize;
        self.needed[at] = needed as u8;
        self.ids[at] = id;
        self.demands[at] = demands[..].into();
        self.scratch = demands;
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, None);
        }
        self.places[id as usize] = Some(row);
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        let place = self.places.get_mut(id as usize).and_then(Option::take);
        let Some(row) = place else {
            return Ok(false);
        };
        for demand in std::mem::take(&mut self.demands[row as usize]) {
            let attribute = &mut self.attributes[usize::from(demand.attribute)];
            let parts = Parts::of(&demand);
            if let Some(rows) = parts
                .equality
                .and_then(|key| attribute.equalities.get_mut(&key))
                && let Some(at) = rows.iter().position(|own| *own == row)
            {
                rows.swap_remove(at);
            }
            if let Some(low) = parts.low {
                attribute.lows.remove(low, row);
            }
            if let Some(high) = parts.high {
                attribute.highs.remove(high, row);
            }
        }
        self.needed[row as usize] = FREE;
        self.free.push(row);
        Ok(true)
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Count {
            publications,
            slots: Slots::new(&self.language, &publications.block),
            engine: self,
            left: self.needed.clone(),
        }))
    }
}

struct Count<'e> {
    publications: &'e Publications<'e>,
    slots: Slots<'e>,
    engine: &'e Counting,
    left: Vec<u8>,
}

impl Pass for Count<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let keys = self.slots.fill(&self.publications.headers[at]);
        self.left.copy_from_slice(&self.engine.needed);
        for (attribute, key) in self.engine.attributes.iter().zip(keys) {
            if *key == 0 {
                continue;
            }
            let mut met = |rows: &[u32]| {
                for row in rows {
                    let left = &mut self.left[*row as usize];
                    *left -= 1;
                    if *left == 0 {
                        ids.push(self.engine.ids[*row as usize]);
                    }
                }
            };
            if let Some(rows) = attribute.equalities.get(key) {
                met(rows);
            }
            attribute.lows.up_to(*key).for_each(&mut met);
            if *key >= Number::KEY_MIN {
                attribute.highs.from(*key).for_each(&mut met);
            }
        }
    }
}
