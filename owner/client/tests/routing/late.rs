//! Answers that come late: after their request was made again.
//!
//! A subscriber forgot a request when it made it again. The answer to the first was then taken for a forgery, and notices that came
//! under its keys before the second answer were lost.

use std::time::Duration;

use sc_client::{PublisherSettings, SubscriberEvent};

use crate::party::admitted_in;
use crate::world::{IBM, WANTS_IBM, World, settings};

const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A consumer whose request waits for the publisher twice.
fn impatient() -> World {
    let mut world = World::open(settings());
    world.join_half(2, &[(7, WANTS_IBM)]);
    world.advance(ASK_AGAIN_AFTER);
    world.work_subscribers();
    world.parties[0].take_events();
    assert_eq!(world.inbox.len(), 2);
    world
}

#[test]
fn notices_under_the_keys_of_a_late_answer_are_taken() {
    let mut world = impatient();

    let first = world.inbox.pop_front().unwrap();
    world.hand_to_publisher(first);
    world.publish(IBM, "early");
    world.work_publisher();
    world.deliver_to_subscribers();

    assert_eq!(world.parties[0].payloads(), ["early"]);
    let events = world.parties[0].take_events();
    assert!(!events.contains(&SubscriberEvent::NotTaken), "{events:?}");
}

#[test]
fn the_answer_to_the_last_request_says_that_all_is_admitted() {
    let mut world = impatient();

    world.run();
    world.publish_and_run(IBM, "once");

    let admitted = admitted_in(1);
    let events = world.parties[0].take_events();
    assert_eq!(events.last(), Some(&admitted), "{events:?}");
    assert_eq!(world.parties[0].payloads(), ["once"]);
}

#[test]
fn a_late_answer_is_taken_once() {
    let mut world = impatient();
    let first = world.inbox.pop_front().unwrap();
    world.hand_to_publisher(first);
    world.work_publisher();
    let answer = world.parties[0].inbox[0].clone();
    world.deliver_to_subscribers();
    world.parties[0].take_events();

    let clock = world.clock;
    world.parties[0].take(clock, answer);

    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
}

#[test]
fn a_new_session_may_be_answered_under_a_renewal_that_was_made_again() {
    let lease = Duration::from_secs(100);
    let mut world = World::open(PublisherSettings {
        lease,
        ..settings()
    });
    world.join(2, &[(7, WANTS_IBM)]);
    world.parties[0].take_events();
    // The publisher takes the renewal, but its answer is lost with its link, and so is the renewal made again.
    world.advance(lease / 2);
    world.work_subscribers();
    world.deliver_to_publisher();
    world.parties[0].inbox.clear();
    world.advance(ASK_AGAIN_AFTER);
    world.work_subscribers();

    world.connect();
    world.publish_and_run(IBM, "after");

    // Sessions are counted by the owner's clock where that is ahead.
    let admitted = admitted_in(world.clock.wall_ms);
    let events = world.parties[0].take_events();
    assert_eq!(events.last(), Some(&admitted));
    assert!(!events.contains(&SubscriberEvent::NotTaken), "{events:?}");
    assert_eq!(world.parties[0].payloads(), ["after"]);
}

#[test]
fn a_late_answer_to_all_that_is_wanted_admits_and_nothing_is_asked_for_again() {
    let mut world = impatient();
    let first = world.inbox.pop_front().unwrap();
    world.hand_to_publisher(first);
    world.work_publisher();
    world.deliver_to_subscribers();

    let events = world.parties[0].take_events();
    assert_eq!(events.last(), Some(&admitted_in(1)), "{events:?}");
    world.inbox.clear();
    for _ in 0..4 {
        world.advance(ASK_AGAIN_AFTER);
        world.work_subscribers();
    }
    assert!(
        world.inbox.is_empty(),
        "an owner that is busy is not asked more"
    );
}

#[test]
fn a_late_answer_to_what_is_wanted_no_longer_does_not_admit() {
    let mut world = impatient();
    world.parties[0].subscriber.unsubscribe(vec![7]);
    let first = world.inbox.pop_front().unwrap();

    world.hand_to_publisher(first);
    world.work_publisher();
    world.deliver_to_subscribers();

    let events = world.parties[0].take_events();
    assert!(!events.contains(&admitted_in(1)), "{events:?}");
}
