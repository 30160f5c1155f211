//! Consumers for whom the host can keep no more: what they miss is counted, and said under seal.

use sc_cbr::{ControlBody, NoticeKind, Status};
use sc_proto::cbr::{self, call::Call, refusal::Reason};

use crate::consumer::Consumer;
use crate::grantee::Grantee;
use crate::owner::{Enclave, LEASE_MS, Session, identity, resume, suspend};

const IBM: &str = "i symbol \"IBM\"";
const WANTS_IBM: [(u64, &str); 2] = [(1, "i symbol = \"IBM\""), (2, "i symbol exists")];

struct World {
    enclave: Enclave,
    session: Session,
    alice: Consumer,
    bob: Consumer,
}

impl World {
    /// Two consumers that want IBM, of whom alice is suspended.
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let (alice, bob) = (Consumer::new(1), Consumer::new(2));
        session.admit(&mut enclave, &alice, &WANTS_IBM);
        session.admit(&mut enclave, &bob, &WANTS_IBM);
        enclave.suspend(&session.scope, &alice);
        Self {
            enclave,
            session,
            alice,
            bob,
        }
    }

    fn tell(&mut self, body: ControlBody) -> Vec<cbr::Notice> {
        self.session.tell(&mut self.enclave, body).1
    }

    fn publish(&mut self, publications: &[&str]) -> (sc_cbr::Receipt, Vec<cbr::Notice>) {
        let (receipt, notices, _) = self.session.publish(&mut self.enclave, publications);
        (receipt, notices)
    }

    /// Alice's counters and kinds among `notices`.
    fn of_alice(&self, notices: &[cbr::Notice]) -> Vec<(u64, NoticeKind)> {
        let key = self.alice.key.as_bytes();
        let hers = notices
            .iter()
            .filter(|notice| notice.consumer[..] == key[..]);
        hers.map(|notice| {
            let opened = self.alice.open(&self.session.scope, notice);
            (notice.counter, opened.kind)
        })
        .collect()
    }

    fn resume(&mut self) -> (u64, NoticeKind) {
        let notice = self.enclave.resume(&self.session.scope, &self.alice);
        self.of_alice(&[notice]).remove(0)
    }
}

fn missed(batches: u64, publications: u64) -> NoticeKind {
    NoticeKind::Missed {
        batches,
        publications,
    }
}

#[test]
fn a_consumer_is_told_that_it_is_suspended_by_its_next_notice() {
    let mut world = World::new();
    world.enclave.resume(&world.session.scope, &world.alice);

    let notice = world.enclave.suspend(&world.session.scope, &world.alice);

    assert_eq!(world.of_alice(&[notice]), [(3, NoticeKind::Suspended)]);
}

#[test]
fn a_suspended_consumer_gets_neither_matches_nor_heartbeats_and_others_get_theirs() {
    let mut world = World::new();

    let (receipt, matches) = world.publish(&[IBM]);
    let heartbeats = world.tell(ControlBody::Tick);

    for notices in [&matches, &heartbeats] {
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].consumer[..], world.bob.key.as_bytes()[..]);
    }
    // Two pairs, those of bob: what is not noted is not counted.
    assert_eq!((receipt.matched, receipt.deliveries), (1, 2));
}

#[test]
fn a_resumed_consumer_is_told_what_it_missed_and_goes_on_without_a_gap() {
    let mut world = World::new();
    world.publish(&[IBM, "i volume 1", IBM]);
    world.publish(&["i volume 1"]);
    world.publish(&["i symbol \"GE\""]);

    let resumed = world.resume();
    let (_, notices) = world.publish(&[IBM]);

    assert_eq!(resumed, (2, missed(2, 3)));
    let [(3, NoticeKind::Matches { .. })] = world.of_alice(&notices)[..] else {
        panic!("its notices do not go on");
    };
}

#[test]
fn what_is_counted_begins_anew_with_each_suspension() {
    let mut world = World::new();
    world.publish(&[IBM]);
    world.resume();
    world.enclave.suspend(&world.session.scope, &world.alice);

    assert_eq!(world.resume(), (4, missed(0, 0)));
}

#[test]
fn batches_of_every_publisher_are_counted_and_malformed_ones_are_not() {
    let mut world = World::new();
    let mut grantee = Grantee::registered(&mut world.enclave, &mut world.session, 1, 1);
    world.publish(&[IBM]);
    grantee.publish(&mut world.enclave, &[IBM, IBM]);
    let publications = [IBM, IBM].map(crate::owner::publication);
    let (mut bytes, _) = world.session.batch_bytes(&publications);
    let second_header = bytes.len() - 2 * 32 - 6;
    bytes[second_header] = 0xff;
    let sealed = world.session.seal(sc_cbr::MessageKind::Batch, &bytes);
    world.enclave.outcome(Call::Batch(sealed));

    assert_eq!(world.resume(), (2, missed(2, 3)));
}

#[test]
fn neither_admission_nor_renewal_nor_withdrawal_resumes() {
    let mut world = World::new();
    let consumer = world.alice.key;
    world.tell(world.alice.admission(true, &WANTS_IBM));
    world.tell(ControlBody::Renew {
        consumer,
        lease_until_ms: LEASE_MS + 5,
    });
    let ids = vec![2];
    world.tell(ControlBody::Withdraw { consumer, ids });

    let (_, notices) = world.publish(&[IBM]);

    assert_eq!(world.of_alice(&notices), []);
    assert_eq!(world.resume(), (2, missed(1, 1)));
}

#[test]
fn a_suspended_consumer_is_told_at_once_that_its_lease_has_ended() {
    let mut world = World::new();
    world.publish(&[IBM]);
    world.session.now_ms = LEASE_MS + 1;

    let notices = world.tell(ControlBody::Tick);

    assert_eq!(world.of_alice(&notices), [(2, NoticeKind::Expired)]);
    world.publish(&[IBM]);
    assert_eq!(world.resume(), (3, missed(1, 1)));
}

#[test]
fn a_suspended_consumer_is_told_at_once_that_it_is_revoked() {
    let mut world = World::new();
    let consumer = world.alice.key;

    let notices = world.tell(ControlBody::Revoke { consumer });

    assert_eq!(world.of_alice(&notices), [(2, NoticeKind::Revoked)]);
    assert_eq!(world.resume(), (3, missed(0, 0)));
    let (_, notices) = world.publish(&[IBM]);
    assert_eq!(world.of_alice(&notices), []);
}

#[test]
fn an_expired_consumer_that_is_admitted_again_is_suspended_still() {
    let mut world = World::new();
    world.session.now_ms = LEASE_MS + 1;
    world.tell(ControlBody::Tick);
    let mut again = world.alice.admission(true, &WANTS_IBM);
    if let ControlBody::Admit { lease_until_ms, .. } = &mut again {
        *lease_until_ms = LEASE_MS + 100;
    }
    world.tell(again);

    let (_, notices) = world.publish(&[IBM]);

    assert_eq!(world.of_alice(&notices), []);
    assert_eq!(world.resume(), (3, missed(1, 1)));
}

#[test]
fn suspending_twice_and_resuming_twice_are_refused_and_use_no_counter_up() {
    let mut world = World::new();
    let scope = world.session.scope;
    world.publish(&[IBM]);

    let again = world.enclave.refusal(suspend(&scope, &world.alice));
    let resumed = world.resume();
    let again_resumed = world.enclave.refusal(resume(&scope, &world.alice));
    let (_, notices) = world.publish(&[IBM]);

    assert_eq!(again, (Reason::Consumer, 0));
    assert_eq!(resumed, (2, missed(1, 1)));
    assert_eq!(again_resumed, (Reason::Consumer, 0));
    assert_eq!(world.of_alice(&notices)[0].0, 3);
}

#[test]
fn who_is_unknown_here_is_neither_suspended_nor_resumed() {
    let mut world = World::new();
    let mut other = Session::open(&mut world.enclave, &identity(2), 1);
    let stranger = Consumer::new(3);
    let scope = world.session.scope;
    let later = sc_cbr::Scope {
        session: 2,
        ..scope
    };
    let nowhere = sc_cbr::Scope {
        domain: identity(3).public().domain_id(),
        ..scope
    };
    for call in [suspend, resume] {
        let mut refused = |scope, consumer| world.enclave.refusal(call(scope, consumer)).0;
        assert_eq!(refused(&scope, &stranger), Reason::Consumer);
        assert_eq!(refused(&other.scope, &world.alice), Reason::Consumer);
        assert_eq!(refused(&later, &world.alice), Reason::Session);
        assert_eq!(refused(&nowhere, &world.alice), Reason::Session);
    }
    // The same consumer in another's domain is another: it is admitted there, and gets what is its.
    other.admit(&mut world.enclave, &world.alice, &WANTS_IBM);
    assert_eq!(other.publish(&mut world.enclave, &[IBM]).1.len(), 1);
}

#[test]
fn a_name_of_another_length_is_malformed() {
    let mut world = World::new();
    let good = cbr::Suspend {
        domain: bytes::Bytes::copy_from_slice(world.session.scope.domain.as_bytes()),
        session: 1,
        consumer: bytes::Bytes::copy_from_slice(world.bob.key.as_bytes()),
    };
    let bad = [
        cbr::Suspend {
            domain: good.domain.slice(1..),
            ..good.clone()
        },
        cbr::Suspend {
            consumer: good.consumer.slice(1..),
            ..good
        },
    ];

    for suspend in bad {
        let refused = world.enclave.refusal(Call::Suspend(suspend.clone()));
        assert_eq!(refused.0, Reason::Malformed);
        let cbr::Suspend {
            domain,
            session,
            consumer,
        } = suspend;
        let resume = cbr::Resume {
            domain,
            session,
            consumer,
        };
        assert_eq!(
            world.enclave.refusal(Call::Resume(resume)).0,
            Reason::Malformed
        );
    }
}

#[test]
fn a_suspension_ends_with_its_session() {
    let mut world = World::new();
    world.session = Session::open(&mut world.enclave, &identity(1), 2);
    let receipt = world
        .session
        .admit(&mut world.enclave, &world.alice, &WANTS_IBM);
    assert_eq!(receipt.status, Status::Taken);

    let (_, notices) = world.publish(&[IBM]);

    let [(1, NoticeKind::Matches { .. })] = world.of_alice(&notices)[..] else {
        panic!("it is suspended still");
    };
}
