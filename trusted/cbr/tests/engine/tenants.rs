//! Many domains in one program: none reads, ends, suspends or replaces anything of another, whoever they share.

use sc_cbr::{ControlBody, Origin};
use sc_proto::cbr::{call::Call, refusal::Reason};

use crate::consumer::Consumer;
use crate::grantee::{Grantee, key, registration};
use crate::owner::{Enclave, LEASE_MS, Session, Wish, identity, resume, suspend};

const OWNERS: u8 = 6;

/// Six domains that share a consumer and a publisher, and nothing else.
struct World {
    enclave: Enclave,
    shared: Consumer,
    domains: Vec<(Session, Grantee)>,
}

impl World {
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let shared = Consumer::new(1);
        let domains = (1..=OWNERS).map(|owner| {
            let mut session = Session::open(&mut enclave, &identity(owner), 1);
            session.admit(&mut enclave, &shared, &[(u64::from(owner), "i a = 1")]);
            let grantee = Grantee::registered(&mut enclave, &mut session, 1, 1);
            (session, grantee)
        });
        let domains = domains.collect();
        Self {
            enclave,
            shared,
            domains,
        }
    }

    /// For each domain but the first: the ids that a batch of each of its publishers matches, and that its notices are its own.
    fn assert_others_untouched(&mut self) {
        let others = (2..).zip(self.domains.iter_mut().skip(1));
        for (owner, (session, grantee)) in others {
            let (_, of_owner, _) = session.publish(&mut self.enclave, &["i a 1"]);
            let (_, of_grantee, _) = grantee.publish(&mut self.enclave, &["i a 1"]);
            for notices in [of_owner, of_grantee] {
                let opened = self.shared.open(&session.scope, &notices[0]);
                assert_eq!(opened.matches(), [(0, &[owner][..])]);
            }
        }
    }
}

#[test]
fn whatever_an_owner_does_in_its_domain_the_others_go_on() {
    let mut world = World::new();
    let consumer = world.shared.key;
    let publisher = key(1);
    let (first, _) = &mut world.domains[0];
    first.now_ms = LEASE_MS * 2;
    for body in [
        ControlBody::Tick,
        world.shared.admission(true, &[]),
        ControlBody::Revoke { consumer },
        ControlBody::Dismiss { publisher },
        registration(publisher, u64::MAX, Origin::default()),
    ] {
        first.tell(&mut world.enclave, body);
    }
    world.enclave.suspend(&first.scope, &world.shared);
    world.assert_others_untouched();

    let renewed = Session::open(&mut world.enclave, &identity(1), 1 << 20);
    world.assert_others_untouched();
    world.enclave.close(&renewed.scope);
    world.assert_others_untouched();
}

#[test]
fn nothing_of_one_domain_is_taken_in_another() {
    let mut world = World::new();
    let (batch, _) = world.domains[0].1.batch(&["i a 1"]);
    let tick = world.domains[0].0.control(ControlBody::Tick);
    let Call::Control(tick) = tick else {
        unreachable!("a tick is control");
    };

    for (session, _) in world.domains.iter().skip(1) {
        let domain = bytes::Bytes::copy_from_slice(session.scope.domain.as_bytes());
        let batch = sc_proto::cbr::Sealed {
            domain: domain.clone(),
            ..batch.clone()
        };
        let tick = sc_proto::cbr::Sealed {
            domain,
            publisher: bytes::Bytes::copy_from_slice(session.scope.party.as_bytes()),
            ..tick.clone()
        };
        let refused = [Call::Batch(batch), Call::Control(tick)];
        let refused = refused.map(|call| world.enclave.refusal(call).0);
        assert_eq!(refused, [Reason::NotAuthentic; 2]);
    }
    world.assert_others_untouched();
}

#[test]
fn a_notice_of_one_domain_does_not_open_in_another() {
    let mut world = World::new();
    let mut notices = Vec::new();
    for (session, _) in &mut world.domains {
        let (_, mut made, _) = session.publish(&mut world.enclave, &["i a 1"]);
        notices.push((session.scope, made.remove(0)));
    }

    for (at, (scope, _)) in notices.iter().enumerate() {
        for (of, (_, notice)) in notices.iter().enumerate() {
            let opens = world.shared.try_open(scope, notice).is_some();
            assert_eq!(opens, at == of);
        }
    }
}

#[test]
fn another_owner_cannot_provision_a_domain_that_is_open() {
    let mut world = World::new();
    let mut entropy = crate::owner::Entropy::new(8);
    // Secrets that name the second owner's domain, sealed and signed by the first.
    let theirs = crate::owner::domain_secrets(&identity(2), &Wish::session(99), &mut entropy);
    let (message, ..) = crate::owner::secrets_message(
        &mut world.enclave,
        &identity(1),
        &theirs.encode(),
        &mut entropy,
    );

    let refused = world.enclave.refusal(Call::Secrets(message));

    assert_eq!(refused.0, Reason::NotAuthentic);
    world.assert_others_untouched();
}

#[test]
fn a_suspension_in_one_domain_counts_that_domain_alone() {
    let mut world = World::new();
    let (first, second) = (world.domains[0].0.scope, world.domains[1].0.scope);
    world.enclave.suspend(&first, &world.shared);
    world.assert_others_untouched();

    let elsewhere = world.enclave.refusal(resume(&second, &world.shared));
    let again = world.enclave.refusal(suspend(&first, &world.shared));
    let resumed = world.enclave.resume(&first, &world.shared);

    assert_eq!((elsewhere.0, again.0), (Reason::Consumer, Reason::Consumer));
    let opened = world.shared.open(&first, &resumed);
    let nothing = sc_cbr::NoticeKind::Missed {
        batches: 0,
        publications: 0,
    };
    assert_eq!(opened.kind, nothing);
}
