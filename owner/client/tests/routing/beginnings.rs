//! The first admission: what a consumer lacks from then on is told, even of a publisher that it has not heard of.

use std::time::Duration;

use sc_cbr::Origin;
use sc_client::{SubscriberEvent, UNKNOWN_END, Verdict};

use crate::scripted::{Said, Scripted, delivery_key, origin, publisher};

const OWNER: u8 = 0;

fn owners(origin: Origin) -> Said {
    let payload = format!("{}.{}", origin.start, origin.number);
    Said::Batch(OWNER, origin, vec![payload])
}

fn heartbeat(floor: Origin, taken: Origin) -> Said {
    Said::Heartbeat(vec![(OWNER, floor, taken)])
}

fn uncovered(from: Origin, to: Origin) -> SubscriberEvent {
    SubscriberEvent::Uncovered {
        publisher: publisher(OWNER),
        from,
        to,
    }
}

/// The owner answers the first request: it stood at `at`.
fn admit_at(scripted: &mut Scripted, session: u64, at: Origin) {
    let mut verdict = scripted.admission(session);
    if let Verdict::Admitted { covered, .. } = &mut verdict {
        *covered = at;
    }
    scripted.say(0, session, verdict);
}

/// A consumer whose first admission was in session 1, when the owner stood at (1, 3).
fn begun() -> Scripted {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    admit_at(&mut scripted, 1, origin(1, 3));
    scripted.forget();
    scripted
}

fn begin_session_2(scripted: &mut Scripted) {
    scripted.state(2);
    admit_at(scripted, 2, origin(1, 9));
    scripted.forget();
}

#[test]
fn what_is_withheld_before_the_first_notice_is_told_in_the_next_session() {
    let mut scripted = begun();
    begin_session_2(&mut scripted);

    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 6)));

    assert_eq!(scripted.events, [uncovered(origin(1, 3), origin(1, 5))]);
}

#[test]
fn a_process_started_again_in_between_tells_it_too() {
    let mut scripted = begun();
    scripted.kill();
    scripted.link();
    scripted.state(2);
    let last = scripted.asks.len() - 1;
    scripted.answer_to(last, 2);
    scripted.kill();
    scripted.link();
    scripted.forget();

    scripted.hear(2, &owners(origin(1, 6)));
    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 6)));

    assert_eq!(scripted.events, [uncovered(origin(1, 3), origin(1, 5))]);
    assert_eq!(scripted.payloads, ["1.6"]);
}

#[test]
fn what_was_published_before_the_first_admission_is_not_missed() {
    let mut scripted = begun();
    begin_session_2(&mut scripted);

    scripted.hear(2, &heartbeat(origin(1, 3), origin(1, 3)));

    assert_eq!(scripted.events, []);
}

#[test]
fn batches_that_were_taken_are_not_missed_though_no_heartbeat_came_between() {
    for later_start in [false, true] {
        let mut scripted = begun();
        let last = origin(1 + u64::from(later_start), 4);
        scripted.hear(1, &owners(last));
        scripted.pass(Duration::from_millis(5));
        begin_session_2(&mut scripted);

        scripted.hear(2, &heartbeat(last, last));

        assert_eq!(scripted.events, [], "{last:?}");
    }
}

#[test]
fn a_batch_of_an_admission_whose_answer_was_lost_is_delivered() {
    let mut scripted = begun();

    // The owner stood at (1, 3) when it admitted this side a second time.
    scripted.hear(1, &owners(origin(1, 2)));
    scripted.hear(1, &owners(origin(1, 3)));

    assert_eq!(scripted.payloads, ["1.2", "1.3"]);
    assert_eq!(scripted.events, []);
}

#[test]
fn later_admissions_do_not_move_where_it_began() {
    let mut scripted = begun();
    scripted.link();
    scripted.state(1);
    let last = scripted.asks.len() - 1;
    let mut verdict = scripted.admission(1);
    if let Verdict::Admitted { covered, .. } = &mut verdict {
        *covered = origin(1, 5);
    }
    scripted.say(last, 1, verdict);
    begin_session_2_for(&mut scripted, last);

    scripted.hear(2, &heartbeat(origin(1, 5), origin(1, 5)));

    assert_eq!(scripted.events, [uncovered(origin(1, 3), origin(1, 5))]);
}

fn begin_session_2_for(scripted: &mut Scripted, ask: usize) {
    scripted.state(2);
    scripted.answer_to(ask, 2);
    scripted.forget();
}

#[test]
fn a_session_that_the_owner_opens_while_a_request_waits_is_reported() {
    let mut scripted = begun();
    scripted.subscriber.unsubscribe(vec![99]);
    scripted.work();
    scripted.forget();

    // The owner goes by the request that it has answered.
    admit_at(&mut scripted, 2, origin(1, 9));

    assert!(matches!(
        scripted.events[..],
        [SubscriberEvent::Admitted { session: 2, .. }]
    ));
}

/// A consumer died as it was admitted for the first time, before it could write that down. It read that session by the keys that came
/// with its next admission, and took the floor named there for what it had seen: what the owner had lost between was never reported.
#[test]
fn a_first_session_that_no_journal_knows_is_held_to_the_floor_of_the_next() {
    let unknown_end = origin(1, UNKNOWN_END);
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(2);
    let mut verdict = scripted.admission(2);
    if let Verdict::Admitted {
        covered, earlier, ..
    } = &mut verdict
    {
        *covered = unknown_end;
        earlier.push((1, delivery_key(1)));
    }
    scripted.say(0, 2, verdict);
    scripted.forget();

    scripted.hear(1, &owners(origin(1, 1)));
    scripted.hear(2, &heartbeat(unknown_end, origin(2, 1)));

    assert_eq!(scripted.payloads, ["1.1"]);
    assert_eq!(scripted.events, [uncovered(origin(1, 1), unknown_end)]);
}
