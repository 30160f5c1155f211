//! A disk in memory that fills up, fails and loses what was not synced, and what the store makes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use sc_transport::Frame;

use super::entry::MAGIC;
use super::medium::Medium;
use super::recovery::recover;
use super::store::Store;
use super::{MailboxId, Record, Recovered, SpillEvent, SpillFailure};

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<u32, Content>,
    /// What fits, in bytes; without it, anything.
    pub(super) room: Option<usize>,
    fails_to_sync: bool,
    fails_to_read: bool,
}

impl Disk {
    pub(super) fn used(&self) -> usize {
        self.files.values().map(|file| file.bytes.len()).sum()
    }

    /// The power goes: of what was not synced, `kept` bytes of a thousand come to the disk.
    pub(super) fn lose_power(&mut self, kept: usize) {
        for file in self.files.values_mut() {
            let whole = file.bytes.starts_with(&file.synced);
            let more = file.bytes.len().saturating_sub(file.synced.len()) * kept / 1000;
            if whole {
                file.bytes.truncate(file.synced.len() + more);
            } else {
                file.bytes = file.synced.clone();
            }
            file.synced = file.bytes.clone();
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Shared(pub(super) Rc<RefCell<Disk>>);

impl Medium for Shared {
    fn list(&mut self) -> io::Result<Vec<(u32, u64)>> {
        let disk = self.0.borrow();
        let lengths = disk.files.iter();
        Ok(lengths
            .map(|(segment, file)| (*segment, file.bytes.len() as u64))
            .collect())
    }

    fn create(&mut self, segment: u32) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        if disk
            .room
            .is_some_and(|room| disk.used() + MAGIC.len() > room)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = Content {
            bytes: MAGIC.to_vec(),
            synced: Vec::new(),
        };
        assert!(disk.files.insert(segment, file).is_none(), "made anew");
        Ok(())
    }

    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        let left = disk
            .room
            .map_or(usize::MAX, |room| room.saturating_sub(disk.used()));
        let fits = bytes.len().min(left);
        let file = disk.files.get_mut(&segment).expect("it is there");
        assert_eq!(file.bytes.len(), offset as usize, "only ever appended to");
        file.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn read(&mut self, segment: u32, offset: u32, bytes: &mut [u8]) -> io::Result<()> {
        let disk = self.0.borrow();
        if disk.fails_to_read {
            return Err(io::Error::other("broken"));
        }
        let file = &disk.files[&segment].bytes[offset as usize..];
        bytes.copy_from_slice(&file[..bytes.len()]);
        Ok(())
    }

    fn cut(&mut self, segment: u32, length: u32) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        let file = disk.files.get_mut(&segment).expect("it is there");
        file.bytes.truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self, segment: u32) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        if disk.fails_to_sync {
            return Err(io::Error::other("broken"));
        }
        let file = disk.files.get_mut(&segment).expect("it is there");
        file.synced = file.bytes.clone();
        Ok(())
    }

    fn remove(&mut self, segment: u32) -> io::Result<()> {
        assert!(self.0.borrow_mut().files.remove(&segment).is_some());
        Ok(())
    }
}

const QUOTA: u64 = 60_000;

pub(super) fn open(disk: &Shared) -> (Store<Shared>, Vec<Recovered>) {
    recover(disk.clone(), 4096, QUOTA, Arc::default()).unwrap()
}

pub(super) fn mailbox(number: u8) -> MailboxId {
    MailboxId {
        domain: [number % 2; 32],
        consumer: [number; 32],
    }
}

pub(super) fn record(counter: u64, bytes: usize) -> Record {
    Record {
        session: counter / 10,
        counter,
        frame: Frame::new(vec![counter as u8; bytes]),
    }
}

fn stored(mailbox: MailboxId, token: u64) -> SpillEvent {
    SpillEvent::Stored { mailbox, token }
}

fn failed(mailbox: MailboxId, token: u64, why: SpillFailure) -> SpillEvent {
    SpillEvent::Failed {
        mailbox,
        token,
        why,
    }
}

fn counters(store: &mut Store<Shared>, id: MailboxId) -> Vec<u64> {
    store.rewind(id);
    store.fetch(id, u64::MAX);
    match store.finish().pop() {
        Some(SpillEvent::Fetched { records, .. }) => {
            records.iter().map(|record| record.counter).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_fails_what_has_no_room_and_keeps_everything_else_readable() {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    let (kept, late) = (mailbox(1), mailbox(2));
    store.append(kept, 1, &record(1, 1000));
    assert_eq!(store.finish(), [stored(kept, 1)]);
    let used = disk.0.borrow().used();
    disk.0.borrow_mut().room = Some(used + 500);

    store.append(late, 2, &record(1, 1000));
    store.append(late, 3, &record(2, 10));

    let full = SpillFailure::Full;
    assert_eq!(
        store.finish(),
        [failed(late, 2, full), failed(late, 3, full)]
    );
    store.tidy();
    assert_eq!(counters(&mut store, kept), [1]);
    assert_eq!(counters(&mut store, late), []);
    // Others may still find room, and nothing of the failure is left behind.
    store.append(kept, 4, &record(2, 100));
    assert_eq!(store.finish(), [stored(kept, 4)]);
    drop(store);
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.len(), 1);
    assert_eq!((recovered[0].mailbox, recovered[0].records), (kept, 2));
}

#[test]
fn a_full_disk_on_which_not_even_a_file_can_be_made_fails_and_recovers() {
    let disk = Shared::default();
    disk.0.borrow_mut().room = Some(0);
    let (mut store, _) = open(&disk);
    store.append(mailbox(1), 1, &record(1, 10));
    assert_eq!(store.finish(), [failed(mailbox(1), 1, SpillFailure::Full)]);
    store.tidy();

    disk.0.borrow_mut().room = None;
    store.discard(mailbox(1));
    store.append(mailbox(1), 2, &record(2, 10));

    assert_eq!(store.finish(), [stored(mailbox(1), 2)]);
}

#[test]
fn a_trim_on_a_full_disk_frees_its_files() {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    for counter in 1..=10 {
        store.append(mailbox(1), counter, &record(counter, 3000));
    }
    store.finish();
    let used = disk.0.borrow().used();
    disk.0.borrow_mut().room = Some(used);

    store.trim(mailbox(1), (9, 9));
    store.finish();
    store.tidy();

    assert!(disk.0.borrow().used() < used / 3);
    store.append(mailbox(2), 1, &record(1, 3000));
    assert_eq!(store.finish(), [stored(mailbox(2), 1)]);
}

#[test]
fn nothing_counts_as_stored_when_the_disk_does_not_sync() {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    store.append(mailbox(1), 1, &record(1, 10));
    store.finish();
    disk.0.borrow_mut().fails_to_sync = true;

    store.append(mailbox(1), 2, &record(2, 10));

    assert_eq!(store.finish(), [failed(mailbox(1), 2, SpillFailure::Io)]);
    assert_eq!(counters(&mut store, mailbox(1)), [1]);
    disk.0.borrow_mut().fails_to_sync = false;
    store.append(mailbox(2), 3, &record(1, 10));
    store.append(mailbox(1), 4, &record(3, 10));
    let refused = failed(mailbox(1), 4, SpillFailure::Io);
    assert_eq!(store.finish(), [stored(mailbox(2), 3), refused]);
    drop(store);
    disk.0.borrow_mut().lose_power(0);
    assert_eq!(open(&disk).1.len(), 2);
}

#[test]
fn what_cannot_be_read_is_told_and_may_be_there_the_next_time() {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    store.append(mailbox(1), 1, &record(15, 10));
    store.finish();
    disk.0.borrow_mut().fails_to_read = true;

    store.fetch(mailbox(1), 100);

    let lost = SpillEvent::Lost {
        mailbox: mailbox(1),
        session: 1,
        counter: 15,
    };
    let nothing = SpillEvent::Fetched {
        mailbox: mailbox(1),
        records: Vec::new(),
        more: false,
    };
    assert_eq!(store.finish(), [lost, nothing]);
    disk.0.borrow_mut().fails_to_read = false;
    assert_eq!(counters(&mut store, mailbox(1)), [15]);
}

#[test]
fn what_is_trimmed_before_it_was_written_is_answered_and_gone() {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    store.append(mailbox(1), 1, &record(1, 10));
    store.append(mailbox(1), 2, &record(2, 10));
    store.trim(mailbox(1), (0, 1));

    assert_eq!(
        store.finish(),
        [stored(mailbox(1), 1), stored(mailbox(1), 2)]
    );
    assert_eq!(counters(&mut store, mailbox(1)), [2]);
}

#[test]
fn a_record_that_a_crash_leaves_twice_while_it_is_moved_counts_once() {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    for counter in 1..=20 {
        store.append(mailbox(1), counter, &record(counter, 100));
        store.append(mailbox(2), counter, &record(counter, 3500));
    }
    store.finish();
    store.trim(mailbox(2), (9, 9));
    let before = disk.0.borrow().files.clone();
    while store.tidy() {}
    assert!(
        disk.0.borrow().files.len() < before.len() / 2,
        "it was moved"
    );
    drop(store);

    for (segment, file) in before {
        disk.0.borrow_mut().files.entry(segment).or_insert(file);
    }
    let (mut store, _) = open(&disk);

    assert_eq!(counters(&mut store, mailbox(1)), Vec::from_iter(1..=20));
}
