//! What a subscriber's journal keeps.
//!
//! Invariants: it holds no key: a session's keys are kept in the owner's answer as it came, sealed to the consumer's identity; what was
//! taken of notices and of publishers is written in one record, so that a crash never parts the two.

use std::collections::BTreeMap;

use bytes::Bytes;
use sc_cbr::{Malformed, Reader};

use super::coverage::{Covered, KNOWN_BYTES};

/// Sessions that are remembered; older ones are forgotten.
pub(super) const SESSIONS_MAX: usize = 4;

const SEQUENCE: u8 = 1;
/// Of earlier versions: one session, without publishers.
const TAKEN: u8 = 2;
const SESSION: u8 = 3;
const PROGRESS: u8 = 4;

/// What has to survive a restart of a subscriber.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The last sequence number used in a request.
    pub(super) sequence: u64,
    /// The owner's sealed answers that opened the last sessions.
    pub(super) answers: BTreeMap<u64, Bytes>,
    /// The last notice taken of each of the last sessions.
    taken: BTreeMap<u64, u64>,
    pub(super) covered: Covered,
    /// Sessions of which more was taken than the journal says.
    changed: BTreeMap<u64, u64>,
}

impl Memory {
    /// Rebuilds it from the records of a journal; records of later versions are passed over.
    #[must_use]
    pub fn replay(records: &[impl AsRef<[u8]>]) -> Self {
        let mut memory = Self::default();
        for record in records {
            // A record that does not read is one of a later version.
            let _ = memory.take_in(record.as_ref());
        }
        memory
    }

    fn take_in(&mut self, record: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            SEQUENCE => {
                let sequence = reader.u64()?;
                reader.end()?;
                self.sequence = sequence;
            }
            TAKEN => {
                let (session, counter) = (reader.u64()?, reader.u64()?);
                reader.end()?;
                self.set_taken(session, counter);
            }
            SESSION => {
                let session = reader.u64()?;
                self.remember(session, Bytes::copy_from_slice(reader.rest()));
            }
            PROGRESS => self.take_in_progress(reader)?,
            _ => {}
        }
        Ok(())
    }

    fn take_in_progress(&mut self, mut reader: Reader<'_>) -> Result<(), Malformed> {
        let sessions = reader.count(16)?;
        let taken = (0..sessions)
            .map(|_| Ok((reader.u64()?, reader.u64()?)))
            .collect::<Result<Vec<_>, Malformed>>()?;
        let publishers = reader.count(KNOWN_BYTES)?;
        self.covered.read(&mut reader, publishers)?;
        reader.end()?;
        for (session, counter) in taken {
            self.set_taken(session, counter);
        }
        Ok(())
    }

    /// The records from which it is rebuilt.
    #[must_use]
    pub fn records(&self) -> Vec<Vec<u8>> {
        let sequence = self.sequence_record();
        let answers = self.answers.iter();
        let answers = answers.map(|(session, answer)| session_record(*session, answer));
        let mut publishers = Vec::new();
        self.covered.encode(&mut publishers);
        let progress = progress_record(&self.taken, &publishers);
        [sequence]
            .into_iter()
            .chain(answers)
            .chain([progress])
            .collect()
    }

    /// The last sequence number used in a request.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The counter of the last notice taken of `session`; 0 if none is known.
    #[must_use]
    pub fn taken(&self, session: u64) -> u64 {
        self.taken.get(&session).copied().unwrap_or(0)
    }

    /// The newest session of which a notice was taken; 0 without one.
    pub(super) fn newest_taken(&self) -> u64 {
        self.taken.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether the owner has admitted this side before.
    pub(super) fn was_admitted(&self) -> bool {
        !self.answers.is_empty() || !self.taken.is_empty()
    }

    /// Takes note that a notice was taken.
    pub(super) fn take(&mut self, session: u64, counter: u64) {
        self.set_taken(session, counter);
        self.changed.insert(session, counter);
    }

    fn set_taken(&mut self, session: u64, counter: u64) {
        if counter > 0 {
            self.taken.insert(session, counter);
            keep_newest(&mut self.taken);
        }
    }

    /// Takes note of the answer that has opened a session.
    pub(super) fn remember(&mut self, session: u64, answer: Bytes) {
        self.answers.insert(session, answer);
        keep_newest(&mut self.answers);
    }

    /// The next sequence number, and the record to be written before it is used.
    pub(super) fn next_sequence(&mut self) -> (u64, Vec<u8>) {
        self.sequence += 1;
        (self.sequence, self.sequence_record())
    }

    fn sequence_record(&self) -> Vec<u8> {
        let mut record = vec![SEQUENCE];
        record.extend_from_slice(&self.sequence.to_le_bytes());
        record
    }

    /// What was taken and learnt since the last time, as one record.
    pub(super) fn progress(&mut self) -> Option<Vec<u8>> {
        let changed = core::mem::take(&mut self.changed);
        let mut publishers = Vec::new();
        self.covered.encode_changes(&mut publishers);
        if changed.is_empty() && publishers.is_empty() {
            return None;
        }
        Some(progress_record(&changed, &publishers))
    }
}

/// The record of an answer that opened `session`.
pub(super) fn session_record(session: u64, answer: &[u8]) -> Vec<u8> {
    let mut record = vec![SESSION];
    record.extend_from_slice(&session.to_le_bytes());
    record.extend_from_slice(answer);
    record
}

fn progress_record(taken: &BTreeMap<u64, u64>, publishers: &[u8]) -> Vec<u8> {
    let mut record = vec![PROGRESS];
    record.extend_from_slice(&(taken.len() as u32).to_le_bytes());
    for (session, counter) in taken {
        record.extend_from_slice(&session.to_le_bytes());
        record.extend_from_slice(&counter.to_le_bytes());
    }
    record.extend_from_slice(&((publishers.len() / KNOWN_BYTES) as u32).to_le_bytes());
    record.extend_from_slice(publishers);
    record
}

fn keep_newest<T>(sessions: &mut BTreeMap<u64, T>) {
    while sessions.len() > SESSIONS_MAX {
        sessions.pop_first();
    }
}
