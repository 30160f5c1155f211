//! A consumer that is killed at any point: nothing is lost, and nothing is taken twice but what its journal could not know of.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use sc_client::{Memory, Output, SubscriberEvent};
use sc_transport::Frame;

use crate::scripted::{Scripted, Sent, batch, heartbeat, origin};

/// Notices that come in one round of work.
const ROUND: usize = 2;
const NOTICES: u64 = 20;

/// What is left of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    /// Everything that was written: the process was killed.
    OfProcess,
    /// What was synced: the machine lost its power.
    OfMachine,
}

/// An honest router's mailbox.
struct Mailbox {
    unacked: VecDeque<(u64, Frame)>,
    /// How many of them were sent on this link.
    sent: usize,
    /// Whether an acknowledgement on this link has named the session.
    is_named: bool,
}

impl Mailbox {
    fn on_sent(&mut self, sent: &Sent) {
        match sent {
            Sent::Attach => (self.sent, self.is_named) = (0, false),
            Sent::Ack(_, counter) => {
                self.is_named = true;
                while self.unacked.front().is_some_and(|(at, _)| at <= counter) {
                    self.unacked.pop_front();
                    self.sent = self.sent.saturating_sub(1);
                }
            }
            Sent::Ask => {}
        }
    }

    fn next_round(&mut self) -> Vec<Frame> {
        if !self.is_named {
            return Vec::new();
        }
        let begin = self.sent;
        let end = (begin + ROUND).min(self.unacked.len());
        self.sent = end;
        self.unacked
            .range(begin..end)
            .map(|(_, frame)| frame.clone())
            .collect()
    }
}

/// The consumer, its mailbox, and when it is killed.
struct Run {
    scripted: Scripted,
    mailbox: Mailbox,
    crash: Crash,
    /// Outputs until the next crash.
    left: Option<usize>,
    /// What was delivered since the journal was last sure to know of it.
    unsure: BTreeSet<String>,
    twice: BTreeSet<String>,
    known: usize,
}

impl Run {
    fn new(crash: Crash, after: usize) -> Self {
        let mut scripted = Scripted::admitted();
        let unacked = (1..=NOTICES)
            .map(|counter| {
                let said = if counter % 5 == 0 {
                    heartbeat(origin(0, 0), origin(1, counter))
                } else {
                    batch(origin(1, counter))
                };
                (counter, scripted.notice(1, &said))
            })
            .collect();
        Self {
            scripted,
            mailbox: Mailbox {
                unacked,
                sent: 0,
                is_named: true,
            },
            crash,
            left: Some(after),
            unsure: BTreeSet::new(),
            twice: BTreeSet::new(),
            known: 0,
        }
    }

    /// Carries out what is due; `false` if the consumer was killed in the middle.
    fn carry_out(&mut self) -> bool {
        for output in self.scripted.subscriber.take_outputs() {
            if let Some(left) = &mut self.left {
                if *left == 0 {
                    self.left = None;
                    return false;
                }
                *left -= 1;
            }
            let is_record = matches!(output, Output::Record(_));
            let sent = self.scripted.sent.len();
            self.scripted.carry_out(output);
            if is_record == (self.crash == Crash::OfProcess) {
                self.unsure.clear();
            }
            for sent in &self.scripted.sent[sent..] {
                self.mailbox.on_sent(sent);
                if let Sent::Ack(session, counter) = sent {
                    let on_disk = &self.scripted.journal[..self.scripted.synced];
                    assert!(Memory::replay(on_disk).taken(*session) >= *counter);
                }
            }
        }
        true
    }

    fn revive(&mut self) {
        if self.crash == Crash::OfMachine {
            let synced = self.scripted.synced;
            self.scripted.journal.truncate(synced);
        }
        self.twice.append(&mut self.unsure);
        self.scripted.kill();
        self.scripted.subscriber.on_established();
    }

    /// Lets everything arrive; returns how often the consumer was killed.
    fn finish(&mut self) -> usize {
        let mut deaths = 0;
        for _ in 0..200 {
            if !self.carry_out() {
                deaths += 1;
                self.revive();
                continue;
            }
            self.scripted.clock.now += Duration::from_millis(2);
            self.scripted.subscriber.on_timeout(self.scripted.clock);
            for frame in self.mailbox.next_round() {
                self.scripted.hand(frame);
            }
            for payload in &self.scripted.payloads[self.known..] {
                self.unsure.insert(payload.clone());
            }
            self.known = self.scripted.payloads.len();
        }
        deaths
    }
}

#[test]
fn a_consumer_killed_at_any_point_loses_nothing_and_repeats_only_what_it_had_not_written_down() {
    for crash in [Crash::OfProcess, Crash::OfMachine] {
        for after in 0.. {
            let mut run = Run::new(crash, after);

            let deaths = run.finish();

            let given = &run.scripted.payloads;
            let expected: BTreeSet<String> = (1..=NOTICES)
                .filter(|counter| counter % 5 != 0)
                .map(|counter| format!("1.{counter}"))
                .collect();
            assert_eq!(given.iter().cloned().collect::<BTreeSet<_>>(), expected);
            let mut seen = BTreeSet::new();
            for payload in given {
                let is_new = seen.insert(payload);
                assert!(
                    is_new || run.twice.contains(payload),
                    "{payload} came twice, {crash:?} after {after}"
                );
            }
            let is_complaint = |event: &&SubscriberEvent| **event != SubscriberEvent::Silent;
            assert_eq!(run.scripted.events.iter().find(is_complaint), None);
            assert!(run.mailbox.unacked.is_empty());
            if deaths == 0 {
                assert!(after > 10, "there was nothing to crash in");
                break;
            }
        }
    }
}

#[test]
fn without_its_journal_a_consumer_cannot_go_on_in_its_session() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.journal.clear();
    scripted.kill();
    scripted.link();

    scripted.hear(1, &batch(origin(1, 2)));

    assert_eq!(scripted.events, [SubscriberEvent::NotTaken]);
    assert_eq!(scripted.acks(), []);
}
