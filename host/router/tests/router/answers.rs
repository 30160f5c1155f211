//! Requests go to the owner's link alone, answers come from it alone, and reach the consumer alone.

use sc_proto::routing::{refused::Cause, to_publisher, to_subscriber};
use sc_transport::{FrameClass, LinkEvent, LinkId, Role};

use crate::house::{ALICE, BOB, COST, House, OWNER, Sent, key};

const OTHER_OWNER: LinkId = LinkId(51);

#[test]
fn a_request_reaches_the_owner_with_the_key_that_its_link_proved() {
    let mut house = House::open();

    house.ask(ALICE, OWNER);

    let done = house.done();
    let [Sent::ToPublisher(OWNER, to_publisher::Frame::Ask(ask), parts)] = &done.sent[..] else {
        panic!("not one request: {:?}", done.sent);
    };
    assert_eq!(
        ask.consumer[..],
        key(ALICE).0,
        "and not the key that it claimed"
    );
    assert_eq!(parts[..], ["ask"]);
    assert_eq!(done.released, [], "until the owner has it");
    house.ack(done.tokens[0]);
    assert_eq!(house.done().released, [(ALICE, FrameClass::Control, COST)]);
}

#[test]
fn a_request_for_a_domain_without_an_owner_here_is_refused() {
    let mut house = House::open();
    house.ask(ALICE, OTHER_OWNER);
    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);

    house.close(OWNER);
    house.done();
    house.ask(ALICE, OWNER);

    let done = house.done();
    assert_eq!(done.causes(), [Cause::UnknownDomain]);
    assert_eq!(done.released, [(ALICE, FrameClass::Control, COST)]);
}

#[test]
fn a_request_that_would_be_too_large_for_the_owners_link_is_refused() {
    let request = |bytes: usize| {
        let mut house = House::open();
        let ask = sc_proto::routing::from_subscriber::Frame::Ask(sc_proto::routing::Ask {
            publisher: false,
            domain: crate::house::domain(OWNER),
            consumer: bytes::Bytes::new(),
        });
        house.subscriber_says(ALICE, ask, vec![vec![0; bytes].into()]);
        house.done()
    };

    assert_eq!(request(512 << 10).causes(), []);
    let done = request((512 << 10) + 1);
    assert_eq!(done.causes(), [Cause::Limit]);
    assert_eq!(done.released, [(ALICE, FrameClass::Control, COST)]);
}

#[test]
fn a_request_goes_to_the_link_that_opened_the_present_session() {
    let mut house = House::open();
    let later = LinkId(53);
    house.event(LinkEvent::Established {
        link: later,
        peer: key(OWNER),
        role: Role::Publisher,
    });
    house.secrets(later, false);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::opened(OWNER, 2));
    house.done();

    house.ask(ALICE, OWNER);

    assert!(matches!(
        &house.done().sent[..],
        [Sent::ToPublisher(link, to_publisher::Frame::Ask(_), _)] if *link == later
    ));
}

#[test]
fn an_answer_reaches_its_consumer_alone() {
    let mut house = House::open();

    house.answer(OWNER, BOB);

    let done = house.done();
    assert!(matches!(
        &done.sent[..],
        [Sent::ToSubscriber(BOB, to_subscriber::Frame::Answer(_), parts)] if parts[..] == ["answer"]
    ));
    let owners = (OWNER, FrameClass::Control, COST);
    assert_eq!(done.released, [owners], "whether Bob takes it or not");
}

#[test]
fn an_answer_of_another_than_the_domains_link_is_refused() {
    let mut house = House::open();
    house.establish(OTHER_OWNER, Role::Publisher);
    // In the name of the first owner's domain, and for a domain that is not open.
    let foreign = sc_proto::routing::Answer {
        publisher: false,
        domain: crate::house::domain(OWNER),
        consumer: key(ALICE).0.to_vec().into(),
    };
    let foreign = sc_proto::routing::from_publisher::Frame::Answer(foreign);
    house.publisher_says(OTHER_OWNER, foreign, vec!["forged".into()]);
    house.answer(OTHER_OWNER, ALICE);

    let done = house.done();
    assert_eq!(done.causes(), [Cause::UnknownDomain, Cause::UnknownDomain]);
    assert_eq!(done.sent.len(), 2, "nothing reached the consumer");
}

#[test]
fn an_answer_to_a_consumer_that_is_not_there_or_never_wanted_the_domain_is_unreachable() {
    let mut house = House::open();
    house.establish(OTHER_OWNER, Role::Publisher);
    house.provision(OTHER_OWNER, 1);
    house.done();
    for (owner, to) in [
        (OWNER, LinkId(9)),
        // Connected, but attached to the other domain alone.
        (OTHER_OWNER, ALICE),
    ] {
        house.answer(owner, to);

        let done = house.done();
        assert_eq!(done.causes(), [Cause::Unreachable]);
        assert_eq!(done.released, [(owner, FrameClass::Control, COST)]);
        assert_eq!(done.sent.len(), 1);
    }
}

#[test]
fn a_consumers_newer_link_gets_its_answers_and_the_end_of_the_older_changes_nothing() {
    let mut house = House::open();
    let newer = LinkId(4);
    house.event(LinkEvent::Established {
        link: newer,
        peer: key(ALICE),
        role: Role::Subscriber,
    });
    house.close(ALICE);
    house.done();

    house.answer(OWNER, ALICE);

    assert!(matches!(
        &house.done().sent[..],
        [Sent::ToSubscriber(link, to_subscriber::Frame::Answer(_), _)] if *link == newer
    ));
}
