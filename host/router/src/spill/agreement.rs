//! The law of the store: it agrees with queues in memory, through full disks, trims at any moment and losses of power.

use std::collections::{BTreeMap, HashSet, VecDeque};

use proptest::prelude::*;

use super::store::Store;
use super::trouble::{Shared, mailbox, open, record};
use super::{MailboxId, Record, SpillEvent};

/// One step of a run.
#[derive(Debug, Clone)]
enum Step {
    Append(u8, usize),
    Fetch(u8, u64),
    Rewind(u8),
    /// How many more counters may go.
    Trim(u8, u64),
    Discard(u8),
    Finish,
    Tidy,
    /// The disk takes so many bytes more, or any.
    Room(Option<usize>),
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..6_u8;
    prop_oneof![
        8 => (id.clone(), 0..2500_usize).prop_map(|(id, bytes)| Step::Append(id, bytes)),
        3 => (id.clone(), 0..6000_u64).prop_map(|(id, bytes)| Step::Fetch(id, bytes)),
        1 => id.clone().prop_map(Step::Rewind),
        4 => (id.clone(), 1..6_u64).prop_map(|(id, count)| Step::Trim(id, count)),
        1 => id.prop_map(Step::Discard),
        4 => Just(Step::Finish),
        2 => Just(Step::Tidy),
        1 => prop::option::of(0..20_000_usize).prop_map(Step::Room),
        1 => (0..=1000_usize).prop_map(Step::Crash),
    ]
}

/// What a mailbox must hold, and what it may.
#[derive(Debug, Default)]
struct Expected {
    /// Stored and not let go.
    living: VecDeque<Record>,
    /// Appended since the last answer.
    asked: Vec<Record>,
    /// Ever let go: it may come back after any crash, as marks are not synced.
    gone: HashSet<u64>,
    /// How many of `living` were read.
    read: usize,
    next: u64,
}

#[derive(Default)]
struct Model(BTreeMap<MailboxId, Expected>);

impl Model {
    /// Compares what was said with what had to be.
    fn check(&mut self, events: Vec<SpillEvent>) {
        for event in events {
            match event {
                SpillEvent::Stored { mailbox, token } => {
                    let own = self.0.get_mut(&mailbox).unwrap();
                    let record = own.asked.remove(0);
                    assert_eq!(record.counter, token);
                    if !own.gone.contains(&token) {
                        own.living.push_back(record);
                    }
                }
                SpillEvent::Failed { mailbox, token, .. } => {
                    let own = self.0.get_mut(&mailbox).unwrap();
                    assert_eq!(own.asked.remove(0).counter, token);
                }
                SpillEvent::Fetched {
                    mailbox,
                    records,
                    more,
                } => {
                    let own = self.0.entry(mailbox).or_default();
                    let unread = own.living.iter().skip(own.read);
                    assert!(unread.take(records.len()).eq(&records), "the next in order");
                    own.read += records.len();
                    assert_eq!(more, own.read < own.living.len());
                    assert!(!more || !records.is_empty(), "at least one");
                }
                SpillEvent::Lost { .. } => panic!("nothing is damaged"),
            }
        }
    }

    fn trim(&mut self, id: MailboxId, up_to: u64) {
        let own = self.0.entry(id).or_default();
        while own
            .living
            .front()
            .is_some_and(|first| first.counter <= up_to)
        {
            own.living.pop_front();
            own.read = own.read.saturating_sub(1);
        }
        own.gone.extend(0..=up_to);
    }

    /// After a crash: what lived is there, behind it perhaps what was asked, before it perhaps what had been let go.
    fn check_recovered(&mut self, store: &mut Store<Shared>) {
        for (id, own) in &mut self.0 {
            store.fetch(*id, u64::MAX);
            let Some(SpillEvent::Fetched { records, .. }) = store.finish().pop() else {
                panic!("a fetch is answered");
            };
            assert!(records.is_sorted_by(|one, next| one.counter < next.counter));
            let found: HashSet<u64> = records.iter().map(|record| record.counter).collect();
            let asked: HashSet<u64> = own.asked.iter().map(|record| record.counter).collect();
            for record in &own.living {
                assert!(
                    records.contains(record),
                    "{record:?} was stored and is not there"
                );
            }
            let living: HashSet<u64> = own.living.iter().map(|record| record.counter).collect();
            for counter in found.difference(&living) {
                assert!(own.gone.contains(counter) || asked.contains(counter));
            }
            own.asked.clear();
            own.read = records.len();
            own.living = records.into();
        }
    }
}

fn run(steps: Vec<Step>) {
    let disk = Shared::default();
    let (mut store, _) = open(&disk);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(id, bytes) => {
                let own = model.0.entry(mailbox(id)).or_default();
                own.next += 1;
                let record = record(own.next, bytes);
                own.asked.push(record.clone());
                store.append(mailbox(id), own.next, &record);
            }
            Step::Fetch(id, bytes) => {
                store.fetch(mailbox(id), bytes);
                model.check(store.finish());
            }
            Step::Rewind(id) => {
                store.rewind(mailbox(id));
                model.check(store.finish());
                model.0.entry(mailbox(id)).or_default().read = 0;
            }
            Step::Trim(id, count) => {
                let own = model.0.entry(mailbox(id)).or_default();
                let first = own.living.front().map_or(0, |first| first.counter);
                let up_to = (first + count).min(own.next);
                store.trim(mailbox(id), (up_to / 10, up_to));
                model.trim(mailbox(id), up_to);
            }
            Step::Discard(id) => {
                store.discard(mailbox(id));
                model.check(store.finish());
                let last = model.0.entry(mailbox(id)).or_default().next;
                model.trim(mailbox(id), last);
            }
            Step::Finish => model.check(store.finish()),
            Step::Tidy => {
                model.check(store.finish());
                store.tidy();
            }
            Step::Room(more) => {
                let used = disk.0.borrow().used();
                disk.0.borrow_mut().room = more.map(|more| used + more);
            }
            Step::Crash(kept) => {
                drop(store);
                disk.0.borrow_mut().lose_power(kept);
                store = open(&disk).0;
                model.check_recovered(&mut store);
            }
        }
    }
    model.check(store.finish());
    disk.0.borrow_mut().room = None;
    while store.tidy() {}
    let (all, living) = store.log.bytes();
    assert!(all <= 2 * living + 4 * 4096, "{all} for {living}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_queues_in_memory_through_full_disks_and_crashes(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(steps);
    }
}
