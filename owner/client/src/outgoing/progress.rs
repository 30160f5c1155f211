//! How far a publisher's batches have come, as its journal keeps it.
//!
//! Invariant: a floor that is told to consumers is never below what the journal knows to be settled, and never claims to know how far a
//! start came that was cut off.

use sc_cbr::{Origin, Reader};
use sc_crypto::hash::sha256;

use super::BatchBounds;

pub(crate) const BEGAN: u8 = 6;
pub(crate) const SETTLED: u8 = 7;
pub(crate) const ENDED: u8 = 8;

/// Changes when the same publications would be cut into other batches.
const CUTTING: u8 = 1;
/// Stands in a record for an input that nobody can read again.
const NO_STREAM: [u8; 32] = [0; 32];

/// An input that can be read again from its beginning, with the bounds by which it is cut: the same one gives the same batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId([u8; 32]);

impl StreamId {
    /// Of the input with this digest.
    pub(crate) fn new(digest: &[u8; 32], bounds: &BatchBounds) -> Self {
        let numbers = [bounds.publications as u64, bounds.bytes as u64].map(u64::to_le_bytes);
        Self(sha256(
            &[&[CUTTING], &digest[..], numbers.as_flattened()].concat(),
        ))
    }
}

/// One step, as a record of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Batches begin under a start number, of a stream or of what cannot be read again.
    Began {
        stream: Option<StreamId>,
        start: u64,
    },
    /// Every batch of this start up to one is settled, with so many publications.
    Settled { number: u64, publications: u64 },
    /// Nothing more comes under this start, and all of it is settled.
    Ended,
}

impl Step {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Began { stream, start } => [
                &[BEGAN],
                &stream.map_or(NO_STREAM, |stream| stream.0)[..],
                &start.to_le_bytes(),
            ]
            .concat(),
            Self::Settled {
                number,
                publications,
            } => [
                &[SETTLED][..],
                &number.to_le_bytes(),
                &publications.to_le_bytes(),
            ]
            .concat(),
            Self::Ended => vec![ENDED],
        }
    }

    /// Reads a record; `None` for one that is no step, or a damaged one.
    pub(crate) fn decode(record: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(record);
        let step = match reader.u8().ok()? {
            BEGAN => Self::Began {
                stream: Some(reader.array().ok()?)
                    .filter(|digest| *digest != NO_STREAM)
                    .map(StreamId),
                start: reader.u64().ok()?,
            },
            SETTLED => Self::Settled {
                number: reader.u64().ok()?,
                publications: reader.u64().ok()?,
            },
            ENDED => Self::Ended,
            _ => return None,
        };
        reader.end().ok()?;
        Some(step)
    }
}

/// What the steps so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    stream: Option<StreamId>,
    settled: Origin,
    publications: u64,
    is_ended: bool,
}

impl Default for Progress {
    /// Nothing was ever published, and nothing of it is missing.
    fn default() -> Self {
        Self {
            stream: None,
            settled: Origin::default(),
            publications: 0,
            is_ended: true,
        }
    }
}

impl Progress {
    pub(crate) fn apply(&mut self, step: Step) {
        match step {
            Step::Began { stream, start } => {
                *self = Self {
                    stream,
                    settled: Origin { start, number: 0 },
                    publications: 0,
                    is_ended: false,
                };
            }
            Step::Settled {
                number,
                publications,
            } => {
                self.settled.number = self.settled.number.max(number);
                self.publications = self.publications.max(publications);
            }
            Step::Ended => self.is_ended = true,
        }
    }

    /// The last batch that is known to be settled, with all before it.
    pub(crate) fn settled(&self) -> Origin {
        self.settled
    }

    /// Publications in the settled batches of this start.
    pub(crate) fn publications(&self) -> u64 {
        self.publications
    }

    /// Whether `stream` was begun and not ended: its batches go on under the same start.
    pub(crate) fn is_unfinished(&self, stream: StreamId) -> bool {
        self.stream == Some(stream) && !self.is_ended
    }

    /// The origin up to which nothing comes again, when none of this goes on.
    pub(crate) fn floor(&self) -> Origin {
        if self.is_ended {
            return self.settled;
        }
        Origin {
            number: u64::MAX,
            ..self.settled
        }
    }

    /// The fewest records that amount to the same.
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        if *self == Self::default() {
            return Vec::new();
        }
        let began = Step::Began {
            stream: self.stream,
            start: self.settled.start,
        };
        let settled = Step::Settled {
            number: self.settled.number,
            publications: self.publications,
        };
        [began, settled]
            .into_iter()
            .chain(self.is_ended.then_some(Step::Ended))
            .map(|step| step.encode())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: u8) -> StreamId {
        StreamId::new(&[number; 32], &BatchBounds::default())
    }

    fn after(steps: &[Step]) -> Progress {
        let mut progress = Progress::default();
        for step in steps {
            let read = Step::decode(&step.encode());
            assert_eq!(read, Some(*step));
            progress.apply(*step);
        }
        progress
    }

    fn origin(start: u64, number: u64) -> Origin {
        Origin { start, number }
    }

    #[test]
    fn a_start_that_was_cut_off_ends_nobody_knows_where() {
        let began = Step::Began {
            stream: None,
            start: 7,
        };
        let settled = Step::Settled {
            number: 3,
            publications: 30,
        };

        assert_eq!(Progress::default().floor(), Origin::default());
        assert_eq!(after(&[began]).floor(), origin(7, u64::MAX));
        assert_eq!(after(&[began, settled]).floor(), origin(7, u64::MAX));
        assert_eq!(after(&[began, settled, Step::Ended]).floor(), origin(7, 3));
    }

    #[test]
    fn the_fewest_records_amount_to_the_same() {
        let steps = [
            Step::Began {
                stream: Some(stream(1)),
                start: 7,
            },
            Step::Settled {
                number: 3,
                publications: 30,
            },
            Step::Ended,
        ];
        for count in 0..=steps.len() {
            let progress = after(&steps[..count]);

            let mut again = Progress::default();
            for record in progress.records() {
                again.apply(Step::decode(&record).unwrap());
            }

            assert_eq!(again, progress);
        }
    }

    #[test]
    fn a_stream_goes_on_only_while_it_is_the_last_and_not_ended() {
        let began = |number| Step::Began {
            stream: Some(stream(number)),
            start: u64::from(number),
        };

        assert!(after(&[began(1)]).is_unfinished(stream(1)));
        assert!(!after(&[began(1)]).is_unfinished(stream(2)));
        assert!(!after(&[began(1), began(2)]).is_unfinished(stream(1)));
        assert!(!after(&[began(1), Step::Ended]).is_unfinished(stream(1)));
    }

    #[test]
    fn other_bounds_make_another_stream() {
        let bounds = BatchBounds::default();
        let others = [
            BatchBounds {
                publications: bounds.publications + 1,
                ..bounds
            },
            BatchBounds {
                bytes: bounds.bytes + 1,
                ..bounds
            },
        ];

        for other in others {
            assert_ne!(
                StreamId::new(&[1; 32], &bounds),
                StreamId::new(&[1; 32], &other)
            );
        }
    }

    #[test]
    fn a_damaged_record_is_no_step() {
        for step in [
            Step::Began {
                stream: None,
                start: 1,
            },
            Step::Settled {
                number: 1,
                publications: 1,
            },
            Step::Ended,
        ] {
            let record = step.encode();

            assert_eq!(Step::decode(&record[..record.len() - 1]), None);
            assert_eq!(Step::decode(&[&record[..], &[0]].concat()), None);
        }
    }
}
