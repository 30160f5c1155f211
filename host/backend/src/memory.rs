//! Fragments in memory, with faults that a test injects.
//!
//! Every call first stands the faults that concern all calls, then does its work in one step under a lock.
//! Invariant: the same calls and faults in the same order give the same answers; nothing here draws or looks at a clock, but for a delay
//! that was asked for, which is the runtime's.

mod faults;

use std::ops::Range;

use bytes::Bytes;

pub use self::faults::Faults;
use crate::backend::{FRAGMENT_BYTES_MAX, LIST_MAX, Listed, Usage};
use crate::recoding::recode;
use crate::{Backend, BackendError, Description, FragmentName, LocationId, Reply};

/// A location that keeps fragments in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct Memory {
    description: Description,
    faults: Faults,
}

impl Memory {
    /// An empty location that is not durable, with an id of its own.
    #[must_use]
    pub fn new(id: LocationId) -> Self {
        Self::posing_as(Description {
            id,
            durable: false,
            computes: true,
        })
    }

    /// An empty location that answers to `description`, to stand for another kind in a simulation.
    #[must_use]
    pub fn posing_as(description: Description) -> Self {
        Self {
            description,
            faults: Faults::default(),
        }
    }

    /// The handle to inject faults by.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl Backend for Memory {
    fn describe<'a>(&'a self) -> Reply<'a, Description> {
        Box::pin(async move {
            drop(self.faults.stand().await?);
            Ok(self.description)
        })
    }

    fn put<'a>(&'a self, name: &'a FragmentName, body: Bytes) -> Reply<'a, ()> {
        Box::pin(async move {
            let bytes = body.len() as u64;
            if bytes > FRAGMENT_BYTES_MAX {
                return Err(BackendError::TooLarge { bytes });
            }
            let mut state = self.faults.stand().await?;
            state.store(name, body)
        })
    }

    fn get<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, Bytes> {
        Box::pin(async move {
            let state = self.faults.stand().await?;
            state.find(name).cloned()
        })
    }

    fn read<'a>(&'a self, name: &'a FragmentName, range: Range<u64>) -> Reply<'a, Bytes> {
        Box::pin(async move {
            let state = self.faults.stand().await?;
            crate::backend::slice(state.find(name)?, &range)
        })
    }

    fn recode<'a>(&'a self, name: &'a FragmentName, scalars: Bytes) -> Reply<'a, Bytes> {
        Box::pin(async move {
            let body = self.faults.stand().await?.find(name)?.clone();
            if !self.description.computes {
                return Err(BackendError::Unsupported("it does not recode".to_owned()));
            }
            recode(&body, &scalars)
        })
    }

    fn delete<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut state = self.faults.stand().await?;
            let there = state.remove(name).is_some();
            state.answer()?;
            Ok(there)
        })
    }

    fn list<'a>(&'a self, after: Option<&'a FragmentName>, limit: usize) -> Reply<'a, Vec<Listed>> {
        Box::pin(async move {
            let state = self.faults.stand().await?;
            let listed = state.above(after).map(|(name, body)| Listed {
                name: name.clone(),
                bytes: body.len() as u64,
            });
            Ok(listed.take(limit.min(LIST_MAX)).collect())
        })
    }

    fn usage<'a>(&'a self) -> Reply<'a, Usage> {
        Box::pin(async move { Ok(self.faults.stand().await?.usage()) })
    }
}
