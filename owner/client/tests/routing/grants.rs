//! Others that publish in an owner's domain.

use std::time::Duration;

use sc_client::{GrantList, GranteeEvent, PublisherEvent, PublisherSettings, Refusal};
use sc_proto::Message;
use sc_proto::routing::{self, to_publisher};

use crate::world::{IBM, WANTS_IBM, World, flipped, identity, settings};

const GUEST: u8 = 5;
const OTHER: u8 = 6;

fn list(identities: &[u8]) -> GrantList {
    let lines: Vec<_> = identities
        .iter()
        .map(|number| identity(*number).public().fingerprint())
        .collect();
    GrantList::parse(&lines.join("\n")).unwrap()
}

fn granting(identities: &[u8]) -> PublisherSettings {
    PublisherSettings {
        grants: list(identities),
        ..settings()
    }
}

/// An owner that grants, a consumer that wants IBM, and a guest.
fn invited() -> World {
    let mut world = World::open(granting(&[GUEST, OTHER]));
    world.join(2, &[(7, WANTS_IBM)]);
    world.invite(GUEST);
    world
}

fn guest_publishes(world: &mut World, at: usize, payload: &str) {
    let clock = world.clock;
    world.guests[at].publish(clock, IBM, payload);
    world.run();
}

fn batch_starts(world: &mut World, at: usize) -> Vec<u64> {
    world.guests[at]
        .take_events()
        .iter()
        .filter_map(|event| match event {
            GranteeEvent::Granted { start, .. } => Some(*start),
            _ => None,
        })
        .collect()
}

#[test]
fn whoever_is_granted_publishes_and_the_owner_publishes_too() {
    let mut world = invited();
    assert!(world.guests[0].grantee.is_open());

    guest_publishes(&mut world, 0, "of the guest");
    world.publish_and_run(IBM, "of the owner");

    assert_eq!(
        world.parties[0].payloads(),
        ["of the guest", "of the owner"]
    );
    assert!(world.guests[0].grantee.is_drained());
    assert!(
        world
            .take_events()
            .iter()
            .any(|event| matches!(event, PublisherEvent::Granted { .. }))
    );
}

#[test]
fn an_owner_that_publishes_nothing_itself_lets_others_publish() {
    let mut world = invited();
    world.invite(OTHER);

    for number in 0..3 {
        guest_publishes(&mut world, number % 2, &number.to_string());
    }

    assert_eq!(world.parties[0].payloads(), ["0", "1", "2"]);
}

#[test]
fn whoever_is_not_on_the_list_is_refused_and_publishes_nothing() {
    let mut world = World::open(granting(&[OTHER]));
    world.join(2, &[(7, WANTS_IBM)]);

    world.invite(GUEST);
    guest_publishes(&mut world, 0, "of a stranger");

    let refused = GranteeEvent::Refused(Refusal::NotGranted);
    assert!(world.guests[0].take_events().contains(&refused));
    assert!(!world.guests[0].grantee.is_open());
    assert_eq!(world.parties[0].payloads(), [""; 0]);
    // A later list names it, and it asks again by itself.
    world.publisher.set_grants(list(&[GUEST]));
    world.advance(Duration::from_secs(60));
    world.run();
    assert_eq!(world.parties[0].payloads(), ["of a stranger"]);
}

#[test]
fn whoever_is_taken_off_the_list_is_told_and_publishes_no_more() {
    let mut world = invited();
    guest_publishes(&mut world, 0, "while granted");

    world.publisher.set_grants(list(&[OTHER]));
    world.run();
    guest_publishes(&mut world, 0, "after that");

    assert_eq!(world.parties[0].payloads(), ["while granted"]);
    let refused = GranteeEvent::Refused(Refusal::NotGranted);
    assert!(world.guests[0].take_events().contains(&refused));
    assert!(!world.guests[0].grantee.is_drained(), "it is still held");
}

#[test]
fn a_dismissed_guest_that_goes_on_is_refused_by_the_program() {
    let mut world = invited();
    world.publisher.set_grants(list(&[]));
    world.work_publisher();

    // Its answer has not reached it yet.
    let clock = world.clock;
    world.guests[0].publish(clock, IBM, "too late");
    world.work_guests();
    let answer = world.guests[0].inbox.pop_front().unwrap();
    world.deliver_to_guests();
    world.work_guests();

    assert_eq!(world.guests[0].closed.len(), 1);
    assert_eq!(world.parties[0].payloads(), [""; 0]);
    world.guests[0].take(clock, answer);
    assert!(!world.guests[0].grantee.is_open());
}

#[test]
fn a_guest_starts_anew_in_each_session_and_what_was_not_settled_comes_once() {
    let mut world = invited();
    world.settles = false;
    guest_publishes(&mut world, 0, "in both");
    world.settles = true;

    world.connect();
    world.advance(Duration::from_secs(2));
    world.run();
    guest_publishes(&mut world, 0, "in the second");

    assert_eq!(world.parties[0].payloads(), ["in both", "in the second"]);
    let starts = batch_starts(&mut world, 0);
    assert_eq!(starts.len(), 2);
    assert!(starts[0] < starts[1]);
    assert!(world.guests[0].grantee.is_drained());
}

#[test]
fn a_guest_that_crashes_anywhere_publishes_nothing_twice() {
    for settles in [true, false] {
        let mut world = invited();
        world.settles = settles;
        guest_publishes(&mut world, 0, "before");
        world.settles = true;

        world.guests[0].restart();
        world.guests[0].grantee.on_established();
        world.advance(Duration::from_secs(2));
        world.run();
        guest_publishes(&mut world, 0, "after");

        assert_eq!(world.parties[0].payloads(), ["before", "after"]);
        let starts = batch_starts(&mut world, 0);
        assert!(starts.is_sorted_by(|one, next| one < next), "{starts:?}");
    }
}

#[test]
fn a_guests_stream_goes_on_where_it_was_cut_off() {
    const INPUT: [u8; 32] = [3; 32];
    let mut world = invited();
    world.guests[0].restart_stream(&INPUT);
    world.guests[0].grantee.on_established();
    world.run();
    for number in 0..3 {
        guest_publishes(&mut world, 0, &number.to_string());
    }
    world.advance(Duration::from_secs(2));
    world.run();

    world.guests[0].restart_stream(&INPUT);
    let resumed = world.guests[0].grantee.resumed_publications();
    world.guests[0].grantee.on_established();
    world.run();
    for number in resumed..5 {
        guest_publishes(&mut world, 0, &number.to_string());
    }

    assert_eq!(resumed, 3);
    assert_eq!(world.parties[0].payloads(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn an_owner_that_is_restarted_grants_again_under_a_greater_start() {
    let mut world = invited();
    guest_publishes(&mut world, 0, "before");
    let before = batch_starts(&mut world, 0);

    world.restart(granting(&[GUEST]));
    world.connect();
    world.advance(Duration::from_secs(2));
    world.run();
    guest_publishes(&mut world, 0, "after");

    let after = batch_starts(&mut world, 0);
    assert!(before[0] < after[0]);
    assert_eq!(world.parties[0].payloads(), ["before", "after"]);
}

#[test]
fn a_replayed_request_grants_nothing_again() {
    let mut world = invited();
    let ask = world.asks.last().unwrap().clone();
    world.take_events();

    world.hand_to_publisher(ask);
    world.run();

    assert!(matches!(
        world.take_events()[..],
        [PublisherEvent::RefusedPublisher {
            refusal: Refusal::Sequence,
            ..
        }]
    ));
    guest_publishes(&mut world, 0, "still granted");
    assert_eq!(world.parties[0].payloads(), ["still granted"]);
    let refused = GranteeEvent::Refused(Refusal::Sequence);
    assert!(!world.guests[0].take_events().contains(&refused));
}

#[test]
fn a_request_from_a_link_of_another_role_or_key_is_not_taken() {
    let genuine = {
        let mut world = invited();
        world.asks.pop().unwrap()
    };
    let changes: [fn(&mut routing::Ask); 2] = [
        |ask| ask.publisher = false,
        |ask| ask.consumer = vec![9; 32].into(),
    ];
    for change in changes {
        let head = routing::ToPublisher::decode(genuine.head.clone()).unwrap();
        let Some(to_publisher::Frame::Ask(mut ask)) = head.frame else {
            panic!("no request");
        };
        change(&mut ask);
        let frame = crate::world::to_publisher(
            to_publisher::Frame::Ask(ask),
            [genuine.attachments[0].clone()],
        );
        let mut world = World::open(granting(&[GUEST]));
        world.take_events();

        world.hand_to_publisher(frame);
        world.run();

        assert!(matches!(
            world.take_events()[..],
            [PublisherEvent::UnreadableAsk]
        ));
    }
}

#[test]
fn every_change_of_the_owners_answer_is_dropped_and_the_genuine_one_still_taken() {
    let mut world = World::open(granting(&[GUEST]));
    let mut guest = crate::guest::Guest::new(GUEST, false);
    guest.grantee.on_established();
    world.guests.push(guest);
    // Attaches, learns of the session, asks; the owner registers it and answers.
    while !world.guests[0].inbox.iter().any(is_answer) {
        world.work_guests();
        if !world.guests[0].inbox.iter().any(is_answer) {
            world.deliver_to_guests();
        }
        world.work_publisher();
        world.deliver_to_publisher();
        world.work_publisher();
    }
    let clock = world.clock;
    let genuine = world.guests[0].inbox.pop_front().unwrap();
    assert!(is_answer(&genuine));

    for bytes in flipped(&genuine.attachments[0]) {
        let mut frame = genuine.clone();
        frame.attachments = vec![bytes.into()];
        world.guests[0].take(clock, frame);
        assert!(!world.guests[0].grantee.is_open());
    }
    world.guests[0].take(clock, genuine);

    assert!(world.guests[0].grantee.is_open());
}

fn is_answer(frame: &sc_transport::Frame) -> bool {
    let head = routing::ToPublisher::decode(frame.head.clone()).unwrap();
    matches!(head.frame, Some(to_publisher::Frame::Answer(_)))
}

#[test]
fn a_request_without_an_answer_is_made_again_after_five_seconds() {
    let mut world = World::open(granting(&[GUEST]));
    world.invite(GUEST);
    world.guests[0].restart();
    world.guests[0].grantee.on_established();
    world.work_guests();
    world.deliver_to_guests();
    let asked = world.asks.len();
    world.work_guests();
    world.inbox.clear();
    assert_eq!(world.asks.len(), asked + 1);

    world.advance(Duration::from_millis(4999));
    world.work_guests();
    assert_eq!(world.asks.len(), asked + 1);
    world.advance(Duration::from_millis(1));
    world.work_guests();

    assert_eq!(world.asks.len(), asked + 2);
    assert!(
        world.guests[0]
            .take_events()
            .contains(&GranteeEvent::Unanswered)
    );
    world.run();
    assert!(world.guests[0].grantee.is_open());
}

#[test]
fn a_router_that_flaps_makes_a_guest_ask_once_a_second_at_most() {
    let mut world = World::open(granting(&[]));
    world.invite(GUEST);
    let asked = world.asks.len();

    for session in 0..1000 {
        let state = routing::DomainState {
            session,
            ..world.domain_state()
        };
        let closed = routing::DomainState {
            open: false,
            ..state.clone()
        };
        for state in [closed, state] {
            let frame = to_publisher::Frame::DomainState(state);
            world.guests[0].take(world.clock, crate::world::to_publisher(frame, []));
        }
        world.work_guests();
        world.advance(Duration::from_millis(10));
    }

    assert!(world.asks.len() - asked <= 10);
}

#[test]
fn no_more_publish_in_a_domain_than_the_bound_and_the_next_is_told_so() {
    let all: Vec<u8> = (100..165).collect();
    let mut world = World::open(granting(&all));

    for number in &all {
        world.invite(*number);
    }

    let open = world
        .guests
        .iter()
        .filter(|guest| guest.grantee.is_open())
        .count();
    assert_eq!(open, 64);
    let refused = GranteeEvent::Refused(Refusal::Full);
    assert!(world.guests[64].take_events().contains(&refused));
}

#[test]
fn a_grant_is_on_the_disk_before_the_program_hears_of_it() {
    let ask = invited().asks.pop().unwrap();
    let mut world = World::open(granting(&[GUEST]));
    world.publisher.on_frame(world.clock, ask);
    world.publisher.pump(world.clock, world.credit);

    let outputs = world.publisher.take_outputs();

    // The answer has to wait for the receipt.
    assert!(matches!(
        &outputs[..],
        [sc_client::Output::Record(_), sc_client::Output::Send { .. }]
    ));
}

#[test]
fn plain_domains_have_guests_too() {
    let mut world = World::open(PublisherSettings {
        plain: true,
        ..granting(&[GUEST])
    });
    world.join(2, &[(7, WANTS_IBM)]);
    world.invite(GUEST);

    guest_publishes(&mut world, 0, "for all to read");

    assert_eq!(world.parties[0].payloads(), ["for all to read"]);
}
