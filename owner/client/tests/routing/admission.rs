//! Whom a publisher admits, with how much, until it changes its mind; and what it makes of replays.

use sc_client::{
    Admission, Ending, PublisherEvent, PublisherSettings, Refusal, Roll, SUBSCRIPTIONS_PER_ASK_MAX,
    SubscriberEvent,
};
use sc_crypto::VerifyingKey;
use sc_proto::Message;
use sc_proto::routing::{self, to_publisher};
use sc_transport::Frame;

use crate::party::admitted_in;
use crate::world::{
    Delivered, IBM, WANTS_IBM, World, flipped, identity, resized, settings, to_publisher,
};

const ALICE: u8 = 2;
const BOB: u8 = 3;

fn listed(identities: &[u8]) -> Admission {
    let fingerprints = identities
        .iter()
        .map(|number| identity(*number).public().fingerprint());
    Admission::Listed(fingerprints.collect())
}

fn with(admission: Admission) -> PublisherSettings {
    PublisherSettings {
        admission,
        ..settings()
    }
}

fn key(number: u8) -> VerifyingKey {
    identity(number).signing_key().verifying_key()
}

/// What the publisher refused since the last time.
fn refusals(world: &mut World) -> Vec<Refusal> {
    let events = world.take_events().into_iter();
    events
        .filter_map(|event| match event {
            PublisherEvent::RefusedConsumer { refusal, .. } => Some(refusal),
            _ => None,
        })
        .collect()
}

fn is_refused(world: &World, party: usize, refusal: Refusal) -> bool {
    world.parties[party]
        .events
        .contains(&SubscriberEvent::Refused(refusal))
}

/// A request as the router carries it, for another consumer's link or with other bytes.
fn changed(ask: &Frame, change: impl FnOnce(&mut routing::Ask, &mut Vec<u8>)) -> Frame {
    let head = routing::ToPublisher::decode(ask.head.clone()).unwrap();
    let Some(to_publisher::Frame::Ask(mut head)) = head.frame else {
        panic!("no ask: {head:?}");
    };
    let mut bytes = ask.attachments[0].to_vec();
    change(&mut head, &mut bytes);
    to_publisher(to_publisher::Frame::Ask(head), [bytes.into()])
}

#[test]
fn only_those_on_the_list_are_admitted() {
    let mut world = World::open(with(listed(&[ALICE])));
    let alice = world.join(ALICE, &[(1, WANTS_IBM)]);
    let bob = world.join(BOB, &[(1, WANTS_IBM)]);

    world.publish_and_run(IBM, "for alice");

    assert_eq!(world.parties[alice].payloads(), ["for alice"]);
    assert!(is_refused(&world, bob, Refusal::NotListed));
    assert_eq!(world.parties[bob].payloads(), [""; 0]);
    assert_eq!(refusals(&mut world), [Refusal::NotListed]);
}

#[test]
fn a_stranger_that_is_refused_leaves_no_record() {
    let mut world = World::open(with(listed(&[ALICE])));
    let before = world.journal.len();

    world.join(BOB, &[(1, WANTS_IBM)]);

    assert_eq!(world.journal.len(), before);
}

#[test]
fn a_list_names_fingerprints_and_says_which_line_is_none() {
    let fingerprint = identity(ALICE).public().fingerprint();
    let text = format!("# mine\n{fingerprint}  # alice\n\n");

    assert_eq!(Admission::parse(&text), Ok(listed(&[ALICE])));
    assert_eq!(Admission::parse("#\nSHA256:short"), Err(2));
    assert_eq!(Admission::parse("alice"), Err(1));
    let prefix = "SHA512:";
    let other_hash = text.replace("SHA256:", prefix);
    assert_eq!(Admission::parse(&other_hash), Err(2));
}

#[test]
fn a_consumer_beyond_its_quota_is_refused_and_keeps_what_it_had() {
    let mut world = World::open(PublisherSettings {
        quota: 2,
        ..settings()
    });
    let alice = world.join(ALICE, &[(1, WANTS_IBM), (2, "i a exists")]);
    let greedy = world.join(BOB, &[(1, IBM_OR_GE), (2, WANTS_IBM), (3, WANTS_IBM)]);

    world.publish_and_run(IBM, "one");

    assert_eq!(world.parties[alice].payloads(), ["one"]);
    assert!(is_refused(&world, greedy, Refusal::Quota));
    assert_eq!(world.parties[greedy].payloads(), [""; 0]);
}

const IBM_OR_GE: &str = "i symbol in {\"IBM\", \"GE\"}";

#[test]
fn a_replayed_request_is_refused_and_changes_nothing() {
    let mut world = World::admitted();
    let ask = world.asks[0].clone();
    world.take_events();
    let records = world.journal.len();

    for _ in 0..3 {
        world.hand_to_publisher(ask.clone());
    }

    assert_eq!(refusals(&mut world), [Refusal::Sequence; 3]);
    assert_eq!(world.journal.len(), records);
    world.run();
    world.publish_and_run(IBM, "once");
    assert_eq!(world.parties[0].payloads(), ["once"]);
}

#[test]
fn an_earlier_request_is_refused_after_a_later_one() {
    let mut world = World::admitted();
    let subscribe = world.asks[0].clone();
    world.parties[0].subscriber.unsubscribe(vec![]);
    world.run();
    world.take_events();

    world.hand_to_publisher(subscribe);
    world.run();

    assert_eq!(refusals(&mut world), [Refusal::Sequence]);
    world.publish_and_run(IBM, "to nobody");
    assert_eq!(world.parties[0].payloads(), [""; 0]);
}

#[test]
fn a_replay_is_refused_after_a_restart_too() {
    let mut world = World::admitted();
    let ask = world.asks[0].clone();
    world.restart(settings());
    world.connect();
    world.take_events();

    world.hand_to_publisher(ask);

    assert_eq!(refusals(&mut world), [Refusal::Sequence]);
}

#[test]
fn a_replay_is_refused_after_the_journal_was_rewritten() {
    let mut world = World::admitted();
    let ask = world.asks[0].clone();
    world.journal = world.publisher.roll().records().collect();
    world.restart(settings());
    world.connect();
    world.take_events();

    world.hand_to_publisher(ask);

    assert_eq!(refusals(&mut world), [Refusal::Sequence]);
    world.publish_and_run(IBM, "and the subscription is there");
    assert_eq!(world.parties[0].payloads().len(), 1);
}

#[test]
fn a_request_is_on_the_disk_before_its_answer_leaves() {
    let mut world = World::open(settings());
    world.join(ALICE, &[(1, WANTS_IBM)]);
    let mut other = World::open(settings());
    let ask = world.asks[0].clone();
    other.publisher.on_frame(other.clock, ask);
    other.publisher.pump(other.clock, other.credit);

    let outputs = other.publisher.take_outputs();

    // The answer, and what the program is told.
    assert!(matches!(
        &outputs[..],
        [
            sc_client::Output::Record(_),
            sc_client::Output::Send { .. },
            sc_client::Output::Send { .. }
        ]
    ));
}

#[test]
fn a_request_that_came_over_anothers_link_is_not_taken() {
    let mut world = World::admitted();
    let bob = world.join(BOB, &[(1, "i symbol = \"GE\"")]);
    let bobs_key = world.parties[bob].key();
    world.parties[0].subscriber.unsubscribe(vec![]);
    world.work_subscribers();
    let ask = world.inbox.pop_back().unwrap();
    world.take_events();

    let moved = changed(&ask, |head, _| head.consumer = bobs_key);
    let nameless = changed(&ask, |head, _| head.consumer.clear());
    for frame in [moved, nameless] {
        world.hand_to_publisher(frame);
        let event = world.take_events().pop();
        assert!(matches!(event, Some(PublisherEvent::UnreadableAsk)));
    }

    world.publish_and_run(IBM, "still subscribed");
    assert_eq!(world.parties[0].payloads(), ["still subscribed"]);
}

#[test]
fn a_request_that_was_changed_on_its_way_is_not_taken() {
    let mut world = World::admitted();
    world.parties[0].subscriber.unsubscribe(vec![]);
    world.work_subscribers();
    let ask = world.inbox.pop_back().unwrap();
    let genuine = ask.attachments[0].to_vec();
    let records = world.journal.len();

    for bytes in flipped(&genuine)
        .step_by(5)
        .chain(resized(&genuine).step_by(20))
    {
        world.take_events();
        world.hand_to_publisher(changed(&ask, |_, sealed| *sealed = bytes));
        let event = world.take_events().pop();
        assert!(matches!(event, Some(PublisherEvent::UnreadableAsk)));
    }

    assert_eq!(world.journal.len(), records);
}

#[test]
fn a_request_without_an_open_session_gets_no_answer() {
    let world = World::admitted();
    let ask = world.asks[0].clone();
    let mut fresh = World::new(settings());
    fresh.collect_publisher();

    fresh.hand_to_publisher(ask);

    assert!(fresh.sent.is_empty());
    assert_eq!(fresh.journal.len(), 1, "only the start");
}

#[test]
fn whoever_a_changed_list_drops_is_told_and_gets_nothing_more() {
    let mut world = World::open(with(listed(&[ALICE, BOB])));
    let alice = world.join(ALICE, &[(1, WANTS_IBM)]);
    let bob = world.join(BOB, &[(1, WANTS_IBM)]);

    world.publisher.set_admission(listed(&[BOB]));
    world.run();
    world.publish_and_run(IBM, "for bob");

    let ended = SubscriberEvent::Ended(Ending::Revoked);
    assert!(world.parties[alice].events.contains(&ended));
    assert!(!world.parties[bob].events.contains(&ended));
    assert_eq!(world.parties[alice].payloads(), [""; 0]);
    assert_eq!(world.parties[bob].payloads(), ["for bob"]);
    // Asking again is of no use.
    world.parties[alice].subscriber.on_established();
    world.run();
    assert!(is_refused(&world, alice, Refusal::Revoked));
}

#[test]
fn whoever_a_later_list_names_again_is_admitted_again() {
    let mut world = World::open(with(listed(&[ALICE])));
    let alice = world.join(ALICE, &[(1, WANTS_IBM)]);
    world.publisher.set_admission(listed(&[]));
    world.run();
    world.publisher.set_admission(listed(&[ALICE]));
    world.parties[alice].take_events();

    world.parties[alice].subscriber.on_established();
    world.run();
    world.publish_and_run(IBM, "again");

    // In the same session: its notices go on counting, so nothing is reported as missing or as not genuine.
    assert_eq!(world.parties[alice].take_events(), [admitted_in(1)]);
    assert_eq!(world.parties[alice].payloads(), ["again"]);
}

#[test]
fn whoever_was_dropped_while_the_publisher_was_away_is_not_admitted_at_its_start() {
    let mut world = World::open(with(listed(&[ALICE, BOB])));
    let alice = world.join(ALICE, &[(1, WANTS_IBM)]);
    let bob = world.join(BOB, &[(1, WANTS_IBM)]);

    world.restart(with(listed(&[BOB])));
    world.connect();
    world.publish_and_run(IBM, "for bob");

    assert_eq!(world.parties[alice].payloads(), [""; 0]);
    assert_eq!(world.parties[bob].payloads(), ["for bob"]);
}

#[test]
fn a_revocation_by_name_outlives_restarts_and_lists() {
    let mut world = World::open(with(listed(&[ALICE])));
    let alice = world.join(ALICE, &[(1, WANTS_IBM)]);
    world.publisher.revoke(key(ALICE));
    world.run();

    for rewrite in [false, true] {
        if rewrite {
            world.journal = world.publisher.roll().records().collect();
        }
        world.restart(with(listed(&[ALICE])));
        world.connect();
        world.publisher.set_admission(listed(&[ALICE, BOB]));
        world.parties[alice].take_events();
        world.parties[alice].subscriber.on_established();
        world.run();
        world.publish_and_run(IBM, "to nobody");

        assert!(is_refused(&world, alice, Refusal::Revoked));
        assert_eq!(world.parties[alice].payloads(), [""; 0]);
    }
}

#[test]
fn an_identity_can_be_revoked_before_it_ever_asks() {
    let mut world = World::open(settings());
    world.publisher.revoke(key(ALICE));
    world.run();

    let alice = world.join(ALICE, &[(1, WANTS_IBM)]);

    assert!(is_refused(&world, alice, Refusal::Revoked));
    assert!(world.closed.is_empty());
}

#[test]
fn a_consumer_is_complete_only_when_the_program_has_said_so() {
    let mut world = World::open(settings());
    let ask = {
        let mut other = World::open(settings());
        other.join(ALICE, &[(1, WANTS_IBM)]);
        other.asks[0].clone()
    };

    world.hand_to_publisher(ask);
    world.work_publisher();
    assert_eq!(world.publisher.complete_consumers(), 0);
    world.run();

    assert_eq!(world.publisher.complete_consumers(), 1);
    let complete = world
        .take_events()
        .into_iter()
        .filter(|event| {
            matches!(event, PublisherEvent::Complete { consumer } if *consumer == key(ALICE))
        })
        .count();
    assert_eq!(complete, 1);
}

#[test]
fn a_consumer_of_many_subscriptions_is_complete_after_the_last() {
    let wanted: Vec<_> = (0..2500).map(|id| (id, "i symbol = \"IBM\"")).collect();
    let mut world = World::open(settings());

    world.join(ALICE, &wanted);
    world.publish_and_run(IBM, "many");

    assert_eq!(world.asks.len(), 3);
    assert_eq!(world.publisher.complete_consumers(), 1);
    assert_eq!(world.parties[0].delivered[0].subscriptions.len(), 2500);
}

#[test]
fn unsubscribing_ends_the_named_or_all() {
    let mut world = World::open(settings());
    world.join(ALICE, &[(1, WANTS_IBM), (2, "i symbol exists")]);

    world.parties[0].subscriber.unsubscribe(vec![1]);
    world.run();
    world.publish_and_run(IBM, "one");
    world.parties[0].subscriber.unsubscribe(vec![]);
    world.run();
    world.publish_and_run(IBM, "none");

    assert_eq!(world.parties[0].delivered[0].subscriptions, [2]);
    assert_eq!(world.parties[0].payloads(), ["one"]);
}

#[test]
fn a_journal_of_another_version_is_refused_with_the_place_of_the_record() {
    let world = World::admitted();
    let mut journal = world.journal.clone();
    journal.insert(1, vec![99]);

    assert_eq!(Roll::replay(&journal).err(), Some(1));
    assert_eq!(Roll::replay(&[vec![]]).err(), Some(0));
    for record in &world.journal {
        for length in 1..record.len().min(60) {
            assert!(Roll::replay(&[record[..length].to_vec()]).is_err());
        }
    }
}

#[test]
fn no_publication_meets_a_part_of_what_a_consumer_asks_for_in_several_requests() {
    let mut world = World::open(settings());
    let many: Vec<_> = (0..=2 * SUBSCRIPTIONS_PER_ASK_MAX as u64)
        .map(|id| (id, WANTS_IBM))
        .collect();
    world.join(ALICE, &many);
    assert_eq!(world.publisher.complete_consumers(), 1);
    let alice = &mut world.parties[0].subscriber;
    alice.on_closed();
    alice.unsubscribe(vec![0]);
    alice.on_established();
    world.work_subscribers();
    world.deliver_to_subscribers();
    world.work_subscribers();
    let (Some(first), Some(second), None) = (
        world.inbox.pop_front(),
        world.inbox.pop_front(),
        world.inbox.pop_front(),
    ) else {
        panic!("all but one are asked for in two requests")
    };

    world.hand_to_publisher(first);
    world.publish(IBM, "between");
    world.run();
    world.hand_to_publisher(second);
    world.publish_and_run(IBM, "after");

    let held = |delivered: &Delivered| delivered.subscriptions.len();
    let held: Vec<_> = world.parties[0].delivered.iter().map(held).collect();
    assert_eq!(held, [many.len(), many.len() - 1]);
}
