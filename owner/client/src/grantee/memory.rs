//! What one that publishes in another's domain remembers across restarts.
//!
//! Invariant: a sequence number is on the disk before the request that carries it leaves.

use sc_cbr::Reader;

use crate::outgoing::{Progress, Step};

const ASKED: u8 = 11;

/// One entry of a grantee's journal.
pub(super) enum Record {
    /// A request was made under this sequence number.
    Asked(u64),
    /// Batches have come further.
    Progress(Step),
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Asked(sequence) => [&[ASKED][..], &sequence.to_le_bytes()].concat(),
            Self::Progress(step) => step.encode(),
        }
    }

    fn decode(record: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(record);
        if reader.u8().ok()? != ASKED {
            return Step::decode(record).map(Self::Progress);
        }
        let sequence = reader.u64().ok()?;
        reader.end().ok()?;
        Some(Self::Asked(sequence))
    }
}

/// What a grantee's journal keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GranteeMemory {
    pub(super) sequence: u64,
    pub(super) progress: Progress,
}

impl GranteeMemory {
    /// Rebuilds it from the records of a journal.
    ///
    /// # Errors
    /// The place of the first record that this version does not know.
    pub fn replay(records: &[Vec<u8>]) -> Result<Self, usize> {
        let mut memory = Self::default();
        for (place, record) in records.iter().enumerate() {
            memory.apply(&Record::decode(record).ok_or(place)?);
        }
        Ok(memory)
    }

    /// The fewest records from which it is rebuilt.
    #[must_use]
    pub fn records(&self) -> Vec<Vec<u8>> {
        let mut records = self.progress.records();
        records.push(Record::Asked(self.sequence).encode());
        records
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Asked(sequence) => self.sequence = self.sequence.max(*sequence),
            Record::Progress(step) => self.progress.apply(*step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_and_its_rewritten_form_are_the_same() {
        let steps = [
            Step::Began {
                stream: None,
                start: 5,
            },
            Step::Settled {
                number: 2,
                publications: 9,
            },
        ];
        let journal: Vec<_> = [Record::Asked(3), Record::Asked(7)]
            .into_iter()
            .chain(steps.map(Record::Progress))
            .map(|record| record.encode())
            .collect();

        let memory = GranteeMemory::replay(&journal).unwrap();

        assert_eq!(memory.sequence, 7);
        assert_eq!(GranteeMemory::replay(&memory.records()), Ok(memory));
    }

    #[test]
    fn a_record_of_another_kind_is_an_error_at_its_place() {
        let good = Record::Asked(1).encode();
        for bad in [vec![], vec![99], vec![ASKED, 1], vec![1; 9]] {
            assert_eq!(GranteeMemory::replay(&[good.clone(), bad]), Err(1));
        }
    }
}
