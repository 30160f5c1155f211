//! Publishers besides the owner: registered by it, each with a sequence of its own, batches and nothing else.

use sc_cbr::{ControlBody, MessageKind, NoticeKind, Origin, PUBLISHERS_MAX, Status};
use sc_proto::cbr::{self, call::Call, refusal::Reason};

use crate::consumer::Consumer;
use crate::grantee::{Grantee, key, registration};
use crate::owner::{Enclave, LEASE_MS, OPENED_MS, Session, flipped, identity, payload, resized};

const IBM: &str = "i symbol \"IBM\"";

/// A session with one consumer of everything, and one publisher besides the owner.
struct World {
    enclave: Enclave,
    session: Session,
    alice: Consumer,
    grantee: Grantee,
}

impl World {
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let alice = Consumer::new(1);
        session.admit(&mut enclave, &alice, &[(7, "i symbol exists")]);
        let grantee = Grantee::registered(&mut enclave, &mut session, 1, 1);
        Self {
            enclave,
            session,
            alice,
            grantee,
        }
    }

    fn tell(&mut self, body: ControlBody) -> Status {
        self.session.tell(&mut self.enclave, body).0.status
    }

    fn register(&mut self, number: u64, start: u64) -> Status {
        self.tell(registration(key(number), start, Origin::default()))
    }

    fn dismiss(&mut self, number: u64) -> Status {
        let publisher = key(number);
        self.tell(ControlBody::Dismiss { publisher })
    }

    fn refusal(&mut self, batch: cbr::Sealed) -> (Reason, u64) {
        self.enclave.refusal(Call::Batch(batch))
    }

    /// Whether the grantee's next batch is taken.
    fn publishes(&mut self) -> bool {
        let (receipt, notices, _) = self.grantee.publish(&mut self.enclave, &[IBM]);
        receipt.status == Status::Taken && notices.len() == 1
    }
}

#[test]
fn a_registered_publishers_batch_reaches_consumers_under_its_own_name_and_keys() {
    let mut world = World::new();

    let (receipt, notices, payloads) = world.grantee.publish(&mut world.enclave, &[IBM]);

    assert_eq!((receipt.matched, receipt.deliveries), (1, 1));
    let opened = world.alice.open(&world.session.scope, &notices[0]);
    let kind = NoticeKind::Matches {
        publisher: key(1),
        start: 1,
        counter: 1,
        origin: Origin {
            start: 1,
            number: 1,
        },
    };
    assert_eq!(opened.kind, kind);
    let scope = world.grantee.scope;
    assert_eq!(opened.payload(&scope, 0, &payloads), Some(payload(1, 0)));
    assert_eq!(opened.payload(&world.session.scope, 0, &payloads), None);
}

#[test]
fn the_host_is_told_whose_batches_to_take_and_whose_no_more() {
    let mut world = World::new();
    let publisher = key(2);
    let mut registered = |body| {
        let call = world.session.control(body);
        let told = world.enclave.outcome(call).registered;
        told.map(|told| (told.publisher.to_vec(), told.start))
    };

    let opened = registered(registration(publisher, 5, Origin::default()));
    let refused = registered(registration(publisher, 5, Origin::default()));
    let closed = registered(ControlBody::Dismiss { publisher });
    let ticked = registered(ControlBody::Tick);

    let name = publisher.as_bytes().to_vec();
    assert_eq!(opened, Some((name.clone(), 5)));
    assert_eq!(refused, None);
    assert_eq!(closed, Some((name, 0)));
    assert_eq!(ticked, None);
}

#[test]
fn each_publisher_has_a_counter_of_its_own() {
    let mut world = World::new();
    let mut other = Grantee::registered(&mut world.enclave, &mut world.session, 2, 9);

    // Those of one may be late, and refused, and nobody else waits for them.
    let (first, _) = world.grantee.batch(&[IBM]);
    let (second, _) = world.grantee.batch(&[IBM]);
    assert_eq!(world.refusal(second.clone()), (Reason::Counter, 1));
    assert_eq!(other.publish(&mut world.enclave, &[IBM]).0.counter, 1);
    world.session.publish(&mut world.enclave, &[IBM]);
    assert_eq!(other.publish(&mut world.enclave, &[IBM]).0.counter, 2);
    world.enclave.outcome(Call::Batch(first));
    world.enclave.outcome(Call::Batch(second));
    assert_eq!(other.publish(&mut world.enclave, &[IBM]).0.counter, 3);
}

#[test]
fn a_replay_and_every_change_of_a_batch_are_refused_and_leave_the_counter() {
    let mut world = World::new();
    let (batch, _) = world.grantee.batch(&[IBM]);

    for changed in flipped(&batch.ciphertext).chain(resized(&batch.ciphertext)) {
        let forged = cbr::Sealed {
            ciphertext: changed.into(),
            ..batch.clone()
        };
        assert_eq!(world.refusal(forged), (Reason::NotAuthentic, 0));
    }
    world.enclave.outcome(Call::Batch(batch.clone()));

    assert_eq!(world.refusal(batch), (Reason::Counter, 2));
}

#[test]
fn a_batch_moved_to_another_publisher_start_session_or_domain_is_refused() {
    let mut world = World::new();
    let _other = Grantee::registered(&mut world.enclave, &mut world.session, 2, 1);
    let mut theirs = Session::open(&mut world.enclave, &identity(2), 1);
    // The same publisher, at the same start, in the domain of another.
    let _there = Grantee::registered(&mut world.enclave, &mut theirs, 1, 1);
    let (batch, _) = world.grantee.batch(&[IBM]);
    let name = |key: sc_crypto::VerifyingKey| bytes::Bytes::copy_from_slice(key.as_bytes());
    let owner = name(world.session.scope.party);
    let elsewhere = bytes::Bytes::copy_from_slice(theirs.scope.domain.as_bytes());
    let moved = |change: &dyn Fn(&mut cbr::Sealed)| {
        let mut moved = batch.clone();
        change(&mut moved);
        moved
    };

    let refused = [
        moved(&|moved| moved.publisher = name(key(2))),
        moved(&|moved| moved.publisher = name(key(3))),
        moved(&|moved| moved.publisher = moved.publisher.slice(..31)),
        moved(&|moved| moved.start = 2),
        moved(&|moved| moved.start = 0),
        moved(&|moved| moved.session = 2),
        moved(&|moved| moved.domain = elsewhere.clone()),
    ]
    .map(|batch| world.refusal(batch).0);
    world.session.next_counter = 3;
    let as_owner = moved(&|moved| {
        moved.publisher = owner.clone();
        moved.counter = 4;
    });

    assert_eq!(
        refused,
        [
            Reason::NotAuthentic,
            Reason::Session,
            Reason::Session,
            Reason::Session,
            Reason::Session,
            Reason::Session,
            Reason::NotAuthentic,
        ]
    );
    assert_eq!(world.refusal(as_owner).0, Reason::NotAuthentic);
    world.enclave.outcome(Call::Batch(batch));
}

#[test]
fn what_one_publisher_sealed_does_not_pass_as_anothers() {
    let mut world = World::new();
    let mut other = Grantee::registered(&mut world.enclave, &mut world.session, 2, 1);
    let (theirs, _) = other.batch(&[IBM]);
    let forged = cbr::Sealed {
        ciphertext: theirs.ciphertext,
        ..world.grantee.batch(&[IBM]).0
    };

    assert_eq!(world.refusal(forged).0, Reason::NotAuthentic);
}

#[test]
fn a_publisher_cannot_give_orders() {
    let mut world = World::new();
    let tick = sc_cbr::Control {
        time_ms: LEASE_MS + 1,
        body: ControlBody::Tick,
    }
    .encode();
    let sealed = world.grantee.seal(&tick);

    // Neither as a control message of its own, nor as a batch, nor under the owner's name.
    let as_control = world.enclave.refusal(Call::Control(sealed.clone()));
    let as_owner = cbr::Sealed {
        publisher: bytes::Bytes::copy_from_slice(world.session.scope.party.as_bytes()),
        counter: world.session.next_counter,
        ..sealed.clone()
    };
    let under_its_name = world.enclave.refusal(Call::Control(as_owner));
    let outcome = world.enclave.outcome(Call::Batch(sealed));

    assert_eq!(as_control.0, Reason::Session);
    assert_eq!(under_its_name.0, Reason::NotAuthentic);
    assert_eq!(world.grantee.receipt(1, &outcome).status, Status::Malformed);
    assert_eq!(outcome.notices, []);
    assert!(world.publishes());
}

#[test]
fn the_clock_of_a_publisher_ends_no_lease_and_shows_in_no_notice() {
    let mut world = World::new();
    world.grantee.now_ms = LEASE_MS + 1;

    let (_, notices, _) = world.grantee.publish(&mut world.enclave, &[IBM]);

    let opened = world.alice.open(&world.session.scope, &notices[0]);
    assert!(matches!(opened.kind, NoticeKind::Matches { .. }));
    assert_eq!(opened.time_ms, OPENED_MS);
}

#[test]
fn nobody_publishes_before_it_is_registered() {
    let mut world = World::new();
    let mut stranger = Grantee::new(&world.session, 2, 1);
    let (batch, _) = stranger.batch(&[IBM]);

    assert_eq!(world.refusal(batch.clone()).0, Reason::Session);

    assert_eq!(world.register(2, 1), Status::Taken);
    world.enclave.outcome(Call::Batch(batch));
}

#[test]
fn a_later_start_begins_at_counter_one_and_closes_the_earlier() {
    let mut world = World::new();
    assert!(world.publishes());
    let (old, _) = world.grantee.batch(&[IBM]);

    let mut later = Grantee::registered(&mut world.enclave, &mut world.session, 1, 4);

    assert_eq!(world.refusal(old.clone()).0, Reason::Session);
    let renamed = cbr::Sealed { start: 4, ..old };
    assert_eq!(world.refusal(renamed.clone()), (Reason::Counter, 1));
    let recounted = cbr::Sealed {
        counter: 1,
        ..renamed
    };
    assert_eq!(world.refusal(recounted).0, Reason::NotAuthentic);
    let (receipt, ..) = later.publish(&mut world.enclave, &[IBM]);
    assert_eq!((receipt.counter, receipt.status), (1, Status::Taken));
}

#[test]
fn a_start_that_is_not_greater_is_refused_and_changes_nothing() {
    let mut world = World::new();
    assert!(world.publishes());

    assert_eq!(world.register(1, 1), Status::Malformed);
    assert_eq!(world.register(1, 0), Status::Malformed);
    assert_eq!(world.register(2, 0), Status::Malformed);

    assert!(world.publishes(), "its sequence goes on");
}

#[test]
fn a_dismissed_publisher_publishes_no_more_until_a_greater_start() {
    let mut world = World::new();
    assert!(world.publishes());
    let (late, _) = world.grantee.batch(&[IBM]);

    assert_eq!(world.dismiss(1), Status::Taken);

    assert_eq!(world.refusal(late.clone()).0, Reason::Session);
    // Its keys would come again with the start that it had.
    assert_eq!(world.register(1, 1), Status::Malformed);
    assert_eq!(world.refusal(late).0, Reason::Session);
    world.grantee = Grantee::registered(&mut world.enclave, &mut world.session, 1, 2);
    assert!(world.publishes());
}

#[test]
fn dismissing_harms_nobody_else_and_may_come_twice() {
    let mut world = World::new();
    let _other = Grantee::registered(&mut world.enclave, &mut world.session, 2, 1);

    assert_eq!(world.dismiss(2), Status::Taken);
    assert_eq!(world.dismiss(2), Status::Taken);
    assert_eq!(world.dismiss(3), Status::UnknownConsumer);

    assert!(world.publishes());
    assert_eq!(world.session.publish(&mut world.enclave, &[IBM]).1.len(), 1);
}

#[test]
fn the_owner_is_neither_registered_nor_dismissed() {
    let mut world = World::new();
    let publisher = world.session.scope.party;

    let registered = world.tell(registration(publisher, 99, Origin::default()));
    let dismissed = world.tell(ControlBody::Dismiss { publisher });

    assert_eq!(registered, Status::Malformed);
    assert_eq!(dismissed, Status::Malformed);
    assert_eq!(world.session.publish(&mut world.enclave, &[IBM]).1.len(), 1);
}

#[test]
fn no_more_publishers_are_registered_than_the_bound_and_dismissal_makes_no_room() {
    let mut world = World::new();
    for number in 2..=PUBLISHERS_MAX as u64 {
        assert_eq!(world.register(number, 1), Status::Taken);
    }

    assert_eq!(world.register(1000, 1), Status::Limit);
    assert_eq!(world.dismiss(2), Status::Taken);
    assert_eq!(world.register(1000, 1), Status::Limit);

    assert_eq!(world.register(2, 2), Status::Taken);
    let mut stranger = Grantee::new(&world.session, 1000, 1);
    let (batch, _) = stranger.batch(&[IBM]);
    assert_eq!(world.refusal(batch).0, Reason::Session);
    assert!(world.publishes());
}

#[test]
fn a_registration_ends_with_its_session() {
    let mut world = World::new();
    let (old, _) = world.grantee.batch(&[IBM]);

    world.session = Session::open(&mut world.enclave, &identity(1), 2);

    assert_eq!(world.refusal(old.clone()).0, Reason::Session);
    let renamed = cbr::Sealed { session: 2, ..old };
    assert_eq!(world.refusal(renamed.clone()).0, Reason::Session);
    // Registered again, at the same start: it is another session's, and so are the keys.
    assert_eq!(world.register(1, 1), Status::Taken);
    assert_eq!(world.refusal(renamed).0, Reason::NotAuthentic);
}

#[test]
fn receipts_of_a_publisher_open_for_it_alone() {
    let mut world = World::new();
    let other = Grantee::registered(&mut world.enclave, &mut world.session, 2, 1);
    let (batch, _) = world.grantee.batch(&[IBM]);
    let receipt = world.enclave.outcome(Call::Batch(batch)).receipt;
    let opens = |grantee: &Grantee, scope| {
        let mut bytes = receipt.to_vec();
        let receipts = &grantee.keys.receipt;
        receipts
            .open(scope, MessageKind::Receipt, 1, &mut bytes)
            .is_ok()
    };

    assert!(opens(&world.grantee, &world.grantee.scope));
    assert!(!opens(&other, &other.scope));
    assert!(!opens(&other, &world.grantee.scope));
}
