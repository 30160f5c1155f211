//! A run: all parties of the routing system on one thread, in virtual time.
//!
//! First a storm, in which everything is published and the faults of the scenario happen; then calm, in which everything has to come to
//! rest. Invariant: the seed and the scenario determine everything that happens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sc_attestation::Policy;
use sc_cbr::Engine;
use sc_client::{
    IdentitySigner, Memory, Publisher, PublisherSettings, Roll, Subscriber, SubscriberSettings,
};
use sc_crypto::OwnerSecret;
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_router::Counters;
use sc_transport::{Datagram, FrameClass, LinkSettings, LinkSigner as _, PeerKey};

use crate::cores::{ConsumerCore, PublisherCore};
use crate::door::Door;
use crate::fault::{Fault, Faults};
use crate::host::Host;
use crate::ledger::Ledger;
use crate::net::Network;
use crate::party::Party;
use crate::plant::Plants;
use crate::queue::{Happening, Queue};
use crate::random::Random;
use crate::scenario::{IDLE_TIMEOUT, Scenario, TICK};
use crate::station::{Disk, Station};
use crate::trace::{Trace, TraceHash};
use crate::violation::Violation;
use crate::workload::Workload;
use crate::world::{World, note};

/// After the last fault everything has come to rest within this time: the longest pauses before something is tried again are those of a
/// link (1 s to call again, then up to 4 s between two hellos) and of a request (5 s).
const REST_WITHIN: Duration = Duration::from_secs(120);
/// Heartbeats that have to pass before a run may be at rest: what is missing at its end is seen by then.
const HEARTBEATS: u32 = 3;
/// A party that is woken so often without time passing spins.
const WAKES_MAX: u32 = 32;
/// A publisher that holds too much without a receipt tries again after this long.
const PUBLISH_AGAIN: Duration = Duration::from_millis(50);
/// More happens in no run.
const STEPS_MAX: u64 = 2_000_000;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed that it began with.
    pub seed: u64,
    /// The hash of everything that happened.
    pub trace: TraceHash,
    /// The lines of the trace, if they were asked for.
    pub lines: Vec<String>,
    /// What was injected.
    pub faults: Faults,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Deliveries made.
    pub deliveries: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Things that happened.
    pub steps: u64,
    /// How long the run lasted in virtual time.
    pub took: Duration,
}

impl fmt::Display for Report {
    /// The verdict, and how to see the run again.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            trace,
            faults,
            deliveries,
            sessions,
            steps,
            ..
        } = self;
        let took = self.took.as_secs_f32();
        write!(
            out,
            "seed {seed}: trace {trace}, {took:.1} s, {steps} steps, {sessions} sessions, {deliveries} deliveries; {faults}"
        )?;
        for violation in &self.violations {
            write!(out, "\n  violated: {violation}")?;
        }
        if !self.violations.is_empty() {
            write!(
                out,
                "\n  replay: cargo run -p sc-sim -- --seed {seed} --verbose"
            )?;
        }
        Ok(())
    }
}

/// A run about to begin.
pub struct Simulation {
    seed: u64,
    scenario: Scenario,
    world: World,
    host: Host,
    publishers: Vec<Station<PublisherCore>>,
    consumers: Vec<Station<ConsumerCore>>,
    /// Publications that each application has published.
    published: Vec<usize>,
    /// Whether each application has begun to.
    begun: Vec<bool>,
    timing: Random,
    ledger: Ledger,
    /// Wakes of each party at one time.
    wakes: BTreeMap<Party, (Duration, u32)>,
    steps: u64,
}

impl Simulation {
    /// All parties at the start of their lives.
    ///
    /// # Panics
    /// If the scenario has no publisher.
    #[must_use]
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        assert!(scenario.publishers > 0, "somebody has to publish");
        let workload = Workload::draw(seed, &scenario);
        let network = Network::new(
            scenario.weather,
            scenario.storm,
            scenario.silences.clone(),
            Random::new(seed, "network", 0),
        );
        let mut queue = Queue::default();
        for (place, silence) in scenario.silences.iter().enumerate() {
            queue.at(silence.from, Happening::Cut(place));
            queue.at(silence.until, Happening::Mend(place));
        }
        let world = World {
            now: Duration::ZERO,
            queue,
            network,
            faults: Faults::default(),
            trace: Trace::new(false),
            plants: Plants::new(scenario.plant),
            lost: BTreeMap::new(),
            established: Duration::ZERO,
        };
        Self {
            seed,
            world,
            host: host(seed, &scenario, &workload),
            publishers: (0..workload.publishers.len())
                .map(|number| publisher(seed, &scenario, &workload, number, Disk::default()))
                .collect(),
            consumers: (0..workload.consumers.len())
                .map(|number| consumer(seed, &scenario, &workload, number, Disk::default()))
                .collect(),
            published: vec![0; workload.publishers.len()],
            begun: vec![false; workload.publishers.len()],
            timing: Random::new(seed, "publishing", 0),
            ledger: Ledger::new(workload),
            wakes: BTreeMap::new(),
            steps: 0,
            scenario,
        }
    }

    /// Has the run keep the text of its trace.
    #[must_use]
    pub fn with_text(mut self) -> Self {
        self.world.trace = Trace::new(true);
        self
    }

    /// Runs until everything has come to rest, or should have.
    #[must_use]
    pub fn run(mut self) -> Report {
        for number in 0..self.publishers.len() {
            self.work(Party::Publisher(number));
        }
        for number in 0..self.consumers.len() {
            self.work(Party::Consumer(number));
        }
        let deadline = self.scenario.storm + REST_WITHIN;
        while let Some((time, happening)) = self.world.queue.pop() {
            if time > deadline || self.steps == STEPS_MAX {
                let waiting = self.waiting().join("; ");
                self.ledger.violate(Violation::Stalled { what: waiting });
                break;
            }
            self.world.now = time;
            self.steps += 1;
            self.happen(happening);
            if self.is_at_rest() {
                break;
            }
        }
        self.report()
    }

    fn report(mut self) -> Report {
        let counters = self.host.counters();
        if self.world.lost.is_empty() {
            self.ledger_router(counters);
        }
        let (trace, lines) = self.world.trace.finish();
        Report {
            seed: self.seed,
            trace,
            lines,
            faults: self.world.faults,
            deliveries: self.ledger.deliveries(),
            violations: self.ledger.close(&self.world.lost),
            sessions: counters.sessions,
            steps: self.steps,
            took: self.world.now,
        }
    }

    /// With every link intact the router has no reason to refuse, drop or disconnect.
    fn ledger_router(&mut self, counters: Counters) {
        let Counters {
            undeliverable,
            refused,
            disconnected,
            ..
        } = counters;
        // A consumer that asks before its publisher is there is turned away, and asks again.
        if undeliverable > 0 || disconnected > 0 {
            self.ledger.violate(Violation::Router {
                what: format!(
                    "{undeliverable} undeliverable, {refused} refused, {disconnected} disconnected"
                ),
            });
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival {
                from,
                to,
                number,
                datagram,
            } => self.arrive(from, to, number, datagram),
            Happening::Wake(party) => {
                if self.spins(party) {
                    self.ledger.violate(Violation::Spins { party });
                } else {
                    self.work(party);
                }
            }
            Happening::Reply => {
                self.host.on_reply(&mut self.world);
            }
            Happening::Publish(number) => self.publish(number),
            Happening::Cut(place) => {
                let silence = self.scenario.silences[place];
                note!(self.world, silence.party, "falls silent");
                self.world.faults.count(if silence.outage {
                    Fault::Outage
                } else {
                    Fault::Cut
                });
            }
            Happening::Mend(place) => self.mend(place),
        }
    }

    fn arrive(&mut self, from: Party, to: Party, number: u64, datagram: Datagram) {
        let World {
            now,
            network,
            faults,
            ..
        } = &mut self.world;
        if !network.arrive(*now, from, to, number, faults) {
            return note!(self.world, to, "does not hear number {number} of {from}");
        }
        note!(self.world, to, "hears number {number} of {from}");
        match to {
            Party::Router => self.host.on_datagram(&mut self.world, from, datagram),
            Party::Publisher(number) => {
                self.publishers[number].on_datagram(&mut self.world, datagram);
            }
            Party::Consumer(number) => {
                self.consumers[number].on_datagram(&mut self.world, datagram);
            }
        }
        self.note_events(to);
    }

    fn mend(&mut self, place: usize) {
        let silence = self.scenario.silences[place];
        note!(self.world, silence.party, "is heard again");
        if !silence.reconnects {
            return;
        }
        self.world.faults.count(Fault::Reconnection);
        match silence.party {
            Party::Router => {}
            Party::Publisher(number) => self.publishers[number].on_connected(&mut self.world),
            Party::Consumer(number) => self.consumers[number].on_connected(&mut self.world),
        }
        self.note_events(silence.party);
    }

    /// Lets a party do what is due.
    fn work(&mut self, party: Party) {
        match party {
            Party::Router => self.host.work(&mut self.world),
            Party::Publisher(number) => self.publishers[number].work(&mut self.world),
            Party::Consumer(number) => self.consumers[number].work(&mut self.world),
        }
        self.note_events(party);
    }

    fn spins(&mut self, party: Party) -> bool {
        let now = self.world.now;
        let (time, count) = self.wakes.entry(party).or_insert((now, 0));
        if *time != now {
            (*time, *count) = (now, 0);
        }
        *count += 1;
        *count > WAKES_MAX
    }

    /// Takes what the core of `party` has reported into the ledger.
    fn note_events(&mut self, party: Party) {
        match party {
            Party::Router => {}
            Party::Publisher(number) => {
                for event in self.publishers[number].core.take_events() {
                    note!(self.world, party, "reports {event:?}");
                    self.ledger.on_publisher_event(number, &event);
                }
                self.begin_publishing(number);
            }
            Party::Consumer(number) => {
                for event in self.consumers[number].core.take_events() {
                    note!(self.world, party, "reports {event:?}");
                    self.ledger.on_subscriber_event(number, &event);
                }
                self.note_deliveries(number);
            }
        }
    }

    fn note_deliveries(&mut self, number: usize) {
        let delivered = core::mem::take(&mut self.consumers[number].core.delivered);
        for delivered in delivered {
            let consumers = self.consumers.len();
            let planted = self.world.plants.deliveries(number, consumers, delivered);
            for (consumer, delivered) in planted {
                note!(
                    self.world,
                    Party::Consumer(consumer),
                    "is delivered {} bytes for {:?}",
                    delivered.payload.len(),
                    delivered.subscriptions
                );
                self.ledger.on_delivery(consumer, &delivered);
            }
        }
    }

    /// An application publishes once all consumers of its domain are admitted and indexed.
    fn begin_publishing(&mut self, number: usize) {
        let complete = self.publishers[number].core.publisher.complete_consumers();
        if !self.begun[number] && complete == self.ledger.workload().consumers_of(number) {
            self.begun[number] = true;
            self.world
                .queue
                .at(self.world.now, Happening::Publish(number));
        }
    }

    fn publish(&mut self, number: usize) {
        let articles = &self.ledger.workload().publishers[number].articles;
        let Some(article) = articles.get(self.published[number]) else {
            return;
        };
        let clock = self.world.clock();
        let taken = self.publishers[number].core.publisher.publish(
            clock,
            article.header.clone(),
            article.payload.clone(),
        );
        let next = if taken.is_ok() {
            note!(
                self.world,
                Party::Publisher(number),
                "publishes {}",
                self.published[number]
            );
            self.published[number] += 1;
            self.timing.time(self.world.now, self.scenario.pause_max)
        } else {
            self.world.now + PUBLISH_AGAIN
        };
        self.world.queue.at(next, Happening::Publish(number));
        self.work(Party::Publisher(number));
    }

    /// Whether all is done, seen to be done, and idle.
    fn is_at_rest(&self) -> bool {
        let since = self.scenario.storm.max(self.world.established);
        self.world.now >= since + HEARTBEATS * TICK && self.waiting().is_empty()
    }

    /// What a run at rest would not show.
    fn waiting(&self) -> Vec<String> {
        let mut waiting = self.ledger.strangers();
        for (number, station) in self.publishers.iter().enumerate() {
            let party = Party::Publisher(number);
            let all = self.ledger.workload().publishers[number].articles.len();
            let published = self.published[number];
            if published < all {
                waiting.push(format!("{party} has published {published} of {all}"));
            }
            if !station.core.publisher.is_drained() {
                waiting.push(format!("{party} lacks receipts"));
            }
        }
        let settings = link_settings(&self.scenario);
        let full = |class| match class {
            FrameClass::Control => settings.terms.control_window.min(settings.control_queue),
            FrameClass::Data => settings.terms.data_window.min(settings.data_queue),
        };
        waiting.extend(self.publishers.iter().flat_map(|one| one.busy_link(full)));
        waiting.extend(self.consumers.iter().flat_map(|one| one.busy_link(full)));
        waiting.extend(self.host.busy_links(full));
        waiting
    }
}

fn link_settings(scenario: &Scenario) -> LinkSettings {
    LinkSettings {
        terms: scenario.terms,
        idle_timeout: IDLE_TIMEOUT,
        ..LinkSettings::default()
    }
}

fn host(seed: u64, scenario: &Scenario, workload: &Workload) -> Host {
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
fn publisher(
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
fn consumer(
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
