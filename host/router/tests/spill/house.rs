//! A store in a folder of its own, and what the tests ask of it.

use std::path::{Path, PathBuf};

use sc_router::{MailboxId, Record, Recovered, Spill, SpillEvent, SpillFailure, SpillSettings};
use sc_transport::Frame;

/// More than any test has to store.
const QUOTA: u64 = 1 << 30;

/// The smallest segments there are, so that a test has many.
pub(crate) fn settings(folder: &Path) -> SpillSettings {
    SpillSettings {
        folder: folder.join("spill"),
        quota_bytes: QUOTA,
        segment_bytes: 4096,
    }
}

pub(crate) fn mailbox(domain: u8, consumer: u32) -> MailboxId {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&consumer.to_be_bytes());
    MailboxId {
        domain: [domain; 32],
        consumer: key,
    }
}

/// The notice with this counter, whose parts say so.
pub(crate) fn record(counter: u64) -> Record {
    sized(counter, 40)
}

pub(crate) fn sized(counter: u64, bytes: usize) -> Record {
    Record {
        session: 1,
        counter,
        frame: Frame::new(format!("head {counter}"))
            .with(counter.to_be_bytes().repeat(bytes / 8))
            .with(Vec::new()),
    }
}

pub(crate) fn records(counters: impl IntoIterator<Item = u64>) -> Vec<Record> {
    counters.into_iter().map(record).collect()
}

pub(crate) fn counters(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.counter).collect()
}

/// The files of the log, in order.
pub(crate) fn segments(settings: &SpillSettings) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(&settings.folder)
        .expect("the store has made it")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "spill"))
        .collect();
    found.sort();
    found
}

pub(crate) fn bytes_on_disk(settings: &SpillSettings) -> u64 {
    let lengths = segments(settings)
        .into_iter()
        .map(|path| std::fs::metadata(path).expect("it was just listed").len());
    lengths.sum()
}

/// A store and a runtime to wait on it.
pub(crate) struct House {
    pub(crate) spill: Spill,
    pub(crate) recovered: Vec<Recovered>,
    runtime: tokio::runtime::Runtime,
}

impl House {
    pub(crate) fn open(settings: &SpillSettings) -> Self {
        let (spill, recovered) = Spill::open(settings.clone()).expect("the store opens");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            spill,
            recovered,
            runtime: runtime.expect("a runtime is made"),
        }
    }

    pub(crate) fn next(&mut self) -> SpillEvent {
        self.runtime.block_on(self.spill.next())
    }

    /// Appends one record and waits for what becomes of it.
    pub(crate) fn store(&mut self, id: MailboxId, record: Record) -> Result<(), SpillFailure> {
        self.spill.append(id, 7, record);
        match self.next() {
            SpillEvent::Stored { mailbox, token: 7 } if mailbox == id => Ok(()),
            SpillEvent::Failed {
                mailbox,
                token: 7,
                why,
            } if mailbox == id => Err(why),
            other => panic!("{other:?}"),
        }
    }

    /// Appends them all at once and waits until all are stored.
    pub(crate) fn store_all(&mut self, id: MailboxId, records: Vec<Record>) {
        let count = records.len() as u64;
        for (token, record) in records.into_iter().enumerate() {
            self.spill.append(id, token as u64, record);
        }
        for token in 0..count {
            assert_eq!(self.next(), SpillEvent::Stored { mailbox: id, token });
        }
    }

    /// What one fetch gives.
    pub(crate) fn fetch(&mut self, id: MailboxId, bytes_max: u64) -> (Vec<Record>, bool) {
        self.spill.fetch(id, bytes_max);
        match self.next() {
            SpillEvent::Fetched {
                mailbox,
                records,
                more,
            } if mailbox == id => (records, more),
            other => panic!("{other:?}"),
        }
    }

    /// Everything of a mailbox from the first record on, and how many are lost.
    pub(crate) fn all(&mut self, id: MailboxId) -> (Vec<Record>, usize) {
        self.spill.rewind(id);
        self.spill.fetch(id, u64::MAX);
        let mut lost = 0;
        loop {
            match self.next() {
                SpillEvent::Lost { mailbox, .. } if mailbox == id => lost += 1,
                SpillEvent::Fetched {
                    records,
                    more: false,
                    ..
                } => return (records, lost),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until every command so far was carried out, and files that are not needed are gone.
    pub(crate) fn settle(&mut self) {
        // Files go after the answers: the answer to the second fetch is behind that.
        for _ in 0..2 {
            self.fetch(mailbox(255, 255), 0);
        }
    }
}
