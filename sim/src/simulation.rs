//! A run: all parties of the routing system on one thread, in virtual time.
//!
//! First a storm, in which everything is published and the faults of the scenario happen; then calm, in which everything has to come to
//! rest. Invariant: the seed and the scenario determine everything that happens.

mod applications;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sc_router::Counters;
use sc_transport::{Datagram, FrameClass};

use crate::cast;
use crate::cores::{ConsumerCore, PublisherCore};
use crate::fault::{Fault, Faults};
use crate::host::Host;
use crate::ledger::Ledger;
use crate::net::Network;
use crate::party::Party;
use crate::plant::Plants;
use crate::queue::{Happening, Queue};
use crate::random::Random;
use crate::report::Report;
use crate::scenario::{Scenario, TICK};
use crate::station::{Disk, Station};
use crate::trace::Trace;
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
/// More happens in no run.
const STEPS_MAX: u64 = 2_000_000;

/// A run about to begin.
pub struct Simulation {
    seed: u64,
    scenario: Scenario,
    world: World,
    host: Host,
    publishers: Vec<Station<PublisherCore>>,
    consumers: Vec<Station<ConsumerCore>>,
    /// When all had come to rest after the storm; from then on the epilogue is published.
    rested: Option<Duration>,
    /// Publications that each application has published.
    published: Vec<usize>,
    /// Whether each application has begun to.
    begun: Vec<bool>,
    /// Whether each consumer has come.
    joined: Vec<bool>,
    /// Whether each has withdrawn what it will.
    left: Vec<bool>,
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
            lost: Vec::new(),
            established: Duration::ZERO,
        };
        Self {
            seed,
            world,
            host: cast::host(seed, &scenario, &workload),
            publishers: (0..workload.publishers.len())
                .map(|number| cast::publisher(seed, &scenario, &workload, number, Disk::default()))
                .collect(),
            consumers: (0..workload.consumers.len())
                .map(|number| cast::consumer(seed, &scenario, &workload, number, Disk::default()))
                .collect(),
            rested: None,
            published: vec![0; workload.publishers.len()],
            begun: vec![false; workload.publishers.len()],
            joined: vec![false; workload.consumers.len()],
            left: vec![false; workload.consumers.len()],
            timing: Random::new(seed, "publishing", 0),
            ledger: Ledger::new(workload, &scenario),
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
        self.welcome(|_| true);
        if !self.play() {
            let what = self.waiting().join("; ");
            self.ledger.violate(Violation::Stalled { what });
        }
        self.report()
    }

    /// Lets one thing happen after another; `false` if that comes to no end.
    fn play(&mut self) -> bool {
        let deadline = self.scenario.storm + REST_WITHIN;
        while let Some((time, happening)) = self.world.queue.pop() {
            if time > deadline || self.steps == STEPS_MAX {
                return false;
            }
            self.world.now = time;
            self.steps += 1;
            self.happen(happening);
            if self.is_at_rest() {
                if self.rested.is_some() {
                    return true;
                }
                self.begin_epilogue();
            }
        }
        false
    }

    fn report(mut self) -> Report {
        let counters = self.host.counters();
        let outages = self.outages();
        self.judge_links(counters);
        let (trace, lines) = self.world.trace.finish();
        Report {
            seed: self.seed,
            trace,
            lines,
            faults: self.world.faults,
            deliveries: self.ledger.deliveries(),
            violations: self.ledger.close(&self.world.faults, &outages),
            sessions: counters.sessions,
            steps: self.steps,
            took: self.world.now,
        }
    }

    /// Links end through outages alone, and only then something is undeliverable. Nobody is disconnected for being slow: every publisher
    /// has chosen to wait.
    fn judge_links(&mut self, counters: Counters) {
        let outages = self.outages();
        for (party, reason) in core::mem::take(&mut self.world.lost) {
            if !outages.contains(&party) {
                self.ledger.violate(Violation::LinkLost { party, reason });
            }
        }
        let Counters {
            undeliverable,
            disconnected,
            ..
        } = counters;
        if disconnected > 0 || (undeliverable > 0 && outages.is_empty()) {
            let what = format!("{undeliverable} undeliverable, {disconnected} disconnected");
            self.ledger.violate(Violation::Router { what });
        }
    }

    /// The parties whose link has been silent for too long at least once.
    fn outages(&self) -> BTreeSet<Party> {
        let silences = self.scenario.silences.iter();
        silences
            .filter(|silence| silence.outage)
            .map(|silence| silence.party)
            .collect()
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
            Party::Consumer(number) if self.joined[number] => {
                self.consumers[number].on_connected(&mut self.world);
            }
            Party::Consumer(_) => {}
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

    /// Whether all is done, seen to be done, and idle.
    fn is_at_rest(&self) -> bool {
        let storm = self.scenario.storm.max(self.world.established);
        let since = self.rested.map_or(storm, |rested| storm.max(rested));
        self.world.now >= since + HEARTBEATS * TICK && self.waiting().is_empty()
    }

    /// What a run at rest would not show.
    fn waiting(&self) -> Vec<String> {
        let mut waiting = self.ledger.strangers();
        for (number, station) in self.publishers.iter().enumerate() {
            let party = Party::Publisher(number);
            let (published, due) = (self.published[number], self.due());
            if published < due {
                waiting.push(format!("{party} has published {published} of {due}"));
            }
            if !station.core.publisher.is_drained() {
                waiting.push(format!("{party} lacks receipts"));
            }
        }
        let settings = cast::link_settings(&self.scenario);
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
