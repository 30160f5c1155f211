//! What a consumer knows of how far publishers have come: nothing is missing in silence, and nothing is taken twice.

use sc_cbr::Origin;
use sc_client::{SubscriberEvent, UNKNOWN_END};

use crate::scripted::{Said, Scripted, batch, heartbeat, origin, publisher};

fn uncovered(number: u8, from: Origin, to: Origin) -> SubscriberEvent {
    SubscriberEvent::Uncovered {
        publisher: publisher(number),
        from,
        to,
    }
}

/// A consumer that has taken batches 1 to 3 of start 1 in session 1, and has just been admitted in session 2.
fn in_second_session() -> Scripted {
    let mut scripted = Scripted::admitted();
    for number in 1..=3 {
        scripted.hear(1, &batch(origin(1, number)));
    }
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.forget();
    scripted
}

#[test]
fn the_end_of_a_session_that_was_withheld_is_told_in_the_next() {
    let mut scripted = in_second_session();

    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 5)));

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), origin(1, 5))]);
}

#[test]
fn a_floor_that_was_reached_is_not_told() {
    for floor in [origin(0, 0), origin(1, 2), origin(1, 3)] {
        let mut scripted = in_second_session();

        scripted.hear(2, &heartbeat(floor, origin(1, 9)));

        assert_eq!(scripted.events, []);
    }
}

#[test]
fn a_batch_that_comes_before_the_first_heartbeat_does_not_hide_what_was_withheld_before_it() {
    let mut scripted = in_second_session();

    scripted.hear(2, &batch(origin(1, 6)));
    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 6)));

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), origin(1, 5))]);
    assert_eq!(scripted.payloads, ["1.6"]);
}

#[test]
fn what_was_withheld_is_told_by_a_process_that_was_started_again_in_between() {
    let mut scripted = in_second_session();
    scripted.hear(2, &batch(origin(1, 6)));
    scripted.kill();
    scripted.link();

    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 6)));

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), origin(1, 5))]);
}

#[test]
fn what_was_withheld_is_told_once_and_not_again_after_a_restart() {
    let mut scripted = in_second_session();
    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 5)));
    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 5)));
    scripted.kill();
    scripted.link();

    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 5)));

    assert_eq!(scripted.events.len(), 1);
}

#[test]
fn a_session_without_a_heartbeat_does_not_prove_what_went_before_it() {
    let mut scripted = in_second_session();
    scripted.hear(2, &batch(origin(1, 6)));
    scripted.state(3);
    scripted.answer_to(0, 3);
    scripted.forget();

    scripted.hear(3, &heartbeat(origin(1, 6), origin(1, 6)));

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), origin(1, 6))]);
}

#[test]
fn a_heartbeat_covers_what_did_not_match() {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.hear(1, &heartbeat(origin(0, 0), origin(1, 8)));
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.forget();

    scripted.hear(2, &heartbeat(origin(1, 8), origin(1, 8)));

    assert_eq!(scripted.events, []);
}

#[test]
fn the_first_contact_with_a_publisher_is_no_gap() {
    let mut by_heartbeat = Scripted::admitted();
    by_heartbeat.hear(1, &heartbeat(origin(4, 7), origin(4, 7)));
    assert_eq!(by_heartbeat.events, []);

    let mut by_batch = Scripted::admitted();
    by_batch.hear(1, &batch(origin(4, 9)));
    by_batch.hear(1, &heartbeat(origin(4, 8), origin(4, 9)));
    assert_eq!(by_batch.events, []);
    assert_eq!(by_batch.payloads, ["4.9"]);
}

#[test]
fn each_publisher_is_covered_by_itself() {
    let mut scripted = Scripted::admitted();
    let of = |number: u8, last: u64| (number, origin(0, 0), origin(1, last));
    scripted.hear(1, &Said::Heartbeat(vec![of(1, 5), of(2, 5), of(3, 5)]));
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.forget();
    let of = |number: u8, floor: u64| (number, origin(1, floor), origin(1, floor));

    scripted.hear(
        2,
        &Said::Heartbeat(vec![of(1, 5), of(2, 6), of(3, 4), of(4, 9)]),
    );

    assert_eq!(scripted.events, [uncovered(2, origin(1, 5), origin(1, 6))]);
}

#[test]
fn a_publisher_that_is_listed_later_in_a_session_is_held_to_its_floor_then() {
    let mut scripted = Scripted::admitted();
    let of = |number: u8, floor: u64| (number, origin(1, floor), origin(1, floor));
    scripted.hear(1, &Said::Heartbeat(vec![of(1, 0), of(2, 5)]));
    scripted.state(2);
    scripted.answer_to(0, 2);
    scripted.hear(2, &Said::Heartbeat(vec![of(1, 0)]));
    scripted.forget();

    scripted.hear(2, &Said::Heartbeat(vec![of(1, 0), of(2, 7)]));

    assert_eq!(scripted.events, [uncovered(2, origin(1, 5), origin(1, 7))]);
}

#[test]
fn the_unknown_end_of_a_start_is_told_as_such_and_the_next_start_taken() {
    let mut scripted = in_second_session();
    let end = origin(1, UNKNOWN_END);

    scripted.hear(2, &heartbeat(end, end));
    scripted.hear(2, &batch(origin(2, 1)));

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), end)]);
    assert_eq!(scripted.payloads, ["2.1"]);
}

#[test]
fn a_batch_sealed_anew_is_passed_over_in_silence() {
    let mut scripted = in_second_session();

    for number in 2..=4 {
        scripted.hear(2, &batch(origin(1, number)));
    }

    assert_eq!(scripted.payloads, ["1.4"]);
    assert_eq!(scripted.events, []);
}

#[test]
fn a_batch_of_a_start_that_is_over_is_passed_over_and_told() {
    let mut scripted = in_second_session();
    scripted.hear(2, &batch(origin(2, 1)));

    scripted.hear(2, &batch(origin(1, 9)));

    let origin = origin(1, 9);
    assert_eq!(scripted.events, [SubscriberEvent::PassedOver { origin }]);
    assert_eq!(scripted.payloads, ["2.1"]);
}

#[test]
fn what_was_taken_is_not_taken_again_by_the_next_process() {
    let mut scripted = in_second_session();
    scripted.kill();
    scripted.link();

    for number in 1..=4 {
        scripted.hear(2, &batch(origin(1, number)));
    }

    assert_eq!(scripted.payloads, ["1.4"]);
}

#[test]
fn a_late_heartbeat_of_an_earlier_session_proves_nothing_of_the_present_one() {
    let mut scripted = in_second_session();
    scripted.hear(2, &batch(origin(1, 6)));

    scripted.hear(1, &heartbeat(origin(1, 3), origin(1, 3)));
    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 6)));

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), origin(1, 5))]);
}

#[test]
fn a_router_cannot_change_what_a_heartbeat_says() {
    let mut scripted = in_second_session();
    let genuine = scripted.notice(2, &heartbeat(origin(1, 5), origin(1, 5)));
    for bit in 0..genuine.attachments[0].len() * 8 {
        let mut bytes = genuine.attachments[0].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut forged = genuine.clone();
        forged.attachments[0] = bytes.into();
        scripted.hand(forged);
    }
    scripted.events.dedup();
    assert_eq!(scripted.events, [SubscriberEvent::NotTaken]);
    scripted.forget();

    scripted.hand(genuine);

    assert_eq!(scripted.events, [uncovered(1, origin(1, 3), origin(1, 5))]);
}

#[test]
fn the_publisher_that_was_silent_for_longest_is_forgotten_first_and_only_beyond_the_bound() {
    // The owner, whom the admission names, is one of those that are kept.
    let kept = 2 * sc_cbr::PUBLISHERS_MAX as u8 - 1;
    for (count, told_of_first) in [(kept, true), (kept + 1, false)] {
        let mut scripted = Scripted::admitted();
        for number in 1..=count {
            let of = (number, origin(0, 0), origin(1, 1));
            scripted.hear(1, &Said::Heartbeat(vec![of]));
        }
        scripted.kill();
        scripted.link();
        scripted.state(2);
        scripted.answer(2);
        scripted.forget();

        let of = |number: u8| (number, origin(1, 2), origin(1, 2));
        scripted.hear(2, &Said::Heartbeat(vec![of(1), of(count)]));

        let tells = |number: u8| {
            scripted
                .events
                .contains(&uncovered(number, origin(1, 1), origin(1, 2)))
        };
        assert_eq!((tells(1), tells(count)), (told_of_first, true));
    }
}
