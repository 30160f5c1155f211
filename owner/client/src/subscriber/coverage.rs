//! How far a consumer has come with each publisher, across sessions.
//!
//! Invariants: an origin is taken once; what a publisher had settled before a session began, and this side has neither taken nor been
//! told of, is reported at the session's first heartbeat that lists it. Within a session the notices' counter leaves no gap; what a
//! further publisher has lost that crashed and began anew in it is reported too.

use std::collections::BTreeMap;

use sc_cbr::{Coverage, Malformed, Origin, Reader};
use sc_crypto::VerifyingKey;

/// Publishers remembered: as many as a domain has at once, and as many again that it had. Beyond it the one is forgotten of which
/// nothing new was heard for longest.
const REMEMBERED_MAX: usize = 2 * sc_cbr::PUBLISHERS_MAX;

/// In place of a number: the start has ended, and how far it came is unknown.
pub const UNKNOWN_END: u64 = u64::MAX;

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is new.
    New,
    /// It was taken, or this side was told that nothing in it is for it: it was sealed anew.
    Known,
    /// Its publisher has begun later starts.
    Late,
}

/// A publisher has settled more than this side knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uncovered {
    pub(super) publisher: VerifyingKey,
    pub(super) from: Origin,
    pub(super) to: Origin,
}

const PROVED: u8 = 0;
const UNPROVED: u8 = 1;
const UNHEARD: u8 = 2;

/// What is known of one publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// Everything up to here was taken, or was not for this side, or was reported.
    upto: Origin,
    /// The last session that it was heard of in.
    session: u64,
    /// Where `upto` stood when that session began, until a heartbeat of it has told the floor.
    unproved: Option<Origin>,
    /// Nothing was heard of it since this side was admitted for the first time, in that session: `unproved` is where it stood then.
    is_unheard: bool,
}

impl Known {
    fn proof(&self) -> u8 {
        match (self.is_unheard, self.unproved) {
            (true, _) => UNHEARD,
            (false, Some(_)) => UNPROVED,
            (false, None) => PROVED,
        }
    }

    /// Takes note that `session` has begun, or that there was one before the first admission that this side remembers: it died before it
    /// could write that one down, and is held to what it hears of it now.
    fn enter(&mut self, session: u64) {
        if self.is_unheard && session < self.session {
            (self.session, self.unproved, self.is_unheard) = (session, None, false);
        } else if session > self.session {
            self.session = session;
            // What was not proved in the session before is not forgotten.
            self.unproved = Some(self.unproved.unwrap_or(self.upto));
            self.is_unheard = false;
        }
    }
}

/// All publishers that were heard of.
#[derive(Debug, Clone, Default)]
pub(super) struct Covered {
    /// With when each last changed.
    publishers: BTreeMap<VerifyingKey, (Known, u64)>,
    changes: u64,
    written: u64,
}

impl Covered {
    /// Takes note of where a publisher stood when this side was admitted for the first time, in `session`; nothing if it was heard of before.
    /// What came before is not for this side; what comes after, and is withheld, shows when the next session tells its floor.
    pub(super) fn on_admission(&mut self, session: u64, publisher: VerifyingKey, stood: Origin) {
        if self.get(&publisher).is_none() {
            let known = Known {
                // Of this session notices may be on their way: of an earlier admission whose answer was lost.
                upto: Origin::default(),
                session,
                unproved: Some(stood),
                is_unheard: true,
            };
            self.set(publisher, known);
        }
    }

    /// Takes note of a batch that came in a notice of `session`.
    pub(super) fn on_batch(
        &mut self,
        session: u64,
        publisher: VerifyingKey,
        origin: Origin,
    ) -> Standing {
        let Some(mut known) = self.get(&publisher) else {
            self.set(
                publisher,
                Known {
                    upto: origin,
                    session,
                    unproved: None,
                    is_unheard: false,
                },
            );
            return Standing::New;
        };
        let is_first_heard = known.is_unheard && session <= known.session;
        known.enter(session);
        let standing = if origin > known.upto {
            if is_first_heard {
                // The counter proves that nothing is missing since the admission.
                (known.unproved, known.is_unheard) = (None, false);
            } else if origin.start > known.upto.start {
                // How far the start before came the next heartbeat tells.
                known.unproved = Some(known.unproved.unwrap_or(known.upto));
            }
            known.upto = origin;
            Standing::New
        } else if origin.start == known.upto.start {
            Standing::Known
        } else {
            Standing::Late
        };
        self.set(publisher, known);
        standing
    }

    /// Takes note of a heartbeat of `session`; returns what is uncovered.
    pub(super) fn on_heartbeat(&mut self, session: u64, listed: &[Coverage]) -> Vec<Uncovered> {
        let mut uncovered = Vec::new();
        for one in listed {
            let mut known = self.get(&one.publisher).unwrap_or(Known {
                upto: one.taken,
                session,
                unproved: None,
                is_unheard: false,
            });
            known.enter(session);
            // Within a session the counter proves all but what a further publisher has lost that began anew.
            let crashed = one.floor.number == UNKNOWN_END;
            let upto = crashed.then_some(known.upto);
            if known.session == session
                && let Some(from) = known.unproved.take().or(upto)
                && from < one.floor
            {
                uncovered.push(Uncovered {
                    publisher: one.publisher,
                    from,
                    to: one.floor,
                });
            }
            known.is_unheard &= known.session != session;
            known.upto = known.upto.max(one.taken);
            self.set(one.publisher, known);
        }
        uncovered
    }

    fn get(&self, publisher: &VerifyingKey) -> Option<Known> {
        self.publishers.get(publisher).map(|(known, _)| *known)
    }

    fn set(&mut self, publisher: VerifyingKey, known: Known) {
        if self.get(&publisher) == Some(known) {
            return;
        }
        self.changes += 1;
        self.publishers.insert(publisher, (known, self.changes));
        while self.publishers.len() > REMEMBERED_MAX {
            let oldest = self.publishers.iter().min_by_key(|(_, (_, at))| *at);
            let oldest = *oldest.expect("there are more than the bound").0;
            self.publishers.remove(&oldest);
        }
    }

    /// Appends what has changed since the last time, the oldest change first.
    pub(super) fn encode_changes(&mut self, out: &mut Vec<u8>) {
        self.encode_since(self.written, out);
        self.written = self.changes;
    }

    /// Appends everything, the oldest change first.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.encode_since(0, out);
    }

    fn encode_since(&self, since: u64, out: &mut Vec<u8>) {
        let mut changed: Vec<_> = self
            .publishers
            .iter()
            .filter(|(_, (_, at))| *at > since)
            .collect();
        changed.sort_unstable_by_key(|(_, (_, at))| *at);
        for (publisher, (known, _)) in changed {
            out.extend_from_slice(publisher.as_bytes());
            push_origin(out, known.upto);
            out.extend_from_slice(&known.session.to_le_bytes());
            out.push(known.proof());
            push_origin(out, known.unproved.unwrap_or_default());
        }
    }

    /// Takes in what was appended, to the end.
    ///
    /// # Errors
    /// [`Malformed`]; what stands before is taken in.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), Malformed> {
        for _ in 0..count {
            let publisher = VerifyingKey::from_bytes(reader.array()?);
            let upto = Origin::read(reader)?;
            let session = reader.u64()?;
            let proof = reader.u8()?;
            let from = Origin::read(reader)?;
            self.set(
                publisher,
                Known {
                    upto,
                    session,
                    unproved: (proof != PROVED).then_some(from),
                    is_unheard: proof == UNHEARD,
                },
            );
        }
        self.written = self.changes;
        Ok(())
    }
}

/// Length in bytes of what is appended for one publisher.
pub(super) const KNOWN_BYTES: usize = 32 + 16 + 8 + 1 + 16;

fn push_origin(out: &mut Vec<u8>, origin: Origin) {
    out.extend_from_slice(&origin.start.to_le_bytes());
    out.extend_from_slice(&origin.number.to_le_bytes());
}
