//! The cast: each party of a run at the start of one of its lives, made from seed, scenario and what its disk holds.
//!
//! Invariant: a party knows of earlier lives what its disk holds, and nothing else; no two lives draw the same randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sc_attestation::Policy;
use sc_cbr::Engine;
use sc_client::{
    Admission, GrantList, Grantee, GranteeMemory, GranteeSettings, IdentitySigner, Memory,
    Publisher, PublisherSettings, Roll, Subscriber, SubscriberSettings,
};
use sc_crypto::OwnerSecret;
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_transport::{LinkKey, LinkSettings, LinkSigner as _, PeerKey};

use crate::cores::{ConsumerCore, GranteeCore, PublisherCore};
use crate::disk::Disk;
use crate::door::{Door, Enclave};
use crate::host::{Host, Parts};
use crate::malice::Villain;
use crate::oracle::Draws;
use crate::party::Party;
use crate::random::Random;
use crate::scenario::{IDLE_TIMEOUT, Scenario, TICK};
use crate::spill::SpillDisk;
use crate::station::Station;
use crate::workload::Workload;

/// Lives that a party has at most, as far as its streams of randomness go.
const LIVES: usize = 1 << 16;

/// One life of one party.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// The party's number among its kind.
    pub(crate) number: usize,
    /// How often it was started before.
    pub(crate) life: usize,
    /// When it is started.
    pub(crate) now: Duration,
}

impl Life {
    fn random(self, seed: u64, name: &str) -> Random {
        Random::new(seed, name, self.number * LIVES + self.life)
    }
}

/// What every side of every link is set to.
pub(crate) fn link_settings(scenario: &Scenario) -> LinkSettings {
    LinkSettings {
        terms: scenario.terms,
        data_queue: scenario.queue,
        idle_timeout: IDLE_TIMEOUT,
        ..LinkSettings::default()
    }
}

/// A trusted program in its `life`th life.
pub(crate) fn enclave(seed: u64, name: &str, life: usize) -> Enclave {
    let measurement = Random::new(seed, "measurement", 0).seed();
    let platform = SimulatedPlatform::new(simulation_development_key(), measurement);
    Enclave {
        program: Box::new(Engine::new(Box::new(platform))),
        entropy: Random::new(seed, name, life),
    }
}

/// Whose key is whose.
fn keys(workload: &Workload) -> BTreeMap<PeerKey, Party> {
    let key =
        |identity: &Arc<OwnerSecret>| PeerKey(IdentitySigner(Arc::clone(identity)).public_key());
    let sources = workload.sources.iter().enumerate();
    let sources = sources.map(|(number, one)| (key(&one.identity), workload.party(number)));
    let consumers = workload.consumers.iter().enumerate();
    let consumers = consumers.map(|(number, one)| (key(&one.identity), Party::Consumer(number)));
    sources.chain(consumers).collect()
}

/// The router and the trusted program behind its door, with what an earlier router has left on the disk. `hostile` if the scenario's
/// host is, still.
pub(crate) fn host(
    seed: u64,
    scenario: &Scenario,
    workload: &Workload,
    life: Life,
    spill: SpillDisk,
    hostile: bool,
) -> Host {
    let keys = keys(workload);
    let by_party = keys.iter().map(|(key, party)| (*party, *key));
    let malice = scenario.malice.clone().filter(|_| hostile);
    let villain = malice.map(|malice| {
        let random = life.random(seed, "villain");
        Villain::new(malice, random, by_party.collect())
    });
    let second = villain
        .as_ref()
        .filter(|villain| villain.has_second_enclave());
    let program_life = life.life * LIVES;
    let door = Door::new(
        enclave(seed, "program", program_life),
        second.map(|_| enclave(seed, "second program", program_life)),
        life.random(seed, "door"),
        scenario.weather,
        scenario.storm,
        program_life,
    );
    let recovered = spill.recovered();
    let parts = Parts {
        settings: link_settings(scenario),
        key: LinkKey::from_seed(&Random::new(seed, "router's key", 0).seed()),
        entropy: life.random(seed, "host"),
        door,
        keys,
        villain,
        life: life.life,
    };
    Host::new(parts, spill, recovered, life.now)
}

fn fingerprints<'a>(identities: impl Iterator<Item = &'a Arc<OwnerSecret>>) -> String {
    let lines: Vec<_> = identities
        .map(|identity| identity.public().fingerprint())
        .collect();
    lines.join("\n")
}

/// Whom an owner admits: all consumers of its domain that it has not `revoked`.
pub(crate) fn admission(
    workload: &Workload,
    domain: usize,
    revoked: &BTreeSet<usize>,
) -> Admission {
    let consumers = workload.consumers.iter().enumerate();
    let admitted = consumers
        .filter(|(number, one)| one.domain == domain && !revoked.contains(number))
        .map(|(_, one)| &one.identity);
    Admission::parse(&fingerprints(admitted)).expect("fingerprints are what a list holds")
}

fn grants(workload: &Workload, domain: usize) -> GrantList {
    let grantees = workload.sources.iter().skip(workload.owners);
    let granted = grantees.filter(|one| one.domain == domain);
    let list = fingerprints(granted.map(|one| &one.identity));
    GrantList::parse(&list).expect("fingerprints are what a list holds")
}

/// What a source reads: a live feed, or an input of this number that it can read again.
pub(crate) type Input = Option<u8>;

fn digest(source: usize, input: u8) -> [u8; 32] {
    let mut digest = [input; 32];
    digest[0] = source as u8;
    digest
}

/// An owner that starts with what its disk holds.
#[expect(clippy::too_many_arguments, reason = "all that a life depends on")]
pub(crate) fn publisher(
    seed: u64,
    scenario: &Scenario,
    workload: &Workload,
    life: Life,
    mut disk: Disk,
    input: Input,
    draws: &Draws,
    revoked: &BTreeSet<usize>,
) -> Station<PublisherCore> {
    let identity = &workload.sources[life.number].identity;
    let settings = PublisherSettings {
        policy: Policy::development(),
        admission: admission(workload, life.number, revoked),
        grants: grants(workload, life.number),
        lease: scenario.lease,
        slow: scenario.slow,
        batch: scenario.batch,
        tick: TICK,
        ..PublisherSettings::default()
    };
    let roll = Roll::replay(disk.records()).expect("a publisher reads what it has written");
    if life.random(seed, "compaction").chance(500) {
        disk.replace(roll.records().collect::<Vec<_>>());
    }
    let entropy = draws.entropy(life.random(seed, "publisher's core"));
    let publisher = Publisher::new(Arc::clone(identity), settings, roll, Box::new(entropy));
    let publisher = match input {
        None => publisher,
        Some(input) => publisher.of_stream(&digest(life.number, input)),
    };
    Station::new(
        Party::Publisher(life.number),
        PublisherCore { publisher },
        link_settings(scenario),
        IdentitySigner(Arc::clone(identity)),
        life.random(seed, "publisher's link"),
        disk,
        life.now,
    )
}

/// A further publisher that starts with what its disk holds.
pub(crate) fn grantee(
    seed: u64,
    scenario: &Scenario,
    workload: &Workload,
    life: Life,
    mut disk: Disk,
    input: Input,
) -> Station<GranteeCore> {
    let source = &workload.sources[workload.owners + life.number];
    let owner = workload.sources[source.domain].identity.public();
    let settings = GranteeSettings {
        batch: scenario.batch,
        ..GranteeSettings::default()
    };
    let memory =
        GranteeMemory::replay(disk.records()).expect("a grantee reads what it has written");
    if life.random(seed, "grantee's compaction").chance(500) {
        disk.replace(memory.records());
    }
    let entropy = Box::new(life.random(seed, "grantee's core").into_entropy());
    let identity = Arc::clone(&source.identity);
    let grantee = Grantee::new(owner.clone(), identity, settings, memory, entropy);
    let grantee = match input {
        None => grantee,
        Some(input) => grantee.of_stream(&digest(workload.owners + life.number, input)),
    };
    Station::new(
        Party::Grantee(life.number),
        GranteeCore { grantee },
        link_settings(scenario),
        IdentitySigner(Arc::clone(&source.identity)),
        life.random(seed, "grantee's link"),
        disk,
        life.now,
    )
}

/// A consumer that starts with what its disk holds, and subscribes to what it `wants` still.
pub(crate) fn consumer(
    seed: u64,
    scenario: &Scenario,
    workload: &Workload,
    life: Life,
    mut disk: Disk,
    wants: &[u64],
) -> Station<ConsumerCore> {
    let consumer = &workload.consumers[life.number];
    let owner = workload.sources[consumer.domain].identity.public();
    let entropy = Box::new(life.random(seed, "consumer's core").into_entropy());
    let all = consumer.subscriptions.iter();
    let subscriptions = all.filter(|(id, _)| wants.contains(id)).cloned().collect();
    let memory = Memory::replay(disk.records());
    if life.random(seed, "consumer's compaction").chance(500) {
        disk.replace(memory.records());
    }
    let settings = SubscriberSettings {
        retention: scenario.retention,
        ..SubscriberSettings::default()
    };
    let identity = Arc::clone(&consumer.identity);
    let subscriber = Subscriber::new(
        owner.clone(),
        identity,
        subscriptions,
        settings,
        memory,
        entropy,
    );
    Station::new(
        Party::Consumer(life.number),
        ConsumerCore::new(life.number, subscriber),
        link_settings(scenario),
        IdentitySigner(Arc::clone(&consumer.identity)),
        life.random(seed, "consumer's link"),
        disk,
        life.now,
    )
}
