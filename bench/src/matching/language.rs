//! Subscriptions as the peers of the index take them: for each attribute one interval of integers.
//!
//! Invariant: a header satisfies a subscription exactly when each demand holds for what [`Slots`] has of it.
//! An absent attribute is 0, a text one of the few integers below [`Number::KEY_MIN`], a number its order key.

use std::collections::HashMap;

use sc_matching::{Header, HeaderBlock, Number, Predicate, Subscription, Value, ValueRef};

/// What an engine cannot do, in words for the foot of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsupported(pub(crate) String);

impl Unsupported {
    pub(crate) fn because(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// The key of a text that no subscription names.
const OTHER_TEXT: u64 = 1;

/// An interval of keys of one attribute: `low..=low + width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) attribute: u16,
    pub(crate) low: u64,
    pub(crate) width: u64,
}

impl Demand {
    fn new(attribute: u16, low: u64, high: u64) -> Self {
        match high.checked_sub(low) {
            Some(width) => Self {
                attribute,
                low,
                width,
            },
            // No value has this key.
            None => Self {
                attribute,
                low: u64::MAX,
                width: 0,
            },
        }
    }

    pub(crate) fn high(&self) -> u64 {
        self.low + self.width
    }

    pub(crate) fn is_equality(&self) -> bool {
        self.width == 0
    }

    #[inline(always)]
    pub(crate) fn holds(&self, key: u64) -> bool {
        key.wrapping_sub(self.low) <= self.width
    }

    /// Whether each key that `other` admits is admitted here.
    #[inline]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.attribute == other.attribute && self.low <= other.low && other.high() <= self.high()
    }

    fn intersect(&self, other: &Self) -> Self {
        Self::new(
            self.attribute,
            self.low.max(other.low),
            self.high().min(other.high()),
        )
    }
}

/// The attributes and texts that subscriptions have named, numbered.
#[derive(Default)]
pub(crate) struct Language {
    attributes: HashMap<Box<str>, u16>,
    texts: HashMap<Box<str>, u64>,
}

impl Language {
    /// How many attributes are known.
    pub(crate) fn attributes(&self) -> usize {
        self.attributes.len()
    }

    /// Sets `demands` to one for each attribute that `subscription` names: equalities first, then in its order.
    ///
    /// # Errors
    /// It has a constraint that is no interval, or none at all.
    pub(crate) fn demands(
        &mut self,
        subscription: &Subscription,
        demands: &mut Vec<Demand>,
    ) -> Result<(), Unsupported> {
        demands.clear();
        for constraint in subscription.constraints() {
            let (low, high) = self.interval(constraint.predicate())?;
            let demand = Demand::new(self.attribute(constraint.name())?, low, high);
            match demands
                .iter_mut()
                .find(|own| own.attribute == demand.attribute)
            {
                Some(own) => *own = own.intersect(&demand),
                None => demands.push(demand),
            }
        }
        if demands.is_empty() {
            return Err(Unsupported::because("a subscription without constraints"));
        }
        demands.sort_by_key(|demand| !demand.is_equality());
        Ok(())
    }

    fn interval(&mut self, predicate: &Predicate) -> Result<(u64, u64), Unsupported> {
        let number = |value: &Value| match value {
            Value::Number(number) if number.has_own_key() => Ok(number.order_key()),
            Value::Number(_) => Err(Unsupported::because("an integer beyond 2^53")),
            Value::Text(_) => Err(Unsupported::because("texts have no order here")),
        };
        Ok(match predicate {
            Predicate::Equal(Value::Text(text)) => {
                let key = self.text(text);
                (key, key)
            }
            Predicate::Equal(value) => (number(value)?, number(value)?),
            Predicate::Less(value) => (Number::KEY_MIN, number(value)? - 1),
            Predicate::LessOrEqual(value) => (Number::KEY_MIN, number(value)?),
            Predicate::Greater(value) => (number(value)? + 1, Number::KEY_MAX),
            Predicate::GreaterOrEqual(value) => (number(value)?, Number::KEY_MAX),
            _ => return Err(Unsupported::because("a constraint that is no interval")),
        })
    }

    fn attribute(&mut self, name: &str) -> Result<u16, Unsupported> {
        if let Some(known) = self.attributes.get(name) {
            return Ok(*known);
        }
        let next = u16::try_from(self.attributes.len())
            .map_err(|_| Unsupported::because("more than 65,536 attributes"))?;
        self.attributes.insert(name.into(), next);
        Ok(next)
    }

    fn text(&mut self, text: &str) -> u64 {
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let next = OTHER_TEXT + 1 + self.texts.len() as u64;
        self.texts.insert(text.into(), next);
        next
    }

    /// The key of a value; a text that is not known has a key of its own.
    #[inline]
    pub(crate) fn key(&self, value: ValueRef<'_>) -> u64 {
        match value {
            ValueRef::Number(number) => number.order_key(),
            ValueRef::Text(text) => self.texts.get(text).copied().unwrap_or(OTHER_TEXT),
        }
    }

    /// The number of each name in a block's table.
    fn table(&self, block: &HeaderBlock<'_>) -> Vec<Option<u16>> {
        let names = block.names().iter();
        names
            .map(|name| self.attributes.get(*name).copied())
            .collect()
    }
}

/// The keys of one header, by number of the attribute.
pub(crate) struct Slots<'e> {
    language: &'e Language,
    table: Vec<Option<u16>>,
    keys: Vec<u64>,
}

impl<'e> Slots<'e> {
    pub(crate) fn new(language: &'e Language, block: &HeaderBlock<'_>) -> Self {
        Self {
            language,
            table: language.table(block),
            keys: vec![0; language.attributes()],
        }
    }

    /// Takes the values of `header` in place of those of another.
    #[inline]
    pub(crate) fn fill(&mut self, header: &Header<'_>) -> &[u64] {
        self.keys.fill(0);
        for (name, value) in header.attributes() {
            if let Some(attribute) = self.table[usize::from(name.0)] {
                self.keys[usize::from(attribute)] = self.language.key(*value);
            }
        }
        &self.keys
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sc_matching::ascii::{Line, Lines};

    use super::*;

    pub(crate) fn subscription(text: &str) -> Subscription {
        let line = format!("0 0 S {text}\n");
        match Lines::new(&line).next() {
            Some(Ok((_, Line::Subscription { subscription, .. }))) => subscription,
            other => panic!("{other:?}"),
        }
    }

    fn demands(text: &str) -> Result<Vec<Demand>, Unsupported> {
        let mut demands = Vec::new();
        Language::default().demands(&subscription(text), &mut demands)?;
        Ok(demands)
    }

    fn key(number: f64) -> u64 {
        Number::new(number).unwrap().order_key()
    }

    #[test]
    fn two_constraints_on_one_attribute_are_one_demand() {
        let demands = demands("i open >= 2 i open <= 5").unwrap();

        let [demand] = demands[..] else { panic!() };
        assert_eq!((demand.low, demand.high()), (key(2.0), key(5.0)));
    }

    #[test]
    fn equalities_come_first() {
        let demands = demands("i open >= 2 i symbol = 7").unwrap();

        assert_eq!((demands[0].low, demands[0].width), (key(7.0), 0));
    }

    #[test]
    fn strict_bounds_leave_the_bound_out() {
        let demands = demands("i a > 2 i b < 5").unwrap();

        assert!(!demands[0].holds(key(2.0)) && demands[0].holds(key(2.000_000_1)));
        assert!(!demands[1].holds(key(5.0)) && demands[1].holds(key(4.999_999_9)));
    }

    #[test]
    fn nothing_meets_a_contradiction_nor_does_an_absent_attribute_meet_anything() {
        let contradiction = demands("i a >= 3 i a <= 2").unwrap();
        let other = demands("i a <= 3 i b = 2 i c > 1").unwrap();

        assert!(
            [0, 1, key(2.0), key(3.0)]
                .iter()
                .all(|key| !contradiction[0].holds(*key))
        );
        assert!(other.iter().all(|demand| !demand.holds(0)));
    }

    #[test]
    fn a_text_meets_its_own_equality_alone() {
        let mut language = Language::default();
        let mut demands = Vec::new();
        language
            .demands(&subscription("i a = \"IBM\" i b <= 1"), &mut demands)
            .unwrap();

        let [ibm, other] = [
            language.key(ValueRef::Text("IBM")),
            language.key(ValueRef::Text("GOOG")),
        ];

        assert!(demands[0].holds(ibm) && !demands[0].holds(other));
        assert!(!demands[1].holds(ibm) && !demands[1].holds(other));
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for text in [
            "i a != 1",
            "i a ^= \"x\"",
            "i a in {1, 2}",
            "i a < \"x\"",
            "",
        ] {
            assert!(demands(text).is_err(), "{text}");
        }
    }
}
