//! One mailbox against a simple world: a program, a store, a link that breaks, and a consumer that checks what it takes.
//!
//! The law: whatever happens, what the consumer takes of a session ascends without a gap, or the gap ends in a notice of suspension, or of how much was missed in one; what
//! nobody can lose any more holds no credit; and when all is calm again the consumer has the last notice that was made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use sc_transport::FrameClass;

use super::*;
use crate::credit::{Credit, Due};
use crate::memory::{DOMAIN_MEMORY_MAX, MEMORY_MAX, Weight};

/// What may happen.
#[derive(Debug, Clone)]
enum Op {
    /// The program makes a notice, of this many KiB.
    Push(u16),
    /// The consumer's link attaches.
    Attach,
    /// The consumer says how far it has come.
    Speak,
    /// It takes some of what is on the link.
    Take(usize),
    Lose,
    /// The store says what it has done, well or not.
    Store(bool),
    /// The program answers what it was asked.
    Answer,
    /// The retention passes, if the consumer is away or takes nothing.
    Expire,
    /// The link's queue is full, or has room again.
    Fill(bool),
    /// The consumer does not take the next notice for its size.
    TooLarge,
    /// A new session; whether the consumer still has the keys of the last.
    Session(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (1u16..700).prop_map(Op::Push),
        3 => Just(Op::Attach),
        6 => Just(Op::Speak),
        6 => (1usize..8).prop_map(Op::Take),
        2 => Just(Op::Lose),
        8 => prop::bool::weighted(0.95).prop_map(Op::Store),
        4 => Just(Op::Answer),
        1 => Just(Op::Expire),
        2 => any::<bool>().prop_map(Op::Fill),
        1 => prop::bool::weighted(0.2).prop_map(|it| if it { Op::TooLarge } else { Op::Speak }),
        1 => any::<bool>().prop_map(Op::Session),
    ]
}

/// What the store was asked, in order.
enum Asked {
    Append(u64, Record),
    Fetch(u64),
    Rewind,
    Trim(Place),
}

#[derive(Default)]
struct Store {
    asked: VecDeque<Asked>,
    records: VecDeque<Record>,
    read: Place,
    failed: bool,
}

/// The world around one mailbox.
struct World {
    mailbox: Mailbox,
    effects: VecDeque<Effect>,
    is_busy: bool,
    credit: Credit,
    total: Arc<Gauge>,
    store: Store,
    policy: Policy,
    /// Debts that were made and not settled.
    open: usize,
    session: u64,
    counter: u64,
    /// Whether the program makes notices, and what it was asked.
    makes: bool,
    asked: VecDeque<Effect>,
    /// Notices of suspension, and of how much was missed in one.
    suspended: BTreeSet<Place>,
    /// Sessions in which the program was asked to suspend, and has not answered: a session that is replaced takes its answer with it.
    unanswered: BTreeSet<u64>,
    link: u64,
    attached: bool,
    full: bool,
    too_large: bool,
    wire: VecDeque<Place>,
    /// The last that the consumer took of each session, and the sessions of which it has the keys.
    taken: BTreeMap<u64, u64>,
    keys: BTreeSet<u64>,
}

fn frame(kibibytes: u16) -> Frame {
    Frame::new("head").with(Bytes::from(vec![0; usize::from(kibibytes) << 10]))
}

impl World {
    fn new(policy: Policy) -> Self {
        let total = Gauge::total();
        let mut mailbox = Mailbox::new(Duration::ZERO, Gauge::of_domain(&total));
        mailbox.admit(Duration::ZERO, 1, policy, Duration::ZERO, &mut Vec::new());
        Self {
            mailbox,
            effects: VecDeque::new(),
            is_busy: false,
            credit: Credit::default(),
            total,
            store: Store::default(),
            policy,
            open: 0,
            session: 1,
            counter: 0,
            makes: true,
            asked: VecDeque::new(),
            suspended: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            link: 0,
            attached: false,
            full: false,
            too_large: false,
            wire: VecDeque::new(),
            taken: BTreeMap::new(),
            keys: BTreeSet::from([1]),
        }
    }

    /// What a mailbox wants is done in order; what comes of that follows.
    fn act(&mut self, act: impl FnOnce(&mut Mailbox, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        act(&mut self.mailbox, &mut effects);
        self.mailbox.note_progress(Duration::ZERO);
        self.effects.extend(effects);
        if !self.is_busy {
            self.is_busy = true;
            while let Some(effect) = self.effects.pop_front() {
                self.carry_out(effect);
            }
            self.is_busy = false;
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(link, frame) => self.send(link, &frame),
            Effect::Settle(debt) => {
                assert!(self.credit.settle(debt).is_some(), "settled once");
                self.open -= 1;
            }
            Effect::Store(token, record) => {
                self.store.asked.push_back(Asked::Append(token, record));
            }
            Effect::Fetch(bytes) => self.store.asked.push_back(Asked::Fetch(bytes)),
            Effect::Rewind => self.store.asked.push_back(Asked::Rewind),
            Effect::Trim(place) => self.store.asked.push_back(Asked::Trim(place)),
            Effect::Discard => {
                let all = (u64::MAX, u64::MAX);
                self.store.asked.push_back(Asked::Trim(all));
            }
            Effect::Suspend(session) => {
                self.unanswered.insert(session);
                self.asked.push_back(effect);
            }
            Effect::Resume(_) => self.asked.push_back(effect),
            Effect::Disconnect(_) => self.lose(),
            Effect::Acked(_) | Effect::GivenUp(_) => {}
        }
    }

    fn send(&mut self, link: LinkId, frame: &Frame) {
        if !self.attached || link != LinkId(self.link) {
            // The link has ended meanwhile.
            return;
        }
        // The head of a frame of this world says nothing; the mailbox's position is the place of what it sends last.
        let sent = self.wire.back().copied();
        let place = self.next_place(frame);
        assert!(sent.is_none_or(|sent| sent < place), "in order and once");
        if self.too_large {
            self.too_large = false;
            self.act(|mailbox, out| mailbox.give_up(place, out));
            self.lose();
        } else if self.full {
            self.act(|mailbox, out| mailbox.stall(place, out));
        } else {
            self.wire.push_back(place);
        }
    }

    fn next_place(&self, frame: &Frame) -> Place {
        let head = &frame.head[..];
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        (number(0), number(8))
    }

    fn notice(&mut self, kibibytes: u16) -> Notice {
        self.counter += 1;
        let place = (self.session, self.counter);
        let mut frame = frame(kibibytes);
        frame.head = [place.0.to_le_bytes(), place.1.to_le_bytes()]
            .concat()
            .into();
        let due = Due {
            link: LinkId(99),
            class: FrameClass::Data,
            bytes: 1,
        };
        let load = Load::new(self.mailbox.gauge(), frame.cost(), None);
        self.open += 1;
        Notice {
            place,
            frame,
            debt: Some(self.credit.owe(due)),
            load,
        }
    }

    fn push(&mut self, kibibytes: u16) {
        if self.makes {
            let notice = self.notice(kibibytes);
            self.act(|mailbox, out| mailbox.push(notice, out));
        }
    }

    fn attach(&mut self) {
        self.lose();
        self.link += 1;
        self.attached = true;
        let link = LinkId(self.link);
        self.act(|mailbox, out| mailbox.attach(Duration::ZERO, link, &[], out));
    }

    /// As a consumer does: one for each session of which it has the keys, ascending.
    fn speak(&mut self) {
        for session in self.keys.clone() {
            if self.attached {
                let counter = self.taken.get(&session).copied().unwrap_or(0);
                self.act(|mailbox, out| {
                    mailbox.name(session);
                    mailbox.acknowledge((session, counter), out);
                });
            }
        }
    }

    fn take(&mut self, count: usize) {
        for _ in 0..count {
            let Some((session, counter)) = self.wire.pop_front() else {
                return;
            };
            let last = self.taken.entry(session).or_default();
            if counter <= *last {
                continue;
            }
            let place = (session, counter);
            let is_explained = self.suspended.range(place..).next().is_some()
                || self.unanswered.range(session..).next().is_some();
            assert!(
                counter == *last + 1 || is_explained,
                "{place:?} after {last}, suspended {:?}",
                self.suspended
            );
            *last = counter;
        }
    }

    fn lose(&mut self) {
        if self.attached {
            self.attached = false;
            self.full = false;
            self.wire.clear();
            self.act(|mailbox, out| mailbox.lose(Duration::ZERO, out));
        }
    }

    fn trim(&mut self, place: Place) {
        let of = |record: &Record| (record.session, record.counter);
        self.store.records.retain(|record| of(record) > place);
        if self.store.records.is_empty() {
            self.store.failed = false;
        }
    }

    /// The store does the next thing that it was asked.
    fn store(&mut self, is_well: bool) {
        match self.store.asked.pop_front() {
            Some(Asked::Append(token, record)) => {
                let place = (record.session, record.counter);
                self.store.failed |= !is_well;
                if self.store.failed {
                    return self.act(|mailbox, out| mailbox.on_store_failed(token, out));
                }
                let last = self.store.records.back();
                assert!(last.is_none_or(|last| (last.session, last.counter) < place));
                self.store.records.push_back(record);
                self.act(|mailbox, out| mailbox.on_stored(token, out));
            }
            Some(Asked::Fetch(bytes)) => {
                let (mut records, mut size) = (Vec::new(), 0);
                let of = |record: &Record| (record.session, record.counter);
                let unread = self.store.records.iter();
                let mut unread = unread.filter(|record| of(record) > self.store.read);
                for record in unread.by_ref() {
                    size += record.frame.len();
                    if size > bytes && !records.is_empty() {
                        break;
                    }
                    records.push(record.clone());
                }
                self.store.read = records.last().map_or(self.store.read, of);
                let read = self.store.read;
                let more = self.store.records.iter().any(|record| of(record) > read);
                self.act(|mailbox, out| mailbox.on_fetched(records, more, out));
            }
            Some(Asked::Rewind) => self.store.read = (0, 0),
            Some(Asked::Trim(place)) => self.trim(place),
            None => {}
        }
    }

    /// The program answers the oldest call.
    fn answer(&mut self) {
        match self.asked.pop_front() {
            Some(Effect::Suspend(session)) if session == self.session && self.makes => {
                self.makes = false;
                self.unanswered.remove(&session);
                let mut notice = self.notice(1);
                self.free(&mut notice);
                self.suspended.insert(notice.place);
                self.act(|mailbox, out| mailbox.on_suspended(notice, out));
            }
            Some(Effect::Suspend(session)) => {
                self.act(|mailbox, out| mailbox.on_suspend_refused(session, out));
            }
            Some(Effect::Resume(session)) if session == self.session && !self.makes => {
                self.makes = true;
                let mut notice = self.notice(1);
                self.free(&mut notice);
                self.suspended.insert(notice.place);
                self.act(|mailbox, out| mailbox.on_resumed(notice, out));
            }
            Some(Effect::Resume(session)) => {
                self.act(|mailbox, _| mailbox.on_resume_refused(session));
            }
            _ => {}
        }
    }

    /// What the router asked for itself has no publisher.
    fn free(&mut self, notice: &mut Notice) {
        let debt = notice.debt.take().unwrap();
        assert!(self.credit.settle(debt).is_some());
        self.open -= 1;
    }

    fn expire(&mut self) {
        if self.mailbox.deadline().is_some() {
            self.act(|mailbox, out| {
                mailbox.on_timeout(Duration::from_secs(3600), true, out);
            });
        }
    }

    fn begin_session(&mut self, keeps_keys: bool) {
        self.session += 1;
        self.counter = 0;
        self.makes = true;
        if !keeps_keys {
            self.keys.clear();
        }
        self.keys.insert(self.session);
        let (session, policy) = (self.session, self.policy);
        self.act(|mailbox, out| {
            mailbox.admit(Duration::ZERO, session, policy, Duration::ZERO, out)
        });
    }

    fn happen(&mut self, op: Op) {
        match op {
            Op::Push(kibibytes) => self.push(kibibytes),
            Op::Attach => self.attach(),
            Op::Speak => self.speak(),
            Op::Take(count) => self.take(count),
            Op::Lose => self.lose(),
            Op::Store(is_well) => self.store(is_well),
            Op::Answer => self.answer(),
            Op::Expire => self.expire(),
            Op::Fill(true) => self.full = self.attached,
            Op::Fill(false) => {
                self.full = false;
                self.act(|mailbox, out| mailbox.unstall(out));
            }
            Op::TooLarge => self.too_large = true,
            Op::Session(keeps_keys) => self.begin_session(keeps_keys),
        }
    }

    /// Everybody does what it has to, for as long as there is anything to do.
    fn calm_down(&mut self) {
        self.too_large = false;
        self.attach();
        for _ in 0..200 {
            self.speak();
            self.take(usize::MAX);
            self.answer();
            (0..100).for_each(|_| self.store(true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_consumer_takes_has_no_gap_that_does_not_end_in_a_suspension(
        policy in prop_oneof![Just(Policy::Spill), Just(Policy::Block), Just(Policy::Disconnect)],
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let mut world = World::new(policy);
        for op in ops {
            world.happen(op);
            prop_assert!(world.mailbox.flight_cost <= FLIGHT_MAX || world.mailbox.flight.len() == 1);
        }
        world.calm_down();

        prop_assert!(world.makes, "notices flow again");
        prop_assert_eq!(world.open, 0, "no publisher waits");
        let taken = world.taken.get(&world.session).copied().unwrap_or(0);
        prop_assert_eq!(taken, world.counter, "the consumer has the last notice");
        prop_assert!(world.mailbox.is_empty());
        prop_assert_eq!(world.total.bytes(), 0, "nothing is left in memory");
        prop_assert!(world.store.records.is_empty(), "nor on the disk");
    }
}

/// Holds as much as presses all, in domains of others.
fn press(total: &Arc<Gauge>) -> Vec<Weight> {
    let domains = MEMORY_MAX / DOMAIN_MEMORY_MAX + 1;
    (0..domains)
        .map(|_| Weight::new(&Gauge::of_domain(total), DOMAIN_MEMORY_MAX))
        .collect()
}

#[test]
fn under_pressure_each_consumer_is_sent_one_notice_at_a_time() {
    let mut world = World::new(Policy::Block);
    world.attach();
    world.speak();
    let _others = press(&world.total);

    world.push(1);
    world.push(1);
    assert_eq!(world.wire, [(1, 1)]);
    world.take(1);
    world.speak();

    assert_eq!(world.wire, [(1, 2)]);
    assert!(world.asked.is_empty());
}

#[test]
fn a_notice_for_a_domain_that_holds_too_much_is_given_up_and_the_consumer_told() {
    let mut world = World::new(Policy::Block);
    world.attach();
    world.speak();
    let full = Weight::new(world.mailbox.gauge(), DOMAIN_MEMORY_MAX);

    world.push(1);
    assert!(world.wire.is_empty() && world.mailbox.is_empty());
    assert_eq!(world.open, 0, "its publisher does not wait");
    world.answer();
    assert_eq!(world.wire, [(1, 2)], "the notice of the suspension");
    drop(full);
    world.calm_down();

    assert!(world.makes);
}
