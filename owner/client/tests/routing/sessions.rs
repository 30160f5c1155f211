//! From one session to the next: what was under way is sealed anew, and taken once.

use std::time::Duration;

use sc_client::{Ask, Operation, PublisherSettings, SUBSCRIPTIONS_PER_ASK_MAX, SubscriberEvent};
use sc_proto::routing::{self, from_publisher, to_subscriber};

use crate::party::admitted_in;
use crate::world::{IBM, OWNER, WANTS_IBM, World, identity, settings, to_subscriber};

#[test]
fn a_consumer_is_taken_along_into_a_new_session_and_only_says_that_it_is_here() {
    let mut world = World::admitted();
    world.parties[0].take_events();
    let asks = world.asks.len();

    world.connect();
    world.publish_and_run(IBM, "after");

    assert_eq!(world.parties[0].take_events(), [admitted_in(2)]);
    assert_eq!(world.parties[0].payloads(), ["after"]);
    assert_eq!(world.asks.len(), asks + 1);
    let last = Ask::open(&world.asks[asks].attachments[0], &identity(OWNER), false).unwrap();
    assert_eq!(last.operation, Operation::Renew);
}

#[test]
fn batches_without_a_receipt_are_sealed_anew_under_their_origin_and_taken_once() {
    let mut world = World::admitted();
    for number in 0..4 {
        world.publish(IBM, &number.to_string());
    }
    world.work_publisher();
    // Two receipts arrive, and all notices; then the link breaks.
    world.inbox.truncate(2);
    world.deliver_to_publisher();
    world.deliver_to_subscribers();
    let sent = batches(&world);

    world.publisher.on_closed();
    world.connect();

    assert_eq!(batches(&world) - sent, 2, "those without a receipt");
    assert_eq!(world.parties[0].payloads(), ["0", "1", "2", "3"]);
    assert!(world.publisher.is_drained());
}

#[test]
fn batches_whose_notices_were_lost_with_the_session_come_with_the_next() {
    let mut world = World::admitted();
    for number in 0..3 {
        world.publish(IBM, &number.to_string());
    }
    world.work_publisher();
    world.inbox.clear();
    world.parties[0].inbox.clear();

    world.publisher.on_closed();
    world.connect();

    assert_eq!(world.parties[0].payloads(), ["0", "1", "2"]);
}

#[test]
fn what_is_published_without_a_link_goes_out_with_the_next_session_in_order() {
    let mut world = World::admitted();
    world.publisher.on_closed();
    for number in 0..3 {
        world.publish_and_run(IBM, &number.to_string());
    }
    assert_eq!(world.parties[0].payloads(), [""; 0]);

    world.connect();
    world.publish_and_run(IBM, "3");

    assert_eq!(world.parties[0].payloads(), ["0", "1", "2", "3"]);
}

fn batches(world: &World) -> usize {
    let is_batch =
        |frame: &&from_publisher::Frame| matches!(frame, from_publisher::Frame::Batch(_));
    world.sent.iter().filter(is_batch).count()
}

#[test]
fn each_session_has_keys_of_its_own() {
    let mut world = World::admitted();
    world.publish(IBM, "of session 1");
    world.work_publisher();
    let old = world.parties[0].inbox.pop_back().unwrap();
    world.run();
    world.connect();
    world.publish(IBM, "of session 2");
    world.work_publisher();
    let new = world.parties[0].inbox.pop_back().unwrap();
    world.parties[0].take_events();

    // Each under the other's head: same counter, other session.
    for (head, body) in [(&old, &new), (&new, &old)] {
        let mut mixed = head.clone();
        mixed.attachments = body.attachments.clone();
        world.parties[0].inbox.push_back(mixed);
        world.deliver_to_subscribers();
        assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
    }
}

#[test]
fn a_late_notice_of_the_last_session_is_still_taken_if_it_is_new() {
    let mut world = World::admitted();
    world.publish(IBM, "late");
    world.work_publisher();
    let late = world.parties[0].inbox.pop_back().unwrap();
    world.deliver_to_publisher();
    world.connect();
    world.parties[0].take_events();

    world.parties[0].inbox.push_back(late);
    world.deliver_to_subscribers();

    assert_eq!(world.parties[0].take_events(), []);
    assert_eq!(world.parties[0].payloads(), ["late"]);
}

#[test]
fn a_late_notice_does_not_turn_back_what_a_restart_goes_on_from() {
    let mut world = World::admitted();
    world.publish(IBM, "late");
    world.work_publisher();
    let late = world.parties[0].inbox.pop_back().unwrap();
    world.deliver_to_publisher();
    world.connect();
    world.publish_and_run(IBM, "of session 2");

    world.parties[0].inbox.push_back(late);
    world.deliver_to_subscribers();

    let memory = world.parties[0].subscriber.memory();
    assert_eq!((memory.taken(1), memory.taken(2)), (1, 1));
}

#[test]
fn keys_of_long_past_sessions_are_forgotten() {
    let mut world = World::admitted();
    world.publish(IBM, "too late");
    world.work_publisher();
    let late = world.parties[0].inbox.pop_back().unwrap();
    world.deliver_to_publisher();
    for _ in 0..4 {
        world.connect();
    }
    world.parties[0].take_events();

    world.parties[0].inbox.push_back(late);
    world.deliver_to_subscribers();

    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
}

#[test]
fn a_consumer_whose_lease_has_ended_is_not_taken_along() {
    let mut world = World::open(PublisherSettings {
        lease: Duration::from_secs(10),
        ..settings()
    });
    world.join(2, &[(7, WANTS_IBM)]);
    world.parties[0].subscriber.on_closed();
    world.publisher.on_closed();

    world.advance(Duration::from_secs(11));
    world.connect();
    world.publish_and_run(IBM, "to nobody");

    assert_eq!(world.parties[0].payloads(), [""; 0]);
}

#[test]
fn requests_that_were_lost_with_the_link_are_made_again() {
    let wanted: Vec<_> = (0..1500).map(|id| (id, WANTS_IBM)).collect();
    let mut world = World::open(settings());
    world.join_half(2, &wanted);
    // The first of two requests is taken and answered; the second is lost with the link.
    assert_eq!(world.inbox.len(), 2);
    world.inbox.truncate(1);
    world.deliver_to_publisher();
    world.deliver_to_subscribers();

    world.parties[0].subscriber.on_closed();
    world.parties[0].subscriber.on_established();
    world.run();
    world.publish_and_run(IBM, "all");

    assert_eq!(world.parties[0].delivered[0].subscriptions.len(), 1500);
}

#[test]
fn a_withdrawal_that_was_lost_with_the_link_is_told_when_there_is_one_again() {
    let mut world = World::open(settings());
    world.join(2, &[(1, WANTS_IBM), (2, WANTS_IBM)]);
    world.parties[0].subscriber.unsubscribe(vec![1]);
    world.work_subscribers();
    world.inbox.clear();

    world.parties[0].subscriber.on_closed();
    world.parties[0].subscriber.on_established();
    world.run();
    world.publish_and_run(IBM, "one");

    assert_eq!(world.parties[0].delivered[0].subscriptions, [2]);
}

#[test]
fn a_batch_sealed_anew_after_a_later_one_was_taken_is_passed_over_and_was_told_as_missing() {
    let mut world = World::admitted();
    for number in 0..2 {
        world.publish(IBM, &number.to_string());
    }
    world.work_publisher();
    // The first notice is held back by the router; the second arrives. No receipt does, so both are sealed anew.
    let held_back = world.parties[0].inbox.pop_front().unwrap();
    world.inbox.clear();
    world.deliver_to_subscribers();
    world.publisher.on_closed();
    world.connect();
    world.parties[0].inbox.push_back(held_back);
    world.deliver_to_subscribers();

    let events = world.parties[0].take_events();
    let told = |is: fn(&SubscriberEvent) -> bool| events.iter().filter(|event| is(event)).count();
    assert_eq!(
        told(|event| matches!(event, SubscriberEvent::Missing { from: 1, to: 1, .. })),
        1
    );
    assert_eq!(
        told(|event| matches!(event, SubscriberEvent::PassedOver { .. })),
        0
    );
    assert_eq!(world.parties[0].payloads(), ["1"]);
}

#[test]
fn a_withdrawal_made_without_a_link_is_told_when_there_is_one() {
    let mut world = World::open(settings());
    world.join(2, &[(1, WANTS_IBM), (2, WANTS_IBM)]);
    world.parties[0].subscriber.on_closed();
    world.parties[0].subscriber.unsubscribe(vec![1]);
    world.run();

    world.parties[0].subscriber.on_established();
    world.run();
    world.publish_and_run(IBM, "one");

    assert_eq!(world.parties[0].delivered[0].subscriptions, [2]);
}

#[test]
fn hints_of_the_router_do_not_make_a_subscriber_ask_more_often() {
    let mut world = World::new(settings());
    world.join(2, &[(7, WANTS_IBM)]);
    for session in 1..100 {
        let state = routing::DomainState {
            domain: world.publisher.domain().as_bytes().to_vec().into(),
            open: true,
            session,
        };
        let frame = to_subscriber(to_subscriber::Frame::DomainState(state), []);
        world.parties[0].inbox.push_back(frame);
    }

    world.deliver_to_subscribers();
    world.work_subscribers();

    assert_eq!(world.asks.len(), 1);
}

#[test]
fn a_request_without_an_answer_is_made_again_after_longer_and_longer_pauses() {
    let mut world = World::admitted();
    let mut lonely = World::open(settings());
    lonely.join_half(2, &[(7, WANTS_IBM)]);
    lonely.inbox.clear();
    let before = lonely.asks.len();

    let mut pauses = Vec::new();
    let mut last = 0;
    for second in 1..=255 {
        lonely.advance(Duration::from_secs(1));
        lonely.work_subscribers();
        lonely.inbox.clear();
        if lonely.asks.len() - before > pauses.len() {
            pauses.push(second - last);
            last = second;
        }
    }

    assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60]);
    world.advance(Duration::from_secs(20));
    world.work_subscribers();
    assert_eq!(world.asks.len(), 1, "who is admitted does not ask again");
}

#[test]
fn a_consumer_whose_admission_lost_its_receipt_with_the_link_is_complete_in_the_next_session() {
    let mut world = World::open(settings());
    world.join_half(2, &[(7, WANTS_IBM)]);
    world.deliver_to_publisher();
    world.work_publisher();
    world.inbox.clear();
    assert_eq!(world.publisher.complete_consumers(), 0);

    world.connect();

    assert_eq!(world.publisher.complete_consumers(), 1);
}

#[test]
fn a_consumer_that_was_complete_is_complete_after_a_restart_when_it_has_said_that_it_is_here() {
    let mut world = World::admitted();

    world.restart(settings());
    assert_eq!(world.publisher.complete_consumers(), 0);
    world.connect();

    assert_eq!(world.publisher.complete_consumers(), 1);
}

#[test]
fn a_consumer_that_has_gone_is_not_complete_after_a_restart() {
    let mut world = World::admitted();
    world.parties.clear();

    world.restart(settings());
    world.connect();

    assert_eq!(world.publisher.complete_consumers(), 0);
}

#[test]
fn a_consumer_started_again_is_complete_when_all_it_asks_for_is_indexed() {
    let mut world = World::admitted();
    let memory = world.parties[0].subscriber.memory().clone();
    world.parties.clear();
    world.restart(settings());
    world.connect();

    world.join_with(2, &[(7, WANTS_IBM), (8, WANTS_IBM)], memory);

    assert_eq!(world.publisher.complete_consumers(), 1);
    world.publish_and_run(IBM, "both");
    assert_eq!(world.parties[0].delivered[0].subscriptions, [7, 8]);
}

#[test]
fn a_consumer_of_which_some_is_still_to_come_is_not_complete_in_a_new_session() {
    let mut world = World::open(settings());
    let many: Vec<_> = (0..=SUBSCRIPTIONS_PER_ASK_MAX as u64)
        .map(|id| (id, WANTS_IBM))
        .collect();
    world.join_half(2, &many);
    // The second request is lost with the link.
    world.inbox.truncate(1);
    world.deliver_to_publisher();

    world.connect();
    assert_eq!(world.publisher.complete_consumers(), 0);
    world.restart(settings());
    world.connect();

    assert_eq!(world.publisher.complete_consumers(), 0);
}
