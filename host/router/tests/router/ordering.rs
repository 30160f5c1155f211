//! Two classes of one link overtake each other; the program sees one order.

use sc_proto::cbr::call::Call;
use sc_proto::routing::refused::Cause;
use sc_router::CALLS_MAX;
use sc_transport::{FrameClass, LinkId, Role};

use crate::house::{COST, House, OWNER, outcome};

/// The counters of the sealed messages that were passed to the program.
fn passed(house: &mut House) -> Vec<u64> {
    let calls = house.done().calls;
    calls
        .iter()
        .map(|(_, call)| match call {
            Call::Control(sealed) | Call::Batch(sealed) => sealed.counter,
            other => panic!("no sealed message: {other:?}"),
        })
        .collect()
}

#[test]
fn counters_reach_the_program_in_order_whatever_class_overtook_which() {
    let mut house = House::open();
    house.control(OWNER, 1, 3);
    house.batch(OWNER, 2, &["b"]);
    assert_eq!(passed(&mut house), [0; 0]);

    house.batch(OWNER, 1, &["a"]);
    assert_eq!(passed(&mut house), [1, 2, 3]);
    house.control(OWNER, 1, 4);

    assert_eq!(passed(&mut house), [4]);
}

#[test]
fn a_counter_that_was_used_is_refused_and_its_credit_given_back() {
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    house.control(OWNER, 1, 3);
    house.done();

    for counter in [0, 1, 3] {
        house.control(OWNER, 1, counter);

        let done = house.done();
        assert_eq!(done.causes(), [Cause::Program]);
        assert_eq!(done.released, [(OWNER, FrameClass::Control, COST)]);
        assert!(done.calls.is_empty());
    }
}

#[test]
fn what_waits_for_its_turn_gives_its_credit_back_when_the_link_ends() {
    let mut house = House::open();
    house.control(OWNER, 1, 2);
    house.batch(OWNER, 3, &["a"]);
    assert_eq!(house.done().released, []);

    house.close(OWNER);

    assert_eq!(
        house.done().released,
        [
            (OWNER, FrameClass::Control, COST),
            (OWNER, FrameClass::Data, COST)
        ]
    );
}

#[test]
fn what_waits_for_its_turn_gives_its_credit_back_when_the_session_is_replaced() {
    let mut house = House::open();
    house.control(OWNER, 1, 2);
    house.done();

    house.secrets(OWNER, false);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::opened(OWNER, 2));

    let control = (OWNER, FrameClass::Control, COST);
    assert_eq!(house.done().released, [control, control]);
}

#[test]
fn a_domain_that_is_not_this_links_is_unknown_to_it() {
    let other = LinkId(51);
    let mut house = House::open();
    house.establish(other, Role::Publisher);
    let foreign = sc_proto::routing::Control {
        domain: crate::house::domain(OWNER),
        session: 1,
        start: 1,
        counter: 1,
    };
    let foreign = sc_proto::routing::from_publisher::Frame::Control(foreign);
    house.publisher_says(other, foreign, vec!["forged".into()]);

    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);
    house.control(OWNER, 1, 1);
    assert_eq!(passed(&mut house), [1], "its counter was not used up");
}

#[test]
fn no_more_calls_are_under_way_than_the_bound() {
    let mut house = House::open();
    for counter in 1..=CALLS_MAX as u64 + 10 {
        house.control(OWNER, 1, counter);
    }
    let under_way = house.done().calls;
    assert_eq!(under_way.len(), CALLS_MAX);

    // Each reply makes room for one; one that answers nothing makes room for none.
    house.reply(under_way[0].0, outcome(vec![]));
    assert_eq!(passed(&mut house), [CALLS_MAX as u64 + 1]);
    for token in [0, under_way[0].0, u64::MAX] {
        house.reply(token, outcome(vec![]));
        assert_eq!(passed(&mut house), [0; 0]);
    }
    for (token, _) in &under_way[1..] {
        house.reply(*token, outcome(vec![]));
    }

    assert_eq!(passed(&mut house).len(), 9);
}
