//! The trusted program ends: its sessions go, what was made for consumers stays.

use sc_proto::cbr::{SlowPolicy, call::Call};
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{LinkId, Role};

use crate::house::{ALICE, BOB, Done, House, OWNER, Sent, admission, domain, key, notice, outcome};

const AGAIN: LinkId = LinkId(53);

#[test]
fn publishers_are_sent_away_and_consumers_stay_and_hear_that_the_domain_is_closed() {
    let mut house = House::open();

    house.router.on_program_lost();

    let done = house.done();
    assert_eq!(done.closed, [OWNER]);
    assert_eq!(told_closed(&done), 2);
    house.close(OWNER);
    assert_eq!(told_closed(&house.done()), 0);
    assert_eq!(house.router.counters().programs_lost, 1);
}

/// How often peers were told that a domain is closed.
fn told_closed(done: &Done) -> usize {
    let is_closed = |sent: &&Sent| match sent {
        Sent::ToSubscriber(_, to_subscriber::Frame::DomainState(state), _) => !state.open,
        Sent::ToPublisher(_, to_publisher::Frame::DomainState(state), _) => !state.open,
        _ => false,
    };
    done.sent.iter().filter(is_closed).count()
}

#[test]
fn peers_hear_once_that_an_owner_has_left() {
    let mut house = House::open();
    let grantee = LinkId(60);
    house.establish(grantee, Role::Publisher);
    let domain = domain(OWNER);
    let attach = from_publisher::Frame::Attach(routing::Attach { domain });
    house.publisher_says(grantee, attach, vec![]);
    house.done();

    house.close(OWNER);
    assert_eq!(told_closed(&house.done()), 3);
    house.router.on_program_lost();
    let done = house.done();
    assert_eq!(told_closed(&done), 0, "it is no change");
    house.close(grantee);

    assert_eq!(told_closed(&house.done()), 0);
}

#[test]
fn a_link_that_opened_an_older_session_closes_no_domain() {
    let mut house = House::open();
    house.establish_as(AGAIN, OWNER, Role::Publisher);
    house.secrets(AGAIN, false);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::opened(OWNER, 2));
    house.done();

    house.close(OWNER);

    assert_eq!(told_closed(&house.done()), 0);
}

#[test]
fn calls_under_way_are_forgotten_and_later_ones_wait_for_the_next_program() {
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    let (old, _) = house.done().call();
    house.router.on_program_lost();
    house.close(OWNER);
    house.establish_as(AGAIN, OWNER, Role::Publisher);
    house.challenge(AGAIN, key(OWNER));
    assert!(house.done().calls.is_empty());
    house.reply(old, outcome(vec![notice(ALICE, 1, &[])]));
    assert!(
        house.done().sent.is_empty(),
        "nobody is there who would say so"
    );

    house.router.on_program("the next".into());

    assert!(matches!(house.done().call().1, Call::Challenge(_)));
}

#[test]
fn a_session_of_the_lost_program_is_unknown() {
    let mut house = House::open();
    house.router.on_program_lost();
    house.router.on_program("the next".into());
    house.done();

    house.control(OWNER, 1, 1);
    house.ask(ALICE, OWNER);

    assert_eq!(
        house.done().causes(),
        [Cause::UnknownDomain, Cause::UnknownDomain]
    );
}

#[test]
fn consumers_take_what_was_made_for_them_and_then_the_next_sessions_notices() {
    let mut house = House::open();
    house.close(ALICE);
    house.publish(OWNER, 1, vec![notice(ALICE, 1, &[0]), notice(BOB, 1, &[0])]);
    house.router.on_program_lost();
    house.router.on_program("the next".into());
    house.close(OWNER);
    house.establish_as(AGAIN, OWNER, Role::Publisher);
    house.secrets(AGAIN, false);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::opened(OWNER, 2));
    house.batch_on(AGAIN, OWNER, 2, 1);
    let (token, _) = house.done().call();
    house.reply(token, outcome(vec![notice(ALICE, 1, &[0])]));
    let alice = LinkId(4);
    house.establish_as(alice, ALICE, Role::Subscriber);
    house.attach(alice, OWNER);

    house.take(alice, OWNER, 1, 0);
    assert_eq!(house.done().counters(alice), [1], "of session 1");
    house.take(alice, OWNER, 1, 1);
    house.take(alice, OWNER, 2, 0);

    assert_eq!(house.done().counters(alice), [1], "of session 2");
}

#[test]
fn a_suspension_under_way_ends_with_the_program() {
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Disconnect));
    house.close(ALICE);
    house.done();
    house.publish(OWNER, 2, vec![notice(ALICE, 1, &[0])]);
    assert!(matches!(house.done().call().1, Call::Suspend(_)));

    house.router.on_program_lost();
    house.router.on_program("the next".into());
    house.wait(3600);

    assert!(house.done().calls.is_empty());
    assert_eq!(house.router.gauges().mailboxes, 0, "and is forgotten");
}
