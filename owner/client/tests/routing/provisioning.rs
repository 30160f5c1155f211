//! The owner's side of M1 to M4: nothing secret leaves before the evidence satisfies, and nothing is believed before M4.

use std::collections::VecDeque;

use sc_attestation::{Policy, Refused};
use sc_cbr::{DomainKey, DomainSecrets, Engine};
use sc_client::{
    Challenged, Entrusted, Output, ProvisioningError, PublisherEvent, PublisherSettings,
};
use sc_crypto::Secret;
use sc_enclave::{Program, ProvisionError, Purpose, SimulatedPlatform, simulation_development_key};
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::routing::{self, from_publisher, to_publisher};
use sc_proto::{Message, provision};

use crate::world::{
    Draw, OWNER, World, entropy, flipped, identity, resized, settings, to_publisher,
};

/// A simulation does not care for the time.
const NOW_MS: u64 = 0;

/// A program and an owner that has begun.
struct Pair {
    engine: Engine,
    draw: Draw,
    challenged: Challenged,
    challenge: provision::Challenge,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let platform = SimulatedPlatform::new(simulation_development_key(), [9; 32]);
        let mut draw = entropy(seed);
        let (challenged, challenge) = Challenged::begin(&identity(OWNER), Purpose::Cbr, &mut draw);
        Self {
            engine: Engine::new(Box::new(platform)),
            draw: Box::new(draw),
            challenged,
            challenge,
        }
    }

    fn call(&mut self, call: Call) -> Reply {
        let request = cbr::Call { call: Some(call) }.encode_to_vec();
        let draw = &mut self.draw;
        let reply = self.engine.handle(request.into(), &mut |bytes| draw(bytes));
        cbr::Reply::decode(reply).unwrap().reply.unwrap()
    }

    fn offer(&mut self) -> provision::Offer {
        match self.call(Call::Challenge(self.challenge.clone())) {
            Reply::Offer(offer) => offer,
            other => panic!("no offer: {other:?}"),
        }
    }

    fn entrust(
        &self,
        policy: &Policy,
        offer: &provision::Offer,
    ) -> Result<(Entrusted, provision::Secrets), ProvisioningError> {
        let owner = identity(OWNER);
        let secrets = DomainSecrets {
            floor: sc_cbr::Origin::default(),
            key: DomainKey::new(Secret::from_bytes([5; 32])),
            session: 1,
            start: 1,
            time_ms: 1,
            plain: false,
            owner: owner.public().clone(),
            certificate: Vec::new(),
        };
        self.challenged
            .entrust(
                &owner,
                policy,
                offer,
                &secrets.encode(),
                NOW_MS,
                &mut entropy(9),
            )
            .map(|(entrusted, _, message)| (entrusted, message))
    }
}

#[test]
fn every_change_of_m1_is_refused_by_the_program_or_seen_by_the_owner() {
    let mut pair = Pair::new(1);
    let bytes = pair.challenge.encode_to_vec();
    let mut answered = 0;
    for changed in flipped(&bytes).chain(resized(&bytes)) {
        let Ok(challenge) = provision::Challenge::decode(&changed[..]) else {
            continue;
        };
        if challenge == pair.challenge {
            continue;
        }
        if let Reply::Offer(offer) = pair.call(Call::Challenge(challenge)) {
            answered += 1;
            assert_eq!(
                pair.entrust(&Policy::development(), &offer).err(),
                Some(Refused::OtherReportData.into())
            );
        }
    }

    assert!(answered > 50, "changed nonces and keys are answered");
}

#[test]
fn every_change_of_m2_keeps_the_secrets_at_home() {
    let mut pair = Pair::new(1);
    let offer = pair.offer();
    assert!(pair.entrust(&Policy::development(), &offer).is_ok());
    let bytes = offer.encode_to_vec();

    let mut tried = 0;
    for changed in flipped(&bytes).chain(resized(&bytes)) {
        let Ok(changed) = provision::Offer::decode(&changed[..]) else {
            continue;
        };
        if changed == offer {
            continue;
        }
        tried += 1;
        assert!(
            pair.entrust(&Policy::development(), &changed).is_err(),
            "{changed:?}"
        );
    }

    assert!(tried > 500);
}

#[test]
fn m2_of_another_provisioning_is_refused() {
    let mut pair = Pair::new(1);
    let mut other = Pair::new(2);
    let offer = other.offer();
    // The key of one and the evidence of the other.
    let mixed = provision::Offer {
        evidence: pair.offer().evidence,
        ..offer.clone()
    };

    for offer in [offer, mixed] {
        assert_eq!(
            pair.entrust(&Policy::development(), &offer).err(),
            Some(Refused::OtherReportData.into())
        );
    }
}

#[test]
fn m4_of_another_provisioning_is_refused() {
    let mut pair = Pair::new(1);
    let offer = pair.offer();
    let (first, message) = pair.entrust(&Policy::development(), &offer).unwrap();
    let Reply::Opened(opened) = pair.call(Call::Secrets(message)) else {
        panic!("not opened");
    };
    let mut elsewhere = Pair::new(2);
    let offer = elsewhere.offer();
    let (second, _) = elsewhere.entrust(&Policy::development(), &offer).unwrap();
    let confirmation = opened.confirmation.unwrap();

    assert_eq!(first.confirm(Some(&confirmation)), Ok(()));
    assert_eq!(
        second.confirm(Some(&confirmation)),
        Err(ProvisionError::NotAuthentic)
    );
    assert_eq!(first.confirm(None), Err(ProvisionError::Malformed));
    for mac in flipped(&confirmation.mac).chain(resized(&confirmation.mac)) {
        let forged = provision::Confirmation { mac: mac.into() };
        assert_eq!(
            first.confirm(Some(&forged)),
            Err(ProvisionError::NotAuthentic)
        );
    }
}

fn not_provisioned(world: &mut World) -> Vec<ProvisioningError> {
    let events = world.take_events().into_iter();
    events
        .filter_map(|event| match event {
            PublisherEvent::NotProvisioned(error) => Some(error),
            _ => None,
        })
        .collect()
}

fn sent_secrets(world: &World) -> usize {
    let is_secrets =
        |frame: &&from_publisher::Frame| matches!(frame, from_publisher::Frame::Secrets(_));
    world.sent.iter().filter(is_secrets).count()
}

#[test]
fn a_policy_that_is_not_satisfied_keeps_the_keys_at_home() {
    for (policy, refused) in [
        (Policy::default(), Refused::Simulation),
        (
            Policy {
                simulation_keys: vec![],
                ..Policy::development()
            },
            Refused::UnknownPlatform,
        ),
        (
            Policy {
                measurements: Some(vec![[1; 32]]),
                ..Policy::development()
            },
            Refused::UnknownMeasurement,
        ),
    ] {
        let mut world = World::new(PublisherSettings {
            policy,
            ..settings()
        });
        world.connect();

        assert_eq!(not_provisioned(&mut world), [refused.into()]);
        assert_eq!(sent_secrets(&world), 0);
        assert!(!world.publisher.is_open());
    }
}

#[test]
fn a_publisher_opens_a_session_and_says_what_protects_it() {
    let mut world = World::open(settings());

    let events = world.take_events();

    assert!(matches!(
        events[..],
        [PublisherEvent::Opened { session: 1, tee_line, ref measurement }] if measurement[0] == 9
                && tee_line.contains("NO HARDWARE PROTECTION")
    ));
}

/// The publisher has sent M3; what M4 there is waits in the inbox.
fn entrusted() -> World {
    let mut world = World::new(settings());
    world.publisher.on_established();
    world.work_publisher();
    world.deliver_to_publisher();
    assert_eq!(sent_secrets(&world), 1);
    assert!(!world.publisher.is_open());
    world
}

fn opened(frame: &sc_transport::Frame) -> routing::Opened {
    let message = routing::ToPublisher::decode(frame.head.clone()).unwrap();
    match message.frame {
        Some(to_publisher::Frame::Opened(opened)) => opened,
        other => panic!("not opened: {other:?}"),
    }
}

#[test]
fn a_session_whose_m4_is_missing_or_forged_is_not_used() {
    let genuine = opened(&entrusted().inbox[0]);
    let mac = genuine.confirmation.clone().unwrap().mac;
    let mut forged = mac.to_vec();
    forged[0] ^= 1;
    for confirmation in [
        None,
        Some(provision::Confirmation::default()),
        Some(provision::Confirmation { mac: forged.into() }),
    ] {
        let mut world = entrusted();
        let frame = to_publisher::Frame::Opened(routing::Opened {
            confirmation,
            ..genuine.clone()
        });
        world.inbox = VecDeque::from([to_publisher(frame, [])]);
        world.run();

        assert!(!world.publisher.is_open());
        assert_eq!(not_provisioned(&mut world).len(), 1);
        world.publish_and_run(crate::world::IBM, "kept");
        assert_eq!(sent_batches(&world), 0);
    }
}

fn sent_batches(world: &World) -> usize {
    let is_batch =
        |frame: &&from_publisher::Frame| matches!(frame, from_publisher::Frame::Batch(_));
    world.sent.iter().filter(is_batch).count()
}

#[test]
fn an_m4_of_an_earlier_session_does_not_open_the_next() {
    let mut world = entrusted();
    let old = world.inbox[0].clone();
    world.run();
    assert!(world.publisher.is_open());

    world.publisher.on_established();
    world.work_publisher();
    world.deliver_to_publisher();
    world.inbox = VecDeque::from([old]);
    world.run();

    assert!(!world.publisher.is_open());
    assert_eq!(
        not_provisioned(&mut world),
        [ProvisionError::NotAuthentic.into()]
    );
}

#[test]
fn offers_and_openings_that_nobody_waits_for_are_passed_over() {
    let mut world = World::new(settings());
    world.publisher.on_established();
    world.work_publisher();
    let offer = world.inbox[0].clone();
    world.deliver_to_publisher();
    let opened = world.inbox[0].clone();
    world.run();

    for frame in [offer, opened] {
        world.hand_to_publisher(frame.clone());
        assert!(world.publisher.is_open());
        assert_eq!(sent_secrets(&world), 1);
    }

    let mut fresh = World::new(settings());
    let opened = entrusted().inbox[0].clone();
    fresh.hand_to_publisher(opened);
    assert!(!fresh.publisher.is_open());
}

#[test]
fn each_provisioning_has_a_greater_number_on_the_disk_before_the_secrets_leave() {
    let mut world = World::open(settings());
    for session in 2..=3 {
        world.publisher.on_established();
        world.work_publisher();
        let offer = world.inbox.pop_front().unwrap();
        world.publisher.on_frame(world.clock, offer);

        let outputs = world.publisher.take_outputs();

        let [Output::Record(record), Output::Send { frame, .. }] = &outputs[..] else {
            panic!("not a record and then a frame: {outputs:?}");
        };
        assert_eq!(record[1..], u64::to_le_bytes(session));
        let head = routing::FromPublisher::decode(frame.head.clone()).unwrap();
        assert!(matches!(
            head.frame,
            Some(from_publisher::Frame::Secrets(_))
        ));
    }
}

#[test]
fn a_number_that_was_used_is_not_used_again_after_a_restart() {
    let mut world = World::open(settings());
    world.connect();
    world.restart(settings());

    world.connect();

    let last = world.take_events().pop();
    assert!(matches!(
        last,
        Some(PublisherEvent::Opened { session: 3, .. })
    ));
}

#[test]
fn a_refusal_of_the_router_ends_the_attempt_and_the_link_is_opened_anew() {
    for (cause, is_lasting) in [
        (routing::refused::Cause::Plain, true),
        (routing::refused::Cause::OwnerNotPinned, true),
        (routing::refused::Cause::Program, false),
        (routing::refused::Cause::Limit, false),
    ] {
        let mut world = entrusted();
        world.inbox.clear();
        let frame = to_publisher::Frame::Refused(routing::Refused {
            cause: cause.into(),
            what: "no".into(),
            ..routing::Refused::default()
        });
        world.hand_to_publisher(to_publisher(frame, []));

        assert_eq!(world.closed, ["refused: no"]);
        let event = world.take_events().pop();
        assert!(matches!(
            event,
            Some(PublisherEvent::RouterRefused { lasting, .. }) if lasting == is_lasting
        ));
    }
}

#[test]
fn a_frame_that_does_not_decode_closes_the_link() {
    for head in [&b"\xff\xff"[..], b"", b"\x0a\x05x"] {
        let mut world = World::open(settings());

        world.hand_to_publisher(sc_transport::Frame::new(head.to_vec()));

        assert_eq!(world.closed.len(), 1);
    }
}
