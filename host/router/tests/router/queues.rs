//! Consumers that do not keep up: waited for or dropped, as the publisher of their domain chose.

use std::cell::RefCell;

use sc_proto::cbr::SlowPolicy;
use sc_transport::{Frame, FrameClass, LinkEvent, LinkId, Role, SendError};

use crate::house::{ALICE, House, OWNER, admission};

const OTHER_OWNER: LinkId = LinkId(51);
const DATA: FrameClass = FrameClass::Data;

/// A house in which the owner has admitted Alice under `slow`.
fn admitted(slow: SlowPolicy) -> House {
    let mut house = House::open();
    admit(&mut house, OWNER, 1, slow);
    house
}

fn admit(house: &mut House, owner: LinkId, counter: u64, slow: SlowPolicy) {
    house.control(owner, 1, counter);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, slow));
    house.done();
}

/// Delivers a frame over a link that answers `result` and would send `available` bytes at once; returns the links to be closed.
fn deliver(house: &mut House, available: u64, result: Result<(), SendError>) -> Vec<LinkId> {
    let send = |_| result;
    house
        .router
        .deliver(ALICE, DATA, Frame::new("frame"), 7, available, send);
    house.done().closed
}

const FULL: Result<(), SendError> = Err(SendError::Full);

#[test]
fn a_patient_publishers_frame_waits_for_room_and_goes_first_then() {
    let mut house = admitted(SlowPolicy::Block);
    assert_eq!(deliver(&mut house, 0, FULL), []);
    // While one waits, the next does not overtake it.
    let tried = RefCell::new(0);
    let send = |_| {
        *tried.borrow_mut() += 1;
        Ok(())
    };
    let second = Frame::new("second");
    house.router.deliver(ALICE, DATA, second, 8, 1000, send);
    assert_eq!(*tried.borrow(), 0);

    let class = DATA;
    house
        .router
        .on_event(LinkEvent::Writable { link: ALICE, class });

    let tokens: Vec<_> = house
        .router
        .take_outputs()
        .into_iter()
        .map(|output| match output {
            sc_router::Output::Send { token, .. } => token,
            other => panic!("no frame: {other:?}"),
        })
        .collect();
    assert_eq!(tokens, [7, 8]);
    assert_eq!(house.router.counters().disconnected, 0);
}

#[test]
fn a_frame_that_comes_of_the_round_in_which_there_is_room_again_does_not_overtake_those_that_wait() {
    let mut house = admitted(SlowPolicy::Block);
    assert_eq!(deliver(&mut house, 0, FULL), []);

    // The state of the domain, for the same link, comes first; then the room.
    house.attach(ALICE, OWNER);
    let class = DATA;
    house
        .router
        .on_event(LinkEvent::Writable { link: ALICE, class });

    let outputs = house.router.take_outputs();
    assert!(
        matches!(outputs[0], sc_router::Output::Send { token: 7, .. }),
        "{outputs:?}"
    );
    assert!(outputs.len() > 1, "{outputs:?}");
}

#[test]
fn an_impatient_publishers_consumer_is_dropped_when_it_falls_behind() {
    assert_eq!(
        deliver(&mut admitted(SlowPolicy::Disconnect), 0, FULL),
        [ALICE]
    );
    assert_eq!(
        deliver(&mut admitted(SlowPolicy::Disconnect), 10, Ok(())),
        [ALICE]
    );
    assert_eq!(
        deliver(&mut admitted(SlowPolicy::Disconnect), 1000, Ok(())),
        []
    );
    assert_eq!(deliver(&mut admitted(SlowPolicy::Block), 10, Ok(())), []);
}

#[test]
fn a_frame_larger_than_a_peer_takes_ends_its_link() {
    let too_large = Err(SendError::TooLarge { size: 2, max: 1 });

    assert_eq!(
        deliver(&mut admitted(SlowPolicy::Block), 1000, too_large),
        [ALICE]
    );
}

#[test]
fn a_link_that_is_being_closed_is_closed_and_counted_once() {
    let mut house = admitted(SlowPolicy::Disconnect);

    assert_eq!(deliver(&mut house, 0, FULL), [ALICE]);
    assert_eq!(deliver(&mut house, 0, FULL), []);

    assert_eq!(house.router.counters().disconnected, 1);
}

#[test]
fn the_choice_of_the_last_admission_counts() {
    let mut house = admitted(SlowPolicy::Disconnect);
    admit(&mut house, OWNER, 2, SlowPolicy::Block);
    assert_eq!(deliver(&mut house, 10, Ok(())), []);

    // A new session starts without a choice.
    let mut house = admitted(SlowPolicy::Disconnect);
    house.provision(OWNER, 2);
    house.done();
    assert_eq!(deliver(&mut house, 10, Ok(())), []);
}

#[test]
fn an_owner_cannot_have_the_consumers_of_another_dropped() {
    let mut house = admitted(SlowPolicy::Block);
    house.establish(OTHER_OWNER, Role::Publisher);
    house.provision(OTHER_OWNER, 1);
    house.done();

    // Alice never attached to that domain; its owner admits her all the same, to be dropped when slow.
    admit(&mut house, OTHER_OWNER, 1, SlowPolicy::Disconnect);

    assert_eq!(deliver(&mut house, 10, Ok(())), []);
}

#[test]
fn a_link_that_has_closed_meanwhile_is_left_to_report_it() {
    let closed = Err(SendError::Closed);

    assert_eq!(deliver(&mut admitted(SlowPolicy::Block), 1000, closed), []);
    assert_eq!(
        deliver(&mut admitted(SlowPolicy::Disconnect), 1000, closed),
        []
    );
}
