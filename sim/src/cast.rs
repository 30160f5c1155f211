//! The cast: each party of a run at the start of its life, made from seed and scenario.
//!
//! Invariant: a publisher or consumer knows of earlier lives what its disk holds, and nothing else.

use std::sync::Arc;

use sc_attestation::Policy;
use sc_cbr::Engine;
use sc_client::{
    IdentitySigner, Memory, Publisher, PublisherSettings, Roll, Subscriber, SubscriberSettings,
};
use sc_crypto::OwnerSecret;
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_transport::{LinkSettings, LinkSigner as _, PeerKey};

use crate::cores::{ConsumerCore, PublisherCore};
use crate::door::Door;
use crate::host::Host;
use crate::party::Party;
use crate::random::Random;
use crate::scenario::{IDLE_TIMEOUT, Scenario, TICK};
use crate::station::{Disk, Station};
use crate::workload::Workload;

/// What every side of every link is set to.
pub(crate) fn link_settings(scenario: &Scenario) -> LinkSettings {
    LinkSettings {
        terms: scenario.terms,
        data_queue: scenario.queue,
        idle_timeout: IDLE_TIMEOUT,
        ..LinkSettings::default()
    }
}

/// The router and the trusted program behind its door.
pub(crate) fn host(seed: u64, scenario: &Scenario, workload: &Workload) -> Host {
    let measurement = Random::new(seed, "measurement", 0).seed();
    let platform = SimulatedPlatform::new(simulation_development_key(), measurement);
    let door = Door::new(
        Box::new(Engine::new(Box::new(platform))),
        Random::new(seed, "program", 0),
        Random::new(seed, "door", 0),
        scenario.weather,
        scenario.storm,
    );
    let key =
        |identity: &Arc<OwnerSecret>| PeerKey(IdentitySigner(Arc::clone(identity)).public_key());
    let publishers = workload
        .publishers
        .iter()
        .enumerate()
        .map(|(number, one)| (key(&one.identity), Party::Publisher(number)));
    let consumers = workload
        .consumers
        .iter()
        .enumerate()
        .map(|(number, one)| (key(&one.identity), Party::Consumer(number)));
    Host::new(
        link_settings(scenario),
        Random::new(seed, "host", 0),
        door,
        publishers.chain(consumers).collect(),
    )
}

/// A publisher that starts with what its disk holds.
pub(crate) fn publisher(
    seed: u64,
    scenario: &Scenario,
    workload: &Workload,
    number: usize,
    disk: Disk,
) -> Station<PublisherCore> {
    let identity = &workload.publishers[number].identity;
    let settings = PublisherSettings {
        policy: Policy::development(),
        lease: scenario.lease,
        batch: scenario.batch,
        tick: TICK,
        ..PublisherSettings::default()
    };
    let roll = Roll::replay(disk.records()).expect("a publisher reads what it has written");
    let entropy = Box::new(Random::new(seed, "publisher's core", number).into_entropy());
    let core = PublisherCore {
        publisher: Publisher::new(Arc::clone(identity), settings, roll, entropy),
    };
    Station::new(
        Party::Publisher(number),
        core,
        link_settings(scenario),
        IdentitySigner(Arc::clone(identity)),
        Random::new(seed, "publisher's link", number),
        disk,
    )
}

/// A consumer that starts with what its disk holds.
pub(crate) fn consumer(
    seed: u64,
    scenario: &Scenario,
    workload: &Workload,
    number: usize,
    disk: Disk,
) -> Station<ConsumerCore> {
    let consumer = &workload.consumers[number];
    let owner = workload.publishers[consumer.publisher].identity.public();
    let entropy = Box::new(Random::new(seed, "consumer's core", number).into_entropy());
    let core = ConsumerCore {
        number,
        subscriber: Subscriber::new(
            owner.clone(),
            Arc::clone(&consumer.identity),
            consumer.subscriptions.clone(),
            SubscriberSettings::default(),
            Memory::replay(disk.records()),
            entropy,
        ),
        delivered: Vec::new(),
    };
    Station::new(
        Party::Consumer(number),
        core,
        link_settings(scenario),
        IdentitySigner(Arc::clone(&consumer.identity)),
        Random::new(seed, "consumer's link", number),
        disk,
    )
}
