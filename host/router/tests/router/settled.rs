//! What publishers are told of how far nothing can be lost any more.

use sc_proto::cbr::{SlowPolicy, refusal::Reason};

use crate::house::{ALICE, BOB, House, OWNER, admission, mailbox, notice, outcome, refusal};

/// The owner publishes batches 1 to `count`; returns the tokens of their calls.
fn calls(house: &mut House, count: u64) -> Vec<u64> {
    for counter in 1..=count {
        house.batch(OWNER, counter, &["payload"]);
    }
    house.done().calls.iter().map(|(token, _)| *token).collect()
}

#[test]
fn a_batch_that_reaches_nobody_is_settled_with_its_receipt() {
    let mut house = House::open();
    let tokens = calls(&mut house, 3);

    for token in tokens {
        house.reply(token, outcome(vec![]));
    }

    assert_eq!(
        house.done().settled(),
        [(OWNER, 1, 3)],
        "once for all three"
    );
}

#[test]
fn the_watermark_waits_for_the_first_that_is_not_taken() {
    let mut house = House::open();
    let tokens = calls(&mut house, 3);
    house.reply(tokens[0], outcome(vec![notice(ALICE, 1, &[0])]));
    house.reply(tokens[1], outcome(vec![notice(BOB, 1, &[0])]));
    house.reply(tokens[2], outcome(vec![notice(ALICE, 2, &[0])]));
    assert_eq!(house.done().settled(), []);

    house.take(BOB, OWNER, 1, 1);
    assert_eq!(house.done().settled(), []);
    house.take(ALICE, OWNER, 1, 1);
    assert_eq!(house.done().settled(), [(OWNER, 1, 2)]);
    house.take(ALICE, OWNER, 1, 2);

    assert_eq!(house.done().settled(), [(OWNER, 1, 3)]);
}

#[test]
fn what_is_safe_on_the_disk_is_settled() {
    let mut house = House::with_store();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Spill));
    house.close(ALICE);
    house.done();

    house.publish(OWNER, 2, vec![notice(ALICE, 1, &[0])]);
    let done = house.done();
    assert_eq!(done.settled(), [], "it is on its way to the disk");
    let [(1, token)] = done.appended()[..] else {
        panic!("not appended: {:?}", done.store);
    };
    house.stored(mailbox(ALICE, OWNER), token);

    assert_eq!(house.done().settled(), [(OWNER, 1, 2)]);
}

#[test]
fn what_was_given_up_is_settled() {
    let mut house = House::open();
    house.close(ALICE);
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0])]);
    assert_eq!(house.done().settled(), []);

    house.wait(31);

    assert_eq!(house.done().settled(), [(OWNER, 1, 1)]);
}

#[test]
fn a_message_that_the_program_refused_is_settled_and_has_no_receipt() {
    let mut house = House::open();
    house.batch(OWNER, 1, &["payload"]);
    let (token, _) = house.done().call();

    house.reply(token, refusal(Reason::NotAuthentic));

    assert_eq!(house.done().settled(), [(OWNER, 1, 1)]);
}

#[test]
fn nothing_is_told_of_a_session_that_was_replaced_or_to_a_link_that_is_gone() {
    let mut house = House::open();
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0])]);
    house.done();
    house.provision(OWNER, 2);
    house.done();

    house.take(ALICE, OWNER, 1, 1);
    assert_eq!(house.done().settled(), []);

    let mut house = House::open();
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0])]);
    house.close(OWNER);
    house.done();
    house.take(ALICE, OWNER, 1, 1);

    assert_eq!(house.done().settled(), []);
}

#[test]
fn a_batch_that_waits_for_its_turn_is_not_settled() {
    let mut house = House::open();
    house.batch(OWNER, 2, &["early"]);

    assert_eq!(house.done().settled(), []);
    house.batch(OWNER, 1, &["first"]);
    let calls: Vec<u64> = house.done().calls.iter().map(|(token, _)| *token).collect();
    house.reply(calls[1], outcome(vec![]));
    assert_eq!(house.done().settled(), [], "the first is not");
    house.reply(calls[0], outcome(vec![]));

    assert_eq!(house.done().settled(), [(OWNER, 1, 2)]);
}
