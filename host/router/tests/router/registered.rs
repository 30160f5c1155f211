//! Further publishers of a domain: they ask its owner, and publish under the start that the program has registered.

use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher};
use sc_router::REGISTERED_MAX;
use sc_transport::{FrameClass, LinkId, Role};

use crate::house::{ALICE, COST, Done, House, OWNER, Sent, domain, key, notice, outcome};

const GUEST: LinkId = LinkId(51);
const AGAIN: LinkId = LinkId(53);

/// A house in which a further publisher is attached to the owner's domain.
fn attached() -> House {
    let mut house = House::open();
    attach(&mut house, GUEST);
    house.done();
    house
}

fn attach(house: &mut House, link: LinkId) {
    house.establish_as(link, GUEST, Role::Publisher);
    let domain = domain(OWNER);
    let attach = from_publisher::Frame::Attach(routing::Attach { domain });
    house.publisher_says(link, attach, vec![]);
}

/// The owner has it registered, or dismissed with start 0, as its message `counter`.
fn register(house: &mut House, counter: u64, start: u64) {
    register_key(house, GUEST, counter, start);
}

fn register_key(house: &mut House, guest: LinkId, counter: u64, start: u64) {
    house.control(OWNER, 1, counter);
    let (token, _) = house.done().call();
    let registered = cbr::Registered {
        publisher: key(guest).0.to_vec().into(),
        start,
    };
    house.reply(
        token,
        Reply::Outcome(cbr::Outcome {
            receipt: "receipt".into(),
            notices: vec![],
            admitted: None,
            registered: Some(registered),
        }),
    );
    house.done();
}

/// A batch of the further publisher.
fn batch(house: &mut House, link: LinkId, start: u64, counter: u64) -> Done {
    let batch = routing::Batch {
        domain: domain(OWNER),
        session: 1,
        start,
        counter,
        payload_sizes: vec![7],
    };
    let parts = vec!["batch".into(), "payload".into()];
    house.publisher_says(link, from_publisher::Frame::Batch(batch), parts);
    house.done()
}

fn ask(house: &mut House, link: LinkId) {
    let ask = routing::Ask {
        domain: domain(OWNER),
        consumer: vec![0xee; 32].into(),
        publisher: false,
    };
    let parts = vec!["ask".into()];
    house.publisher_says(link, from_publisher::Frame::Ask(ask), parts);
}

#[test]
fn a_publisher_that_attaches_is_told_of_the_domain_now_and_at_each_change() {
    let mut house = House::open();
    let states = |done: Done| {
        let sent = done.sent.into_iter();
        sent.filter_map(|sent| match sent {
            Sent::ToPublisher(GUEST, to_publisher::Frame::DomainState(state), _) => {
                Some((state.open, state.session))
            }
            _ => None,
        })
        .collect::<Vec<_>>()
    };

    attach(&mut house, GUEST);
    assert_eq!(states(house.done()), [(true, 1)]);
    house.provision(OWNER, 2);

    assert_eq!(states(house.done()), [(true, 2)]);
}

#[test]
fn its_request_reaches_the_owner_as_a_publishers_and_the_answer_comes_back_to_it() {
    let mut house = attached();
    ask(&mut house, GUEST);
    let done = house.done();
    let [Sent::ToPublisher(OWNER, to_publisher::Frame::Ask(ask), _)] = &done.sent[..] else {
        panic!("not one request: {:?}", done.sent);
    };
    assert!(ask.publisher);
    assert_eq!(ask.consumer[..], key(GUEST).0);

    let answer = routing::Answer {
        domain: domain(OWNER),
        consumer: ask.consumer.clone(),
        publisher: true,
    };
    let parts = vec!["answer".into()];
    house.publisher_says(OWNER, from_publisher::Frame::Answer(answer), parts);

    assert!(matches!(
        &house.done().sent[..],
        [Sent::ToPublisher(GUEST, to_publisher::Frame::Answer(_), parts)] if parts[..] == ["answer"]
    ));
}

#[test]
fn an_answer_for_a_subscriber_of_the_same_key_goes_to_the_subscriber() {
    let mut house = attached();
    let subscriber = LinkId(4);
    house.establish_as(subscriber, GUEST, Role::Subscriber);
    house.attach(subscriber, OWNER);
    house.done();
    let answer = routing::Answer {
        domain: domain(OWNER),
        consumer: key(GUEST).0.to_vec().into(),
        publisher: false,
    };

    let parts = vec!["answer".into()];
    house.publisher_says(OWNER, from_publisher::Frame::Answer(answer), parts);

    assert!(matches!(&house.done().sent[..], [Sent::ToSubscriber(to, ..)] if *to == subscriber));
}

#[test]
fn its_batches_are_taken_once_it_is_registered_in_their_own_order() {
    let mut house = attached();
    assert_eq!(
        batch(&mut house, GUEST, 7, 1).causes(),
        [Cause::UnknownDomain]
    );
    register(&mut house, 1, 7);

    assert!(
        batch(&mut house, GUEST, 7, 2).calls.is_empty(),
        "not its turn"
    );
    let done = batch(&mut house, GUEST, 7, 1);
    let sealed: Vec<_> = done
        .calls
        .iter()
        .map(|(_, call)| match call {
            Call::Batch(sealed) => (sealed.start, sealed.counter, sealed.publisher.to_vec()),
            other => panic!("no batch: {other:?}"),
        })
        .collect();
    let guest = key(GUEST).0.to_vec();
    assert_eq!(sealed, [(7, 1, guest.clone()), (7, 2, guest)]);
    house.control(OWNER, 1, 2);

    assert_eq!(house.done().calls.len(), 1, "the owner's order is its own");
}

#[test]
fn it_gets_its_receipts_its_credit_and_is_told_how_far_it_is_settled() {
    let mut house = attached();
    register(&mut house, 1, 7);
    let (token, _) = batch(&mut house, GUEST, 7, 1).call();

    house.reply(token, outcome(vec![notice(ALICE, 1, &[0])]));

    let done = house.done();
    assert!(matches!(
        &done.sent[0],
        Sent::ToPublisher(GUEST, to_publisher::Frame::Receipt(receipt), _)
            if (receipt.start, receipt.counter) == (7, 1)
    ));
    assert_eq!(done.counters(ALICE), [1]);
    house.take(ALICE, OWNER, 1, 1);
    let done = house.done();
    assert!(done.released.contains(&(GUEST, FrameClass::Data, COST)));
    assert_eq!(done.settled(), [(GUEST, 7, 1)]);
}

#[test]
fn it_cannot_send_control_messages() {
    let mut house = attached();
    register(&mut house, 1, 7);
    let control = routing::Control {
        domain: domain(OWNER),
        session: 1,
        start: 7,
        counter: 1,
    };

    let parts = vec!["control".into()];
    house.publisher_says(GUEST, from_publisher::Frame::Control(control), parts);

    let done = house.done();
    assert_eq!(done.causes(), [Cause::UnknownDomain]);
    assert_eq!(
        batch(&mut house, GUEST, 7, 1).calls.len(),
        1,
        "its number is free"
    );
}

#[test]
fn an_old_start_another_link_and_another_session_are_refused() {
    let mut house = attached();
    register(&mut house, 1, 7);
    register(&mut house, 2, 8);
    assert_eq!(
        batch(&mut house, GUEST, 7, 1).causes(),
        [Cause::UnknownDomain]
    );
    attach(&mut house, AGAIN);
    house.done();
    assert_eq!(
        batch(&mut house, AGAIN, 8, 1).causes(),
        [Cause::UnknownDomain]
    );
    assert_eq!(batch(&mut house, GUEST, 8, 1).calls.len(), 1);

    house.provision(OWNER, 2);
    house.done();

    assert_eq!(
        batch(&mut house, GUEST, 8, 2).causes(),
        [Cause::UnknownDomain]
    );
}

#[test]
fn one_that_is_dismissed_or_has_gone_publishes_no_more_and_gets_its_credit_back() {
    for ends in [
        |house: &mut House| register(house, 2, 0),
        |house: &mut House| house.close(GUEST),
    ] {
        let mut house = attached();
        register(&mut house, 1, 7);
        assert!(batch(&mut house, GUEST, 7, 2).calls.is_empty(), "it waits");

        ends(&mut house);

        attach(&mut house, AGAIN);
        house.done();
        assert_eq!(
            batch(&mut house, AGAIN, 7, 1).causes(),
            [Cause::UnknownDomain]
        );
        assert!(batch(&mut house, GUEST, 7, 1).calls.is_empty());
    }
}

#[test]
fn one_that_never_attached_is_not_served_although_it_is_registered() {
    let mut house = House::open();
    house.establish(GUEST, Role::Publisher);
    register(&mut house, 1, 7);

    assert_eq!(
        batch(&mut house, GUEST, 7, 1).causes(),
        [Cause::UnknownDomain]
    );
    ask(&mut house, GUEST);
    assert_eq!(house.done().sent.len(), 1, "it may ask");
}

#[test]
fn an_owner_that_stands_on_no_starts_but_its_first_in_a_session() {
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    house.done();

    assert_eq!(
        batch(&mut house, OWNER, 2, 2).causes(),
        [Cause::UnknownDomain]
    );
    assert_eq!(batch(&mut house, OWNER, 1, 2).calls.len(), 1);
}

#[test]
fn no_more_publishers_are_served_in_a_domain_than_the_bound() {
    let mut house = House::open();
    let mut served = 0;
    for number in 0..=REGISTERED_MAX as u64 {
        let link = LinkId(60 + number);
        house.establish(link, Role::Publisher);
        let attach = routing::Attach {
            domain: domain(OWNER),
        };
        house.publisher_says(link, from_publisher::Frame::Attach(attach), vec![]);
        register_key(&mut house, link, number + 1, 7);
        served += batch(&mut house, link, 7, 1).calls.len();
    }

    assert_eq!(served, REGISTERED_MAX);
}
