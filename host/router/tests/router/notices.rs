//! Notices and payloads: to the link that proved the consumer's key, with what was chosen for it and nothing else.

use sc_proto::cbr;
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher};
use sc_transport::{FrameClass, LinkId, Role};

use crate::house::{ALICE, BOB, COST, House, OWNER, Sent, domain, key, notice, outcome};

const OTHER_OWNER: LinkId = LinkId(51);

/// Publishes three payloads and has the program make these notices of them.
fn published(notices: Vec<cbr::Notice>) -> (House, crate::house::Done) {
    let mut house = House::open();
    house.batch(OWNER, 1, &["a", "bb", "ccc"]);
    let (token, _) = house.done().call();
    house.reply(token, outcome(notices));
    let done = house.done();
    (house, done)
}

#[test]
fn each_consumer_gets_its_notice_with_the_payloads_chosen_for_it() {
    let (house, done) = published(vec![
        notice(ALICE, 1, &[0, 2]),
        notice(BOB, 5, &[1]),
        notice(ALICE, 2, &[0, 1, 2]),
        notice(BOB, 6, &[]),
    ]);

    assert_eq!(
        done.notices(),
        [
            (ALICE, 1, &[1, 3][..], &b"accc"[..]),
            (BOB, 5, &[2], b"bb"),
            (ALICE, 2, &[1, 2, 3], b"abbccc"),
            (BOB, 6, &[], b""),
        ]
    );
    let counters = house.router.counters();
    assert_eq!((counters.notices, counters.payloads), (4, 6));
    assert_eq!((counters.batches, counters.publications), (1, 3));
}

#[test]
fn the_receipt_goes_to_the_publisher_before_anything_else_with_its_place() {
    let (_, done) = published(vec![notice(ALICE, 1, &[0])]);

    let Sent::ToPublisher(OWNER, to_publisher::Frame::Receipt(receipt), parts) = &done.sent[0]
    else {
        panic!("no receipt first: {:?}", done.sent);
    };
    assert_eq!((receipt.session, receipt.start, receipt.counter), (1, 1, 1));
    assert_eq!(parts[..], ["receipt"]);
}

#[test]
fn indexes_beyond_the_batch_are_passed_over() {
    let (_, done) = published(vec![notice(ALICE, 1, &[1, 3, u32::MAX])]);

    assert_eq!(done.notices(), [(ALICE, 1, &[2][..], &b"bb"[..])]);
}

#[test]
fn a_notice_for_no_key_at_all_is_counted_and_holds_nothing_back() {
    let nobody = cbr::Notice {
        consumer: vec![1; 5].into(),
        ..notice(ALICE, 1, &[0])
    };
    let (house, done) = published(vec![nobody]);

    assert_eq!(done.notices(), []);
    assert_eq!(house.router.counters().undeliverable, 1);
    assert_eq!(done.released, [(OWNER, FrameClass::Data, COST)]);
}

#[test]
fn an_owner_reaches_no_consumer_that_never_asked_for_its_domain() {
    let mut house = House::open();
    house.establish(OTHER_OWNER, Role::Publisher);
    house.provision(OTHER_OWNER, 1);
    house.done();
    house.batch(OTHER_OWNER, 1, &["unwanted"]);
    let (token, _) = house.done().call();

    house.reply(token, outcome(vec![notice(ALICE, 1, &[0])]));

    assert_eq!(house.done().notices(), []);
}

#[test]
fn payloads_that_do_not_add_up_to_the_sizes_announced_are_refused() {
    for (sizes, payloads) in [
        (vec![1, 2], "ab"),
        (vec![1, 2], "abcd"),
        (vec![], "a"),
        (vec![3], ""),
        (vec![u32::MAX, u32::MAX], "ab"),
    ] {
        let mut house = House::open();
        let batch = routing::Batch {
            domain: domain(OWNER),
            session: 1,
            start: 1,
            counter: 1,
            payload_sizes: sizes,
        };
        let parts = vec!["sealed".into(), payloads.into()];
        house.publisher_says(OWNER, from_publisher::Frame::Batch(batch), parts);

        let done = house.done();
        assert_eq!(done.causes(), [Cause::Malformed]);
        assert!(done.calls.is_empty());
        assert_eq!(done.released, [(OWNER, FrameClass::Data, COST)]);
    }
}

#[test]
fn the_program_is_told_the_key_that_the_publishers_link_proved() {
    let mut house = House::open();

    house.batch(OWNER, 1, &["a"]);

    let done = house.done();
    let (_, cbr::call::Call::Batch(sealed)) = done.call() else {
        panic!("no batch");
    };
    assert_eq!(sealed.publisher[..], key(OWNER).0);
    assert_eq!(sealed.ciphertext[..], *b"batch", "payloads stay outside");
}

#[test]
fn credit_comes_back_when_the_last_recipient_has_taken_its_notice() {
    let (mut house, done) = published(vec![notice(ALICE, 1, &[0]), notice(BOB, 1, &[0])]);
    assert_eq!(done.released, []);

    // That the frames have arrived says nothing: a consumer says by itself what it has taken.
    done.tokens.into_iter().for_each(|token| house.ack(token));
    house.take(ALICE, OWNER, 1, 1);
    let of_owner = |house: &mut House| {
        let released = house.done().released.into_iter();
        released.filter(|it| it.0 == OWNER).collect::<Vec<_>>()
    };
    assert_eq!(of_owner(&mut house), []);
    house.take(BOB, OWNER, 1, 1);

    assert_eq!(of_owner(&mut house), [(OWNER, FrameClass::Data, COST)]);
    assert_eq!(house.router.counters().acked, 2);
}

#[test]
fn the_notices_of_a_control_message_hold_no_credit_back() {
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();

    house.reply(token, outcome(vec![notice(ALICE, 1, &[])]));

    let done = house.done();
    assert_eq!(done.counters(ALICE), [1]);
    assert_eq!(done.released, [(OWNER, FrameClass::Control, COST)]);
    assert_eq!(done.settled(), [(OWNER, 1, 1)]);
}
