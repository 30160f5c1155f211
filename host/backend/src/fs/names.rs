//! Names that a put or delete is under way for.
//!
//! Invariant: of a name, one at most is under way, whichever way its fragment is kept; the name is held until the work has ended, also
//! when nobody waits for its answer any more.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::FragmentName;

/// So many names are held apart; with more calls under way than that, some wait for another name.
const STRIPES: usize = 1024;

/// Locks, by the hash of a name.
#[derive(Debug)]
pub(super) struct Names {
    stripes: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

/// A name for which nothing else is under way.
#[derive(Debug)]
pub(super) struct Held {
    name: FragmentName,
    _stripe: OwnedMutexGuard<()>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Waits until nothing is under way for `name`.
    pub(super) async fn hold(&self, name: &FragmentName) -> Held {
        let stripe = self.hasher.hash_one(name) as usize % STRIPES;
        Held {
            name: name.clone(),
            _stripe: self.stripes[stripe].clone().lock_owned().await,
        }
    }
}

impl Held {
    pub(super) fn name(&self) -> &FragmentName {
        &self.name
    }
}
