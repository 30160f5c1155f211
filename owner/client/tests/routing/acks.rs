//! What a consumer tells the router that it has taken, and when.

use std::time::Duration;

use sc_client::{Memory, Output};

use crate::scripted::{Said, Scripted, Sent, batch, heartbeat, origin};

const ACK_AFTER: Duration = Duration::from_millis(5);

/// A batch with a payload of so many bytes.
fn large(number: u64, bytes: usize) -> Said {
    Said::Batch(1, origin(1, number), vec!["x".repeat(bytes)])
}

#[test]
fn keys_of_a_session_are_acknowledged_as_soon_as_an_answer_brings_them() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    scripted.sent.clear();

    scripted.answer(1);

    assert_eq!(scripted.sent, [Sent::Ack(1, 0)]);
    // A router that forgets earlier sessions for that finds these keys in the journal.
    let memory = Memory::replay(&scripted.journal[..scripted.synced]);
    assert!(format!("{memory:?}").contains("answers: {1:"));
}

#[test]
fn a_consumer_without_keys_acknowledges_nothing() {
    let mut scripted = Scripted::new();

    scripted.link();
    scripted.state(1);

    assert_eq!(scripted.sent, [Sent::Attach, Sent::Ask]);
}

#[test]
fn a_few_bytes_are_acknowledged_five_milliseconds_after_the_first_of_them() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.pass(Duration::from_millis(3));
    scripted.hear(1, &batch(origin(1, 2)));
    assert_eq!(
        scripted.subscriber.next_timeout(),
        Some(scripted.clock.now + Duration::from_millis(2))
    );
    scripted.pass(Duration::from_millis(1));
    assert_eq!(scripted.acks(), []);

    scripted.pass(Duration::from_millis(1));

    assert_eq!(scripted.acks(), [(1, 2)]);
}

#[test]
fn many_bytes_are_acknowledged_at_the_end_of_the_round_that_took_them() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &large(1, 523_000));
    assert_eq!(scripted.acks(), []);
    let frames = [
        scripted.notice(1, &large(2, 1000)),
        scripted.notice(1, &large(3, 1000)),
    ];

    for frame in frames {
        scripted.hand(frame);
    }
    scripted.work();

    assert_eq!(scripted.acks(), [(1, 3)]);
}

#[test]
fn what_was_acknowledged_is_not_acknowledged_again_without_news() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.pass(ACK_AFTER);

    scripted.pass(ACK_AFTER);
    scripted.subscriber.acknowledge_all();
    scripted.work();

    assert_eq!(scripted.acks(), [(1, 1)]);
}

#[test]
fn a_heartbeat_is_acknowledged_as_any_notice() {
    let mut scripted = Scripted::admitted();

    scripted.hear(1, &heartbeat(origin(0, 0), origin(0, 0)));
    scripted.pass(ACK_AFTER);

    assert_eq!(scripted.acks(), [(1, 1)]);
}

#[test]
fn a_forged_notice_is_not_acknowledged() {
    let mut scripted = Scripted::admitted();
    let mut frame = scripted.notice(1, &batch(origin(1, 1)));
    frame.attachments[0] = vec![7; 100].into();

    scripted.hand(frame);
    scripted.pass(ACK_AFTER);

    assert_eq!(scripted.acks(), []);
}

#[test]
fn at_an_orderly_end_what_was_taken_is_acknowledged_without_waiting() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    assert_eq!(scripted.acks(), []);

    scripted.subscriber.acknowledge_all();
    scripted.work();

    assert_eq!(scripted.acks(), [(1, 1)]);
}

#[test]
fn a_new_link_is_told_of_each_session_in_order_before_anything_is_asked() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.hear(2, &batch(origin(1, 2)));
    scripted.hear(2, &batch(origin(1, 3)));
    scripted.subscriber.on_closed();
    scripted.sent.clear();

    scripted.link();

    assert_eq!(
        scripted.sent,
        [Sent::Attach, Sent::Ack(1, 1), Sent::Ack(2, 2)]
    );
}

#[test]
fn a_consumer_killed_tells_the_next_link_what_it_had_taken() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.kill();
    scripted.sent.clear();

    scripted.link();

    assert_eq!(scripted.sent, [Sent::Attach, Sent::Ack(1, 1)]);
}

#[test]
fn what_a_new_link_is_told_was_written_down_before() {
    let mut scripted = Scripted::admitted();
    let frame = scripted.notice(1, &batch(origin(1, 1)));
    scripted.hand(frame);

    scripted.subscriber.on_closed();
    scripted.subscriber.on_established();

    for output in scripted.subscriber.take_outputs() {
        scripted.carry_out(output);
        if !scripted.acks().is_empty() {
            let on_disk = &scripted.journal[..scripted.synced];
            assert_eq!(Memory::replay(on_disk).taken(1), 1);
        }
    }
    assert_eq!(scripted.acks(), [(1, 1)]);
}

#[test]
fn without_a_link_what_was_taken_is_written_down_and_nothing_sent() {
    let mut scripted = Scripted::admitted();
    let frame = scripted.notice(1, &batch(origin(1, 1)));
    scripted.hand(frame);
    scripted.subscriber.on_closed();

    scripted.work();
    scripted.pass(ACK_AFTER);

    assert_eq!(scripted.acks(), []);
    assert_eq!(Memory::replay(&scripted.journal).taken(1), 1);
}

#[test]
fn nothing_is_written_down_as_taken_before_the_application_asks_for_more() {
    let mut scripted = Scripted::admitted();
    let before = scripted.journal.len();
    let frame = scripted.notice(1, &batch(origin(1, 1)));

    scripted.hand(frame);
    scripted.subscriber.on_timeout(scripted.clock);

    assert_eq!(scripted.payloads, ["1.1"]);
    assert_eq!(Memory::replay(&scripted.journal).taken(1), 0);
    assert_eq!(scripted.journal.len(), before);
    let outputs = scripted.subscriber.take_outputs();
    assert!(matches!(&outputs[..], [Output::Record(_)]));
}

#[test]
fn many_notices_of_one_round_are_written_down_as_one_record() {
    let mut scripted = Scripted::admitted();
    let before = scripted.journal.len();
    for number in 1..=100 {
        let frame = scripted.notice(1, &batch(origin(1, number)));
        scripted.hand(frame);
    }

    scripted.work();

    assert_eq!(scripted.journal.len(), before + 1);
    assert_eq!(Memory::replay(&scripted.journal).taken(1), 100);
}
