//! Publications: attributes with values.
//!
//! Invariant: no name occurs twice, and the counts and lengths of [`crate::bound`] hold. Order is
//! kept, so that a line prints as it was read; it has no meaning.
//! Source: D4.2 §2.1.

use alloc::vec::Vec;

use crate::binary;
use crate::bound::{ATTRIBUTES_MAX, ITEM_BYTES_MAX, LimitError};
use crate::name::Name;
use crate::value::{Value, ValueRef};

/// The header of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    attributes: Vec<(Name, Value)>,
    encoded_len: usize,
}

impl Publication {
    /// A publication without attributes; it satisfies the empty subscription alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute at the end. Cost: O(attributes).
    ///
    /// # Errors
    /// [`LimitError::NameTwice`], [`LimitError::Attributes`] or [`LimitError::ItemBytes`]; the
    /// publication stays as it was.
    pub fn push(&mut self, name: Name, value: Value) -> Result<(), LimitError> {
        if self.attributes.len() == ATTRIBUTES_MAX {
            return Err(LimitError::Attributes);
        }
        if self.get(&name).is_some() {
            return Err(LimitError::NameTwice);
        }
        let encoded_len =
            self.encoded_len + binary::name_len(&name) + binary::value_len(value.borrow());
        if encoded_len > ITEM_BYTES_MAX {
            return Err(LimitError::ItemBytes);
        }
        self.attributes.push((name, value));
        self.encoded_len = encoded_len;
        Ok(())
    }

    /// The attributes in the order in which they were given.
    #[must_use]
    pub fn attributes(&self) -> &[(Name, Value)] {
        &self.attributes
    }

    /// The value of attribute `name`, if it is there. Cost: O(attributes).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        let found = self.attributes.iter().find(|(own, _)| own.as_str() == name);
        found.map(|(_, value)| value.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn name(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    #[test]
    fn a_name_twice_is_refused_and_changes_nothing() {
        let mut publication = Publication::new();
        publication.push(name("open"), 1.into()).unwrap();
        let before = publication.clone();

        let again = publication.push(name("open"), 2.into());

        assert_eq!(again, Err(LimitError::NameTwice));
        assert_eq!(publication, before);
    }

    #[test]
    fn the_256th_attribute_is_refused() {
        let mut publication = Publication::new();
        for n in 0..ATTRIBUTES_MAX {
            publication.push(name(&format!("a{n}")), 0.into()).unwrap();
        }

        assert_eq!(
            publication.push(name("last"), 0.into()),
            Err(LimitError::Attributes)
        );
    }

    #[test]
    fn the_lengths_together_are_bounded() {
        let text = Value::try_from("x".repeat(65_000).as_str()).unwrap();
        let mut publication = Publication::new();
        publication.push(name("a"), text.clone()).unwrap();
        publication.push(name("b"), text.clone()).unwrap();

        assert_eq!(
            publication.push(name("c"), text),
            Err(LimitError::ItemBytes)
        );
        assert_eq!(publication.push(name("c"), 1.into()), Ok(()));
    }
}
