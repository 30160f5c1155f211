//! Inputs that can be read again: after a crash they go on under their origins, and other inputs end where nobody knows.

use sc_cbr::Origin;
use sc_client::{BatchBounds, PublisherSettings, SubscriberEvent};
use sc_proto::routing::from_publisher;

use crate::world::{IBM, World, settings};

const INPUT: [u8; 32] = [7; 32];
const PUBLICATIONS: u64 = 7;

fn in_threes() -> PublisherSettings {
    PublisherSettings {
        batch: BatchBounds {
            publications: 3,
            ..settings().batch
        },
        ..settings()
    }
}

/// A consumer and a publisher that has begun the stream.
fn begun() -> World {
    let mut world = World::admitted();
    world.restart_stream(in_threes(), INPUT);
    world.connect();
    world.take_events();
    world
}

/// Publishes what is left of the stream, up to `end`.
fn read_on(world: &mut World, end: u64) {
    for number in world.publisher.resumed_publications()..end {
        world.publish(IBM, &number.to_string());
    }
    world.run();
}

fn batches(world: &World) -> usize {
    let is_batch =
        |frame: &&from_publisher::Frame| matches!(frame, from_publisher::Frame::Batch(_));
    world.sent.iter().filter(is_batch).count()
}

fn numbers(end: u64) -> Vec<String> {
    (0..end).map(|number| number.to_string()).collect()
}

fn is_gap(event: &SubscriberEvent) -> bool {
    matches!(
        event,
        SubscriberEvent::Uncovered { .. } | SubscriberEvent::Missing { .. }
    )
}

#[test]
fn a_stream_that_was_cut_off_anywhere_is_taken_once_and_whole() {
    for cut in 0..=PUBLICATIONS {
        for settles in [true, false] {
            let mut world = begun();
            world.settles = settles;
            read_on(&mut world, cut);
            // Whatever was not written down is forgotten.
            world.settles = true;
            world.restart_stream(in_threes(), INPUT);
            world.connect();

            read_on(&mut world, PUBLICATIONS);
            world.publisher.finish();
            world.run();

            assert_eq!(
                world.parties[0].payloads(),
                numbers(PUBLICATIONS),
                "cut at {cut}"
            );
            assert!(world.publisher.is_drained() || !world.events.is_empty());
            let events = world.parties[0].take_events();
            assert!(!events.iter().any(is_gap), "cut at {cut}: {events:?}");
        }
    }
}

#[test]
fn what_was_settled_and_written_down_is_not_published_again() {
    let mut world = begun();
    read_on(&mut world, 6);
    // The second note waits until a second has passed since the first.
    world.advance(std::time::Duration::from_secs(1));
    world.run();
    let before = batches(&world);
    assert_eq!(before, 2);

    world.restart_stream(in_threes(), INPUT);
    assert_eq!(world.publisher.resumed_publications(), 6);
    world.connect();
    read_on(&mut world, PUBLICATIONS);
    world.publisher.finish();
    world.run();

    assert_eq!(batches(&world) - before, 1);
    assert_eq!(world.parties[0].payloads(), numbers(PUBLICATIONS));
}

#[test]
fn a_stream_is_cut_neither_by_time_nor_by_word() {
    let mut world = begun();

    read_on(&mut world, 2);
    world.publisher.flush();
    world.advance(in_threes().batch.linger * 100);
    world.run();

    assert_eq!(batches(&world), 0);
    world.publisher.finish();
    world.run();
    assert_eq!(batches(&world), 1);
}

#[test]
fn a_stream_that_was_ended_begins_anew_when_it_is_read_again() {
    let mut world = begun();
    read_on(&mut world, 3);
    world.publisher.finish();
    world.run();

    world.restart_stream(in_threes(), INPUT);
    world.connect();
    assert_eq!(world.publisher.resumed_publications(), 0);
    read_on(&mut world, 3);

    assert_eq!(world.parties[0].payloads(), ["0", "1", "2", "0", "1", "2"]);
    assert!(!world.parties[0].take_events().iter().any(is_gap));
}

#[test]
fn another_input_or_other_bounds_are_another_stream() {
    for (settings, input) in [(settings(), INPUT), (in_threes(), [8; 32])] {
        let mut world = begun();
        read_on(&mut world, 6);
        world.advance(std::time::Duration::from_secs(1));
        world.run();

        world.restart_stream(settings, input);

        assert_eq!(world.publisher.resumed_publications(), 0);
    }
}

#[test]
fn a_start_that_was_cut_off_is_told_to_consumers_and_one_that_has_ended_is_not() {
    for ends in [true, false] {
        let mut world = World::admitted();
        world.publish_and_run(IBM, "before");
        world.advance(settings().tick);
        world.run();
        world.parties[0].take_events();
        // Published and not settled before the crash.
        world.settles = false;
        if ends {
            world.settles = true;
            world.publisher.finish();
        } else {
            world.publisher.on_closed();
            world.publish(IBM, "lost");
        }
        world.run();

        world.settles = true;
        world.restart(settings());
        world.connect();
        world.advance(settings().tick);
        world.run();

        let events = world.parties[0].take_events();
        let uncovered = events.iter().find_map(|event| match event {
            SubscriberEvent::Uncovered { from, to, .. } => Some((*from, *to)),
            _ => None,
        });
        let start = uncovered.map(|(from, to)| {
            assert_eq!(to.number, u64::MAX);
            assert_eq!(from, Origin { number: 1, ..to });
        });
        assert_eq!(start.is_some(), !ends, "{events:?}");
    }
}

#[test]
fn nothing_is_published_after_the_end_was_announced() {
    let mut world = begun();
    world.publisher.finish();

    let refused = world.publisher.publish(
        world.clock,
        &crate::world::publication(IBM),
        bytes::Bytes::new(),
    );

    assert_eq!(refused, Err(sc_client::PublishError::Finished));
}

#[test]
fn a_publication_that_no_frame_carries_is_refused_and_the_others_go_on() {
    let mut world = World::open(PublisherSettings {
        publication_bytes: 1000,
        ..settings()
    });

    let refused = world.publisher.publish(
        world.clock,
        &crate::world::publication(IBM),
        vec![7; 1000].into(),
    );
    world.publish_and_run(IBM, "small");

    assert!(matches!(
        refused,
        Err(sc_client::PublishError::TooLarge { max: 1000, .. })
    ));
    assert!(world.publisher.is_drained());
}
