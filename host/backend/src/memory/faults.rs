//! What goes wrong in a [`Memory`](super::Memory), and what it holds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::{BackendError, FragmentName, Usage};

/// The handle by which a test injects faults into a [`Memory`](super::Memory); clones act on the same one.
///
/// Each fault holds until it is taken back or used up. What a call does is decided when it takes effect, after its delay.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    /// Wakes the calls that hang, in the order in which they came.
    released: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    fragments: BTreeMap<FragmentName, Bytes>,
    bytes: u64,
    /// Counts crashes; a call that began in another life fails.
    life: u64,
    down: bool,
    hanging: bool,
    delay: Duration,
    failing: u64,
    unanswered: u64,
    /// How many more bytes are written before a put is torn.
    torn_after: Option<u64>,
    capacity: Option<u64>,
}

impl Faults {
    /// While down, every call fails as unavailable, also one that had begun before.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// While it hangs, calls that begin or are in front of their delay pend.
    pub fn set_hanging(&self, hanging: bool) {
        self.state().hanging = hanging;
        if !hanging {
            self.released.notify_waiters();
        }
    }

    /// How long each call that begins from now on takes, in the runtime's time.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// The next `puts` puts fail as unavailable and leave nothing.
    pub fn fail_puts(&self, puts: u64) {
        self.state().failing = puts;
    }

    /// The next `calls` puts or deletes take effect, and fail as unavailable all the same.
    pub fn leave_unanswered(&self, calls: u64) {
        self.state().unanswered = calls;
    }

    /// After `bytes` more bytes of bodies the put that comes to write the next one is torn: it fails and leaves nothing. Once.
    pub fn tear_after(&self, bytes: u64) {
        self.state().torn_after = Some(bytes);
    }

    /// How many bytes of fragments there is room for; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Flips one bit of the byte `at` of a fragment; `false` if there is no such byte.
    pub fn corrupt(&self, name: &FragmentName, at: usize) -> bool {
        self.alter(name, |body| {
            let mut altered = BytesMut::from(&body[..]);
            *altered.get_mut(at)? ^= 1;
            Some(altered.freeze())
        })
    }

    /// Cuts a fragment to `length` bytes; `false` if it is not there or has no more than that.
    pub fn truncate(&self, name: &FragmentName, length: usize) -> bool {
        self.alter(name, |body| {
            (length < body.len()).then(|| body.slice(..length))
        })
    }

    /// Swaps the bodies of two fragments; `false` if one of them is not there.
    pub fn swap(&self, one: &FragmentName, other: &FragmentName) -> bool {
        let mut state = self.state();
        let bodies = (
            state.fragments.get(one).cloned(),
            state.fragments.get(other).cloned(),
        );
        let (Some(first), Some(second)) = bodies else {
            return false;
        };
        state.fragments.insert(one.clone(), second);
        state.fragments.insert(other.clone(), first);
        true
    }

    /// Loses a fragment without a word; `false` if it is not there.
    pub fn lose(&self, name: &FragmentName) -> bool {
        self.state().remove(name).is_some()
    }

    /// Loses all fragments without a word.
    pub fn lose_all(&self) {
        let mut state = self.state();
        state.fragments.clear();
        state.bytes = 0;
    }

    /// Ends the process that the location would be, and starts it again: calls under way fail as unavailable and do nothing, what was
    /// acknowledged stays. The faults stay as well.
    pub fn crash(&self) {
        self.state().life += 1;
    }

    /// What lies under a name, whatever the faults say.
    #[must_use]
    pub fn stored(&self, name: &FragmentName) -> Option<Bytes> {
        self.state().fragments.get(name).cloned()
    }

    /// The names of all that lies there, ascending, whatever the faults say.
    #[must_use]
    pub fn names(&self) -> Vec<FragmentName> {
        self.state().fragments.keys().cloned().collect()
    }

    /// Waits for what holds all calls up, then gives access to what is stored, if the location is there.
    pub(super) async fn stand(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let life = self.life()?;
        while self.state().hanging {
            // A release between the look and the wait is not missed.
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if self.state().hanging {
                released.await;
            }
        }
        let delay = self.state().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let now = self.life()?;
        if now != life {
            return Err(unavailable("crashed"));
        }
        Ok(self.state())
    }

    /// Which life it is, if the location is there.
    fn life(&self) -> Result<u64, BackendError> {
        let state = self.state();
        if state.down {
            return Err(unavailable("down"));
        }
        Ok(state.life)
    }

    fn alter(&self, name: &FragmentName, alter: impl FnOnce(&Bytes) -> Option<Bytes>) -> bool {
        let mut state = self.state();
        let Some(altered) = state.fragments.get(name).and_then(alter) else {
            return false;
        };
        state.remove(name);
        state.insert(name, altered);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    /// Stores a fragment, or fails as the faults will have it.
    pub(super) fn store(&mut self, name: &FragmentName, body: Bytes) -> Result<(), BackendError> {
        let bytes = body.len() as u64;
        if self.failing > 0 {
            self.failing -= 1;
            return Err(unavailable("told to fail"));
        }
        match self.fragments.get(name) {
            Some(there) if *there == body => return self.answer(),
            Some(_) => return Err(BackendError::Exists),
            None => {}
        }
        if self.capacity.is_some_and(|room| self.bytes + bytes > room) {
            return Err(BackendError::Full("told to be full".to_owned()));
        }
        if let Some(left) = self.torn_after {
            self.torn_after = left.checked_sub(bytes);
            if self.torn_after.is_none() {
                return Err(unavailable("told to tear a put"));
            }
        }
        self.insert(name, body);
        self.answer()
    }

    /// Fails if what was done is to stay unanswered.
    pub(super) fn answer(&mut self) -> Result<(), BackendError> {
        if self.unanswered > 0 {
            self.unanswered -= 1;
            return Err(unavailable("told not to answer"));
        }
        Ok(())
    }

    pub(super) fn find(&self, name: &FragmentName) -> Result<&Bytes, BackendError> {
        self.fragments.get(name).ok_or(BackendError::NotFound)
    }

    pub(super) fn remove(&mut self, name: &FragmentName) -> Option<Bytes> {
        let removed = self.fragments.remove(name)?;
        self.bytes -= removed.len() as u64;
        Some(removed)
    }

    /// The fragments with a name above `after`, ascending.
    pub(super) fn above(
        &self,
        after: Option<&FragmentName>,
    ) -> impl Iterator<Item = (&FragmentName, &Bytes)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.fragments.range((from, Bound::Unbounded))
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            fragments: self.fragments.len() as u64,
            bytes: self.bytes,
            free_bytes: self.capacity.map(|room| room.saturating_sub(self.bytes)),
        }
    }

    fn insert(&mut self, name: &FragmentName, body: Bytes) {
        self.bytes += body.len() as u64;
        self.fragments.insert(name.clone(), body);
    }
}

fn unavailable(why: &str) -> BackendError {
    BackendError::Unavailable(why.to_owned())
}
