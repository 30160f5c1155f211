//! Orderly ends, silent routers, and consumers that were dropped in the middle of something.

use std::time::Duration;

use sc_cbr::Origin;
use sc_client::{
    PublisherEvent, PublisherSettings, Subscriber, SubscriberEvent, SubscriberSettings,
};

use crate::world::{IBM, OWNER, WANTS_IBM, World, entropy, identity, settings, subscription};

const OVERDUE: Duration = Duration::from_secs(10);

fn overdue(world: &mut World) -> usize {
    let is_it = |event: &PublisherEvent| matches!(event, PublisherEvent::ReceiptsOverdue);
    world
        .take_events()
        .iter()
        .filter(|event| is_it(event))
        .count()
}

#[test]
fn a_publisher_that_leaves_tells_consumers_that_nothing_more_is_missing() {
    let mut world = World::admitted();
    world.publish_and_run(IBM, "last");
    let before = world.sent.len();

    world.publisher.take_leave();
    assert!(!world.publisher.has_left());
    world.run();

    assert!(world.publisher.has_left());
    assert_eq!(world.sent.len(), before + 1, "one tick");
    // It came as the next notice, so the consumer is told of no gap later.
    world.restart(settings());
    world.connect();
    world.advance(settings().tick);
    world.run();
    let gap = |event: &SubscriberEvent| {
        matches!(
            event,
            SubscriberEvent::Uncovered { .. } | SubscriberEvent::Missing { .. }
        )
    };
    assert!(!world.parties[0].events.iter().any(gap));
}

#[test]
fn a_publisher_has_not_left_while_something_is_not_settled() {
    let mut world = World::admitted();
    world.settles = false;
    world.publish_and_run(IBM, "held");

    world.publisher.take_leave();
    world.run();
    assert!(!world.publisher.has_left());
    world.settle();

    assert!(world.publisher.has_left());
}

#[test]
fn a_publisher_without_a_session_has_nobody_to_take_leave_of() {
    let mut world = World::admitted();
    world.publisher.on_closed();

    world.publisher.take_leave();

    assert!(world.publisher.has_left());
}

#[test]
fn a_stream_that_is_left_in_the_middle_is_not_ended() {
    let mut world = World::admitted();
    world.restart_stream(settings(), [1; 32]);
    world.connect();
    world.publish_and_run(IBM, "first");
    world.advance(Duration::from_secs(2));
    world.run();

    world.publisher.take_leave();
    world.run();
    assert!(world.publisher.has_left());
    world.restart_stream(settings(), [1; 32]);

    assert_eq!(world.publisher.resumed_publications(), 1);
}

#[test]
fn receipts_that_do_not_come_are_reported_once_until_one_comes() {
    let mut world = World::admitted();
    world.publish(IBM, "first");
    world.work_publisher();
    let begun = world.clock.now;
    assert_eq!(
        world.publisher.next_timeout(),
        Some((begun + OVERDUE).min(Duration::from_secs(1) + settings().tick))
    );

    world.advance(OVERDUE - Duration::from_millis(1));
    world.work_publisher();
    assert_eq!(overdue(&mut world), 0);
    world.advance(Duration::from_millis(1));
    world.work_publisher();
    assert_eq!(overdue(&mut world), 1);
    world.advance(OVERDUE);
    world.work_publisher();
    assert_eq!(overdue(&mut world), 0, "it was said");

    world.run();
    world.publish(IBM, "second");
    world.work_publisher();
    world.advance(OVERDUE);
    world.work_publisher();

    assert_eq!(overdue(&mut world), 1);
}

#[test]
fn a_publisher_that_has_sent_nothing_waits_for_no_receipt() {
    let mut world = World::open(PublisherSettings {
        tick: Duration::from_secs(1_000_000),
        ..settings()
    });

    world.advance(OVERDUE * 2);
    world.work_publisher();

    assert_eq!(overdue(&mut world), 0);
}

#[test]
fn a_router_that_answers_the_challenge_late_is_left_and_its_offer_is_not_taken() {
    let mut world = World::new(settings());
    world.publisher.on_established();
    world.work_publisher();
    let offer = world.inbox.pop_front().unwrap();

    world.advance(Duration::from_secs(59));
    world.work_publisher();
    assert!(world.closed.is_empty());
    world.advance(Duration::from_secs(1));
    world.hand_to_publisher(offer);
    world.work_publisher();

    assert_eq!(world.closed.len(), 1);
    assert_eq!(world.sent.len(), 1, "the challenge alone");
    world.connect();
    assert!(world.publisher.is_open());
}

#[test]
fn a_consumer_that_was_revoked_is_not_complete_when_its_admission_has_its_receipt() {
    let mut world = World::open(settings());
    world.join_half(2, &[(7, WANTS_IBM)]);
    // Its admission is on its way when it is revoked.
    world.deliver_to_publisher();
    world
        .publisher
        .revoke(identity(2).signing_key().verifying_key());

    world.run();

    assert_eq!(world.publisher.complete_consumers(), 0);
}

#[test]
fn a_consumer_gets_the_retention_it_asks_for_up_to_what_the_owner_allows() {
    for (asked, granted) in [(60, 60), (7200, 3600), (0, 0)]
        .map(|(asked, granted)| (Duration::from_secs(asked), Duration::from_secs(granted)))
    {
        let mut world = World::open(PublisherSettings {
            retention_max: Duration::from_secs(3600),
            ..settings()
        });
        world.join(2, &[]);
        let memory = world.parties[0].subscriber.memory().clone();
        world.parties[0].subscriber = Subscriber::new(
            identity(OWNER).public().clone(),
            identity(2).into(),
            vec![(7, subscription(WANTS_IBM))],
            SubscriberSettings {
                retention: asked,
                ..SubscriberSettings::default()
            },
            memory,
            Box::new(entropy(9)),
        );
        world.parties[0].take_events();
        world.parties[0].subscriber.on_established();
        world.run();
        // The roll keeps it for later sessions.
        world.restart(PublisherSettings {
            retention_max: Duration::from_secs(3600),
            ..settings()
        });
        world.connect();

        let retentions: Vec<_> = world.parties[0]
            .take_events()
            .into_iter()
            .filter_map(|event| match event {
                SubscriberEvent::Admitted { retention, .. } => Some(retention),
                _ => None,
            })
            .collect();
        assert_eq!(retentions, [granted, granted]);
    }
}

#[test]
fn the_first_floor_is_that_nothing_was_ever_published() {
    let mut world = World::open(settings());
    world.join(2, &[(7, WANTS_IBM)]);
    world.advance(settings().tick);
    world.run();

    let uncovered = |event: &SubscriberEvent| matches!(event, SubscriberEvent::Uncovered { .. });
    assert!(!world.parties[0].events.iter().any(uncovered));
    assert_eq!(
        Origin::default(),
        Origin {
            start: 0,
            number: 0
        }
    );
}
