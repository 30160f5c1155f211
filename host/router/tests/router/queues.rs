//! Links whose queues are full, or that never take what is for them.

use std::cell::RefCell;

use sc_proto::cbr::call::Call;
use sc_proto::routing::refused::Cause;
use sc_router::Output;
use sc_transport::{Frame, FrameClass, LinkEvent, LinkId, Role, SendError};

use crate::house::{ALICE, BOB, COST, House, OWNER, notice};

const DATA: FrameClass = FrameClass::Data;

/// Has the owner publish `counters`, with a notice for Alice each, and sends what comes of it over a link that answers each notice as
/// `answer` says. Returns the places, from 0, of the notices that were tried.
fn try_each(
    house: &mut House,
    counters: std::ops::RangeInclusive<u64>,
    answer: impl Fn(usize) -> Result<(), SendError>,
) -> Vec<usize> {
    for counter in counters {
        house.publish(OWNER, counter, vec![notice(ALICE, counter, &[0])]);
    }
    deliver(house, answer)
}

fn deliver(house: &mut House, answer: impl Fn(usize) -> Result<(), SendError>) -> Vec<usize> {
    let tried = RefCell::new(Vec::new());
    let mut place = 0;
    for output in house.router.take_outputs() {
        if let Output::Send {
            link: ALICE,
            class: DATA,
            frame,
            token,
        } = output
        {
            let this = place;
            house.router.deliver(ALICE, DATA, frame, token, |_| {
                tried.borrow_mut().push(this);
                answer(this)
            });
            place += 1;
        }
    }
    tried.into_inner()
}

/// Batches of whose notices all are in one round of outputs: the calls are answered first.
fn published(count: u64) -> House {
    let mut house = House::open();
    for counter in 1..=count {
        house.batch(OWNER, counter, &["payload"]);
    }
    let calls = house.done().calls;
    for ((token, _), counter) in calls.into_iter().zip(1..) {
        let notices = vec![notice(ALICE, counter, &[0])];
        house.reply(token, crate::house::outcome(notices));
    }
    house
}

#[test]
fn what_finds_no_room_waits_with_all_that_follows_it_and_leaves_in_order() {
    let mut house = published(4);

    let tried = deliver(&mut house, |place| match place {
        1 => Err(SendError::Full),
        _ => Ok(()),
    });
    assert_eq!(tried, [0, 1], "none overtakes the second");
    assert!(house.done().notices().is_empty());
    house.event(LinkEvent::Writable {
        link: ALICE,
        class: DATA,
    });

    assert_eq!(house.done().counters(ALICE), [2, 3, 4]);
    assert_eq!(house.router.counters().disconnected, 0);
}

#[test]
fn a_consumer_may_take_what_was_sent_while_the_rest_waits_for_room() {
    let mut house = published(3);
    deliver(&mut house, |place| match place {
        0 => Ok(()),
        _ => Err(SendError::Full),
    });

    house.take(ALICE, OWNER, 1, 1);
    assert!(house.done().notices().is_empty());
    house.event(LinkEvent::Writable {
        link: ALICE,
        class: DATA,
    });

    assert_eq!(house.done().counters(ALICE), [2, 3]);
}

#[test]
fn a_notice_larger_than_a_consumer_takes_is_given_up_and_tried_no_more() {
    let too_large = SendError::TooLarge { size: 2, max: 1 };
    let mut house = published(3);

    deliver(&mut house, |place| match place {
        1 => Err(too_large),
        _ => Ok(()),
    });

    let done = house.done();
    assert_eq!(done.closed, [ALICE]);
    assert!(
        matches!(done.call().1, Call::Suspend(_)),
        "it is told under seal"
    );
    house.close(ALICE);
    house.establish_as(LinkId(4), ALICE, Role::Subscriber);
    house.attach(LinkId(4), OWNER);
    house.take(LinkId(4), OWNER, 1, 0);
    assert_eq!(house.done().counters(LinkId(4)), [1, 3]);
    assert_eq!(house.router.counters().disconnected, 1);
}

#[test]
fn a_link_that_has_closed_meanwhile_is_left_to_report_it() {
    let mut house = House::open();

    let tried = try_each(&mut house, 1..=1, |_| Err(SendError::Closed));

    assert_eq!(tried, [0]);
    assert!(house.done().closed.is_empty());
    assert_eq!(house.router.counters().disconnected, 0);
}

#[test]
fn a_peer_that_does_not_take_what_its_own_frames_led_to_is_disconnected_once() {
    let mut house = House::open();
    house.attach(ALICE, OWNER);
    house.attach(ALICE, OWNER);

    refuse_all(&mut house, SendError::Full);

    assert_eq!(house.done().closed, [ALICE]);
    assert_eq!(house.router.counters().disconnected, 1);
}

/// No link takes what the router sends, for this reason.
fn refuse_all(house: &mut House, why: SendError) {
    for output in house.router.take_outputs() {
        if let Output::Send {
            link,
            class,
            frame,
            token,
        } = output
        {
            let refuse = |_| Err(why);
            house.router.deliver(link, class, frame, token, refuse);
        }
    }
}

#[test]
fn an_asker_that_never_takes_its_answers_holds_no_owners_credit_and_loses_its_link() {
    let mut house = House::open();

    for _ in 0..1000 {
        house.answer(OWNER, ALICE);
        let released = house.done().released;
        assert_eq!(released, [(OWNER, FrameClass::Control, COST)]);
    }
    house.answer(OWNER, ALICE);
    refuse_all(&mut house, SendError::Full);

    let done = house.done();
    assert_eq!(done.closed, [ALICE]);
}

/// The owner's link takes nothing; Bob asks. Returns what the router says.
fn ask_of_a_silent_owner(asks: usize) -> (House, Vec<Cause>) {
    ask_of_an_owner_that_refuses(asks, SendError::Full)
}

fn ask_of_an_owner_that_refuses(asks: usize, why: SendError) -> (House, Vec<Cause>) {
    let mut house = House::open();
    let mut causes = Vec::new();
    for _ in 0..asks {
        house.ask(BOB, OWNER);
        for output in house.router.take_outputs() {
            let Output::Send {
                link,
                class,
                frame,
                token,
            } = output
            else {
                continue;
            };
            let refusal = is_refusal(&frame);
            house.router.deliver(link, class, frame, token, |_| {
                if link == OWNER {
                    return Err(why);
                }
                Ok(())
            });
            causes.extend(refusal);
        }
        causes.extend(house.done().causes());
    }
    (house, causes)
}

fn is_refusal(frame: &Frame) -> Option<Cause> {
    use prost::Message;
    use sc_proto::routing::{ToSubscriber, to_subscriber};
    match ToSubscriber::decode(frame.head.clone()).ok()?.frame? {
        to_subscriber::Frame::Refused(refused) => Some(refused.cause()),
        _ => None,
    }
}

#[test]
fn a_request_for_which_the_owners_link_has_no_room_is_refused_and_the_link_stays() {
    let (mut house, causes) = ask_of_a_silent_owner(2);

    assert_eq!(causes, [Cause::Limit, Cause::Limit]);
    assert!(house.done().closed.is_empty());
    assert_eq!(house.router.counters().disconnected, 0);
}

#[test]
fn a_request_larger_than_the_owner_takes_is_refused_to_its_asker_and_costs_the_owner_nothing() {
    let too_large = SendError::TooLarge { size: 2, max: 1 };

    let (mut house, causes) = ask_of_an_owner_that_refuses(2, too_large);

    assert_eq!(causes, [Cause::Limit, Cause::Limit]);
    assert!(house.done().closed.is_empty());
    house.ask(BOB, OWNER);
    let done = house.done();
    house.ack(done.tokens[0]);
    assert!(
        house.router.gauges().calls == 0 && house.done().released.len() == 1,
        "the next is taken as if nothing had been"
    );
}

#[test]
fn requests_that_were_too_large_make_room_for_those_that_wait() {
    let mut house = House::open();
    let large = bytes::Bytes::from(vec![0; 512 << 10]);
    for _ in 0..3 {
        let ask = sc_proto::routing::Ask {
            publisher: false,
            domain: crate::house::domain(OWNER),
            consumer: bytes::Bytes::new(),
        };
        let ask = sc_proto::routing::from_subscriber::Frame::Ask(ask);
        house.subscriber_says(BOB, ask, vec![large.clone()]);
    }

    refuse_all(&mut house, SendError::TooLarge { size: 2, max: 1 });

    let done = house.done();
    assert_eq!(done.causes(), [Cause::Limit, Cause::Limit]);
    assert_eq!(done.released.len(), 2, "for those that were refused");
    assert!(done.tokens.iter().any(|it| it.0 == OWNER), "the third goes");
}
