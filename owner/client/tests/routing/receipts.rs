//! Receipts: the program's word alone, each the next.

use sc_client::PublisherEvent;
use sc_proto::Message;
use sc_proto::routing::{self, to_publisher};
use sc_transport::Frame;

use crate::world::{IBM, World, flipped, resized, settings, to_publisher};

/// A publisher that has sent `batches` batches, whose receipts wait in the inbox.
fn waiting(batches: usize) -> World {
    let mut world = World::admitted();
    world.take_events();
    for _ in 0..batches {
        world.publish(IBM, "payload");
    }
    world.work_publisher();
    assert_eq!(world.inbox.len(), batches);
    world
}

fn is_left(world: &mut World) -> bool {
    let is_reported = world
        .take_events()
        .iter()
        .any(|event| matches!(event, PublisherEvent::ReceiptNotAuthentic));
    assert_eq!(is_reported, !world.closed.is_empty());
    is_reported
}

fn changed(frame: &Frame, change: impl FnOnce(&mut routing::Receipt)) -> Frame {
    let head = routing::ToPublisher::decode(frame.head.clone()).unwrap();
    let Some(to_publisher::Frame::Receipt(mut head)) = head.frame else {
        panic!("no receipt: {head:?}");
    };
    change(&mut head);
    let head = to_publisher::Frame::Receipt(head);
    to_publisher(head, [frame.attachments[0].clone()])
}

#[test]
fn receipts_in_order_are_believed_and_release_what_was_held() {
    let mut world = waiting(2);
    assert!(!world.publisher.is_drained());

    world.run();

    assert!(!is_left(&mut world));
    assert!(world.publisher.is_drained());
}

#[test]
fn every_change_of_a_receipt_makes_the_publisher_leave() {
    let receipt = waiting(1).inbox[0].attachments[0].to_vec();
    for bytes in flipped(&receipt).chain(resized(&receipt)) {
        let mut world = waiting(1);
        let mut frame = world.inbox.pop_front().unwrap();
        frame.attachments = vec![bytes.into()];

        world.hand_to_publisher(frame);

        assert!(is_left(&mut world));
        assert!(!world.publisher.is_drained(), "the batch is still held");
    }
}

#[test]
fn a_receipt_without_its_bytes_makes_the_publisher_leave() {
    let mut world = waiting(1);
    let mut frame = world.inbox.pop_front().unwrap();
    frame.attachments.clear();

    world.hand_to_publisher(frame);

    assert!(is_left(&mut world));
}

#[test]
fn a_receipt_that_is_not_the_next_makes_the_publisher_leave() {
    // The second before the first; the first twice; one for a message that was never sent.
    let mut reordered = waiting(2);
    reordered.inbox.swap(0, 1);
    reordered.run();
    assert!(is_left(&mut reordered));

    let mut replayed = waiting(2);
    let first = replayed.inbox[0].clone();
    replayed.inbox.insert(1, first);
    replayed.deliver_to_publisher();
    assert!(is_left(&mut replayed));

    let mut recounted = waiting(2);
    let first = changed(&recounted.inbox[0], |head| head.counter += 1);
    recounted.inbox[0] = first;
    recounted.deliver_to_publisher();
    assert!(is_left(&mut recounted));

    let mut invented = waiting(1);
    let receipt = invented.inbox[0].clone();
    invented.run();
    let next = changed(&receipt, |head| head.counter += 1);
    invented.hand_to_publisher(next);
    assert!(is_left(&mut invented));
}

#[test]
fn a_withheld_receipt_shows_at_the_next() {
    let mut world = waiting(2);
    world.inbox.pop_front();

    world.deliver_to_publisher();

    assert!(is_left(&mut world));
}

#[test]
fn a_receipt_of_an_earlier_session_makes_the_publisher_leave() {
    let mut world = waiting(1);
    let old = changed(&world.inbox[0], |head| head.counter = 1);
    world.connect();
    world.take_events();
    world.publish(IBM, "payload");
    world.work_publisher();
    world.inbox.clear();

    world.hand_to_publisher(old);

    assert!(is_left(&mut world));
}

#[test]
fn a_receipt_without_a_session_is_passed_over() {
    let receipt = waiting(1).inbox[0].clone();
    let mut world = World::new(settings());
    world.collect_publisher();

    world.hand_to_publisher(receipt);

    assert!(!is_left(&mut world));
}

#[test]
fn after_leaving_the_held_batches_are_sealed_into_the_next_session() {
    let mut world = waiting(2);
    world.inbox.swap(0, 1);
    world.deliver_to_publisher();
    world.deliver_to_subscribers();
    assert!(is_left(&mut world));

    world.publisher.on_closed();
    world.connect();

    assert!(world.publisher.is_drained());
    assert_eq!(world.parties[0].payloads(), ["payload"; 2], "each once");
}

#[test]
fn receipts_tell_what_came_of_each_batch() {
    let mut world = waiting(1);
    world.publish("i symbol \"GE\"", "nobody");
    world.run();

    let published: Vec<_> = world
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            PublisherEvent::Published {
                publications,
                matched,
                deliveries,
            } => Some((publications, matched, deliveries)),
            _ => None,
        })
        .collect();
    assert_eq!(published, [(1, 1, 1), (1, 0, 0)]);
}
