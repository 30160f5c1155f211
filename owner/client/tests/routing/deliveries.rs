//! Notices and payloads: what a subscriber takes, what it drops, what it reports as missing.

use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{DeliveryKeys, MessageKind, Notice, Origin, Scope};
use sc_client::{Answer, BatchBounds, PublisherSettings, SubscriberEvent, Verdict};
use sc_crypto::PayloadKey;
use sc_proto::Message;
use sc_proto::routing::{self, to_subscriber};
use sc_transport::Frame;

use crate::world::{IBM, WANTS_IBM, World, flipped, identity, resized, settings, to_subscriber};

/// A subscriber with `count` notices, one a publication `0`, `1` …, that wait in its queue.
fn waiting(count: usize) -> World {
    let mut world = World::admitted();
    world.parties[0].take_events();
    for number in 0..count {
        world.publish(IBM, &number.to_string());
    }
    world.work_publisher();
    assert_eq!(world.parties[0].inbox.len(), count);
    world
}

fn changed(frame: &Frame, change: impl FnOnce(&mut routing::Notice)) -> Frame {
    let head = routing::ToSubscriber::decode(frame.head.clone()).unwrap();
    let Some(to_subscriber::Frame::Notice(mut head)) = head.frame else {
        panic!("no notice: {head:?}");
    };
    change(&mut head);
    let parts = [frame.attachments[0].clone(), frame.attachments[1].clone()];
    to_subscriber(to_subscriber::Frame::Notice(head), parts)
}

fn with_part(frame: &Frame, part: usize, bytes: Vec<u8>) -> Frame {
    let mut frame = frame.clone();
    frame.attachments[part] = bytes.into();
    frame
}

/// Delivers what waits and returns what the subscriber reports of it.
fn deliver(world: &mut World) -> Vec<SubscriberEvent> {
    world.deliver_to_subscribers();
    world.parties[0].take_events()
}

#[test]
fn what_matches_is_delivered_and_nothing_else() {
    let mut world = World::admitted();
    let bob = world.join(3, &[(1, "i symbol = \"GE\""), (2, "i symbol exists")]);

    world.publish_and_run(IBM, "ibm");
    world.publish_and_run("i symbol \"GE\"", "ge");
    world.publish_and_run("i other 1", "other");

    assert_eq!(world.parties[0].payloads(), ["ibm"]);
    assert_eq!(world.parties[0].delivered[0].subscriptions, [7]);
    assert_eq!(world.parties[bob].payloads(), ["ibm", "ge"]);
    assert_eq!(world.parties[bob].delivered[0].subscriptions, [2]);
    assert_eq!(world.parties[bob].delivered[1].subscriptions, [1, 2]);
}

#[test]
fn a_notice_that_comes_twice_is_taken_once() {
    let mut world = waiting(2);
    let first = world.parties[0].inbox[0].clone();
    world.parties[0].inbox.insert(1, first.clone());
    world.parties[0].inbox.push_back(first);

    let events = deliver(&mut world);

    assert_eq!(events, [const { SubscriberEvent::NotTaken }; 2]);
    assert_eq!(world.parties[0].payloads(), ["0", "1"]);
}

#[test]
fn every_change_of_a_notice_is_dropped_and_the_genuine_one_still_taken() {
    let mut world = waiting(1);
    let genuine = world.parties[0].inbox.pop_front().unwrap();
    let sealed = genuine.attachments[0].to_vec();

    for bytes in flipped(&sealed).chain(resized(&sealed)) {
        let forged = with_part(&genuine, 0, bytes);
        world.parties[0].inbox.push_back(forged);
        assert_eq!(deliver(&mut world), [SubscriberEvent::NotTaken]);
    }

    world.parties[0].inbox.push_back(genuine);
    assert_eq!(deliver(&mut world), []);
    assert_eq!(world.parties[0].payloads(), ["0"]);
}

#[test]
fn a_notice_moved_to_another_counter_or_session_is_dropped() {
    let mut world = waiting(2);
    let genuine = world.parties[0].inbox[0].clone();
    let moved = [
        changed(&genuine, |head| head.counter = 0),
        changed(&genuine, |head| head.counter = 2),
        changed(&genuine, |head| head.counter = u64::MAX),
        changed(&genuine, |head| head.session = 0),
        changed(&genuine, |head| head.session = 2),
    ];
    world.parties[0].inbox.extend(moved);

    let events = deliver(&mut world);

    assert_eq!(events, [const { SubscriberEvent::NotTaken }; 5]);
    assert_eq!(world.parties[0].payloads(), ["0", "1"]);
}

#[test]
fn a_notice_for_another_consumer_is_dropped() {
    let mut world = World::admitted();
    let bob = world.join(3, &[(7, WANTS_IBM)]);
    world.publish(IBM, "both");
    world.work_publisher();
    let bobs = world.parties[bob].inbox[0].clone();
    world.parties[0].inbox = [bobs].into();
    world.parties[0].take_events();

    assert_eq!(deliver(&mut world), [SubscriberEvent::NotTaken]);
    assert_eq!(world.parties[0].payloads(), [""; 0]);
}

#[test]
fn withheld_notices_are_reported_by_their_exact_range() {
    let mut world = waiting(5);
    world.parties[0].inbox.remove(3);
    world.parties[0].inbox.remove(1);
    world.parties[0].inbox.remove(1);

    let events = deliver(&mut world);

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 4,
    };
    assert_eq!(events, [missing]);
    assert_eq!(world.parties[0].payloads(), ["0", "4"]);
}

#[test]
fn a_notice_that_comes_after_its_gap_was_reported_is_dropped() {
    let mut world = waiting(3);
    world.parties[0].inbox.swap(1, 2);

    let events = deliver(&mut world);

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 2,
    };
    assert_eq!(events, [missing, SubscriberEvent::NotTaken]);
    assert_eq!(world.parties[0].payloads(), ["0", "2"]);
}

#[test]
fn the_last_notice_withheld_shows_at_the_next_heartbeat() {
    let mut world = waiting(1);
    world.parties[0].inbox.clear();
    world.run();
    // The first tick finds that there was a notice; the second gives a heartbeat.
    for _ in 0..2 {
        world.advance(Duration::from_secs(5));
        world.run();
    }

    assert_eq!(
        world.parties[0].take_events(),
        [SubscriberEvent::Missing {
            session: 1,
            from: 1,
            to: 1
        }]
    );
}

/// A subscriber with one notice about three publications `a`, `b`, `c` of one batch.
fn batch_of_three() -> (World, Frame) {
    let mut world = World::open(PublisherSettings {
        batch: BatchBounds {
            publications: 3,
            ..BatchBounds::default()
        },
        ..settings()
    });
    world.join(2, &[(7, WANTS_IBM)]);
    world.parties[0].take_events();
    for payload in ["a", "b", "c"] {
        world.publish(IBM, payload);
    }
    world.work_publisher();
    let notice = world.parties[0].inbox.pop_front().unwrap();
    (world, notice)
}

fn withheld(index: u32) -> SubscriberEvent {
    SubscriberEvent::PayloadWithheld {
        origin: Origin {
            start: 1,
            number: 1,
        },
        index,
    }
}

#[test]
fn every_change_of_a_payload_is_reported_and_leaves_the_others_alone() {
    let (_, notice) = batch_of_three();
    let payloads = notice.attachments[1].to_vec();
    let one = payloads.len() / 3;
    for bit in 0..one * 8 {
        let (mut world, notice) = batch_of_three();
        let mut changed = payloads.clone();
        changed[one + bit / 8] ^= 1 << (bit % 8);

        world.parties[0]
            .inbox
            .push_back(with_part(&notice, 1, changed));

        assert_eq!(deliver(&mut world), [withheld(1)]);
        assert_eq!(world.parties[0].payloads(), ["a", "c"]);
    }
}

#[test]
fn payloads_left_out_swapped_or_cut_are_reported() {
    let (_, notice) = batch_of_three();
    let payloads = notice.attachments[1].to_vec();
    let one = payloads.len() / 3;
    let swapped = [
        &payloads[one..2 * one],
        &payloads[..one],
        &payloads[2 * one..],
    ]
    .concat();
    let none = changed(&with_part(&notice, 1, vec![]), |head| {
        head.payload_sizes.clear()
    });
    let lying = changed(&notice, |head| head.payload_sizes[0] = u32::MAX);
    for (frame, lost) in [
        (with_part(&notice, 1, swapped), &[0, 1][..]),
        (with_part(&notice, 1, payloads[..one].to_vec()), &[1, 2]),
        (
            with_part(&notice, 1, payloads[..2 * one + 1].to_vec()),
            &[2],
        ),
        (none, &[0, 1, 2]),
        (lying, &[0, 1, 2]),
    ] {
        let (mut world, _) = batch_of_three();
        world.parties[0].inbox.push_back(frame);

        let expected: Vec<_> = lost.iter().map(|index| withheld(*index)).collect();
        assert_eq!(deliver(&mut world), expected);
        assert_eq!(world.parties[0].payloads().len(), 3 - lost.len());
    }
}

/// The key of the only payload of a notice, as its consumer reads it.
fn payload_key(world: &World, identity_number: u8, answer: &Frame, notice: &Frame) -> PayloadKey {
    let owner = identity(1);
    let consumer = identity(identity_number);
    let sealed = &answer.attachments[0];
    let answer = Answer::open(sealed, owner.public(), &consumer, false).unwrap();
    let Verdict::Admitted { delivery_key, .. } = answer.verdict else {
        panic!("refused");
    };
    let scope = Scope {
        domain: world.publisher.domain(),
        session: 1,
        party: consumer.signing_key().verifying_key(),
        start: 0,
    };
    let mut bytes = notice.attachments[0].to_vec();
    let opened = DeliveryKeys::new(&delivery_key, &scope, false)
        .notice
        .open(&scope, MessageKind::Notice, 1, &mut bytes)
        .unwrap();
    let mut opened = Notice::decode(opened).unwrap();
    let entry = opened.next_entry(&mut Vec::new()).unwrap().unwrap();
    PayloadKey::from_bytes(*entry.key_and_hash.unwrap().0)
}

#[test]
fn a_recipient_that_helps_the_router_cannot_change_what_another_gets() {
    let mut world = World::open(settings());
    world.join_half(3, &[(7, WANTS_IBM)]);
    world.deliver_to_publisher();
    let answer = world.parties[0].inbox[0].clone();
    world.run();
    world.join(2, &[(7, WANTS_IBM)]);
    world.parties.swap(0, 1);
    world.parties[0].take_events();
    world.publish(IBM, "genuine");
    world.work_publisher();
    let traitors = world.parties[1].inbox[0].clone();
    let key = payload_key(&world, 3, &answer, &traitors);

    // Sealed under the right key, for the right place: only the hash in the notice tells it from the genuine one.
    let owner = identity(1);
    let scope = Scope {
        domain: world.publisher.domain(),
        session: 1,
        party: owner.signing_key().verifying_key(),
        start: 1,
    };
    let batch_counter = 3;
    let mut forged = Vec::new();
    let mut data = scope.payload_data(batch_counter);
    key.seal(data.of(0), b"forged!", &mut forged);
    assert!(
        key.open(data.of(0), &traitors.attachments[1]).is_ok(),
        "the place is right"
    );
    let frame = with_part(&world.parties[0].inbox[0], 1, forged);
    world.parties[0].inbox[0] = frame;

    assert_eq!(deliver(&mut world), [withheld(0)]);
    assert_eq!(world.parties[0].payloads(), [""; 0]);
}

#[test]
fn payloads_of_another_batch_are_reported_as_withheld() {
    let mut world = waiting(2);
    let other = world.parties[0].inbox[1].attachments[1].clone();
    let first = with_part(&world.parties[0].inbox[0], 1, other.to_vec());
    world.parties[0].inbox[0] = first;

    let events = deliver(&mut world);

    assert_eq!(events, [withheld(0)]);
    assert_eq!(world.parties[0].payloads(), ["1"]);
}

#[test]
fn bytes_beyond_the_payloads_are_passed_over() {
    let (mut world, notice) = batch_of_three();
    let payloads = [&notice.attachments[1][..], b"more"].concat();
    let frame = changed(&with_part(&notice, 1, payloads), |head| {
        head.payload_sizes.push(4)
    });

    world.parties[0].inbox.push_back(frame);

    assert_eq!(deliver(&mut world), []);
    assert_eq!(world.parties[0].payloads(), ["a", "b", "c"]);
}

#[test]
fn a_notice_without_its_parts_is_dropped() {
    let mut world = waiting(1);
    let mut frame = world.parties[0].inbox.pop_front().unwrap();
    frame.attachments.clear();
    world.parties[0].inbox.push_back(frame);

    assert_eq!(deliver(&mut world), [SubscriberEvent::NotTaken]);
}

fn plain() -> PublisherSettings {
    PublisherSettings {
        plain: true,
        ..settings()
    }
}

#[test]
fn the_unencrypted_mode_delivers_among_those_who_chose_it() {
    let mut world = World::open(plain());
    world.join(2, &[(7, WANTS_IBM)]);

    world.publish_and_run(IBM, "in the clear");

    assert_eq!(world.parties[0].payloads(), ["in the clear"]);
    assert_eq!(world.parties[0].delivered[0].subscriptions, [7]);
}

#[test]
fn gaps_and_repetitions_are_noticed_in_the_unencrypted_mode_too() {
    let mut world = World::open(plain());
    world.join(2, &[(7, WANTS_IBM)]);
    world.parties[0].take_events();
    for number in 0..3 {
        world.publish(IBM, &number.to_string());
    }
    world.work_publisher();
    world.parties[0].inbox.remove(1);
    let last = world.parties[0].inbox[1].clone();
    world.parties[0].inbox.push_back(last);

    let missing = SubscriberEvent::Missing {
        session: 1,
        from: 2,
        to: 2,
    };
    assert_eq!(deliver(&mut world), [missing, SubscriberEvent::NotTaken]);
}

#[test]
fn a_sealed_subscriber_takes_no_plain_notice() {
    let mut clear = World::open(plain());
    clear.join(2, &[(7, WANTS_IBM)]);
    clear.publish(IBM, "in the clear");
    clear.work_publisher();
    let notice = clear.parties[0].inbox.pop_back().unwrap();
    let mut world = World::admitted();
    world.parties[0].take_events();

    world.parties[0].inbox.push_back(notice);

    assert_eq!(deliver(&mut world), [SubscriberEvent::NotTaken]);
    assert_eq!(world.parties[0].payloads(), [""; 0]);
}

#[test]
fn frames_of_the_router_itself_are_reported_and_prove_nothing() {
    let mut world = World::admitted();
    world.parties[0].take_events();
    let refused = to_subscriber::Frame::Refused(routing::Refused {
        cause: routing::refused::Cause::Limit.into(),
        what: "too many".into(),
        ..routing::Refused::default()
    });
    let closed = to_subscriber::Frame::DomainState(routing::DomainState {
        domain: Bytes::new(),
        open: false,
        session: 0,
    });
    world.parties[0].inbox.push_back(to_subscriber(refused, []));
    world.parties[0].inbox.push_back(to_subscriber(closed, []));

    assert_eq!(
        deliver(&mut world),
        [
            SubscriberEvent::RouterRefused("too many".into()),
            SubscriberEvent::Waiting
        ]
    );
    world.publish_and_run(IBM, "on it goes");
    assert_eq!(world.parties[0].payloads(), ["on it goes"]);
}
