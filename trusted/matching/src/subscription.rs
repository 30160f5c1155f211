//! Subscriptions: conjunctions of constraints, and what they mean.
//!
//! Invariant: a constraint on an attribute that is absent, or whose value is of another type than
//! the operand, is false, `!=` included. [`Subscription::matches`] is the reference that every
//! faster matcher must agree with.
//! Source: operators `=  <  <=  >  >=` from D4.2 §2.1; `!=  ^=  in  exists` are additions.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::binary;
use crate::bound::{CONSTRAINTS_MAX, IN_VALUES_MAX, ITEM_BYTES_MAX, LimitError};
use crate::name::Name;
use crate::publication::Publication;
use crate::value::{Text, Value, ValueRef};

/// What a constraint demands of the value of its attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Predicate {
    /// `= v`
    Equal(Value),
    /// `!= v`: a value of the type of `v`, but not `v`.
    NotEqual(Value),
    /// `< v`
    Less(Value),
    /// `<= v`
    LessOrEqual(Value),
    /// `> v`
    Greater(Value),
    /// `>= v`
    GreaterOrEqual(Value),
    /// `^= "text"`: a text that begins with the operand.
    Prefix(Text),
    /// `in {v, v, …}`: one of the values, which may be of both types.
    In(Box<[Value]>),
    /// `exists`: any value of any type.
    Exists,
}

impl Predicate {
    /// Whether `value` satisfies this predicate; false when the types differ.
    #[must_use]
    pub fn holds(&self, value: ValueRef<'_>) -> bool {
        let order = |operand: &Value| value.compare(operand.borrow());
        match self {
            Self::Equal(operand) => order(operand) == Some(Ordering::Equal),
            Self::NotEqual(operand) => order(operand).is_some_and(Ordering::is_ne),
            Self::Less(operand) => order(operand).is_some_and(Ordering::is_lt),
            Self::LessOrEqual(operand) => order(operand).is_some_and(Ordering::is_le),
            Self::Greater(operand) => order(operand).is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual(operand) => order(operand).is_some_and(Ordering::is_ge),
            Self::Prefix(prefix) => {
                matches!(value, ValueRef::Text(text) if text.starts_with(&**prefix))
            }
            Self::In(values) => values.iter().any(|own| *own == value),
            Self::Exists => true,
        }
    }
}

/// A predicate on the attribute of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constraint {
    name: Name,
    predicate: Predicate,
}

impl Constraint {
    /// Demands `predicate` of attribute `name`.
    ///
    /// # Errors
    /// [`LimitError::InValues`] when an `in` has no value or more than [`IN_VALUES_MAX`].
    pub fn new(name: Name, predicate: Predicate) -> Result<Self, LimitError> {
        if let Predicate::In(values) = &predicate
            && !(1..=IN_VALUES_MAX).contains(&values.len())
        {
            return Err(LimitError::InValues {
                count: values.len(),
            });
        }
        Ok(Self { name, predicate })
    }

    /// The attribute it looks at.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it demands.
    #[must_use]
    pub fn predicate(&self) -> &Predicate {
        &self.predicate
    }
}

/// A conjunction of constraints; the empty one matches every publication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subscription {
    constraints: Box<[Constraint]>,
}

impl Subscription {
    /// Joins `constraints`, of which several may look at one attribute, even in contradiction.
    ///
    /// # Errors
    /// [`LimitError::Constraints`] or [`LimitError::ItemBytes`].
    pub fn new(constraints: impl Into<Vec<Constraint>>) -> Result<Self, LimitError> {
        let constraints = constraints.into().into_boxed_slice();
        if constraints.len() > CONSTRAINTS_MAX {
            return Err(LimitError::Constraints);
        }
        if constraints
            .iter()
            .map(binary::constraint_len)
            .sum::<usize>()
            > ITEM_BYTES_MAX
        {
            return Err(LimitError::ItemBytes);
        }
        Ok(Self { constraints })
    }

    /// The constraints in the order in which they were given.
    #[must_use]
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Whether `publication` satisfies every constraint.
    ///
    /// This is the meaning of the language, not the way to match many subscriptions: that is
    /// [`crate::Index::matches`]. Cost: O(constraints x attributes).
    #[must_use]
    pub fn matches(&self, publication: &Publication) -> bool {
        let satisfied = |c: &Constraint| {
            publication
                .get(&c.name)
                .is_some_and(|value| c.predicate.holds(value))
        };
        self.constraints.iter().all(satisfied)
    }
}
