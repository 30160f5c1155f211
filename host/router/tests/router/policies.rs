//! What becomes of notices for consumers that are away, slow or full, as their publishers chose; and of their publishers' credit.

use bytes::Bytes;
use sc_proto::cbr::{self, SlowPolicy, call::Call, refusal::Reason, reply::Reply};
use sc_proto::routing::refused::Cause;
use sc_router::{CONSUMERS_MAX, DOMAIN_MEMORY_MAX, FLIGHT_MAX, RETENTION_MIN};
use sc_transport::{FrameClass, LinkId, Role};

use crate::house::{
    ALICE, BOB, COST, Done, House, OWNER, Stored, admission, domain, key, mailbox, notice, outcome,
    refusal,
};

const AGAIN: LinkId = LinkId(4);
const OTHER_OWNER: LinkId = LinkId(51);

/// A house with a store in which the owner has admitted Alice under `slow`, with 60 s of retention.
fn admitted(slow: SlowPolicy) -> House {
    let mut house = House::with_store();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, slow));
    house.done();
    house
}

/// Publishes batches from `first` on, each with one notice for Alice.
fn publish(house: &mut House, counters: std::ops::RangeInclusive<u64>) -> Done {
    let mut all = Done::default();
    for counter in counters {
        // The admission was message 1.
        house.publish(OWNER, counter + 1, vec![notice(ALICE, counter, &[0])]);
        all.extend(house.done());
    }
    all
}

/// Alice comes back, holds the keys of session 1, and has taken `counter`.
fn come_back(house: &mut House, counter: u64) -> Done {
    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    house.take(AGAIN, OWNER, 1, counter);
    house.done()
}

/// The program answers a suspension or its end with this one notice.
fn last_notice(house: &mut House, token: u64, counter: u64) {
    let reply = cbr::Outcome {
        receipt: Bytes::new(),
        notices: vec![notice(ALICE, counter, &[])],
        admitted: None,
        registered: None,
    };
    house.reply(token, Reply::Outcome(reply));
}

/// The token of the one call, which has to be a suspension of Alice.
fn suspension(done: &Done) -> u64 {
    let (token, call) = done.call();
    let expected = cbr::Suspend {
        domain: domain(OWNER),
        session: 1,
        consumer: key(ALICE).0.to_vec().into(),
    };
    assert_eq!(*call, Call::Suspend(expected));
    token
}

fn credit_of_owner(done: &Done) -> u64 {
    let of_owner = done.released.iter().filter(|it| it.0 == OWNER);
    of_owner.map(|(_, _, bytes)| bytes).sum()
}

#[test]
fn a_blocking_publisher_waits_for_a_consumer_that_is_away_and_it_gets_everything() {
    let mut house = admitted(SlowPolicy::Block);
    house.close(ALICE);

    let done = publish(&mut house, 1..=3);
    assert_eq!(credit_of_owner(&done), 0);
    assert!(done.store.is_empty() && done.calls.is_empty());
    house.wait(59);
    let done = come_back(&mut house, 0);

    assert_eq!(done.counters(AGAIN), [1, 2, 3]);
    house.take(AGAIN, OWNER, 1, 3);
    assert_eq!(credit_of_owner(&house.done()), 3 * COST);
}

#[test]
fn a_blocking_publisher_waits_no_longer_than_the_retention() {
    let mut house = admitted(SlowPolicy::Block);
    house.close(ALICE);
    publish(&mut house, 1..=3);

    house.wait(60);

    let done = house.done();
    assert_eq!(credit_of_owner(&done), 3 * COST);
    let token = suspension(&done);
    last_notice(&mut house, token, 4);
    assert_eq!(house.router.counters().given_up, 3);
    let done = come_back(&mut house, 0);
    assert_eq!(done.counters(AGAIN), [4], "the notice of the suspension");
}

#[test]
fn a_blocking_publisher_waits_no_longer_for_a_consumer_that_is_linked_and_takes_nothing() {
    let mut house = admitted(SlowPolicy::Block);
    publish(&mut house, 1..=3);
    house.wait(59);
    // It moves, and has all its time again; that it says the same once more is no progress.
    house.take(ALICE, OWNER, 1, 1);
    house.wait(59);
    house.take(ALICE, OWNER, 1, 1);
    assert_eq!(credit_of_owner(&house.done()), COST);

    house.wait(1);

    let done = house.done();
    assert_eq!(credit_of_owner(&done), 2 * COST);
    assert_eq!(done.closed, [], "it is told under seal");
    let token = suspension(&done);
    last_notice(&mut house, token, 4);
    assert_eq!(house.done().counters(ALICE), [4]);
    house.wait(600);
    assert!(house.done().calls.is_empty(), "once");
    house.take(ALICE, OWNER, 1, 4);
    assert!(matches!(house.done().call().1, Call::Resume(_)));
}

#[test]
fn a_blocking_publisher_waits_no_longer_for_a_consumer_that_never_names_the_session() {
    let mut house = admitted(SlowPolicy::Block);
    house.provision(OWNER, 2);
    house.control(OWNER, 2, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Block));
    house.batch_in(OWNER, 2, 2, &["payload"]);
    let (token, _) = house.done().call();
    house.reply(token, outcome(vec![notice(ALICE, 1, &[0])]));
    house.wait(59);
    assert_eq!(credit_of_owner(&house.done()), 0);

    house.wait(1);

    let done = house.done();
    assert_eq!(credit_of_owner(&done), COST);
    assert!(matches!(done.call().1, Call::Suspend(_)));
}

#[test]
fn what_a_linked_consumer_does_not_take_goes_to_the_disk_in_the_end() {
    let mut house = admitted(SlowPolicy::Spill);
    let done = publish(&mut house, 1..=2);
    assert!(done.appended().is_empty());

    house.wait(60);

    let done = house.done();
    let counters: Vec<u64> = done.appended().iter().map(|it| it.0).collect();
    assert_eq!(counters, [1, 2]);
    assert!(done.calls.is_empty() && done.closed.is_empty());
}

#[test]
fn a_suspended_consumer_that_has_taken_everything_gets_notices_again() {
    let mut house = admitted(SlowPolicy::Block);
    house.close(ALICE);
    house.wait(60);
    let token = suspension(&house.done());
    last_notice(&mut house, token, 1);
    assert!(come_back(&mut house, 0).calls.is_empty(), "not yet");

    house.take(AGAIN, OWNER, 1, 1);

    let done = house.done();
    let (token, Call::Resume(resume)) = done.call() else {
        panic!("no resumption: {:?}", done.calls);
    };
    assert_eq!(resume.consumer[..], key(ALICE).0);
    last_notice(&mut house, token, 2);
    house.publish(OWNER, 2, vec![notice(ALICE, 3, &[0])]);
    let counters = house.router.counters();
    assert_eq!((counters.suspended, counters.resumed), (1, 1));
    house.take(AGAIN, OWNER, 1, 3);
    assert_eq!(house.router.counters().acked, 3);
}

#[test]
fn a_consumer_that_the_program_no_longer_knows_is_suspended_once() {
    let mut house = admitted(SlowPolicy::Block);
    house.close(ALICE);
    house.wait(60);
    let token = suspension(&house.done());

    house.reply(token, refusal(Reason::Consumer));
    house.wait(600);

    assert!(house.done().calls.is_empty());
    assert!(come_back(&mut house, 0).calls.is_empty());
}

#[test]
fn the_clock_of_the_retention_runs_until_a_session_is_named() {
    let mut house = admitted(SlowPolicy::Block);
    house.close(ALICE);
    house.wait(30);
    // A link that attaches and says no more does not stop it, and its end does not begin it again.
    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    house.close(AGAIN);
    house.done();

    house.wait(30);

    suspension(&house.done());
}

#[test]
fn an_unknown_consumer_has_the_shortest_retention_and_is_not_suspended_twice() {
    let mut house = House::open();
    house.publish(OWNER, 1, vec![notice(LinkId(9), 1, &[0])]);
    assert_eq!(house.router.gauges().mailboxes, 1);

    house.wait(RETENTION_MIN.as_secs());

    let done = house.done();
    assert_eq!(credit_of_owner(&done), COST);
    assert!(matches!(done.call().1, Call::Suspend(_)));
}

#[test]
fn an_impatient_publishers_consumer_is_suspended_as_soon_as_it_is_away() {
    let mut house = admitted(SlowPolicy::Disconnect);
    house.close(ALICE);
    assert!(house.done().calls.is_empty(), "nothing has come for it yet");

    let done = publish(&mut house, 1..=1);

    let token = suspension(&done);
    assert_eq!(credit_of_owner(&done), COST);
    last_notice(&mut house, token, 2);
    assert_eq!(come_back(&mut house, 0).counters(AGAIN), [1, 2]);
}

#[test]
fn an_impatient_publishers_consumer_is_given_time_to_name_its_session() {
    let mut house = admitted(SlowPolicy::Disconnect);
    house.close(ALICE);
    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);

    let done = publish(&mut house, 1..=2);
    assert!(done.calls.is_empty() && done.closed.is_empty());
    house.take(AGAIN, OWNER, 1, 0);

    assert_eq!(house.done().counters(AGAIN), [1, 2]);
}

/// Publishes batches of 1 MiB, each with one notice for Alice that has the payload, until one is not sent; returns how many were.
fn fill(house: &mut House) -> (u64, Done) {
    let payload = "x".repeat(1 << 20);
    for counter in 1.. {
        house.batch(OWNER, counter + 1, &[&payload]);
        let (token, _) = house.done().call();
        house.reply(token, outcome(vec![notice(ALICE, counter, &[0])]));
        let done = house.done();
        if done.counters(ALICE).is_empty() {
            return (counter - 1, done);
        }
        assert!(counter <= FLIGHT_MAX >> 20, "more than the bound is sent");
    }
    unreachable!("it is filled by then")
}

#[test]
fn no_more_is_sent_to_a_consumer_than_the_bound_until_it_has_taken_some() {
    let mut house = admitted(SlowPolicy::Block);

    let (sent, done) = fill(&mut house);

    assert_eq!(sent, 3, "three of 1 MiB and their overheads");
    assert!(done.store.is_empty() && done.calls.is_empty());
    house.take(ALICE, OWNER, 1, 1);
    assert_eq!(house.done().counters(ALICE), [4]);
}

#[test]
fn an_impatient_publishers_consumer_that_falls_behind_is_suspended_and_its_link_closed() {
    let mut house = admitted(SlowPolicy::Disconnect);

    let (sent, done) = fill(&mut house);

    assert_eq!(done.closed, [ALICE]);
    suspension(&done);
    assert_eq!(
        credit_of_owner(&done),
        (sent + 1) * COST,
        "nobody waits for it"
    );
    assert_eq!(house.router.counters().disconnected, 1);
}

#[test]
fn notices_for_a_consumer_that_is_away_go_to_the_disk_at_once() {
    let mut house = admitted(SlowPolicy::Spill);
    publish(&mut house, 1..=1);
    house.close(ALICE);

    let done = house.done();
    let [(1, first)] = done.appended()[..] else {
        panic!("what was sent and not taken goes too: {:?}", done.store);
    };
    let done = publish(&mut house, 2..=2);
    let [(2, second)] = done.appended()[..] else {
        panic!("not appended: {:?}", done.store);
    };
    assert_eq!(credit_of_owner(&done), 0);
    house.stored(mailbox(ALICE, OWNER), first);
    assert_eq!(credit_of_owner(&house.done()), COST);
    house.stored(mailbox(ALICE, OWNER), second);

    assert_eq!(credit_of_owner(&house.done()), COST);
    assert_eq!(house.router.gauges().memory_bytes, 0);
}

#[test]
fn notices_for_a_consumer_that_is_slow_go_to_the_disk_beyond_an_allowance_with_all_before_them() {
    let mut house = admitted(SlowPolicy::Spill);

    let (sent, done) = fill(&mut house);

    let counters: Vec<u64> = done
        .appended()
        .iter()
        .map(|(counter, _)| *counter)
        .collect();
    let all: Vec<u64> = (1..=sent + 1).collect();
    assert_eq!(
        counters, all,
        "what is on its way too: the disk is the beginning"
    );
    for (_, token) in done.appended() {
        house.stored(mailbox(ALICE, OWNER), token);
    }
    assert_eq!(credit_of_owner(&house.done()), (sent + 1) * COST);
}

#[test]
fn a_small_delay_costs_no_disk() {
    let mut house = admitted(SlowPolicy::Spill);
    let done = publish(&mut house, 1..=20);
    assert_eq!(done.counters(ALICE).len(), 20);

    house.take(ALICE, OWNER, 1, 20);

    assert!(house.done().store.is_empty());
}

#[test]
fn one_consumer_that_never_acknowledges_costs_another_domain_nothing() {
    let mut house = admitted(SlowPolicy::Block);
    house.establish(OTHER_OWNER, Role::Publisher);
    house.provision(OTHER_OWNER, 1);
    house.attach(BOB, OTHER_OWNER);
    house.take(BOB, OTHER_OWNER, 1, 0);
    house.done();
    fill(&mut house);

    for counter in 1..=50 {
        house.publish(OTHER_OWNER, counter, vec![notice(BOB, counter, &[0])]);
        assert_eq!(house.done().counters(BOB), [counter]);
        house.take(BOB, OTHER_OWNER, 1, counter);

        let done = house.done();
        assert!(
            done.released
                .contains(&(OTHER_OWNER, FrameClass::Data, COST))
        );
        assert_eq!(done.settled(), [(OTHER_OWNER, 1, counter)]);
    }
}

#[test]
fn a_new_session_lets_notices_flow_again() {
    let mut house = admitted(SlowPolicy::Disconnect);
    house.close(ALICE);
    let done = publish(&mut house, 1..=1);
    let token = suspension(&done);
    last_notice(&mut house, token, 2);
    come_back(&mut house, 0);
    house.provision(OWNER, 2);
    house.done();

    house.batch_in(OWNER, 2, 1, &["payload"]);
    let (token, _) = house.done().call();
    house.reply(token, outcome(vec![notice(ALICE, 1, &[0])]));
    house.take(AGAIN, OWNER, 2, 0);

    let done = house.done();
    assert_eq!(done.counters(AGAIN), [1]);
    assert!(
        done.calls.is_empty(),
        "the old session's suspension is past"
    );
}

#[test]
fn without_a_store_what_would_go_there_waits_in_memory() {
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Spill));
    house.close(ALICE);

    let done = publish(&mut house, 1..=2);

    assert!(done.store.is_empty());
    assert_eq!(come_back(&mut house, 0).counters(AGAIN), [1, 2]);
}

#[test]
fn a_disk_without_room_suspends_and_keeps_what_it_has() {
    let mut house = admitted(SlowPolicy::Spill);
    house.close(ALICE);
    house.done();
    let appended = publish(&mut house, 1..=3).appended();
    let id = mailbox(ALICE, OWNER);
    house.stored(id, appended[0].1);
    house.done();

    for (_, token) in &appended[1..] {
        house.router.on_spill(sc_router::SpillEvent::Failed {
            mailbox: id,
            token: *token,
            why: sc_router::SpillFailure::Quota,
        });
    }

    let done = house.done();
    let token = suspension(&done);
    assert_eq!(
        credit_of_owner(&done),
        2 * COST,
        "its publisher does not wait"
    );
    last_notice(&mut house, token, 4);
    assert!(house.done().store.is_empty(), "nothing more is tried");
    let done = come_back(&mut house, 0);
    assert!(matches!(done.store[..], [Stored::Fetch(of, _)] if of == id));
    house.fetched(id, &[1], false);
    assert_eq!(house.done().counters(AGAIN), [1, 2, 3, 4]);
}

#[test]
fn a_domain_that_uses_up_its_memory_has_its_own_waiting_consumers_suspended_and_no_others() {
    let mut house = admitted(SlowPolicy::Block);
    house.establish(OTHER_OWNER, Role::Publisher);
    house.provision(OTHER_OWNER, 1);
    house.attach(BOB, OTHER_OWNER);
    house.take(BOB, OTHER_OWNER, 1, 0);
    house.close(ALICE);
    house.done();
    let payload = "x".repeat(1 << 20);

    let mut counter = 0;
    let done = loop {
        counter += 1;
        house.batch(OWNER, counter + 1, &[&payload]);
        let (token, _) = house.done().call();
        house.reply(token, outcome(vec![notice(ALICE, counter, &[0])]));
        let done = house.done();
        if !done.calls.is_empty() {
            break done;
        }
        assert!(
            house.router.gauges().memory_bytes <= DOMAIN_MEMORY_MAX,
            "{counter}"
        );
    };

    suspension(&done);
    assert_eq!(
        credit_of_owner(&done),
        counter * COST,
        "nobody waits for it"
    );
    for counter in 1..=2 {
        house.publish(OTHER_OWNER, counter, vec![notice(BOB, counter, &[0])]);
        assert_eq!(
            house.done().counters(BOB),
            [counter],
            "as if nothing had been"
        );
    }
}

#[test]
fn a_domain_of_many_consumers_stays_within_its_memory_and_another_domains_are_not_suspended() {
    let mut house = admitted(SlowPolicy::Block);
    house.establish(OTHER_OWNER, Role::Publisher);
    house.provision(OTHER_OWNER, 1);
    let large = "x".repeat(100 << 10);
    let for_bob = |house: &mut House, counter| {
        house.batch(OTHER_OWNER, counter, &[&large]);
        let (token, _) = house.done().call();
        house.reply(token, outcome(vec![notice(BOB, counter, &[0])]));
        house.done()
    };
    house.close(BOB);
    for_bob(&mut house, 1);

    // Not all of the batch, and not in one piece: each notice has a copy.
    let payload = "x".repeat(300 << 10);
    let mut suspended = 0;
    for counter in 1..=6 {
        house.batch(OWNER, counter + 1, &[&payload[..]; 4]);
        let (token, _) = house.done().call();
        let away = 100..200;
        let notices = away.map(|consumer| notice(LinkId(consumer), counter, &[0, 2]));
        house.reply(token, outcome(notices.collect()));
        let calls = house.done().calls;
        suspended += calls.len();
        let one = 3 * (300 << 10);
        assert!(house.router.gauges().memory_bytes <= DOMAIN_MEMORY_MAX + one);
    }

    assert_eq!(suspended, 100);
    let done = for_bob(&mut house, 2);
    assert!(
        done.calls.is_empty() && done.released.is_empty(),
        "it waits"
    );
}

#[test]
fn payloads_that_follow_one_another_are_held_once_for_all_who_get_them() {
    let mut house = admitted(SlowPolicy::Block);
    let payload = "x".repeat(300 << 10);

    house.batch(OWNER, 2, &[&payload[..]; 4]);
    let (token, _) = house.done().call();
    let away = 100..200;
    let notices = away.map(|consumer| notice(LinkId(consumer), 1, &[1, 2]));
    house.reply(token, outcome(notices.collect()));

    assert!(house.done().calls.is_empty());
    let held = house.router.gauges().memory_bytes;
    assert!(held > 4 * (300 << 10) && held < 2 << 20, "{held}");
}

#[test]
fn one_for_whom_a_domain_has_no_mailbox_left_is_told_and_suspended_and_holds_nobody_up() {
    let mut house = House::open();
    let consumers = 0..CONSUMERS_MAX as u32;
    let notices = consumers.map(|consumer| cbr::Notice {
        consumer: [consumer.to_be_bytes(); 8].concat().into(),
        ..notice(BOB, 1, &[])
    });
    house.publish(OWNER, 1, notices.collect());
    assert!(house.done().calls.is_empty());

    house.publish(OWNER, 2, vec![notice(ALICE, 1, &[0])]);
    let done = house.done();
    suspension(&done);
    assert_eq!(done.causes(), [Cause::Limit]);
    assert_eq!(credit_of_owner(&done), COST);
    assert_eq!(house.router.counters().undeliverable, 1);

    house.control(OWNER, 1, 3);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Spill));

    let done = house.done();
    suspension(&done);
    assert_eq!(done.causes(), [Cause::Limit]);
}
