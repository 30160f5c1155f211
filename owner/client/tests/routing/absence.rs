//! Sessions that began and ended while a consumer was away: it is given their keys afterwards, and nothing of them is lost in silence.

use std::time::Duration;

use sc_client::{
    Answer, EARLIER_SESSIONS_MAX, Memory, PublisherSettings, SubscriberEvent, Verdict,
};
use sc_crypto::Secret;
use sc_proto::Message;
use sc_proto::routing::{self, to_subscriber};
use sc_transport::Frame;

use crate::party::{Party, admitted_in};
use crate::scripted::{
    CONSUMER, Said, Scripted, Sent, batch, delivery_key, heartbeat, notice, origin, publisher,
};
use crate::world::{IBM, OWNER, WANTS_IBM, World, identity, settings};

/// An admission in `session` that brings the keys of sessions before it.
fn with_earlier(scripted: &Scripted, session: u64, sessions: &[u64]) -> Verdict {
    let mut verdict = scripted.admission(session);
    if let Verdict::Admitted { earlier, .. } = &mut verdict {
        earlier.extend(
            sessions
                .iter()
                .map(|number| (*number, delivery_key(*number))),
        );
    }
    verdict
}

/// A consumer that has taken batch (1, 1) in session 1, and has then been admitted in session 4 with the keys of those between.
fn back_in_session_4() -> Scripted {
    let mut scripted = Scripted::admitted();
    scripted.hear(1, &batch(origin(1, 1)));
    scripted.hear(1, &heartbeat(origin(0, 0), origin(1, 1)));
    scripted.kill();
    scripted.link();
    scripted.state(4);
    scripted.forget();
    let verdict = with_earlier(&scripted, 4, &[2, 3]);
    scripted.say(scripted.asks.len() - 1, 4, verdict);
    scripted
}

#[test]
fn what_waits_of_sessions_that_were_slept_through_is_taken_in_their_order() {
    let mut scripted = back_in_session_4();
    let acks: Vec<_> = [2, 3, 4].map(|session| Sent::Ack(session, 0)).into();
    assert_eq!(scripted.sent, acks);

    for session in 2..=4 {
        scripted.hear(session, &batch(origin(1, session)));
    }

    assert_eq!(scripted.payloads, ["1.2", "1.3", "1.4"]);
    assert_eq!(scripted.events, [admitted_with_spill(4)]);
}

fn admitted_with_spill(session: u64) -> SubscriberEvent {
    SubscriberEvent::Admitted {
        session,
        slow: sc_cbr::SlowPolicy::Spill,
        retention: Duration::from_secs(60),
    }
}

#[test]
fn a_process_started_again_still_has_the_keys_of_sessions_that_are_not_drained() {
    let mut scripted = back_in_session_4();
    scripted.hear(2, &batch(origin(1, 2)));
    scripted.pass(Duration::from_millis(5));
    scripted.kill();
    scripted.forget();

    scripted.link();
    scripted.hear(3, &batch(origin(1, 3)));

    let acks = [
        Sent::Ack(1, 2),
        Sent::Ack(2, 1),
        Sent::Ack(3, 0),
        Sent::Ack(4, 0),
    ];
    assert_eq!(scripted.sent[1..5], acks);
    assert_eq!(scripted.payloads, ["1.3"]);
}

#[test]
fn what_was_withheld_of_each_session_that_was_slept_through_is_told_in_the_next() {
    let mut scripted = back_in_session_4();
    scripted.events.clear();

    for (session, floor) in [(2, 3), (3, 5), (4, 7)] {
        scripted.hear(session, &heartbeat(origin(1, floor), origin(1, floor + 1)));
    }

    let uncovered = |from, to| SubscriberEvent::Uncovered {
        publisher: publisher(1),
        from: origin(1, from),
        to: origin(1, to),
    };
    assert_eq!(
        scripted.events,
        [uncovered(1, 3), uncovered(4, 5), uncovered(6, 7)]
    );
}

#[test]
fn a_session_before_the_newest_one_that_was_heard_of_is_not_opened() {
    let mut scripted = Scripted::admitted();
    scripted.state(3);
    scripted.answer_to(0, 3);
    scripted.hear(3, &batch(origin(1, 3)));
    scripted.forget();

    let verdict = with_earlier(&scripted, 4, &[2, 3]);
    scripted.say(0, 4, verdict);
    scripted.hand(notice(2, 1, 0, &batch(origin(1, 2))));

    let acks: Vec<_> = scripted.acks();
    assert!(!acks.iter().any(|(session, _)| *session == 2), "{acks:?}");
    assert!(acks.contains(&(4, 0)), "{acks:?}");
    assert_eq!(scripted.payloads, Vec::<String>::new());
    assert_eq!(scripted.events.last(), Some(&SubscriberEvent::NotTaken));
}

#[test]
fn no_more_sessions_are_open_than_the_bound_and_none_is_named_that_is_not() {
    let mut scripted = Scripted::admitted();
    scripted.state(9);
    scripted.forget();
    let verdict = with_earlier(&scripted, 9, &[6, 7, 8]);
    scripted.say(0, 9, verdict);
    let verdict = with_earlier(&scripted, 19, &[16, 17, 18]);
    scripted.say(0, 19, verdict);

    let named: Vec<_> = scripted
        .acks()
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(named, [6, 7, 8, 9, 16, 17, 18, 19]);
    scripted.kill();
    scripted.forget();
    scripted.link();
    let named: Vec<_> = scripted
        .acks()
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(named, [16, 17, 18, 19]);
}

#[test]
fn an_answer_of_an_earlier_version_in_the_journal_is_as_if_it_were_not_there() {
    let mut scripted = Scripted::admitted();
    for record in &mut scripted.journal {
        if record[0] == 3 {
            record.truncate(record.len() - 1);
        }
    }
    scripted.kill();
    scripted.forget();
    scripted.link();
    assert_eq!(scripted.acks(), []);

    scripted.state(1);
    scripted.answer(1);
    scripted.hear(1, &batch(origin(1, 1)));

    assert_eq!(scripted.payloads, ["1.1"]);
}

/// The consumer loses its link.
fn leave(world: &mut World) {
    world.work_subscribers();
    world.parties[0].subscriber.on_closed();
    world.parties[0].is_away = true;
}

/// The publisher's process is started again and opens the next session.
fn begin_session(world: &mut World, settings: PublisherSettings) {
    world.advance(Duration::from_secs(1));
    world.restart(settings);
    world.connect();
}

/// The answers among what waits for the consumer.
fn take_answers(world: &mut World) -> Vec<Answer> {
    let (answers, rest): (Vec<_>, Vec<_>) = world.parties[0].inbox.drain(..).partition(is_answer);
    world.parties[0].inbox = rest.into();
    let owner = identity(OWNER);
    let open = |frame: &Frame| {
        Answer::open(
            &frame.attachments[0],
            owner.public(),
            &identity(CONSUMER),
            false,
        )
        .unwrap()
    };
    answers.iter().map(open).collect()
}

fn is_answer(frame: &Frame) -> bool {
    let head = routing::ToSubscriber::decode(frame.head.clone()).unwrap();
    matches!(head.frame, Some(to_subscriber::Frame::Answer(_)))
}

fn is_notice(frame: &Frame) -> bool {
    let head = routing::ToSubscriber::decode(frame.head.clone()).unwrap();
    matches!(head.frame, Some(to_subscriber::Frame::Notice(_)))
}

/// The consumer's process is started again and has a link; the router gives it what it has kept once it has been admitted.
fn come_back(world: &mut World) {
    let mut kept: Vec<_> = world.parties[0].inbox.drain(..).collect();
    kept.retain(is_notice);
    let memory = Memory::replay(&world.parties[0].journal);
    let journal = std::mem::take(&mut world.parties[0].journal);
    world.parties[0] = Party::new(CONSUMER, &[(7, WANTS_IBM)], memory, false);
    world.parties[0].journal = journal;
    world.parties[0].subscriber.on_established();
    world.run();
    world.parties[0].inbox.extend(kept);
    world.run();
}

#[test]
fn a_consumer_that_was_away_while_its_publisher_began_anew_twice_gets_everything() {
    let mut world = World::admitted();
    world.publish_and_run(IBM, "before");
    leave(&mut world);
    let mut expected = Vec::new();
    for session in 2..=3 {
        begin_session(&mut world, settings());
        expected.push(format!("in session {session}"));
        world.publish_and_run(IBM, &expected[expected.len() - 1]);
    }
    // Those that found it gone are lost.
    assert_eq!(take_answers(&mut world).len(), 2);

    begin_session(&mut world, settings());
    come_back(&mut world);

    let wrong: Vec<_> = world.parties[0]
        .take_events()
        .into_iter()
        .filter(|event| !matches!(event, SubscriberEvent::Admitted { .. }))
        .collect();
    assert_eq!(world.parties[0].payloads(), expected);
    assert_eq!(wrong, []);
}

#[test]
fn an_owner_keeps_the_roots_of_the_last_sessions_and_no_others() {
    let mut world = World::admitted();
    leave(&mut world);
    let mut keys: Vec<(u64, Secret)> = Vec::new();
    for _ in 0..6 {
        begin_session(&mut world, settings());
        let answers = take_answers(&mut world);
        let Verdict::Admitted {
            delivery_key,
            earlier,
            ..
        } = &answers[0].verdict
        else {
            panic!("refused");
        };
        let mut told = earlier.iter().rev().zip(keys.iter().rev());
        assert!(told.all(|(told, known)| told == known));
        keys.push((answers[0].session, delivery_key.duplicate()));
        if keys.len() > EARLIER_SESSIONS_MAX {
            assert_eq!(earlier.len(), EARLIER_SESSIONS_MAX);
        }
    }

    let is_root = |record: &Vec<u8>| record[0] == 12;
    assert_eq!(world.journal.iter().filter(|it| is_root(it)).count(), 7);
    let roots = world.publisher.roll().records().filter(is_root);
    assert_eq!(roots.count(), 1 + EARLIER_SESSIONS_MAX);
    assert!(keys.windows(2).all(|pair| pair[0].1 != pair[1].1));
}

#[test]
fn a_root_in_the_journal_opens_for_its_owner_and_its_session_alone() {
    let mut world = World::admitted();
    leave(&mut world);
    let at = world.journal.iter().position(|record| record[0] == 12);
    // As if it were the root of another session.
    world.journal[at.unwrap()][1] ^= 2;

    begin_session(&mut world, settings());

    let answers = take_answers(&mut world);
    assert!(matches!(
        &answers[0].verdict,
        Verdict::Admitted { earlier, .. } if earlier.is_empty()
    ));
}

const LEASE: Duration = Duration::from_secs(100);

fn short() -> PublisherSettings {
    PublisherSettings {
        lease: LEASE,
        ..settings()
    }
}

/// A consumer that has come back after its lease has ended and a new session has begun.
fn back_after_its_lease() -> World {
    let mut world = World::open(short());
    world.join(CONSUMER, &[(7, WANTS_IBM)]);
    leave(&mut world);
    world.advance(2 * LEASE);
    begin_session(&mut world, short());
    world.publish_and_run(IBM, "for nobody");
    assert_eq!(take_answers(&mut world).len(), 0);
    come_back(&mut world);
    world
}

#[test]
fn a_consumer_whose_lease_had_ended_is_told_once_when_it_is_admitted_in_a_later_session() {
    let mut world = back_after_its_lease();
    let session = world.domain_state().session;
    let told = world.parties[0].take_events();
    assert_eq!(
        told,
        [SubscriberEvent::Lapsed { session }, admitted_in(session)]
    );

    for _ in 0..2 * LEASE.as_secs() {
        world.advance(Duration::from_secs(1));
        world.run();
    }
    assert_eq!(world.parties[0].take_events(), []);
}

#[test]
fn it_is_told_again_as_long_as_it_may_not_have_heard() {
    let mut world = back_after_its_lease();
    let is_lapse = |event: &SubscriberEvent| matches!(event, SubscriberEvent::Lapsed { .. });
    assert!(world.parties[0].take_events().iter().any(is_lapse));

    // Nobody knows whether this process has reported it before it died.
    leave(&mut world);
    begin_session(&mut world, short());
    take_answers(&mut world);
    come_back(&mut world);

    assert!(world.parties[0].take_events().iter().any(is_lapse));
}

#[test]
fn a_consumer_that_asks_again_within_its_lease_has_not_lapsed() {
    let mut world = World::open(short());
    world.join(CONSUMER, &[(7, WANTS_IBM)]);
    leave(&mut world);
    begin_session(&mut world, short());
    take_answers(&mut world);

    come_back(&mut world);

    let session = world.domain_state().session;
    assert_eq!(world.parties[0].take_events(), [admitted_in(session)]);
}

/// An admission in `session` of one whose lease had ended.
fn after_its_lease(scripted: &Scripted, session: u64) -> Verdict {
    let mut verdict = scripted.admission(session);
    if let Verdict::Admitted { lapsed, .. } = &mut verdict {
        *lapsed = true;
    }
    verdict
}

#[test]
fn a_lease_that_has_ended_is_told_once_though_answers_and_a_notice_say_so() {
    let mut scripted = Scripted::admitted();
    scripted.kill();
    scripted.link();
    scripted.state(1);
    scripted.forget();
    let last = scripted.asks.len() - 1;

    let verdict = after_its_lease(&scripted, 1);
    scripted.say(last, 1, verdict);
    scripted.hear(1, &Said::Expired);
    let verdict = after_its_lease(&scripted, 2);
    scripted.say(last, 2, verdict);

    let lapsed = |event: &&SubscriberEvent| matches!(event, SubscriberEvent::Lapsed { .. });
    assert_eq!(scripted.events.iter().filter(lapsed).count(), 1);
}

#[test]
fn one_that_was_never_admitted_has_not_lapsed() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);

    let verdict = after_its_lease(&scripted, 1);
    scripted.say(0, 1, verdict);

    assert_eq!(scripted.events, [admitted_with_spill(1)]);
}
