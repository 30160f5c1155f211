//! Consumers over time: admission, leases, withdrawal, revocation, heartbeats.

use sc_cbr::{ControlBody, NoticeKind, SlowPolicy, Status};
use sc_proto::cbr::{self, call::Call, reply::Reply};

use crate::consumer::Consumer;
use crate::owner::{Enclave, LEASE_MS, OPENED_MS, Session, identity, subscription};

const IBM: &str = "i symbol \"IBM\"";
const WANTS_IBM: &str = "i symbol = \"IBM\"";

struct World {
    enclave: Enclave,
    session: Session,
    alice: Consumer,
    bob: Consumer,
}

impl World {
    /// One session, and two consumers that both want IBM.
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let (alice, bob) = (Consumer::new(1), Consumer::new(2));
        session.admit(&mut enclave, &alice, &[(1, WANTS_IBM)]);
        session.admit(&mut enclave, &bob, &[(1, WANTS_IBM)]);
        Self {
            enclave,
            session,
            alice,
            bob,
        }
    }

    fn tell(&mut self, body: ControlBody) -> (Status, Vec<cbr::Notice>) {
        let (receipt, notices) = self.session.tell(&mut self.enclave, body);
        (receipt.status, notices)
    }

    /// The consumers that a publication of IBM reaches.
    fn reached(&mut self) -> Vec<Vec<u8>> {
        let (_, notices, _) = self.session.publish(&mut self.enclave, &[IBM]);
        notices
            .iter()
            .map(|notice| notice.consumer.to_vec())
            .collect()
    }

    fn key(consumer: &Consumer) -> Vec<u8> {
        consumer.key.as_bytes().to_vec()
    }

    fn kinds(&self, consumer: &Consumer, notices: &[cbr::Notice]) -> Vec<NoticeKind> {
        notices
            .iter()
            .filter(|notice| notice.consumer[..] == consumer.key.as_bytes()[..])
            .map(|notice| consumer.open(&self.session.scope, notice).kind)
            .collect()
    }
}

#[test]
fn a_lease_lives_to_its_last_millisecond_and_ends_with_a_sealed_notice() {
    let mut world = World::new();
    world.session.now_ms = LEASE_MS;
    let (status, notices) = world.tell(ControlBody::Tick);
    assert_eq!(status, Status::Taken);
    assert!(
        !world
            .kinds(&world.alice, &notices)
            .contains(&NoticeKind::Expired)
    );
    assert_eq!(world.reached().len(), 2);

    world.session.now_ms = LEASE_MS + 1;
    let (_, notices) = world.tell(ControlBody::Tick);

    assert_eq!(world.kinds(&world.alice, &notices), [NoticeKind::Expired]);
    assert_eq!(world.kinds(&world.bob, &notices), [NoticeKind::Expired]);
    assert!(world.reached().is_empty());
}

#[test]
fn the_time_of_a_batch_ends_leases_too_and_the_batch_finds_them_gone() {
    let mut world = World::new();
    world.session.now_ms = LEASE_MS + 1;

    let (receipt, notices, _) = world.session.publish(&mut world.enclave, &[IBM]);

    assert_eq!((receipt.status, receipt.matched), (Status::Taken, 0));
    assert_eq!(world.kinds(&world.alice, &notices), [NoticeKind::Expired]);
}

#[test]
fn time_never_goes_back() {
    let mut world = World::new();
    world.session.now_ms = LEASE_MS - 1;
    world.tell(ControlBody::Tick);
    world.session.now_ms = OPENED_MS - 500;

    let (_, notices, _) = world.session.publish(&mut world.enclave, &[IBM]);

    let opened = world.alice.open(&world.session.scope, &notices[0]);
    assert_eq!(opened.time_ms, LEASE_MS - 1);
}

#[test]
fn a_renewed_lease_lives_to_its_new_end() {
    let mut world = World::new();
    let consumer = world.alice.key;
    let renewal = |lease_until_ms| ControlBody::Renew {
        consumer,
        lease_until_ms,
    };
    assert_eq!(world.tell(renewal(LEASE_MS + 10)).0, Status::Taken);

    world.session.now_ms = LEASE_MS + 10;
    world.tell(ControlBody::Tick);
    assert_eq!(world.reached(), [World::key(&world.alice)]);
    world.session.now_ms = LEASE_MS + 11;
    world.tell(ControlBody::Tick);

    assert!(world.reached().is_empty());
}

#[test]
fn an_owner_may_shorten_a_lease() {
    let mut world = World::new();
    let consumer = world.alice.key;
    world.tell(ControlBody::Renew {
        consumer,
        lease_until_ms: OPENED_MS + 5,
    });

    world.session.now_ms = OPENED_MS + 6;
    world.tell(ControlBody::Tick);

    assert_eq!(world.reached(), [World::key(&world.bob)]);
}

#[test]
fn a_lease_that_has_ended_is_not_renewed_but_admitted_again() {
    let mut world = World::new();
    world.session.now_ms = LEASE_MS + 1;
    world.tell(ControlBody::Tick);
    let consumer = world.alice.key;

    let (status, _) = world.tell(ControlBody::Renew {
        consumer,
        lease_until_ms: LEASE_MS + 100,
    });
    assert_eq!(status, Status::UnknownConsumer);
    assert!(world.reached().is_empty());

    let again = ControlBody::Admit {
        retention_ms: 0,
        consumer,
        delivery_key: world.alice.delivery_key(),
        lease_until_ms: LEASE_MS + 100,
        slow: SlowPolicy::Block,
        replace: true,
        subscriptions: vec![(1, subscription(WANTS_IBM))],
    };
    assert_eq!(world.tell(again).0, Status::Taken);
    assert_eq!(world.reached(), [World::key(&world.alice)]);
}

#[test]
fn a_revoked_consumer_is_told_so_and_gets_nothing_more() {
    let mut world = World::new();
    let consumer = world.alice.key;

    let (status, notices) = world.tell(ControlBody::Revoke { consumer });

    assert_eq!(status, Status::Taken);
    assert_eq!(world.kinds(&world.alice, &notices), [NoticeKind::Revoked]);
    assert_eq!(world.kinds(&world.bob, &notices), []);
    assert_eq!(world.reached(), [World::key(&world.bob)]);
    // Neither heartbeats nor the end of a lease come after it.
    world.tell(ControlBody::Tick);
    let (_, notices) = world.tell(ControlBody::Tick);
    assert_eq!(world.kinds(&world.alice, &notices), []);
    world.session.now_ms = LEASE_MS + 1;
    let (_, notices) = world.tell(ControlBody::Tick);
    assert_eq!(world.kinds(&world.alice, &notices), []);
}

#[test]
fn renewal_does_not_bring_a_revoked_consumer_back() {
    let mut world = World::new();
    let consumer = world.alice.key;
    world.tell(ControlBody::Revoke { consumer });

    let (status, _) = world.tell(ControlBody::Renew {
        consumer,
        lease_until_ms: LEASE_MS + 100,
    });

    assert_eq!(status, Status::UnknownConsumer);
    assert_eq!(world.reached(), [World::key(&world.bob)]);
}

#[test]
fn withdrawn_subscriptions_match_no_more_and_unknown_ids_are_passed_over() {
    let mut world = World::new();
    let consumer = world.alice.key;
    world.tell(world.alice.admission(false, &[(2, "i symbol exists")]));

    let ids = vec![1, 99];
    assert_eq!(
        world.tell(ControlBody::Withdraw { consumer, ids }).0,
        Status::Taken
    );
    let (_, notices, _) = world.session.publish(&mut world.enclave, &[IBM]);
    let opened = world.alice.open(&world.session.scope, &notices[0]);
    assert_eq!(opened.matches(), [(0, &[2][..])]);

    let ids = vec![2];
    world.tell(ControlBody::Withdraw { consumer, ids });
    assert_eq!(world.reached(), [World::key(&world.bob)]);
}

#[test]
fn a_consumer_that_was_never_admitted_is_unknown() {
    let mut world = World::new();
    let consumer = Consumer::new(99).key;
    for body in [
        ControlBody::Renew {
            consumer,
            lease_until_ms: LEASE_MS,
        },
        ControlBody::Revoke { consumer },
        ControlBody::Withdraw {
            consumer,
            ids: vec![1],
        },
    ] {
        let (status, notices) = world.tell(body);
        assert_eq!(status, Status::UnknownConsumer);
        assert_eq!(notices, []);
    }
}

#[test]
fn replacing_drops_what_was_there_and_adding_keeps_it() {
    let mut world = World::new();
    let matched = |world: &mut World| {
        let (_, notices, _) = world.session.publish(&mut world.enclave, &[IBM]);
        let opened = world.alice.open(&world.session.scope, &notices[0]);
        opened.entries[0].1.clone()
    };

    world.tell(world.alice.admission(false, &[(2, WANTS_IBM)]));
    assert_eq!(matched(&mut world), [1, 2]);
    world.tell(world.alice.admission(true, &[(3, WANTS_IBM)]));
    assert_eq!(matched(&mut world), [3]);
}

#[test]
fn an_id_given_again_replaces_its_subscription_and_no_other_consumers() {
    let mut world = World::new();
    world.tell(world.alice.admission(false, &[(1, "i symbol = \"GE\"")]));

    assert_eq!(world.reached(), [World::key(&world.bob)]);
    let (_, notices, _) = world
        .session
        .publish(&mut world.enclave, &["i symbol \"GE\""]);
    assert_eq!(notices[0].consumer[..], world.alice.key.as_bytes()[..]);
}

#[test]
fn a_second_delivery_key_for_one_consumer_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let admission = ControlBody::Admit {
        retention_ms: 0,
        consumer: world.alice.key,
        delivery_key: world.bob.delivery_key(),
        lease_until_ms: LEASE_MS,
        slow: SlowPolicy::Block,
        replace: true,
        subscriptions: vec![],
    };

    assert_eq!(world.tell(admission).0, Status::Malformed);

    assert_eq!(world.reached().len(), 2);
}

#[test]
fn an_admission_tells_the_host_whom_to_serve_and_how() {
    let mut world = World::new();
    let admission = ControlBody::Admit {
        retention_ms: 0,
        consumer: world.alice.key,
        delivery_key: world.alice.delivery_key(),
        lease_until_ms: LEASE_MS,
        slow: SlowPolicy::Disconnect,
        replace: false,
        subscriptions: vec![],
    };

    let call = world.session.control(admission);
    let admitted = world.enclave.outcome(call).admitted.unwrap();

    assert_eq!(admitted.consumer[..], world.alice.key.as_bytes()[..]);
    assert_eq!(admitted.slow(), cbr::SlowPolicy::Disconnect);
}

#[test]
fn every_tick_gives_a_heartbeat_to_each_that_has_subscriptions_and_to_nobody_else() {
    let mut world = World::new();
    let idle = Consumer::new(3);
    world.tell(idle.admission(false, &[]));
    world.reached();

    for _ in 0..2 {
        let (_, notices) = world.tell(ControlBody::Tick);

        assert_eq!(notices.len(), 2);
        for consumer in [&world.alice, &world.bob] {
            let kinds = world.kinds(consumer, &notices);
            assert!(matches!(&kinds[..], [NoticeKind::Heartbeat { .. }]));
        }
    }
}

#[test]
fn one_owner_cannot_reach_the_consumers_of_another() {
    let mut world = World::new();
    let mut other = Session::open(&mut world.enclave, &identity(2), 9);
    let consumer = world.alice.key;
    let ids = vec![1];
    for body in [
        ControlBody::Revoke { consumer },
        ControlBody::Withdraw { consumer, ids },
        world.alice.admission(true, &[]),
    ] {
        other.tell(&mut world.enclave, body);
    }
    other.now_ms = LEASE_MS + 1;
    let (_, expired) = other.tell(&mut world.enclave, ControlBody::Tick);

    assert_eq!(world.reached().len(), 2);
    // What the other owner's session made for this consumer does not open in ours.
    assert_eq!(expired.len(), 1);
    assert_eq!(
        world.alice.try_open(&world.session.scope, &expired[0]),
        None
    );
    let closed = cbr::Close {
        domain: bytes::Bytes::copy_from_slice(other.scope.domain.as_bytes()),
        session: other.scope.session,
    };
    assert!(matches!(
        world.enclave.call(Call::Close(closed)),
        Reply::Closed(_)
    ));
    assert_eq!(world.reached().len(), 2);
}
