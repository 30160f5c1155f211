//! The bounds of a domain, which are few in these tests, reached.

use sc_crypto::{OwnerSecret, Secret};
use sc_matching::{Publication, Subscription};

use super::*;
use crate::batch::BatchWriter;
use crate::control::{Control, ControlBody, SlowPolicy};
use crate::keys::{DeliveryKeys, DomainKey};
use crate::notice::Notice;

const MAX: u64 = SUBSCRIPTIONS_PER_CONSUMER_MAX as u64;
/// What an empty subscription counts for, in bytes.
const EMPTY_BYTES: usize = 64 + 320 + 2;

fn domain() -> Domain {
    domain_on(Processors::default())
}

fn domain_on(processors: Processors) -> Domain {
    let owner = OwnerSecret::from_seed(Secret::from_bytes([1; 32]));
    let secrets = DomainSecrets {
        key: DomainKey::new(Secret::from_bytes([2; 32])),
        session: 1,
        start: 1,
        floor: Origin::default(),
        time_ms: 1,
        plain: false,
        owner: owner.public().clone(),
        certificate: Vec::new(),
    };
    let id = owner.public().domain_id();
    let key = owner.signing_key().verifying_key();
    Domain::new(id, key, secrets, 1, processors)
}

fn consumer(number: u8) -> VerifyingKey {
    VerifyingKey::from_bytes([number; 32])
}

fn apply(domain: &mut Domain, body: ControlBody) -> Effect {
    let effect = domain.apply(&Control { time_ms: 1, body }.encode());
    effect.unwrap()
}

/// Admits a consumer with these subscriptions to everything; returns what became of it, and how many the domain holds then.
fn admit_as(
    domain: &mut Domain,
    number: u8,
    replace: bool,
    ids: impl Iterator<Item = u64>,
) -> (Status, usize) {
    let everything = Subscription::new([]).unwrap();
    let body = ControlBody::Admit {
        consumer: consumer(number),
        delivery_key: Secret::from_bytes([3; 32]),
        lease_until_ms: 100,
        slow: SlowPolicy::Block,
        retention_ms: 0,
        replace,
        subscriptions: ids.map(|id| (id, everything.clone())).collect(),
    };
    let status = apply(domain, body).status.unwrap_or(Status::Taken);
    (status, domain.recipients.len())
}

fn admit(domain: &mut Domain, replace: bool, ids: impl Iterator<Item = u64>) -> (Status, usize) {
    admit_as(domain, 7, replace, ids)
}

/// What becomes of a batch of `count` publications of the owner.
fn publish(domain: &mut Domain, count: u32) -> Effect {
    let mut writer = BatchWriter::default();
    for _ in 0..count {
        writer.push(&Publication::new(), Some(&[9; 32])).unwrap();
    }
    let origin = Origin {
        start: 1,
        number: 1,
    };
    let batch = writer.finish(origin, 1);
    let batch = Plaintext::new(batch);
    domain.publish(Source::OWNER, 1, batch).unwrap()
}

/// For each notice, whose it is and its kind, with the number of its entries.
fn told(domain: &Domain, effect: &Effect) -> Vec<(u8, NoticeKind, usize)> {
    let read = |notice: &cbr::Notice| {
        let scope = Scope {
            party: consumer(notice.consumer[0]),
            start: 0,
            ..*domain.publishers.owner_scope()
        };
        let keys = DeliveryKeys::new(&Secret::from_bytes([3; 32]), &scope, false);
        let mut bytes = notice.ciphertext.to_vec();
        let opened = keys
            .notice
            .open(&scope, MessageKind::Notice, notice.counter, &mut bytes);
        let notice_read = Notice::decode(opened.unwrap()).unwrap();
        assert_eq!(notice.payloads.len(), notice_read.remaining());
        let entries = notice_read.remaining();
        (notice.consumer[0], notice_read.kind, entries)
    };
    effect.notices.iter().map(read).collect()
}

/// What [`told`] has of a batch of which consumer `number` missed `publications`.
fn missed(number: u8, publications: u64) -> (u8, NoticeKind, usize) {
    let kind = NoticeKind::Missed {
        batches: 1,
        publications,
    };
    (number, kind, 0)
}

/// The consumers that got entries, and how many.
fn entries(told: &[(u8, NoticeKind, usize)]) -> Vec<(u8, usize)> {
    told.iter()
        .filter(|(_, kind, _)| matches!(kind, NoticeKind::Matches { .. }))
        .map(|(number, _, entries)| (*number, *entries))
        .collect()
}

#[test]
fn a_consumer_holds_as_many_subscriptions_as_the_bound_and_no_more() {
    let mut domain = domain();

    assert_eq!(admit(&mut domain, false, 0..MAX), (Status::Taken, 8));
    assert_eq!(admit(&mut domain, false, MAX..=MAX), (Status::Limit, 8));
    assert_eq!(admit(&mut domain, true, 0..=MAX), (Status::Limit, 8));
}

#[test]
fn ids_that_are_there_already_or_come_twice_count_once() {
    let mut domain = domain();
    admit(&mut domain, false, 0..MAX);

    assert_eq!(admit(&mut domain, false, 0..MAX), (Status::Taken, 8));
    let twice = (0..MAX).chain(0..MAX);
    assert_eq!(admit(&mut domain, true, twice), (Status::Taken, 8));
}

#[test]
fn an_admission_beyond_the_bound_leaves_everything_as_it_was() {
    let mut domain = domain();
    assert_eq!(admit(&mut domain, false, 0..=MAX), (Status::Limit, 0));
    assert_eq!(domain.consumers.len(), 0);
    admit(&mut domain, false, 0..3);

    assert_eq!(admit(&mut domain, true, 0..=MAX), (Status::Limit, 3));
}

#[test]
fn the_subscriptions_of_a_domain_take_as_many_bytes_as_the_bound_and_no_more() {
    let mut domain = domain();
    let fit = SUBSCRIPTION_BYTES_MAX / EMPTY_BYTES;
    assert_eq!(fit, 15);
    admit_as(&mut domain, 1, false, 0..8);

    assert_eq!(admit_as(&mut domain, 2, false, 0..8), (Status::Limit, 8));
    assert_eq!(admit_as(&mut domain, 2, false, 0..7), (Status::Taken, fit));
    assert_eq!(admit_as(&mut domain, 3, false, 0..1), (Status::Limit, fit));
    // What takes the place of others costs their place alone, and what has gone makes room.
    assert_eq!(admit_as(&mut domain, 2, false, 0..7), (Status::Taken, fit));
    assert_eq!(admit_as(&mut domain, 2, true, 0..7), (Status::Taken, fit));
    let ids = vec![0];
    let consumer = consumer(1);
    apply(&mut domain, ControlBody::Withdraw { consumer, ids });
    assert_eq!(admit_as(&mut domain, 3, false, 0..1), (Status::Taken, fit));
    apply(&mut domain, ControlBody::Revoke { consumer });
    assert_eq!(admit_as(&mut domain, 3, false, 0..8), (Status::Taken, fit));
}

#[test]
fn a_domain_that_is_matched_obliviously_has_shelves_for_so_many_consumers() {
    let mut domain = domain_on(Processors {
        oblivious: std::num::NonZeroUsize::new(4),
        ..Processors::default()
    });
    // Of 64 rows each consumer takes 16.
    for number in 1..=4 {
        let (status, _) = admit_as(&mut domain, number, false, 0..1);
        assert_eq!(status, Status::Taken);
    }

    assert_eq!(admit_as(&mut domain, 5, false, 0..1), (Status::Limit, 4));
    assert_eq!(admit_as(&mut domain, 5, false, 0..0), (Status::Taken, 4));
    assert_eq!(admit_as(&mut domain, 4, false, 1..7), (Status::Taken, 10));
    let consumer = consumer(1);
    apply(&mut domain, ControlBody::Revoke { consumer });
    assert_eq!(admit_as(&mut domain, 5, true, 0..2), (Status::Taken, 11));
    assert_eq!(admit_as(&mut domain, 2, true, 3..5), (Status::Taken, 12));
    assert_eq!(admit_as(&mut domain, 1, false, 0..1), (Status::Limit, 12));

    let effect = publish(&mut domain, 1);

    // One of them is told the number alone, as all together exceed the bound of these tests.
    let told = told(&domain, &effect).into_iter().map(|told| told.0);
    assert_eq!(told.collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn a_consumer_whose_notice_would_exceed_its_bound_is_told_how_many_it_missed() {
    let mut domain = domain();
    admit(&mut domain, false, 0..1);

    let few = publish(&mut domain, 7);
    let more = publish(&mut domain, 8);
    let many = publish(&mut domain, 20);
    let again = publish(&mut domain, 7);

    assert_eq!(entries(&told(&domain, &few)), [(7, 7)]);
    assert_eq!(told(&domain, &more), [missed(7, 8)]);
    assert_eq!(many.status, None);
    assert_eq!((many.matched, many.deliveries), (0, 0));
    assert_eq!(told(&domain, &many), [missed(7, 20)]);
    assert_eq!(entries(&told(&domain, &again)), [(7, 7)]);
}

#[test]
fn the_largest_notices_give_way_when_a_batch_leads_to_too_many_bytes() {
    let mut domain = domain();
    // Three notices of five entries, one of them larger by its ids, are about 1,600 bytes.
    admit_as(&mut domain, 1, false, 0..1);
    admit_as(&mut domain, 2, false, 0..4);
    admit_as(&mut domain, 3, false, 0..1);

    let effect = publish(&mut domain, 5);
    let told = told(&domain, &effect);

    assert_eq!(effect.status, None);
    assert_eq!(told[1], missed(2, 5));
    assert_eq!(entries(&told).len(), 1, "two do not fit, one does");
    assert_eq!(told.iter().filter(|told| told.2 == 0).count(), 2);
    assert_eq!((effect.matched, effect.deliveries), (5, 5));
}

#[test]
fn the_largest_gives_way_whoever_comes_first() {
    for largest in [1, 2] {
        let mut domain = domain();
        for number in [1, 2] {
            let ids = if number == largest { 0..8 } else { 0..1 };
            admit_as(&mut domain, number, false, ids);
        }

        let effect = publish(&mut domain, 5);
        let told = told(&domain, &effect);

        assert_eq!(entries(&told), [(3 - largest, 5)]);
        assert!(told.contains(&missed(largest, 5)));
    }
}

#[test]
fn a_batch_that_has_no_room_for_anyone_tells_each_and_harms_not_the_next() {
    let mut domain = domain();
    for number in 1..=6 {
        admit_as(&mut domain, number, false, 0..1);
    }

    let effect = publish(&mut domain, 3);

    let each: Vec<_> = (1..=6).map(|number| missed(number, 3)).collect();
    assert_eq!(told(&domain, &effect), each);
    assert_eq!((effect.matched, effect.deliveries), (0, 0));
    for number in 2..=6 {
        let consumer = consumer(number);
        apply(&mut domain, ControlBody::Revoke { consumer });
    }
    let effect = publish(&mut domain, 3);
    assert_eq!(entries(&told(&domain, &effect)), [(1, 3)]);
}

#[test]
fn the_memory_of_drafts_is_kept_for_the_next_batch_up_to_the_bound() {
    let mut domain = domain();
    admit_as(&mut domain, 1, false, 0..1);
    publish(&mut domain, 1);
    let of_one = domain.drafts.kept();
    for number in 2..=15 {
        admit_as(&mut domain, number, false, 0..1);
    }

    publish(&mut domain, 1);
    let of_many = domain.drafts.kept();

    assert_eq!(of_one, 1);
    assert!((1..15).contains(&of_many), "{of_many}");
}

#[test]
fn a_suspended_consumer_takes_no_room_from_the_others() {
    let mut domain = domain();
    for number in 1..=3 {
        admit_as(&mut domain, number, false, 0..1);
    }
    domain.suspend(1, &consumer(1)).unwrap();
    domain.suspend(1, &consumer(3)).unwrap();

    let effect = publish(&mut domain, 7);

    assert_eq!(entries(&told(&domain, &effect)), [(2, 7)]);
    assert_eq!((effect.matched, effect.deliveries), (7, 7));
}

#[test]
fn heartbeats_without_room_for_all_publishers_list_them_in_turn_and_the_owner_always() {
    let mut domain = domain();
    for number in 1..=3 {
        admit_as(&mut domain, number, false, 0..1);
    }
    for number in 101..=105 {
        let register = ControlBody::Register {
            publisher: consumer(number),
            start: 1,
            floor: Origin::default(),
        };
        apply(&mut domain, register);
    }
    let owner = domain.publishers.owner_scope().party;

    let mut listed = Vec::new();
    for _ in 0..5 {
        let effect = apply(&mut domain, ControlBody::Tick);
        let told = told(&domain, &effect);
        let NoticeKind::Heartbeat { publishers } = &told[0].1 else {
            panic!("no heartbeat");
        };
        assert!(told.iter().all(|other| other.1 == told[0].1));
        assert_eq!(told.len(), 3);
        assert_eq!(publishers[0].publisher, owner);
        let bytes: usize = effect.notices.iter().map(|n| n.ciphertext.len()).sum();
        assert!(bytes <= NOTICES_BYTES_MAX);
        listed.extend(publishers[1..].iter().map(|p| p.publisher.as_bytes()[0]));
    }

    assert_eq!(listed, [101, 102, 103, 104, 105]);
}
