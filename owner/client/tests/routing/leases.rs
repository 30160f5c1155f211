//! Leases between both clocks: renewed in time, repeated when unanswered, ended with a word.

use std::time::Duration;

use sc_client::{Ending, PublisherEvent, PublisherSettings, SubscriberEvent};

use crate::party::admitted_in;
use crate::world::{IBM, WANTS_IBM, World, settings};

const LEASE: Duration = Duration::from_secs(100);

fn world() -> World {
    let mut world = World::open(PublisherSettings {
        lease: LEASE,
        ..settings()
    });
    world.join(2, &[(7, WANTS_IBM)]);
    world.parties[0].take_events();
    world
}

/// Lets `time` pass in steps of a second, in which everybody works.
fn live(world: &mut World, time: Duration) {
    for _ in 0..time.as_secs() {
        world.advance(Duration::from_secs(1));
        world.run();
    }
}

#[test]
fn a_subscriber_renews_in_time_and_lives_on() {
    let mut world = world();

    live(&mut world, 5 * LEASE);
    world.publish_and_run(IBM, "alive");

    assert_eq!(world.parties[0].payloads(), ["alive"]);
    assert_eq!(world.parties[0].take_events(), []);
    assert!((9..=11).contains(&(world.asks.len() - 1)), "twice a lease");
}

#[test]
fn a_renewal_without_an_answer_is_repeated() {
    let mut world = world();
    live(&mut world, LEASE / 2 - Duration::from_secs(1));
    let before = world.asks.len();

    // The router swallows every request for half a minute.
    for _ in 0..30 {
        world.advance(Duration::from_secs(1));
        world.work_subscribers();
        world.inbox.clear();
        world.work_publisher();
        world.inbox.clear();
    }

    assert!((5..=7).contains(&(world.asks.len() - before)));
}

#[test]
fn a_renewal_that_got_through_late_is_enough() {
    let mut world = world();
    live(&mut world, LEASE / 2 - Duration::from_secs(1));
    for _ in 0..20 {
        world.advance(Duration::from_secs(1));
        world.work_subscribers();
        world.inbox.clear();
    }

    live(&mut world, LEASE);
    world.publish_and_run(IBM, "alive");

    assert_eq!(world.parties[0].payloads(), ["alive"]);
    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::Silent]);
}

#[test]
fn a_lease_that_ran_out_is_reported() {
    let mut world = world();

    world.advance(LEASE + Duration::from_secs(1));
    world.work_publisher();
    world.deliver_to_subscribers();

    assert_eq!(
        world.parties[0].take_events(),
        [SubscriberEvent::Ended(Ending::Expired)]
    );
}

#[test]
fn a_renewal_that_comes_after_the_end_brings_the_subscriptions_back() {
    let mut world = world();
    // The renewal leaves in time but is held up, while a tick ends the lease in the program.
    world.advance(LEASE - Duration::from_secs(1));
    world.work_subscribers();
    let renewal = world.inbox.pop_back().unwrap();
    world.advance(Duration::from_secs(2));
    world.work_publisher();
    world.deliver_to_publisher();
    world.take_events();

    world.hand_to_publisher(renewal);
    world.run();
    world.publish_and_run(IBM, "back");

    assert_eq!(world.parties[0].payloads(), ["back"]);
    let not_carried_out = world
        .take_events()
        .iter()
        .any(|event| matches!(event, PublisherEvent::NotCarriedOut(_)));
    assert!(!not_carried_out, "the publisher mends this by itself");
}

#[test]
fn unsubscribing_renews_the_lease_of_what_is_left() {
    let mut world = World::open(PublisherSettings {
        lease: LEASE,
        ..settings()
    });
    world.join(2, &[(1, WANTS_IBM), (2, WANTS_IBM), (3, WANTS_IBM)]);
    // Each withdrawal comes before a renewal is due, and puts the renewal off.
    for id in [1, 2] {
        live(&mut world, LEASE * 2 / 5);
        world.parties[0].subscriber.unsubscribe(vec![id]);
        world.run();
    }
    live(&mut world, LEASE * 2 / 5);

    world.publish_and_run(IBM, "alive");

    assert_eq!(world.parties[0].payloads(), ["alive"]);
    assert_eq!(world.parties[0].delivered[0].subscriptions, [3]);
}

#[test]
fn a_lease_of_any_length_does_no_harm() {
    for lease in [Duration::ZERO, Duration::MAX] {
        let mut world = World::open(PublisherSettings {
            lease,
            ..settings()
        });

        world.join(2, &[(7, WANTS_IBM)]);

        let admitted = admitted_in(1);
        assert!(world.parties[0].events.contains(&admitted));
    }
}

#[test]
fn without_a_link_nothing_is_due() {
    let mut world = world();
    world.parties[0].subscriber.on_closed();

    world.advance(LEASE);

    // A timeout in the past would keep a loop spinning until the link is back.
    assert_eq!(world.parties[0].subscriber.next_timeout(), None);
}
