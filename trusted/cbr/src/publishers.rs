//! The publishers of one domain in one session: its owner, and those that the owner has registered.
//!
//! Invariants: the starts of a publisher only grow, so that no key of it comes twice; each has a sequence of its own, in which a counter
//! is taken once; whoever was registered stays in the coverage until the session ends. Only the owner's sequence holds control messages.

use std::sync::Arc;

use sc_crypto::VerifyingKey;
use sc_proto::cbr;

use crate::batch::Origin;
use crate::domain::NotTaken;
use crate::keys::{Cipher, DomainKey, MessageKind, PublisherKeys, Scope, control_cipher};
use crate::notice::Coverage;
use crate::receipt::Status;

/// Publishers that an owner may register in one session besides itself, dismissed ones counted.
pub const PUBLISHERS_MAX: usize = 64;

/// A publisher's place in [`Publishers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source(usize);

impl Source {
    pub(crate) const OWNER: Self = Self(0);
}

struct Publisher {
    scope: Scope,
    /// `None` once it was dismissed.
    keys: Option<Arc<PublisherKeys>>,
    next_counter: u64,
    floor: Origin,
    taken: Origin,
}

impl Publisher {
    fn new(key: &DomainKey, scope: Scope, floor: Origin, plain: bool) -> Self {
        Self {
            scope,
            keys: Some(Arc::new(PublisherKeys::new(
                &key.publisher_secret(&scope),
                plain,
            ))),
            next_counter: 1,
            floor,
            taken: floor,
        }
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            publisher: self.scope.party,
            floor: self.floor,
            taken: self.taken,
        }
    }
}

pub(crate) struct Publishers {
    key: DomainKey,
    plain: bool,
    control: Cipher,
    /// The owner, then the others in the order of their first registration.
    all: Vec<Publisher>,
}

impl Publishers {
    /// The owner alone, at the start that `scope` names.
    pub(crate) fn new(key: DomainKey, scope: Scope, floor: Origin, plain: bool) -> Self {
        Self {
            control: control_cipher(&key, &scope, plain),
            all: vec![Publisher::new(&key, scope, floor, plain)],
            key,
            plain,
        }
    }

    /// The owner's scope; domain and session are those of all.
    pub(crate) fn owner_scope(&self) -> &Scope {
        self.scope(Source::OWNER)
    }

    pub(crate) fn scope(&self, source: Source) -> &Scope {
        &self.all[source.0].scope
    }

    pub(crate) fn keys(&self, source: Source) -> &Arc<PublisherKeys> {
        let keys = self.all[source.0].keys.as_ref();
        keys.expect("only an open publisher's message is found, and it cannot dismiss itself")
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let is_it = |publisher: &Publisher| publisher.scope.party.as_bytes()[..] == *key;
        self.all.iter().position(is_it)
    }

    /// Whose next message `message` claims to be.
    ///
    /// # Errors
    /// [`NotTaken::Session`] or [`NotTaken::Counter`].
    pub(crate) fn source(
        &self,
        kind: MessageKind,
        message: &cbr::Sealed,
    ) -> Result<Source, NotTaken> {
        let source = self
            .find(&message.publisher)
            .map(Source)
            .filter(|source| kind != MessageKind::Control || *source == Source::OWNER)
            .ok_or(NotTaken::Session)?;
        let Publisher {
            scope,
            keys,
            next_counter,
            ..
        } = &self.all[source.0];
        if keys.is_none() || message.session != scope.session || message.start != scope.start {
            return Err(NotTaken::Session);
        }
        if message.counter != *next_counter {
            return Err(NotTaken::Counter {
                expected: *next_counter,
            });
        }
        Ok(source)
    }

    /// Opens the next message of `source` where it stands; its counter is used then.
    ///
    /// # Errors
    /// [`NotTaken::NotAuthentic`]; the counter stays.
    pub(crate) fn open<'a>(
        &mut self,
        source: Source,
        kind: MessageKind,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], NotTaken> {
        let cipher = match kind {
            MessageKind::Control => &self.control,
            _ => &self.keys(source).batch,
        };
        let Publisher {
            scope,
            next_counter,
            ..
        } = &self.all[source.0];
        let plaintext = cipher
            .open(scope, kind, *next_counter, sealed)
            .map_err(|_| NotTaken::NotAuthentic)?;
        self.all[source.0].next_counter += 1;
        Ok(plaintext)
    }

    /// Notes that a batch of this origin was carried out.
    pub(crate) fn took(&mut self, source: Source, origin: Origin) {
        let publisher = &mut self.all[source.0];
        publisher.taken = publisher.taken.max(origin);
    }

    /// Opens a sequence for `publisher`, in place of its earlier one.
    pub(crate) fn register(
        &mut self,
        publisher: VerifyingKey,
        start: u64,
        floor: Origin,
    ) -> Status {
        let known = self.find(publisher.as_bytes());
        let last = known.map_or(0, |at| self.all[at].scope.start);
        if known == Some(Source::OWNER.0) || start <= last {
            // The owner's sequence would begin again, or one of the publisher's, under the same keys.
            return Status::Malformed;
        }
        let scope = Scope {
            party: publisher,
            start,
            ..*self.owner_scope()
        };
        let mut fresh = Publisher::new(&self.key, scope, floor, self.plain);
        match known {
            Some(at) => {
                fresh.floor = floor.max(self.all[at].floor);
                fresh.taken = fresh.floor.max(self.all[at].taken);
                self.all[at] = fresh;
            }
            None if self.all.len() > PUBLISHERS_MAX => return Status::Limit,
            None => self.all.push(fresh),
        }
        Status::Taken
    }

    /// Forgets the keys of `publisher`; nothing more of it is taken until it is registered again.
    pub(crate) fn dismiss(&mut self, publisher: &VerifyingKey) -> Status {
        match self.find(publisher.as_bytes()) {
            Some(0) => Status::Malformed,
            Some(at) => {
                self.all[at].keys = None;
                Status::Taken
            }
            None => Status::UnknownConsumer,
        }
    }

    /// How far the owner has come, and at most `others` of the others: those from `turn` on, and around.
    pub(crate) fn coverage(&self, turn: usize, others: usize) -> Vec<Coverage> {
        let (owner, registered) = self.all.split_at(1);
        let from = turn.checked_rem(registered.len()).unwrap_or(0);
        let around = registered.iter().cycle().skip(from);
        let chosen = around.take(others.min(registered.len()));
        owner
            .iter()
            .chain(chosen)
            .map(Publisher::coverage)
            .collect()
    }

    pub(crate) fn registered(&self) -> usize {
        self.all.len() - 1
    }
}
