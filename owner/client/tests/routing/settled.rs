//! Settled: what is neither stored nor taken is published again.

use sc_client::Publisher;
use sc_proto::routing::{self, to_publisher};
use sc_transport::Frame;

use crate::world::{IBM, World, settings, to_publisher};

/// The router's word about the session that the last frame was sent in, after `change`.
fn settled(world: &World, change: impl FnOnce(&mut routing::Settled)) -> Frame {
    let state = world.domain_state();
    let mut head = routing::Settled {
        domain: state.domain,
        session: state.session,
        start: 1,
        counter: world.sent.len() as u64,
    };
    change(&mut head);
    to_publisher(to_publisher::Frame::Settled(head), [])
}

/// A publisher that has its receipts for two batches, of which nothing is settled.
fn unsettled() -> World {
    let mut world = World::admitted();
    world.settles = false;
    for number in 0..2 {
        world.publish_and_run(IBM, &number.to_string());
    }
    world.take_events();
    world
}

/// The counter of the last batch sent.
fn last_counter(world: &World) -> u64 {
    let counter = world.sent.iter().rev().find_map(|frame| match frame {
        routing::from_publisher::Frame::Batch(head) => Some(head.counter),
        _ => None,
    });
    counter.unwrap()
}

fn say(world: &mut World, change: impl FnOnce(&mut routing::Settled)) {
    let frame = settled(world, change);
    world.hand_to_publisher(frame);
}

fn is_drained(publisher: &Publisher) -> bool {
    publisher.is_drained()
}

#[test]
fn a_batch_with_its_receipt_is_held_until_it_is_settled() {
    let mut world = unsettled();
    let last = last_counter(&world);
    assert!(!is_drained(&world.publisher));

    say(&mut world, |head| head.counter = last - 1);
    assert!(!is_drained(&world.publisher), "the second is not settled");
    say(&mut world, |head| head.counter = last);

    assert!(is_drained(&world.publisher));
}

#[test]
fn a_batch_that_is_settled_is_held_until_its_receipt_is_here() {
    let mut world = World::admitted();
    world.settles = false;
    world.publish(IBM, "payload");
    world.work_publisher();
    let receipt = world.inbox.pop_front().unwrap();
    let last = last_counter(&world);

    say(&mut world, |head| head.counter = last);
    assert!(!is_drained(&world.publisher));
    world.hand_to_publisher(receipt);
    world.take_events();

    assert!(is_drained(&world.publisher));
}

#[test]
fn a_word_about_what_was_never_sent_or_about_another_sequence_is_passed_over() {
    let mut world = unsettled();
    let last = last_counter(&world);
    let changes: [fn(&mut routing::Settled); 5] = [
        |head| head.counter = u64::MAX,
        |head| head.session += 1,
        |head| head.start += 1,
        |head| head.domain = vec![7; 32].into(),
        |head| head.counter = 0,
    ];

    for change in changes {
        say(&mut world, |head| {
            head.counter = last;
            change(head);
        });
    }
    say(&mut world, |head| head.counter = last + 1);

    assert!(!is_drained(&world.publisher));
    assert!(world.closed.is_empty());
}

#[test]
fn what_is_not_settled_is_sealed_into_the_next_session_although_it_has_its_receipt() {
    let mut world = unsettled();
    // The router is killed, and with it what it held for the consumer.
    world.parties[0].delivered.clear();
    let before = world.sent.len();

    world.settles = true;
    world.connect();

    let again = world.sent[before..]
        .iter()
        .filter(|frame| matches!(frame, routing::from_publisher::Frame::Batch(_)))
        .count();
    assert_eq!(again, 2);
    assert!(is_drained(&world.publisher));
    // This consumer had taken them before, and takes each origin once.
    assert_eq!(world.parties[0].payloads(), [""; 0]);
}

#[test]
fn what_is_settled_is_not_published_again() {
    let mut world = World::admitted();
    world.publish_and_run(IBM, "once");
    let before = world.sent.len();

    world.connect();

    let is_batch = |frame: &&routing::from_publisher::Frame| {
        matches!(frame, routing::from_publisher::Frame::Batch(_))
    };
    assert_eq!(world.sent[before..].iter().filter(is_batch).count(), 0);
}

#[test]
fn settled_batches_make_room_in_the_queue_and_receipts_alone_do_not() {
    let mut world = World::open(sc_client::PublisherSettings {
        queue_bytes: 1,
        ..settings()
    });
    world.settles = false;
    world.publish_and_run(IBM, "fills it");
    assert!(world.publisher.is_full());

    world.settle();

    assert!(!world.publisher.is_full());
}
