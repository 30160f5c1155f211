//! The orderly end: what was taken is settled, nothing new is taken.

use sc_proto::cbr::SlowPolicy;

use crate::house::{ALICE, BOB, House, OWNER, admission, mailbox, notice, outcome};

/// Whether there is nothing to wait for once all outputs are carried out.
fn is_quiet(house: &mut House) -> bool {
    house.done();
    house.router.is_quiet()
}

#[test]
fn a_router_without_open_batches_ends_at_once() {
    let mut house = House::open();
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0])]);
    house.take(ALICE, OWNER, 1, 1);
    // What a control message makes holds nobody.
    house.control(OWNER, 1, 2);
    let (token, _) = house.done().call();
    house.reply(token, outcome(vec![notice(BOB, 1, &[])]));

    house.router.end();

    assert!(is_quiet(&mut house));
}

#[test]
fn acks_that_come_late_settle_and_the_publisher_is_told() {
    let mut house = House::open();
    for counter in 1..=2 {
        house.publish(OWNER, counter, vec![notice(ALICE, counter, &[0])]);
    }

    house.router.end();
    assert!(!is_quiet(&mut house));
    house.take(ALICE, OWNER, 1, 1);
    assert_eq!(house.done().settled(), [(OWNER, 1, 1)]);
    assert!(!house.router.is_quiet());
    house.take(ALICE, OWNER, 1, 2);
    assert!(!house.router.is_quiet(), "the publisher is not told yet");

    assert_eq!(house.done().settled(), [(OWNER, 1, 2)]);
    assert!(house.router.is_quiet());
}

#[test]
fn a_call_under_way_is_waited_for_and_its_notices_go_out() {
    let mut house = House::open();
    house.batch(OWNER, 1, &["payload"]);
    let (token, _) = house.done().call();

    house.router.end();
    assert!(!is_quiet(&mut house));
    house.reply(token, outcome(vec![notice(ALICE, 1, &[0])]));

    assert_eq!(house.done().counters(ALICE), [1]);
    assert!(!is_quiet(&mut house));
    house.take(ALICE, OWNER, 1, 1);
    assert!(is_quiet(&mut house));
}

#[test]
fn nothing_new_is_taken_and_no_credit_given_for_it() {
    let mut house = House::open();
    house.router.end();

    house.batch(OWNER, 1, &["payload"]);
    house.control(OWNER, 1, 2);
    house.ask(ALICE, OWNER);
    house.attach(ALICE, OWNER);

    let done = house.done();
    assert!(done.calls.is_empty() && done.sent.is_empty() && done.released.is_empty());
    assert!(house.router.is_quiet());
}

#[test]
fn the_store_is_waited_for_and_consumers_that_are_away_are_not() {
    for (slow, waits) in [(SlowPolicy::Block, false), (SlowPolicy::Spill, true)] {
        let mut house = House::with_store();
        house.control(OWNER, 1, 1);
        let (token, _) = house.done().call();
        house.reply(token, admission(ALICE, slow));
        house.close(ALICE);
        house.publish(OWNER, 2, vec![notice(ALICE, 1, &[0])]);
        let appended = house.done().appended();

        house.router.end();

        assert_eq!(house.router.is_quiet(), !waits, "{slow:?}");
        for (_, token) in appended {
            house.stored(mailbox(ALICE, OWNER), token);
        }
        assert!(is_quiet(&mut house));
    }
}

#[test]
fn a_lost_program_and_a_consumer_that_leaves_are_not_waited_for() {
    let mut house = House::open();
    house.batch(OWNER, 1, &["payload"]);
    house.router.end();
    house.router.on_program_lost();
    assert!(is_quiet(&mut house));

    let mut house = House::open();
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0])]);
    house.router.end();
    house.close(ALICE);

    assert!(is_quiet(&mut house));
}
