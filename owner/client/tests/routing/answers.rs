//! Answers: made by the owner alone, opened by the consumer alone, taken once and for its own request.

use std::time::Duration;

use sc_cbr::{Origin, SlowPolicy};
use sc_client::{Answer, AnswerRefused, Refusal, SubscriberEvent, Verdict};
use sc_crypto::{OwnerSecret, Secret, Transcript};
use sc_proto::Message;
use sc_proto::routing::{self, to_subscriber};
use sc_transport::Frame;

use crate::world::{
    IBM, WANTS_IBM, World, entropy, flipped, identity, resized, settings, to_subscriber,
};

const OWNER: u8 = 1;
const CONSUMER: u8 = 2;

fn admitted() -> Verdict {
    Verdict::Admitted {
        heartbeat_ms: 1000,
        lapsed: true,
        covered: Origin {
            start: 3,
            number: 7,
        },
        earlier: vec![
            (7, Secret::from_bytes([7; 32])),
            (8, Secret::from_bytes([8; 32])),
        ],
        retention_ms: 0,
        delivery_key: Secret::from_bytes([6; 32]),
        lease_until_ms: 1,
        lease_ms: 2,
        slow: SlowPolicy::Disconnect,
    }
}

fn answer(verdict: Verdict) -> Answer {
    Answer {
        request: [4; 32],
        session: 9,
        verdict,
    }
}

fn sealed(owner: &OwnerSecret, consumer: &OwnerSecret, plain: bool) -> Vec<u8> {
    answer(admitted()).seal(owner, consumer.public(), plain, &mut entropy(1))
}

fn open(bytes: &[u8], plain: bool) -> Result<Answer, AnswerRefused> {
    Answer::open(bytes, identity(OWNER).public(), &identity(CONSUMER), plain)
}

#[test]
fn an_answer_of_each_kind_reads_as_it_was_made() {
    for plain in [false, true] {
        let bytes = sealed(&identity(OWNER), &identity(CONSUMER), plain);
        let opened = open(&bytes, plain).unwrap();

        assert_eq!((opened.request, opened.session), ([4; 32], 9));
        assert!(matches!(
            opened.verdict,
            Verdict::Admitted { delivery_key, lease_until_ms: 1, lease_ms: 2, slow: SlowPolicy::Disconnect, .. }
                if delivery_key == Secret::from_bytes([6; 32])
        ));
    }
    for refusal in [
        Refusal::NotListed,
        Refusal::Quota,
        Refusal::Revoked,
        Refusal::Sequence,
    ] {
        let bytes = answer(Verdict::Refused(refusal)).seal(
            &identity(OWNER),
            identity(CONSUMER).public(),
            false,
            &mut entropy(1),
        );
        let opened = open(&bytes, false).unwrap();
        assert!(matches!(opened.verdict, Verdict::Refused(it) if it == refusal));
    }
}

#[test]
fn every_change_of_an_answer_is_refused() {
    for plain in [false, true] {
        let bytes = sealed(&identity(OWNER), &identity(CONSUMER), plain);
        for changed in flipped(&bytes).chain(resized(&bytes)) {
            assert!(open(&changed, plain).is_err());
        }
    }
}

#[test]
fn an_answer_of_another_owner_or_to_another_consumer_is_refused() {
    for plain in [false, true] {
        let by_another = sealed(&identity(3), &identity(CONSUMER), plain);
        let to_another = sealed(&identity(OWNER), &identity(3), plain);

        assert!(open(&by_another, plain).is_err());
        assert!(open(&to_another, plain).is_err());
    }
}

#[test]
fn a_plain_answer_is_refused_by_a_consumer_that_did_not_choose_it() {
    let bytes = sealed(&identity(OWNER), &identity(CONSUMER), true);

    assert!(open(&bytes, true).is_ok());
    assert!(open(&bytes, false).is_err());
}

#[test]
fn an_rsa_owner_answers_under_its_certificate_and_no_other_key_does() {
    let (owner, other) = (rsa(), rsa());
    let consumer = identity(CONSUMER);
    let open = |bytes: &[u8]| Answer::open(bytes, owner.public(), &consumer, false);

    assert!(open(&sealed(&owner, &consumer, false)).is_ok());
    assert!(open(&sealed(&other, &consumer, false)).is_err());
    assert!(open(&sealed(&identity(3), &consumer, false)).is_err());
}

fn rsa() -> OwnerSecret {
    OwnerSecret::generate_rsa(2048).unwrap()
}

/// Signs `body` as an answer of the owner, whatever it holds; plain, so that only the signature and the decoder stand in its way.
fn signed(body: &[u8]) -> Vec<u8> {
    let (owner, consumer) = (identity(OWNER), identity(CONSUMER));
    let transcript = Transcript::new("answer")
        .bytes(owner.public().domain_id().as_bytes())
        .bytes(&consumer.public().to_bytes())
        .bytes(body);
    let signature = owner.signing_key().sign(&transcript);
    [&[0], body, &signature].concat()
}

#[test]
fn an_authentic_answer_that_does_not_decode_is_refused() {
    let whole = sealed(&identity(OWNER), &identity(CONSUMER), true);
    let body = &whole[1..whole.len() - 64];
    let with = |at: usize, value: u8| {
        let mut changed = body.to_vec();
        changed[at] = value;
        signed(&changed)
    };
    let verdict_at = 1 + 32 + 4 + 32 + 8;
    let slow_at = verdict_at + 1 + 32 + 8 + 8;

    assert!(open(&signed(body), true).is_ok());
    for changed in resized(body) {
        assert!(open(&signed(&changed), true).is_err());
    }
    for changed in [
        with(0, 2),
        with(33, 1),
        with(36, 0xff),
        with(verdict_at, 5),
        with(verdict_at, 1),
        with(verdict_at, 8),
        with(slow_at, 0),
        with(slow_at, 9),
    ] {
        assert!(open(&changed, true).is_err());
    }
}

/// The answer that waits for the only subscriber, which has just asked.
fn answer_in_hand(world: &mut World) -> Frame {
    let is_answer = |frame: &Frame| {
        let head = routing::ToSubscriber::decode(frame.head.clone()).unwrap();
        matches!(head.frame, Some(to_subscriber::Frame::Answer(_)))
    };
    let inbox = &world.parties[0].inbox;
    inbox.iter().find(|frame| is_answer(frame)).unwrap().clone()
}

fn carried(answer: &Answer) -> Frame {
    let (owner, consumer) = (identity(OWNER), identity(CONSUMER));
    let bytes = answer.seal(&owner, consumer.public(), false, &mut entropy(3));
    let head = to_subscriber::Frame::Answer(routing::Answer::default());
    to_subscriber(head, [bytes.into()])
}

#[test]
fn an_answer_to_a_request_that_was_never_made_is_dropped() {
    let mut world = World::admitted();
    world.parties[0].take_events();
    let foreign = Answer {
        session: 2,
        ..answer(admitted())
    };

    world.parties[0].inbox.push_back(carried(&foreign));
    world.deliver_to_subscribers();

    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
    world.publish_and_run(IBM, "still here");
    assert_eq!(world.parties[0].payloads(), ["still here"]);
}

/// A world whose subscriber's requests reach the publisher and whose answers wait.
fn asked() -> World {
    let mut world = World::open(settings());
    world.join(CONSUMER, &[(7, WANTS_IBM)]);
    world.advance(Duration::from_secs(1800));
    world.work_subscribers();
    world.deliver_to_publisher();
    world
}

#[test]
fn a_replayed_answer_neither_passes_nor_puts_the_renewal_off() {
    let mut world = asked();
    let renewed = answer_in_hand(&mut world);
    world.run();
    world.parties[0].take_events();
    let due = world.parties[0].subscriber.next_timeout();

    world.advance(Duration::from_secs(1000));
    world.parties[0].inbox.push_back(renewed);
    world.deliver_to_subscribers();

    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
    assert_eq!(world.parties[0].subscriber.next_timeout(), due);
}

#[test]
fn a_host_that_replays_a_request_gets_no_refusal_believed() {
    let mut world = World::admitted();
    world.parties[0].take_events();
    let replayed = world.asks[0].clone();

    world.hand_to_publisher(replayed);
    world.work_publisher();
    world.deliver_to_subscribers();

    // The owner refuses the replay, in a genuine answer to a genuine request: which was answered already.
    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
    world.publish_and_run(IBM, "still here");
    assert_eq!(world.parties[0].payloads(), ["still here"]);
}

#[test]
fn an_answer_for_an_older_session_opens_nothing() {
    let mut world = asked();
    let of_first_session = answer_in_hand(&mut world);
    world.parties[0].inbox.clear();
    world.connect();
    world.parties[0].take_events();

    world.parties[0].inbox.push_back(of_first_session);
    world.deliver_to_subscribers();

    assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
}

#[test]
fn garbage_for_an_answer_is_dropped() {
    let mut world = World::admitted();
    world.parties[0].take_events();
    for bytes in [vec![], vec![0; 200], vec![1; 3000]] {
        let head = to_subscriber::Frame::Answer(routing::Answer::default());
        world.parties[0]
            .inbox
            .push_back(to_subscriber(head, [bytes.into()]));
        world.deliver_to_subscribers();

        assert_eq!(world.parties[0].take_events(), [SubscriberEvent::NotTaken]);
    }
}

#[test]
fn an_unencrypted_answer_of_the_owner_is_told_from_a_forged_one_and_neither_is_taken() {
    let mut world = World::admitted();
    world.parties[0].take_events();
    for (owner, told) in [
        (OWNER, SubscriberEvent::Unencrypted),
        (3, SubscriberEvent::NotTaken),
    ] {
        let bytes = sealed(&identity(owner), &identity(CONSUMER), true);
        let head = to_subscriber::Frame::Answer(routing::Answer::default());
        world.parties[0]
            .inbox
            .push_back(to_subscriber(head, [bytes.into()]));
        world.deliver_to_subscribers();

        assert_eq!(world.parties[0].take_events(), [told]);
    }
}

#[test]
fn a_request_without_an_answer_is_reported_when_it_is_made_again_and_no_sooner() {
    let mut world = World::open(settings());
    world.join_half(CONSUMER, &[(7, WANTS_IBM)]);
    world.parties[0].take_events();

    world.advance(Duration::from_millis(4999));
    world.work_subscribers();
    world.deliver_to_subscribers();
    let before = world.parties[0].subscriber.poll_event();
    world.advance(Duration::from_millis(1));
    world.work_subscribers();

    assert_eq!(before, None);
    let event = world.parties[0].subscriber.poll_event();
    assert_eq!(event, Some(SubscriberEvent::Unanswered));
}

#[test]
fn a_frame_that_does_not_decode_closes_the_link() {
    let mut world = World::admitted();

    world.parties[0].inbox.push_back(Frame::new("\u{ff}"));
    world.deliver_to_subscribers();
    world.work_subscribers();

    assert_eq!(world.parties[0].closed.len(), 1);
}
