//! What a publisher and a subscriber remember when they are started again.

use sc_client::{Memory, PublisherEvent, SubscriberEvent};

use crate::world::{IBM, WANTS_IBM, World, settings};

#[test]
fn a_restarted_publisher_takes_its_consumers_along() {
    let mut world = World::admitted();
    world.publish_and_run(IBM, "before");

    world.restart(settings());
    world.connect();
    world.publish_and_run(IBM, "after");

    assert_eq!(world.parties[0].payloads(), ["before", "after"]);
    assert!(world.parties[0].events.iter().all(|event| matches!(
        event,
        SubscriberEvent::Admitted { .. } | SubscriberEvent::Waiting
    )));
}

#[test]
fn a_restarted_publisher_begins_its_origins_under_a_greater_start() {
    let mut world = World::admitted();
    for number in 0..5 {
        world.publish_and_run(IBM, &format!("before {number}"));
    }

    world.restart(settings());
    world.connect();
    world.publish_and_run(IBM, "after");

    // Its first batch is number 1 again; it is taken because the start is greater.
    assert_eq!(world.parties[0].payloads().last(), Some(&"after"));
}

#[test]
fn a_journal_and_its_rewritten_form_restart_the_same_publisher() {
    let mut world = World::admitted();
    world.join(3, &[(1, "i a = 1"), (2, "i b = 2")]);
    world.parties[1].subscriber.unsubscribe(vec![1]);
    world.run();
    let grown = world.journal.clone();

    let rewritten: Vec<_> = world.publisher.roll().records().collect();
    world.journal = grown;
    world.restart(settings());
    let from_grown: Vec<_> = world.publisher.roll().records().collect();
    world.journal = rewritten;
    world.restart(settings());
    let from_rewritten: Vec<_> = world.publisher.roll().records().collect();

    assert_eq!(from_grown, from_rewritten);
}

#[test]
fn a_restarted_subscriber_goes_on_where_it_was() {
    let mut world = World::admitted();
    world.publish_and_run(IBM, "before");
    let memory = world.parties[0].subscriber.memory().clone();
    let sequence = memory.sequence();
    world.parties.clear();

    world.publish_and_run(IBM, "while it was away");
    world.join_with(2, &[(7, WANTS_IBM)], memory);
    world.publish_and_run(IBM, "after");

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 2,
    };
    assert_eq!(world.parties[0].payloads(), ["after"]);
    assert!(world.parties[0].events.contains(&missing));
    assert!(world.parties[0].subscriber.memory().sequence() > sequence);
}

#[test]
fn a_subscriber_that_crashed_misses_only_what_its_journal_has_not_seen_taken() {
    let mut world = World::admitted();
    world.publish_and_run(IBM, "taken");
    world.work_subscribers();
    let memory = Memory::replay(&world.parties[0].journal);
    assert_eq!(memory.taken(1), 1);
    world.parties.clear();

    world.publish_and_run(IBM, "while it was away");
    world.join_with(2, &[(7, WANTS_IBM)], memory);
    world.publish_and_run(IBM, "after");

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 2,
    };
    assert!(world.parties[0].events.contains(&missing));
}

#[test]
fn a_subscriber_that_forgot_its_sequence_is_refused() {
    let mut world = World::admitted();
    for _ in 0..2 {
        world.parties[0].subscriber.unsubscribe(vec![99]);
    }
    world.run();
    world.parties.clear();
    world.take_events();

    world.join(2, &[(7, WANTS_IBM)]);

    assert!(matches!(
        world.parties[0].events[..],
        [SubscriberEvent::Refused(sc_client::Refusal::Sequence)]
    ));
    // It has tried once more before it believed that: a router could have carried a genuine request twice.
    assert!(matches!(
        world.take_events()[..],
        [
            PublisherEvent::RefusedConsumer { .. },
            PublisherEvent::RefusedConsumer { .. }
        ]
    ));
}

#[test]
fn a_subscribers_sequence_is_on_the_disk_before_its_request_leaves() {
    let mut world = World::open(settings());
    world.join(2, &[(7, WANTS_IBM)]);
    let recorded = Memory::replay(&world.parties[0].journal);

    assert_eq!(recorded.sequence(), 1);
    world.parties[0].subscriber.unsubscribe(vec![7]);
    let outputs = world.parties[0].subscriber.take_outputs();
    assert!(matches!(
        &outputs[..],
        [sc_client::Output::Record(record), sc_client::Output::Send { .. }]
            if Memory::replay(std::slice::from_ref(record)).sequence() == 2
    ));
}

#[test]
fn an_owner_that_died_between_a_request_and_its_answer_learns_at_once_that_the_consumer_is_here() {
    let mut world = World::open(settings());
    world.join_half(2, &[(7, WANTS_IBM)]);
    // Its journal has the request, and it dies before it answers.
    let record = world.asks[0].clone();
    world.publisher.on_frame(world.clock, record);
    for output in world.publisher.take_outputs() {
        if let sc_client::Output::Record(record) = output {
            world.journal.push(record);
        }
    }

    world.restart(settings());
    world.connect();

    assert_eq!(world.publisher.complete_consumers(), 1);
}
