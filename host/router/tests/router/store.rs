//! Notices that come back from the disk: after an absence, and after the router's own restart.

use std::time::Duration;

use sc_proto::cbr::SlowPolicy;
use sc_router::{Recovered, RouterSettings, SpillEvent};
use sc_transport::{FrameClass, LinkId, Role};

use crate::house::{ALICE, COST, House, OWNER, Stored, admission, mailbox, notice, record};

const AGAIN: LinkId = LinkId(4);

/// Alice is away, and notices 1 to `count` are on the disk.
fn away(count: u64) -> House {
    let mut house = House::with_store();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Spill));
    house.close(ALICE);
    house.done();
    for counter in 1..=count {
        house.publish(OWNER, counter + 1, vec![notice(ALICE, counter, &[0])]);
        for (_, token) in house.done().appended() {
            house.stored(mailbox(ALICE, OWNER), token);
        }
    }
    house.done();
    house
}

fn come_back(house: &mut House, link: LinkId, counter: u64) {
    house.establish_as(link, ALICE, Role::Subscriber);
    house.attach(link, OWNER);
    house.take(link, OWNER, 1, counter);
}

#[test]
fn what_is_on_the_disk_is_read_after_the_ack_and_sent_in_order() {
    let mut house = away(3);
    let id = mailbox(ALICE, OWNER);

    come_back(&mut house, AGAIN, 0);
    let done = house.done();
    assert!(
        matches!(done.store[..], [Stored::Fetch(of, _)] if of == id),
        "{:?}",
        done.store
    );
    house.fetched(id, &[1, 2], true);
    assert_eq!(house.done().counters(AGAIN), [1, 2]);
    house.fetched(id, &[3], false);

    let done = house.done();
    assert_eq!(done.counters(AGAIN), [3]);
    assert!(done.store.is_empty(), "nothing more to read");
    house.take(AGAIN, OWNER, 1, 3);
    assert_eq!(house.done().store, [Stored::Trim(id, 1, 3)]);
}

#[test]
fn new_notices_queue_behind_the_disk_and_follow_from_memory_once_it_is_read() {
    let mut house = away(1);
    let id = mailbox(ALICE, OWNER);
    come_back(&mut house, AGAIN, 0);
    house.done();

    house.publish(OWNER, 3, vec![notice(ALICE, 2, &[0])]);
    let done = house.done();
    assert_eq!(done.counters(AGAIN), [0; 0], "the first is not read yet");
    assert_eq!(done.appended().len(), 1);
    house.fetched(id, &[1], false);

    assert_eq!(house.done().counters(AGAIN), [1, 2]);
    house.take(AGAIN, OWNER, 1, 2);
    let owner = (OWNER, FrameClass::Data, COST);
    let released = house.done().released;
    assert!(released.contains(&owner), "taken before it was stored");
    house.publish(OWNER, 4, vec![notice(ALICE, 3, &[0])]);
    assert_eq!(house.done().counters(AGAIN), [3]);
}

#[test]
fn a_record_read_before_it_is_said_to_be_safe_is_sent_once_and_holds_its_publisher_until_then() {
    let mut house = away(1);
    let id = mailbox(ALICE, OWNER);
    house.publish(OWNER, 3, vec![notice(ALICE, 2, &[0])]);
    let token = house.done().appended()[0].1;
    come_back(&mut house, AGAIN, 0);
    house.done();

    house.fetched(id, &[1, 2], false);
    let done = house.done();
    assert_eq!(done.counters(AGAIN), [1, 2]);
    assert!(done.released.iter().all(|it| it.0 != OWNER));
    house.stored(id, token);

    let done = house.done();
    assert_eq!(done.counters(AGAIN), [0; 0]);
    assert_eq!(done.released, [(OWNER, FrameClass::Data, COST)]);
}

#[test]
fn a_link_that_is_lost_in_the_middle_reads_again_from_what_was_not_taken() {
    let mut house = away(4);
    let id = mailbox(ALICE, OWNER);
    come_back(&mut house, AGAIN, 0);
    house.fetched(id, &[1, 2], true);
    house.take(AGAIN, OWNER, 1, 1);
    house.done();

    house.close(AGAIN);
    assert!(house.done().store.contains(&Stored::Rewind(id)));
    // The answer to what was asked for the old link comes late, and counts for nothing.
    house.fetched(id, &[3, 4], false);
    come_back(&mut house, LinkId(5), 1);
    let done = house.done();
    assert!(done.notices().is_empty());
    assert!(
        matches!(done.store[..], [Stored::Fetch(..)]),
        "{:?}",
        done.store
    );
    house.fetched(id, &[2, 3, 4], false);

    assert_eq!(house.done().counters(LinkId(5)), [2, 3, 4]);
}

#[test]
fn a_record_that_is_lost_is_a_gap_and_no_standstill() {
    let mut house = away(3);
    let id = mailbox(ALICE, OWNER);
    come_back(&mut house, AGAIN, 0);
    for counter in [1, 2, 3] {
        house.router.on_spill(SpillEvent::Lost {
            mailbox: id,
            session: 1,
            counter,
        });
    }
    house.fetched(id, &[], false);
    house.done();

    house.publish(OWNER, 5, vec![notice(ALICE, 4, &[0])]);

    assert_eq!(house.done().counters(AGAIN), [4]);
    assert_eq!(house.router.counters().store_losses, 3);
}

#[test]
fn what_was_taken_before_is_not_sent_when_it_is_read() {
    let mut house = away(3);
    let id = mailbox(ALICE, OWNER);
    come_back(&mut house, AGAIN, 0);
    house.fetched(id, &[1, 2, 3], false);
    house.close(AGAIN);
    house.done();

    come_back(&mut house, LinkId(5), 2);
    assert!(house.done().store.contains(&Stored::Trim(id, 1, 2)));
    house.fetched(id, &[1, 2, 3], false);

    assert_eq!(house.done().counters(LinkId(5)), [3]);
}

#[test]
fn the_retention_empties_the_disk() {
    let mut house = away(3);

    house.wait(60);

    assert!(
        house
            .done()
            .store
            .contains(&Stored::Discard(mailbox(ALICE, OWNER)))
    );
    assert_eq!(house.router.counters().given_up, 3);
}

#[test]
fn what_was_read_from_the_disk_and_not_taken_is_given_up_once() {
    let mut house = away(5);
    come_back(&mut house, AGAIN, 0);
    house.fetched(mailbox(ALICE, OWNER), &[1, 2, 3], true);
    house.take(AGAIN, OWNER, 1, 2);
    house.close(AGAIN);

    house.wait(60);

    assert_eq!(house.router.counters().given_up, 3, "3, 4 and 5");
}

/// A router that was started again; the last one had stored these of session 5.
fn recovered(first: u64, last: u64) -> House {
    let mut house = House::new(RouterSettings {
        has_store: true,
        ..RouterSettings::default()
    });
    let found = Recovered {
        mailbox: mailbox(ALICE, OWNER),
        records: last - first + 1,
        bytes: 1,
        first: (5, first),
        last: (5, last),
    };
    house.router.recover(Duration::ZERO, [found]);
    house.establish(OWNER, Role::Publisher);
    house.provision(OWNER, 6);
    house.establish(ALICE, Role::Subscriber);
    house.attach(ALICE, OWNER);
    house.done();
    house
}

#[test]
fn what_an_earlier_process_has_stored_is_sent_after_the_ack_of_its_session() {
    let mut house = recovered(3, 4);
    let id = mailbox(ALICE, OWNER);
    house.batch_in(OWNER, 6, 1, &["payload"]);
    let (token, _) = house.done().call();
    house.reply(token, crate::house::outcome(vec![notice(ALICE, 1, &[0])]));
    assert!(house.done().notices().is_empty());

    house.take(ALICE, OWNER, 5, 2);
    assert!(matches!(house.done().store[..], [.., Stored::Fetch(..)]));
    let records = [record(5, 3), record(5, 4)].to_vec();
    house.router.on_spill(SpillEvent::Fetched {
        mailbox: id,
        records,
        more: false,
    });
    assert_eq!(house.done().counters(ALICE), [3, 4]);
    house.take(ALICE, OWNER, 6, 0);

    assert_eq!(house.done().counters(ALICE), [1]);
}

#[test]
fn an_ack_beyond_what_an_earlier_process_has_stored_is_no_lie() {
    let mut house = recovered(3, 4);
    let id = mailbox(ALICE, OWNER);

    house.take(ALICE, OWNER, 5, 9);

    let done = house.done();
    assert_eq!(done.store, [Stored::Trim(id, 5, 4)]);
    assert_eq!(house.router.counters().acks_ahead, 0);
}

#[test]
fn what_an_earlier_process_has_stored_under_keys_that_are_gone_is_discarded() {
    let mut house = recovered(3, 4);
    let id = mailbox(ALICE, OWNER);

    house.take(ALICE, OWNER, 6, 0);
    let records = [record(5, 3), record(5, 4)].to_vec();
    house.router.on_spill(SpillEvent::Fetched {
        mailbox: id,
        records,
        more: false,
    });

    let done = house.done();
    assert!(done.notices().is_empty());
    assert!(
        done.store.contains(&Stored::Trim(id, 5, 4)),
        "{:?}",
        done.store
    );
    assert_eq!(house.router.counters().given_up, 2);
}

#[test]
fn what_an_earlier_process_has_stored_is_kept_for_a_day_and_then_forgotten() {
    let mut house = recovered(3, 4);
    house.close(ALICE);

    house.wait(24 * 3600);

    assert!(
        house
            .done()
            .store
            .contains(&Stored::Discard(mailbox(ALICE, OWNER)))
    );
    assert_eq!(house.router.gauges().mailboxes, 0);
    assert_eq!(house.router.counters().given_up, 2);
}

#[test]
fn an_admission_says_for_how_long_what_was_recovered_is_kept() {
    let mut house = recovered(3, 4);
    house.control(OWNER, 6, 1);
    let (token, _) = house.done().call();
    house.reply(token, admission(ALICE, SlowPolicy::Spill));
    house.close(ALICE);

    house.wait(60);

    assert!(
        house
            .done()
            .store
            .contains(&Stored::Discard(mailbox(ALICE, OWNER)))
    );
}

#[test]
fn notices_under_keys_that_are_gone_are_given_up_once_however_often_they_are_read() {
    let mut house = recovered(3, 4);
    let id = mailbox(ALICE, OWNER);
    let read = |house: &mut House| {
        house.router.on_spill(SpillEvent::Fetched {
            mailbox: id,
            records: [record(5, 3)].to_vec(),
            more: true,
        });
    };
    house.take(ALICE, OWNER, 6, 0);
    read(&mut house);
    house.close(ALICE);
    house.establish_as(AGAIN, ALICE, Role::Subscriber);
    house.attach(AGAIN, OWNER);
    house.take(AGAIN, OWNER, 6, 0);
    // The first answers what was asked for the old link.
    house.fetched(id, &[], true);
    read(&mut house);
    assert_eq!(house.router.counters().given_up, 1);

    house.close(AGAIN);
    house.wait(24 * 3600);

    assert_eq!(house.router.counters().given_up, 2);
}
