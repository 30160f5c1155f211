//! Numbers of starts and sessions: a journal that was lost heals itself, and no clock does harm.

use std::time::Duration;

use sc_client::SubscriberEvent;

use crate::world::{IBM, World, settings};

const TODAY_MS: u64 = 1_800_000_000_000;

/// A world at this time, in which one publication was taken.
fn at(wall_ms: u64) -> World {
    let mut world = World::new(settings());
    world.clock.wall_ms = wall_ms;
    world.connect();
    world.join(2, &[(7, crate::world::WANTS_IBM)]);
    world.publish_and_run(IBM, "before");
    world
}

/// The consumer connects anew and asks again when no answer comes by itself.
fn ask_again(world: &mut World) {
    world.parties[0].subscriber.on_established();
    world.run();
    world.advance(Duration::from_secs(5));
    world.run();
}

fn admitted_sessions(world: &World) -> Vec<u64> {
    let sessions = world.parties[0]
        .events
        .iter()
        .filter_map(|event| match event {
            SubscriberEvent::Admitted { session, .. } => Some(*session),
            _ => None,
        });
    sessions.collect()
}

#[test]
fn an_owner_that_lost_its_journal_is_heard_again() {
    let mut world = at(TODAY_MS);
    world.journal.clear();
    world.clock.wall_ms += 5000;

    world.restart(settings());
    world.connect();
    ask_again(&mut world);
    world.publish_and_run(IBM, "after");

    assert_eq!(world.parties[0].payloads(), ["before", "after"]);
    let passed_over = |event: &SubscriberEvent| matches!(event, SubscriberEvent::PassedOver { .. });
    assert!(!world.parties[0].events.iter().any(passed_over));
}

#[test]
fn a_clock_that_goes_back_takes_no_number_back() {
    let mut world = at(TODAY_MS);

    for wall_ms in [TODAY_MS / 2, 0, 1, TODAY_MS - 1] {
        world.clock.wall_ms = wall_ms;
        world.restart(settings());
        world.connect();
    }
    world.clock.wall_ms = TODAY_MS;
    ask_again(&mut world);
    world.publish_and_run(IBM, "after");

    let sessions = admitted_sessions(&world);
    assert!(sessions.is_sorted(), "{sessions:?}");
    assert_eq!(world.parties[0].payloads(), ["before", "after"]);
}

#[test]
fn a_clock_that_was_far_ahead_once_leaves_room_for_all_that_comes() {
    let mut world = at(TODAY_MS);
    let consumers_clock = world.clock;
    world.clock.wall_ms = u64::MAX;
    world.restart(settings());
    world.connect();
    world.clock = consumers_clock;

    for number in 0..3 {
        world.restart(settings());
        world.connect();
        world.parties[0].subscriber.on_established();
        world.run();
        world.publish_and_run(IBM, &number.to_string());
    }

    assert_eq!(world.parties[0].payloads(), ["before", "0", "1", "2"]);
}
