//! A consumer that is connected when its owner opens a new session, and has still to name it.

use sc_proto::cbr::SlowPolicy;
use sc_router::{ALLOWANCE, NAMING_GRACE};
use sc_transport::{LinkId, Role};

use crate::house::{ALICE, Done, House, OWNER, admission, notice, outcome};

const NEWER: LinkId = LinkId(4);

/// Alice is connected, has taken a notice of session 1, and is admitted to session 2, which she has not named.
fn before_the_ack(slow: SlowPolicy) -> House {
    let mut house = House::with_store();
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0])]);
    house.take(ALICE, OWNER, 1, 1);
    house.provision(OWNER, 2);
    house.control(OWNER, 2, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, slow));
    house.done();
    house
}

/// Publishes this payload in session 2, as a notice for Alice.
fn publish(house: &mut House, counter: u64, payload: &str) -> Done {
    house.batch_in(OWNER, 2, counter + 1, &[payload]);
    let (token, _) = house.done().call();
    house.reply(token, outcome(vec![notice(ALICE, counter, &[0])]));
    house.done()
}

fn is_left_alone(done: &Done) -> bool {
    done.closed.is_empty() && done.calls.is_empty() && done.store.is_empty()
}

#[test]
fn notices_of_a_session_that_is_not_named_yet_wait_in_memory_under_each_policy() {
    for slow in [SlowPolicy::Block, SlowPolicy::Disconnect, SlowPolicy::Spill] {
        let mut house = before_the_ack(slow);

        for counter in 1..=5 {
            let done = publish(&mut house, counter, "payload");
            assert!(is_left_alone(&done), "{slow:?}");
        }
        house.wait(NAMING_GRACE.as_secs() - 1);
        assert!(is_left_alone(&house.done()), "{slow:?}");
        house.take(ALICE, OWNER, 2, 0);

        assert_eq!(house.done().counters(ALICE), [1, 2, 3, 4, 5], "{slow:?}");
        house.take(ALICE, OWNER, 2, 5);
        assert_eq!(house.done().settled(), [(OWNER, 1, 6)], "{slow:?}");
    }
}

#[test]
fn an_impatient_publisher_waits_no_longer_than_the_grace() {
    let mut house = before_the_ack(SlowPolicy::Disconnect);
    house.wait(NAMING_GRACE.as_secs() - 1);
    publish(&mut house, 1, "payload");

    house.wait(1);

    let done = house.done();
    assert_eq!(done.closed, [ALICE]);
    assert_eq!(done.calls.len(), 1, "its suspension");
    assert_eq!(done.settled(), [(OWNER, 1, 2)], "nobody waits for it");
    assert_eq!(house.router.counters().expired, 0);
}

#[test]
fn an_impatient_publisher_waits_for_no_more_than_the_allowance() {
    let mut house = before_the_ack(SlowPolicy::Disconnect);
    let half = "x".repeat(ALLOWANCE as usize / 2 - 1000);
    for counter in 1..=2 {
        assert!(is_left_alone(&publish(&mut house, counter, &half)));
    }

    let done = publish(&mut house, 3, &half);

    assert_eq!(done.closed, [ALICE]);
    assert_eq!(done.calls.len(), 1, "its suspension");
}

#[test]
fn a_patient_publisher_waits_and_disks_take_what_is_beyond_the_allowance() {
    let payload = "x".repeat(ALLOWANCE as usize);
    for (slow, stored) in [(SlowPolicy::Block, 0), (SlowPolicy::Spill, 1)] {
        let mut house = before_the_ack(slow);

        let done = publish(&mut house, 1, &payload);

        assert_eq!(done.appended().len(), stored, "{slow:?}");
        house.wait(NAMING_GRACE.as_secs() * 3);
        let done = house.done();
        assert!(done.closed.is_empty() && done.calls.is_empty(), "{slow:?}");
    }
}

#[test]
fn the_grace_begins_anew_with_a_link_that_takes_the_place_of_another() {
    let mut house = before_the_ack(SlowPolicy::Disconnect);
    publish(&mut house, 1, "payload");
    house.wait(NAMING_GRACE.as_secs() - 1);

    house.establish_as(NEWER, ALICE, Role::Subscriber);
    house.close(ALICE);
    house.wait(NAMING_GRACE.as_secs() - 1);
    assert!(is_left_alone(&house.done()));
    house.take(NEWER, OWNER, 2, 0);

    assert_eq!(house.done().counters(NEWER), [1]);
}

#[test]
fn a_link_that_takes_the_place_of_another_suspends_nobody_who_had_not_acked_yet() {
    let mut house = before_the_ack(SlowPolicy::Disconnect);
    house.take(ALICE, OWNER, 2, 0);
    publish(&mut house, 1, "payload");

    house.establish_as(NEWER, ALICE, Role::Subscriber);
    assert!(is_left_alone(&house.done()));
    house.take(NEWER, OWNER, 2, 0);

    assert_eq!(house.done().counters(NEWER), [1]);
}
