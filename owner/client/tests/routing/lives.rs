//! A consumer's life across sessions, restarts and absences: what it goes on with, what it is told, what ends it and what does not.

use std::time::Duration;

use sc_cbr::SlowPolicy;
use sc_client::{Ending, Memory, Operation, Refusal, SubscriberEvent, SubscriberSettings, Verdict};
use sc_proto::routing::{self, to_subscriber};
use sc_transport::Frame;

use crate::scripted::{Said, Scripted, Sent, batch, delivery_key, notice, origin};
use crate::world::to_subscriber;

const RETENTION: Duration = Duration::from_secs(7200);

fn admitted_in(session: u64) -> SubscriberEvent {
    SubscriberEvent::Admitted {
        session,
        slow: SlowPolicy::Spill,
        retention: Duration::from_secs(60),
    }
}

#[test]
fn a_consumer_killed_goes_on_in_its_session_before_anybody_has_answered_it() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.kill();
    scripted.link();

    scripted.hear(1, &batch(origin(1, 2)));

    assert_eq!(scripted.payloads, ["1.1", "1.2"]);
    assert_eq!(scripted.events, []);
}

#[test]
fn what_was_withheld_while_a_consumer_was_dead_is_told() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.kill();
    scripted.link();
    scripted.notice(1, &batch(origin(1, 2)));

    scripted.hear(1, &batch(origin(1, 3)));

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 2,
    };
    assert_eq!(scripted.events, [missing]);
}

#[test]
fn notices_that_were_taken_before_a_restart_are_dropped_after_it() {
    let mut scripted = Scripted::admitted();
    let taken = scripted.notice(1, &batch(origin(1, 1)));
    scripted.hand(taken.clone());
    scripted.work();
    scripted.kill();
    scripted.link();

    scripted.hand(taken);

    assert_eq!(scripted.payloads, ["1.1"]);
    assert_eq!(scripted.events, [SubscriberEvent::NotTaken]);
}

#[test]
fn a_consumer_killed_drains_each_session_whose_keys_it_has() {
    let mut scripted = Scripted::admitted();
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.kill();
    scripted.link();
    scripted.forget();

    scripted.hear(1, &batch(origin(1, 1)));
    scripted.hear(2, &batch(origin(1, 2)));

    assert_eq!(scripted.payloads, ["1.1", "1.2"]);
    assert_eq!(scripted.events, []);
}

#[test]
fn the_last_four_sessions_are_remembered_and_no_more() {
    let mut scripted = Scripted::admitted();
    for session in 2..=5 {
        scripted.state(session);
        scripted.answer_to(0, session);
    }
    scripted.kill();
    scripted.sent.clear();

    scripted.link();

    let sessions: Vec<_> = scripted
        .acks()
        .iter()
        .map(|(session, _)| *session)
        .collect();
    assert_eq!(sessions, [2, 3, 4, 5]);
}

#[test]
fn a_journal_and_its_rewritten_form_remember_the_same() {
    let mut scripted = Scripted::admitted();
    for session in 2..=6 {
        scripted.state(session);
        scripted.answer_to(0, session);
        scripted.hear(session, &batch(origin(session, 1)));
    }
    let grown = Memory::replay(&scripted.journal).records();

    let rewritten = scripted.subscriber.memory().records();

    assert_eq!(grown, rewritten);
    assert_eq!(Memory::replay(&rewritten).records(), rewritten);
    assert!(rewritten.len() < scripted.journal.len());
}

#[test]
fn a_journal_holds_no_key() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));

    let key = delivery_key(1);

    let records = [scripted.journal, scripted.subscriber.memory().records()].concat();
    for record in records {
        assert!(!record.windows(32).any(|bytes| bytes == key.expose()));
    }
}

#[test]
fn a_journal_of_an_earlier_version_keeps_its_place_in_the_session() {
    let mut scripted = Scripted::new();
    let mut sequence = vec![1];
    sequence.extend(9u64.to_le_bytes());
    let mut taken = vec![2];
    taken.extend(1u64.to_le_bytes());
    taken.extend(3u64.to_le_bytes());
    scripted.journal = vec![sequence, taken];
    scripted.kill();
    scripted.link();
    scripted.state(1);
    scripted.sent.clear();

    scripted.answer(1);

    assert_eq!(scripted.sent, [Sent::Ack(1, 3)]);
    assert_eq!(scripted.subscriber.memory().sequence(), 10);
}

#[test]
fn records_that_do_not_read_are_passed_over() {
    let scripted = Scripted::admitted();
    let good = scripted.subscriber.memory().records();
    let mut mixed: Vec<Vec<u8>> = vec![
        vec![],
        vec![1],
        vec![1, 2, 3],
        vec![2; 9],
        vec![3, 1],
        vec![4],
        vec![4, 255, 255, 255, 255],
        vec![4, 0, 0, 0, 0, 255, 255, 255, 255],
        vec![9; 17],
    ];
    mixed.extend(good.clone());

    assert_eq!(Memory::replay(&mixed).records(), good);
}

#[test]
fn an_answer_of_another_owner_in_the_journal_opens_nothing() {
    let mut scripted = Scripted::admitted();
    let at = scripted
        .journal
        .iter()
        .position(|record| record[0] == 3)
        .unwrap();
    let last = scripted.journal[at].len() - 1;
    scripted.journal[at][last] ^= 1;
    scripted.kill();
    scripted.sent.clear();

    scripted.link();

    assert_eq!(scripted.sent, [Sent::Attach]);
}

#[test]
fn retention_is_asked_for_and_what_was_granted_is_told() {
    let mut scripted = Scripted::with(SubscriberSettings {
        retention: RETENTION,
        ..SubscriberSettings::default()
    });
    scripted.link();
    scripted.state(1);
    let operation = scripted.operation(0);

    scripted.answer(1);

    assert!(matches!(
        operation,
        Operation::Subscribe {
            retention_ms: 7_200_000,
            ..
        }
    ));
    assert_eq!(scripted.events, [admitted_in(1)]);
}

#[test]
fn a_suspension_and_what_was_missed_in_it_are_told() {
    let mut scripted = Scripted::admitted();

    scripted.hear(1, &Said::Suspended);
    scripted.hear(1, &Said::Missed(3, 40));

    assert_eq!(
        scripted.events,
        [
            SubscriberEvent::Suspended { session: 1 },
            SubscriberEvent::Missed {
                batches: 3,
                publications: 40
            }
        ]
    );
}

#[test]
fn what_was_dropped_before_a_suspension_is_told_as_missing() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    for number in 2..=9 {
        scripted.notice(1, &batch(origin(1, number)));
    }

    scripted.hear(1, &Said::Suspended);

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 9,
    };
    assert_eq!(
        scripted.events,
        [missing, SubscriberEvent::Suspended { session: 1 }]
    );
}

#[test]
fn a_lease_that_ran_out_ends_a_consumer_that_waits_for_nothing() {
    let mut scripted = Scripted::admitted();
    scripted.clock.wall_ms += 3_600_001;

    scripted.hear(1, &Said::Expired);

    assert_eq!(scripted.events, [SubscriberEvent::Ended(Ending::Expired)]);
}

#[test]
fn a_lease_that_ran_out_in_an_absence_ends_nobody_who_asks_anew() {
    let mut scripted = Scripted::admitted();
    scripted.clock.wall_ms += 3_600_001;
    let expired = scripted.notice(1, &Said::Expired);
    scripted.kill();
    scripted.link();
    scripted.state(1);

    scripted.hand(expired);
    scripted.answer(1);

    assert_eq!(
        scripted.events,
        [SubscriberEvent::Lapsed { session: 1 }, admitted_in(1)]
    );
}

#[test]
fn a_lease_that_ran_out_before_the_present_one_was_given_ends_nobody() {
    let mut scripted = Scripted::admitted();
    scripted.clock.wall_ms += 3_600_001;
    let expired = scripted.notice(1, &Said::Expired);
    scripted.kill();
    scripted.link();
    scripted.state(1);
    scripted.answer(1);
    scripted.forget();

    scripted.hand(expired);
    scripted.hear(1, &batch(origin(1, 1)));

    assert_eq!(scripted.events, [SubscriberEvent::Lapsed { session: 1 }]);
    assert_eq!(scripted.payloads, ["1.1"]);
}

#[test]
fn the_end_of_a_lease_in_an_earlier_session_ends_nobody_in_a_later_one() {
    let mut scripted = Scripted::admitted();
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.forget();
    scripted.clock.wall_ms += 3_600_001;

    scripted.hear(1, &Said::Expired);

    assert!(
        !scripted
            .events
            .contains(&SubscriberEvent::Ended(Ending::Expired))
    );
}

#[test]
fn a_revocation_ends_a_consumer() {
    let mut scripted = Scripted::admitted();

    scripted.hear(1, &Said::Revoked);

    assert_eq!(scripted.events, [SubscriberEvent::Ended(Ending::Revoked)]);
}

#[test]
fn a_refusal_for_the_sequence_number_is_believed_at_the_second_request_only() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);

    scripted.refuse(0, 1, Refusal::Sequence);
    assert_eq!(scripted.events, []);
    assert_eq!(scripted.asks.len(), 2);
    scripted.refuse(0, 1, Refusal::Sequence);
    assert_eq!(scripted.asks.len(), 2);
    scripted.refuse(1, 1, Refusal::Sequence);

    assert_eq!(
        scripted.events.last(),
        Some(&SubscriberEvent::Refused(Refusal::Sequence))
    );
}

#[test]
fn a_request_that_a_router_carried_twice_ends_nobody_in_whatever_order_the_answers_come() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);

    scripted.refuse(0, 1, Refusal::Sequence);
    scripted.answer_to(0, 1);
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.answer_to(1, 1);

    assert_eq!(scripted.events, [admitted_in(1)]);
    assert_eq!(scripted.payloads, ["1.1"]);
}

#[test]
fn a_refusal_of_a_request_that_was_answered_is_not_believed_in_a_later_session_either() {
    let mut scripted = Scripted::admitted();

    for refusal in [Refusal::Sequence, Refusal::NotListed, Refusal::Revoked] {
        scripted.forget();
        scripted.refuse(0, 2, refusal);

        assert_eq!(scripted.events, [SubscriberEvent::NotTaken]);
    }
    scripted.forget();
    scripted.state(2);
    scripted.answer_to(0, 2);
    assert_eq!(scripted.events, [admitted_in(2)]);
}

#[test]
fn any_other_refusal_is_believed_at_once() {
    for refusal in [
        Refusal::NotListed,
        Refusal::Quota,
        Refusal::Revoked,
        Refusal::Full,
    ] {
        let mut scripted = Scripted::new();
        scripted.link();
        scripted.state(1);

        scripted.refuse(0, 1, refusal);

        assert_eq!(scripted.events, [SubscriberEvent::Refused(refusal)]);
        assert_eq!(scripted.subscriber.next_timeout(), None);
    }
}

#[test]
fn a_grant_to_publish_is_no_answer_to_a_subscription() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    let secret = delivery_key(9);

    scripted.say(0, 1, Verdict::Granted { start: 1, secret });

    assert_eq!(scripted.events, [SubscriberEvent::NotTaken]);
    assert_eq!(scripted.acks(), []);
}

#[test]
fn answers_that_always_take_longer_than_the_patience_admit_in_the_end() {
    // Each answer comes this long after its request: the first requests are all made again before.
    let way = Duration::from_secs(33);
    let second = Duration::from_secs(1);
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    let mut asked_at = vec![scripted.clock.now];
    let mut answered = 0;

    for _ in 0..200 {
        scripted.pass(second);
        asked_at.resize(scripted.asks.len(), scripted.clock.now);
        while answered < asked_at.len() && asked_at[answered] + way <= scripted.clock.now {
            scripted.answer_to(answered, 1);
            answered += 1;
        }
    }

    assert_eq!(scripted.events.last(), Some(&SubscriberEvent::Silent));
    assert!(scripted.events.contains(&admitted_in(1)));
    assert!(scripted.asks.len() <= 5, "{} requests", scripted.asks.len());
}

#[test]
fn a_router_that_lies_about_sessions_cannot_have_it_asked_more_often_than_every_five_seconds() {
    for was_admitted in [false, true] {
        let mut scripted = if was_admitted {
            Scripted::admitted()
        } else {
            Scripted::new()
        };
        scripted.link();
        let before = scripted.asks.len();
        for step in 0..1000 {
            scripted.state(1000 + step);
            scripted.pass(Duration::from_millis(20));
        }

        let asked = scripted.asks.len() - before;
        assert!((3..=5).contains(&asked), "{asked} requests in 20 s");
    }
}

#[test]
fn a_new_session_is_asked_for_soon_however_long_nobody_has_answered() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    scripted.pass(Duration::from_secs(100));
    scripted.pass(Duration::from_secs(100));
    scripted.pass(Duration::from_secs(10));
    let before = scripted.asks.len();

    scripted.state(2);

    assert_eq!(scripted.asks.len(), before + 1);
}

#[test]
fn reports_that_a_router_can_cause_are_bounded_and_crowd_out_no_other() {
    let mut scripted = Scripted::admitted();
    let genuine = scripted.notice(1, &Said::Suspended);
    for number in 0..5000 {
        let refused = routing::Refused {
            cause: routing::refused::Cause::Limit.into(),
            what: number.to_string(),
            ..routing::Refused::default()
        };
        let frame = to_subscriber(to_subscriber::Frame::Refused(refused), []);
        take(&mut scripted, frame);
        take(&mut scripted, notice(7, number, 0, &Said::Suspended));
    }
    take(&mut scripted, genuine);

    let events: Vec<_> = std::iter::from_fn(|| scripted.subscriber.poll_event()).collect();

    assert_eq!(events.len(), 1024 + 1);
    assert_eq!(
        events.last(),
        Some(&SubscriberEvent::Suspended { session: 1 })
    );
}

/// Hands over a frame while nobody polls the reports.
fn take(scripted: &mut Scripted, frame: Frame) {
    let clock = scripted.clock;
    scripted
        .subscriber
        .on_frame(clock, frame, &mut |delivery| panic!("{delivery:?}"));
}

#[test]
fn a_batch_of_many_publications_is_given_once_each_and_in_order() {
    let mut scripted = Scripted::admitted();
    let contents: Vec<String> = (0..50).map(|number| number.to_string()).collect();

    scripted.hear(1, &Said::Batch(3, origin(1, 1), contents.clone()));

    assert_eq!(scripted.payloads, contents);
    assert_eq!(scripted.events, []);
}

#[test]
fn a_notice_with_the_last_counter_of_all_is_dropped() {
    let mut scripted = Scripted::admitted();
    let last = notice(1, u64::MAX, 0, &Said::Suspended);

    scripted.hand(last);

    assert_eq!(scripted.events, [SubscriberEvent::NotTaken]);
}
