//! Heartbeats, and how far they say that each publisher has come.

use sc_cbr::{ControlBody, Coverage, NoticeKind, Origin, Status};
use sc_proto::cbr::{self, call::Call};

use crate::consumer::Consumer;
use crate::grantee::{Grantee, key, registration};
use crate::owner::{Enclave, Entropy, OPENED_MS, Session, Wish, domain_secrets, identity};

fn origin(start: u64, number: u64) -> Origin {
    Origin { start, number }
}

struct World {
    enclave: Enclave,
    session: Session,
    alice: Consumer,
}

impl World {
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let alice = Consumer::new(1);
        session.admit(&mut enclave, &alice, &[(1, "i a = 1")]);
        Self {
            enclave,
            session,
            alice,
        }
    }

    fn register(&mut self, number: u64, start: u64, floor: Origin) -> Grantee {
        let body = registration(key(number), start, floor);
        let (receipt, _) = self.session.tell(&mut self.enclave, body);
        assert_eq!(receipt.status, Status::Taken);
        Grantee::new(&self.session, number, start)
    }

    /// Sends a batch of this origin that nobody wants.
    fn publish(&mut self, grantee: &mut Grantee, origin: Origin) {
        let (batch, _) = grantee.batch_of(origin, &["i nobody 1"]);
        self.enclave.outcome(Call::Batch(batch));
    }

    /// What a tick tells the consumer: for each publisher its floor and how far it was taken.
    fn heartbeat(&mut self) -> Vec<Coverage> {
        let (_, notices) = self.session.tell(&mut self.enclave, ControlBody::Tick);
        match &notices[..] {
            [notice] => self.read(notice),
            other => panic!("{} notices", other.len()),
        }
    }

    fn read(&self, notice: &cbr::Notice) -> Vec<Coverage> {
        match self.alice.open(&self.session.scope, notice).kind {
            NoticeKind::Heartbeat { publishers } => publishers,
            other => panic!("no heartbeat: {other:?}"),
        }
    }

    fn owner(&self, number: u64) -> Coverage {
        Coverage {
            publisher: self.session.scope.party,
            floor: origin(0, 0),
            taken: origin(if number == 0 { 0 } else { 1 }, number),
        }
    }
}

#[test]
fn a_heartbeat_lists_the_owner_although_nothing_was_published() {
    let mut world = World::new();

    let listed = world.heartbeat();

    assert_eq!(listed, [world.owner(0)]);
}

#[test]
fn the_owner_has_come_as_far_as_its_last_batch_whether_it_matched_or_not() {
    let mut world = World::new();

    world.session.publish(&mut world.enclave, &["i nobody 1"]);
    assert_eq!(world.heartbeat(), [world.owner(1)]);
    world.session.publish(&mut world.enclave, &["i a 1"]);
    assert_eq!(world.heartbeat(), [world.owner(2)]);
}

#[test]
fn the_owners_floor_is_the_one_that_it_provisioned() {
    let owner = identity(1);
    let mut entropy = Entropy::new(4);
    let wish = Wish::session(1);
    let secrets = sc_cbr::DomainSecrets {
        floor: origin(6, 7),
        ..domain_secrets(&owner, &wish, &mut entropy)
    };
    let mut enclave = Enclave::new();
    let session = Session::provision(&mut enclave, &owner, secrets, &mut entropy).unwrap();
    let mut world = World {
        enclave,
        session,
        alice: Consumer::new(1),
    };
    world
        .session
        .admit(&mut world.enclave, &world.alice, &[(1, "i a = 1")]);

    let before = world.heartbeat();
    world.session.publish(&mut world.enclave, &["i nobody 1"]);
    let after = world.heartbeat();

    assert_eq!(
        (before[0].floor, before[0].taken),
        (origin(6, 7), origin(6, 7))
    );
    // A batch from before the floor does not lead back.
    assert_eq!(after, before);
}

#[test]
fn a_registered_publisher_begins_at_its_floor_and_goes_on_with_its_batches() {
    let mut world = World::new();
    let mut grantee = world.register(1, 3, origin(2, u64::MAX));
    let at = |taken| Coverage {
        publisher: key(1),
        floor: origin(2, u64::MAX),
        taken,
    };

    assert_eq!(world.heartbeat(), [world.owner(0), at(origin(2, u64::MAX))]);
    world.publish(&mut grantee, origin(3, 1));
    world.publish(&mut grantee, origin(3, 2));
    assert_eq!(world.heartbeat()[1], at(origin(3, 2)));
    // What is sealed anew under its old origin never leads back.
    world.publish(&mut grantee, origin(1, 9));
    assert_eq!(world.heartbeat()[1], at(origin(3, 2)));
}

#[test]
fn a_batch_that_is_malformed_was_not_taken() {
    let mut world = World::new();
    let mut grantee = world.register(1, 1, origin(0, 0));
    let (mut bytes, _) = world
        .session
        .batch_bytes(&[crate::owner::publication("i a 1")]);
    let hash_from = bytes.len() - 32;
    bytes.truncate(hash_from);

    let sealed = grantee.seal(&bytes);
    let outcome = world.enclave.outcome(Call::Batch(sealed));

    assert_eq!(grantee.receipt(1, &outcome).status, Status::Malformed);
    assert_eq!(world.heartbeat()[1].taken, origin(0, 0));
}

#[test]
fn a_dismissed_publisher_stays_listed_until_the_session_ends() {
    let mut world = World::new();
    let mut grantee = world.register(1, 1, origin(0, 0));
    world.publish(&mut grantee, origin(1, 5));
    let publisher = key(1);
    world
        .session
        .tell(&mut world.enclave, ControlBody::Dismiss { publisher });

    assert_eq!(world.heartbeat()[1].taken, origin(1, 5));

    world.session = Session::open(&mut world.enclave, &identity(1), 2);
    world
        .session
        .admit(&mut world.enclave, &world.alice, &[(1, "i a = 1")]);
    assert_eq!(world.heartbeat(), [world.owner(0)]);
}

#[test]
fn a_later_start_of_a_publisher_takes_nothing_back() {
    let mut world = World::new();
    let mut grantee = world.register(1, 1, origin(0, 3));
    world.publish(&mut grantee, origin(1, 5));
    let listed = |world: &mut World| {
        let listed = world.heartbeat();
        assert_eq!(listed.len(), 2);
        (listed[1].floor, listed[1].taken)
    };

    world.register(1, 2, origin(1, 2));
    assert_eq!(listed(&mut world), (origin(1, 2), origin(1, 5)));
    world.register(1, 3, origin(1, 1));
    assert_eq!(listed(&mut world), (origin(1, 2), origin(1, 5)));
    world.register(1, 4, origin(1, u64::MAX));
    let all = origin(1, u64::MAX);
    assert_eq!(listed(&mut world), (all, all));
}

#[test]
fn a_registered_publishers_batches_do_not_show_in_the_time_of_a_heartbeat() {
    let mut world = World::new();
    let mut grantee = world.register(1, 1, origin(0, 0));
    grantee.now_ms = u64::MAX;
    world.publish(&mut grantee, origin(1, 1));

    let (_, notices) = world.session.tell(&mut world.enclave, ControlBody::Tick);

    let opened = world.alice.open(&world.session.scope, &notices[0]);
    assert_eq!(opened.time_ms, OPENED_MS);
}
