//! The crate `a-tree`, an expression tree that shares its parts.
//!
//! Invariant: each attribute has the type that all its values in the sample's publications have. Events are made outside
//! the clock.
//! Source: A-Tree, Ji and Jacobsen, SIGMOD '21; crate a-tree.

use std::fmt::Write as _;

use a_tree::{ATree, AttributeDefinition, Event, EventError};
use sc_matching::{Constraint, Predicate, Publication, Subscription, Value};

use crate::matching::engine::{Engine, Pass, Publications, Sample};
use crate::matching::language::Unsupported;

/// Decimals that every number with a part behind the point has here.
const SCALE: u32 = 2;

pub(crate) struct Tree {
    tree: ATree<u32>,
    /// Attributes in the order of the definitions.
    attributes: Vec<(String, Kind)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Decimal,
    Text,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Text(_) => Self::Text,
            Value::Number(number) if number.floor_to_double().fract() == 0.0 => Self::Integer,
            Value::Number(_) => Self::Decimal,
        }
    }

    /// The kind that has the values of both.
    fn join(self, other: Self) -> Result<Self, Unsupported> {
        match (self, other) {
            (Self::Text, Self::Text) => Ok(Self::Text),
            (Self::Integer, Self::Integer) => Ok(Self::Integer),
            (Self::Text, _) | (_, Self::Text) => Err(Unsupported::because(
                "an attribute with numbers and with texts",
            )),
            _ => Ok(Self::Decimal),
        }
    }

    fn definition(self, name: &str) -> AttributeDefinition {
        match self {
            Self::Integer => AttributeDefinition::integer(name),
            Self::Decimal => AttributeDefinition::float(name),
            Self::Text => AttributeDefinition::string(name),
        }
    }
}

impl Tree {
    /// Defines the attributes of the sample's publications.
    pub(crate) fn new(sample: &Sample<'_>) -> Result<Self, Unsupported> {
        let mut attributes: Vec<(String, Kind)> = Vec::new();
        for (name, value) in sample.publications.iter().flat_map(|own| own.attributes()) {
            let kind = Kind::of(value);
            match attributes.iter_mut().find(|(own, _)| own == name.as_str()) {
                Some((_, own)) => *own = own.join(kind)?,
                None => attributes.push((name.as_str().to_owned(), kind)),
            }
        }
        let definitions = attributes.iter().map(|(name, kind)| kind.definition(name));
        let tree = ATree::new(&definitions.collect::<Vec<_>>())
            .map_err(|error| Unsupported(error.to_string()))?;
        Ok(Self { tree, attributes })
    }

    fn kind(&self, name: &str) -> Result<Kind, Unsupported> {
        let found = self.attributes.iter().find(|(own, _)| own == name);
        found
            .map(|(_, kind)| *kind)
            .ok_or_else(|| Unsupported::because("an attribute that is not defined"))
    }

    /// A constraint in the crate's own language.
    fn write(&self, constraint: &Constraint, text: &mut String) -> Result<(), Unsupported> {
        let (operator, value) = match constraint.predicate() {
            Predicate::Equal(value) => ("=", value),
            Predicate::NotEqual(value) => ("<>", value),
            Predicate::Less(value) => ("<", value),
            Predicate::LessOrEqual(value) => ("<=", value),
            Predicate::Greater(value) => (">", value),
            Predicate::GreaterOrEqual(value) => (">=", value),
            _ => return Err(Unsupported::because("a constraint that it has no word for")),
        };
        let name = constraint.name().as_str();
        if !text.is_empty() {
            text.push_str(" and ");
        }
        // Writing to a string cannot fail.
        let _ = match (self.kind(name)?, value) {
            (Kind::Text, Value::Text(value)) => write!(text, "{name} {operator} \"{}\"", &**value),
            (Kind::Integer, Value::Number(value)) => {
                write!(text, "{name} {operator} {:.0}", value.floor_to_double())
            }
            (Kind::Decimal, Value::Number(value)) => {
                write!(text, "{name} {operator} {:.2}", value.floor_to_double())
            }
            _ => {
                return Err(Unsupported::because(
                    "a constraint of another type than its attribute",
                ));
            }
        };
        Ok(())
    }

    fn event(&self, publication: &Publication) -> Result<Event, EventError> {
        let mut builder = self.tree.make_event();
        for ((name, kind), (_, value)) in self.attributes.iter().zip(publication.attributes()) {
            match (kind, value) {
                (Kind::Text, Value::Text(text)) => builder.with_string(name, text)?,
                (Kind::Integer, Value::Number(number)) => {
                    builder.with_integer(name, number.floor_to_double() as i64)?;
                }
                (_, Value::Number(number)) => {
                    let scaled = (number.floor_to_double() * f64::from(10_u32.pow(SCALE))).round();
                    builder.with_float(name, scaled as i64, SCALE)?;
                }
                (_, Value::Text(_)) => builder.with_undefined(name)?,
            }
        }
        builder.build()
    }
}

impl Engine for Tree {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        let mut text = String::new();
        for constraint in subscription.constraints() {
            self.write(constraint, &mut text)?;
        }
        let inserted = self.tree.insert(&id, &text);
        inserted.map_err(|error| Unsupported(error.to_string()))
    }

    /// Refuses: a search after `delete` panics in this version of the crate.
    fn remove(&mut self, _: u32) -> Result<bool, Unsupported> {
        Err(Unsupported::because("a search after a removal panics"))
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        let events = publications.list.iter().map(|own| self.event(own));
        let events: Result<_, _> = events.collect();
        Ok(Box::new(Searching {
            tree: &self.tree,
            events: events.map_err(|error| Unsupported(error.to_string()))?,
        }))
    }
}

struct Searching<'e> {
    tree: &'e ATree<u32>,
    events: Vec<Event>,
}

impl Pass for Searching<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let report = self.tree.search(&self.events[at]);
        let report = report.expect("it was made for this tree");
        ids.extend(report.matches().iter().copied());
    }
}
