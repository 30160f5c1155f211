//! What a consumer says it has taken: believed as far as it can be true, and the condition for sending it anything.

use sc_proto::routing::refused::Cause;
use sc_transport::{LinkId, Role};

use crate::house::{ALICE, BOB, House, OWNER, notice};

const AGAIN: LinkId = LinkId(4);
const OTHER_OWNER: LinkId = LinkId(51);

/// A house in which Alice was sent notices 1 to `count`.
fn sent(count: u64) -> House {
    let mut house = House::open();
    for counter in 1..=count {
        house.publish(OWNER, counter, vec![notice(ALICE, counter, &[0])]);
    }
    let _ = house.done();
    house
}

/// Alice comes back on another link and attaches; `acks` are what she says then. Returns the counters that she is sent.
fn come_back(house: &mut House, acks: &[(u64, u64)]) -> Vec<u64> {
    house.close(ALICE);
    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    assert!(house.done().notices().is_empty(), "before she has spoken");
    for (session, counter) in acks {
        house.take(AGAIN, OWNER, *session, *counter);
    }
    house.done().counters(AGAIN)
}

#[test]
fn a_notice_waits_until_the_consumer_has_named_its_session() {
    let mut house = House::open();
    house.establish(AGAIN, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    house.publish(OWNER, 1, vec![notice(AGAIN, 1, &[0]), notice(BOB, 1, &[0])]);
    assert_eq!(house.done().notices().len(), 1, "Bob's");

    house.take(AGAIN, OWNER, 1, 0);

    assert_eq!(house.done().counters(AGAIN), [1]);
}

#[test]
fn a_link_that_comes_back_gets_what_was_not_taken_once_and_in_order() {
    let mut house = sent(5);
    house.take(ALICE, OWNER, 1, 2);

    assert_eq!(come_back(&mut house, &[(1, 2)]), [3, 4, 5]);
    house.take(AGAIN, OWNER, 1, 2);
    house.take(AGAIN, OWNER, 1, 0);

    assert_eq!(
        house.done().counters(AGAIN),
        [0; 0],
        "stale acks send nothing"
    );
}

#[test]
fn what_was_taken_on_the_last_link_may_be_said_on_the_next() {
    let mut house = sent(5);

    assert_eq!(come_back(&mut house, &[(1, 4)]), [5]);
    assert_eq!(house.router.counters().acked, 4);
}

#[test]
fn an_ack_of_what_was_never_sent_is_counted_and_takes_nothing() {
    let mut house = sent(3);

    for counter in [4, u64::MAX] {
        house.take(ALICE, OWNER, 1, counter);
    }

    assert_eq!(house.router.counters().acks_ahead, 2);
    assert_eq!(house.router.counters().acked, 0);
    assert_eq!(come_back(&mut house, &[(1, 0)]), [1, 2, 3]);
}

#[test]
fn sessions_whose_keys_are_gone_are_given_up_when_a_later_one_is_named() {
    let mut house = sent(2);
    house.close(ALICE);
    house.provision(OWNER, 2);
    house.done();
    house.batch_in(OWNER, 2, 1, &["payload"]);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::outcome(vec![notice(ALICE, 1, &[0])]));

    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    house.take(AGAIN, OWNER, 2, 0);

    assert_eq!(house.done().counters(AGAIN), [1], "of session 2 alone");
    assert_eq!(house.router.counters().given_up, 2);
}

#[test]
fn sessions_are_sent_as_they_are_named_older_ones_first() {
    let mut house = sent(2);
    house.close(ALICE);
    house.provision(OWNER, 2);
    house.done();
    house.batch_in(OWNER, 2, 1, &["payload"]);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::outcome(vec![notice(ALICE, 7, &[0])]));

    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    house.take(AGAIN, OWNER, 1, 1);
    assert_eq!(house.done().counters(AGAIN), [2]);
    house.take(AGAIN, OWNER, 2, 0);

    assert_eq!(house.done().counters(AGAIN), [7]);
}

#[test]
fn an_ack_for_a_domain_that_the_link_has_not_attached_to_is_refused() {
    let mut house = House::open();

    house.take(ALICE, OTHER_OWNER, 1, 0);

    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);
    assert_eq!(house.router.gauges().mailboxes, 0);
}

#[test]
fn a_flood_of_acks_makes_nothing_grow() {
    let mut house = sent(1);
    for session in (0..2000).rev() {
        house.take(ALICE, OWNER, session, session);
    }
    let before = house.router.gauges();
    for session in 2000..4000 {
        house.take(ALICE, OWNER, session, u64::MAX);
    }

    assert_eq!(house.router.gauges(), before);
    assert_eq!(house.done().notices().len(), 0);
}

#[test]
fn the_acks_of_a_link_that_was_replaced_count_no_more() {
    let mut house = sent(2);
    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.take(ALICE, OWNER, 1, 2);
    house.done();

    house.take(AGAIN, OWNER, 1, 0);

    assert_eq!(house.done().counters(AGAIN), [1, 2]);
    house.close(ALICE);
    house.publish(OWNER, 3, vec![notice(ALICE, 3, &[0])]);
    assert_eq!(house.done().counters(AGAIN), [3]);
}
