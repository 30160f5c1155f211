//! A location of a run: one in memory, behind a network that takes time.
//!
//! Invariant: a put or delete that was begun goes on when whoever asked for it is gone, as at a location elsewhere.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sc_backend::{
    Backend, BackendError, Description, Faults, FragmentName, Listed, LocationId, Memory, Reply,
    Usage,
};
use sc_metadata::{Location, LocationState};

use super::fault::Fault;
use super::plant::Plant;
use super::process::SETTINGS;
use super::surroundings::{Surroundings, note};
use crate::random::Random;

/// What a call takes at least, and how much longer at most.
const TIME: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(4));
/// How late what was acknowledged too early is stored.
const TOO_LATE: Duration = Duration::from_secs(20);
/// How many puts a location that loses them at a crash loses.
const RECENT: usize = 12;

/// A location; clones are the same.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) number: usize,
    pub(crate) name: String,
    memory: Memory,
    surroundings: Surroundings,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    random: Random,
    puts: u64,
    recent: VecDeque<FragmentName>,
    /// Answers to reads, and to requests to recode, that are not what they should be.
    lies: Lies,
}

/// How many lies a location is still to tell.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lies {
    pub(crate) reads: u64,
    pub(crate) recodings: u64,
}

impl Place {
    pub(crate) fn new(number: usize, surroundings: &Surroundings) -> Self {
        let memory = Memory::posing_as(Description {
            id: id_of(number),
            durable: true,
            computes: true,
        });
        Self {
            number,
            name: format!("site{number}"),
            memory,
            surroundings: surroundings.clone(),
            shared: Arc::new(Mutex::new(Shared {
                random: surroundings.random("storage location", number),
                puts: 0,
                recent: VecDeque::new(),
                lies: Lies::default(),
            })),
        }
    }

    /// It, as the catalogue has it.
    pub(crate) fn known(&self) -> Location {
        Location {
            name: self.name.clone(),
            settings: SETTINGS.to_owned(),
            state: LocationState::Active,
            identity: Some(id_of(self.number).0),
        }
    }

    /// What may go wrong with it.
    pub(crate) fn faults(&self) -> Faults {
        self.memory.faults()
    }

    /// Ends its process, and starts it again.
    pub(crate) fn crash(&self) {
        self.faults().crash();
        if self.surroundings.is_planted(Plant::LoseAtCrash) {
            let recent = std::mem::take(&mut self.shared().recent);
            for name in recent {
                self.faults().lose(&name);
            }
        }
    }

    /// Has it tell so many lies from now on.
    pub(crate) fn lie(&self, lies: Lies) {
        self.shared().lies = lies;
    }

    /// What it answers to a read: what it holds, or something else of the same length.
    fn read_out(&self, bytes: Bytes) -> Bytes {
        let mut shared = self.shared();
        if bytes.is_empty() || shared.lies.reads == 0 {
            return bytes;
        }
        shared.lies.reads -= 1;
        self.surroundings.count(Fault::LyingRead);
        altered(bytes, &mut shared.random)
    }

    /// The same for what it has recoded.
    fn recoded(&self, bytes: Bytes) -> Bytes {
        let mut shared = self.shared();
        if bytes.is_empty() || shared.lies.recodings == 0 {
            return bytes;
        }
        shared.lies.recodings -= 1;
        self.surroundings.count(Fault::LyingRecode);
        altered(bytes, &mut shared.random)
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no holder of this lock panics")
    }

    fn time(&self) -> Duration {
        self.shared().random.time(TIME.0, TIME.1)
    }

    fn note<T>(&self, what: &str, name: &FragmentName, result: &Result<T, BackendError>) {
        let said = match result {
            Ok(_) => "done",
            Err(BackendError::NotFound) => "not found",
            Err(BackendError::Unavailable(_)) => "unavailable",
            Err(BackendError::Full(_)) => "full",
            Err(_) => "failed",
        };
        note!(
            self.surroundings,
            &self.name,
            "{what} {}: {said}",
            name.as_str()
        );
    }

    async fn store(&self, name: &FragmentName, body: Bytes) -> Result<(), BackendError> {
        let result = self.memory.put(name, body).await;
        self.note("put", name, &result);
        let is_fragment = !name.as_str().contains(['m', 'r']);
        if result.is_err() || !is_fragment {
            return result;
        }
        let puts = {
            let mut shared = self.shared();
            shared.puts += 1;
            shared.recent.push_back(name.clone());
            if shared.recent.len() > RECENT {
                shared.recent.pop_front();
            }
            shared.puts
        };
        if self.surroundings.is_planted(Plant::SweepYoung) && puts.is_multiple_of(2) {
            let (faults, name) = (self.faults(), name.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                faults.lose(&name);
            });
        }
        if self.surroundings.is_planted(Plant::RotEverywhere) {
            self.faults().corrupt(name, 200);
        }
        result
    }
}

impl Backend for Place {
    fn describe<'a>(&'a self) -> Reply<'a, Description> {
        self.memory.describe()
    }

    fn put<'a>(&'a self, name: &'a FragmentName, body: Bytes) -> Reply<'a, ()> {
        let (place, name, time) = (self.clone(), name.clone(), self.time());
        let is_early = self.surroundings.is_planted(Plant::AcknowledgeEarly);
        let stored = tokio::spawn(async move {
            let time = if is_early { TOO_LATE } else { time };
            tokio::time::sleep(time).await;
            place.store(&name, body).await
        });
        Box::pin(async move {
            if is_early {
                return Ok(());
            }
            stored.await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn get<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, Bytes> {
        let time = self.time();
        Box::pin(async move {
            tokio::time::sleep(time).await;
            let result = self.memory.get(name).await;
            self.note("get", name, &result);
            result.map(|bytes| self.read_out(bytes))
        })
    }

    fn read<'a>(&'a self, name: &'a FragmentName, range: Range<u64>) -> Reply<'a, Bytes> {
        let time = self.time();
        Box::pin(async move {
            tokio::time::sleep(time).await;
            let result = self.memory.read(name, range).await;
            self.note("read", name, &result);
            result.map(|bytes| self.read_out(bytes))
        })
    }

    fn recode<'a>(&'a self, name: &'a FragmentName, scalars: Bytes) -> Reply<'a, Bytes> {
        let time = self.time();
        Box::pin(async move {
            tokio::time::sleep(time).await;
            let result = self.memory.recode(name, scalars).await;
            self.note("recode", name, &result);
            result.map(|bytes| self.recoded(bytes))
        })
    }

    fn delete<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, bool> {
        if self.surroundings.is_planted(Plant::KeepGarbage) {
            return Box::pin(async { Ok(true) });
        }
        let (place, name, time) = (self.clone(), name.clone(), self.time());
        let deleted = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let result = place.memory.delete(&name).await;
            if !matches!(result, Ok(false)) {
                place.note("delete", &name, &result);
            }
            result
        });
        Box::pin(async move { deleted.await.unwrap_or_else(|_| Err(ended())) })
    }

    fn list<'a>(&'a self, after: Option<&'a FragmentName>, limit: usize) -> Reply<'a, Vec<Listed>> {
        self.memory.list(after, limit)
    }

    fn usage<'a>(&'a self) -> Reply<'a, Usage> {
        self.memory.usage()
    }
}

fn id_of(number: usize) -> LocationId {
    LocationId((number as u128 + 1).to_be_bytes())
}

/// The same with one bit another.
fn altered(bytes: Bytes, random: &mut Random) -> Bytes {
    let mut altered = bytes.to_vec();
    let at = random.below(altered.len());
    altered[at] ^= 1 << random.below(8);
    altered.into()
}

fn ended() -> BackendError {
    BackendError::Unavailable("the run has ended".to_owned())
}
