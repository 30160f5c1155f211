//! A run: all parties of the routing system on one thread, in virtual time.
//!
//! First a storm, in which everything is published and the faults of the scenario happen; then calm, in which everything has to come to
//! rest. Invariant: the seed and the scenario determine everything that happens.

mod applications;
mod lives;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sc_transport::{Datagram, FrameClass};

use crate::cast::{self, Life};
use crate::cores::{ConsumerCore, GranteeCore, PublisherCore};
use crate::disk::Disk;
use crate::fault::{Fault, Faults};
use crate::host::Host;
use crate::ledger::Ledger;
use crate::lives::Lives;
use crate::net::Network;
use crate::oracle::{Draws, Oracle};
use crate::party::Party;
use crate::plant::Plants;
use crate::queue::{Happening, Queue};
use crate::random::Random;
use crate::report::Report;
use crate::scenario::{Scenario, TICK};
use crate::spill::SpillDisk;
use crate::station::Station;
use crate::trace::Trace;
use crate::violation::Violation;
use crate::workload::Workload;
use crate::world::{World, note};
use applications::Application;

/// After the last fault everything has come to rest within this time: the longest pauses before something is tried again are those of a
/// link (30 s until a lost one is given up, 1 s to call again, then up to 4 s between two hellos) and of a request (5 s).
const REST_WITHIN: Duration = Duration::from_secs(180);
/// Heartbeats that have to pass before a run may be at rest: what is missing at its end is seen by then.
const HEARTBEATS: u32 = 3;
/// A party that is woken so often without time passing spins.
const WAKES_MAX: u32 = 64;
/// More happens in no run.
const STEPS_MAX: u64 = 2_000_000;

/// A run about to begin.
pub struct Simulation {
    seed: u64,
    scenario: Scenario,
    world: World,
    host: Host,
    publishers: Vec<Station<PublisherCore>>,
    grantees: Vec<Station<GranteeCore>>,
    consumers: Vec<Station<ConsumerCore>>,
    applications: Vec<Application>,
    /// The random bytes of each owner.
    draws: Vec<Draws>,
    /// When all had come to rest after the storm; from then on the epilogue is published.
    rested: Option<Duration>,
    /// Whether each consumer has come.
    joined: Vec<bool>,
    /// Whether each has withdrawn what it will.
    left: Vec<bool>,
    revoked: BTreeSet<usize>,
    /// For how long each party was dead.
    died: BTreeMap<Party, Duration>,
    /// When something happened to a party that may hide what it would have noticed.
    disturbed: BTreeMap<Party, Vec<Duration>>,
    /// Whether the host is hostile no more, or never was.
    honest: bool,
    /// What a hostile host has withheld.
    withheld: Vec<crate::malice::Withheld>,
    cut_short: bool,
    timing: Random,
    misfortune: Random,
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
        let draws = vec![(); scenario.publishers];
        let draws: Vec<_> = draws.into_iter().map(|()| Draws::default()).collect();
        let world = Self::world(seed, &scenario, &workload, &draws);
        let applications: Vec<_> = workload.sources.iter().map(Application::new).collect();
        let first = |number| Life {
            number,
            life: 0,
            now: Duration::ZERO,
        };
        let spill = SpillDisk::new(Random::new(seed, "spill", 0));
        let nobody = BTreeSet::new();
        let publishers = (0..scenario.publishers).map(|number| {
            let input = applications[number].input();
            let disk = Disk::default();
            let draws = &draws[number];
            cast::publisher(
                seed,
                &scenario,
                &workload,
                first(number),
                disk,
                input,
                draws,
                &nobody,
            )
        });
        let grantees = (0..scenario.grantees).map(|number| {
            let input = applications[scenario.publishers + number].input();
            cast::grantee(
                seed,
                &scenario,
                &workload,
                first(number),
                Disk::default(),
                input,
            )
        });
        let consumers = (0..workload.consumers.len()).map(|number| {
            let all = workload.consumers[number].subscriptions.iter();
            let wants: Vec<_> = all.map(|(id, _)| *id).collect();
            cast::consumer(
                seed,
                &scenario,
                &workload,
                first(number),
                Disk::default(),
                &wants,
            )
        });
        Self {
            seed,
            world,
            host: cast::host(seed, &scenario, &workload, first(0), spill, true),
            publishers: publishers.collect(),
            grantees: grantees.collect(),
            consumers: consumers.collect(),
            applications,
            draws,
            rested: None,
            joined: vec![false; workload.consumers.len()],
            left: vec![false; workload.consumers.len()],
            revoked: BTreeSet::new(),
            died: BTreeMap::new(),
            disturbed: BTreeMap::new(),
            honest: scenario.is_honest(),
            withheld: Vec::new(),
            cut_short: false,
            timing: Random::new(seed, "publishing", 0),
            misfortune: Random::new(seed, "misfortune", 0),
            ledger: Ledger::new(workload, &scenario),
            wakes: BTreeMap::new(),
            steps: 0,
            scenario,
        }
    }

    fn world(seed: u64, scenario: &Scenario, workload: &Workload, draws: &[Draws]) -> World {
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
        for (place, (at, _)) in scenario.trials.iter().enumerate() {
            queue.at(*at, Happening::Trial(place));
        }
        if let Some(until) = scenario.malice.as_ref().and_then(|malice| malice.until) {
            queue.at(until, Happening::Honest);
        }
        World {
            now: Duration::ZERO,
            queue,
            network,
            faults: Faults::default(),
            trace: Trace::new(false),
            plants: Plants::new(scenario.plant),
            lost: Vec::new(),
            lost_since: Vec::new(),
            established: Duration::ZERO,
            clocks: scenario.clocks.clone(),
            lives: Lives::default(),
            oracle: Oracle::new(workload, draws),
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
        for number in 0..self.grantees.len() {
            self.work(Party::Grantee(number));
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
        let never_rests = |malice: &crate::malice::Malice| malice.until.is_none();
        let hostile_to_the_end = self.scenario.malice.as_ref().is_some_and(never_rests);
        while let Some((time, happening)) = self.world.queue.pop() {
            if hostile_to_the_end && time > self.scenario.storm {
                self.cut_short = true;
                return true;
            }
            if time > deadline || self.steps == STEPS_MAX {
                return false;
            }
            self.world.now = time;
            self.steps += 1;
            self.happen(happening);
            self.bury();
            if self.is_at_rest() {
                if self.rested.is_some() {
                    return true;
                }
                self.begin_epilogue();
            }
        }
        false
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(party) = self.concerns(&happening)
            && let Some(until) = self.world.lives.stopped(party, self.world.now)
        {
            return match happening {
                Happening::Wake(party) => self.world.queue.wake(party, until),
                other => self.world.queue.at(until, other),
            };
        }
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
            Happening::Reply(life) => self.host.on_reply(&mut self.world, life),
            Happening::Spill(life) => self.host.on_spill(&mut self.world, life),
            Happening::Program(life) => self.host.on_program(&mut self.world, life),
            Happening::Publish(source) => self.publish(source),
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
            Happening::Trial(place) => self.begin_trial(place),
            Happening::Start(party) => self.start(party),
            Happening::Honest => self.end_malice(),
        }
    }

    /// Who could not take part if it were stopped.
    fn concerns(&self, happening: &Happening) -> Option<Party> {
        match happening {
            Happening::Arrival { to, .. } => Some(*to),
            Happening::Wake(party) => Some(*party),
            Happening::Reply(_) | Happening::Spill(_) | Happening::Program(_) => {
                Some(Party::Router)
            }
            Happening::Publish(source) => Some(self.ledger.workload().party(*source)),
            _ => None,
        }
    }

    fn arrive(&mut self, from: Party, to: Party, number: u64, datagram: Datagram) {
        let World {
            now,
            network,
            faults,
            ..
        } = &mut self.world;
        if !network.arrive(*now, from, to, number, faults) || !self.world.lives.lives(to) {
            return note!(self.world, to, "does not hear number {number} of {from}");
        }
        note!(self.world, to, "hears number {number} of {from}");
        match to {
            Party::Router => self.host.on_datagram(&mut self.world, from, datagram),
            Party::Publisher(number) => {
                self.publishers[number].on_datagram(&mut self.world, datagram);
            }
            Party::Grantee(number) => self.grantees[number].on_datagram(&mut self.world, datagram),
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
        self.reconnect(silence.party);
    }

    /// The carrier of a party has a new connection.
    fn reconnect(&mut self, party: Party) {
        match party {
            Party::Router => {}
            Party::Publisher(number) => self.publishers[number].on_connected(&mut self.world),
            Party::Grantee(number) => self.grantees[number].on_connected(&mut self.world),
            Party::Consumer(number) if self.joined[number] => {
                self.consumers[number].on_connected(&mut self.world);
            }
            Party::Consumer(_) => {}
        }
        self.note_events(party);
    }

    /// Lets a party do what is due.
    fn work(&mut self, party: Party) {
        match party {
            Party::Router => self.host.work(&mut self.world),
            Party::Publisher(number) => self.publishers[number].work(&mut self.world),
            Party::Grantee(number) => self.grantees[number].work(&mut self.world),
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
        self.end_if_left(party);
        match party {
            Party::Router => {}
            Party::Publisher(number) => {
                for event in self.publishers[number].core.take_events() {
                    note!(self.world, party, "reports {event:?}");
                    let now = self.world.now;
                    self.ledger.on_publisher_event(now, number, &event);
                }
                self.begin_publishing(number);
            }
            Party::Grantee(number) => {
                for event in self.grantees[number].core.take_events() {
                    note!(self.world, party, "reports {event:?}");
                    self.ledger.on_grantee_event(number, &event);
                }
            }
            Party::Consumer(number) => {
                self.note_deliveries(number);
                for event in self.consumers[number].core.take_events() {
                    note!(self.world, party, "reports {event:?}");
                    let now = self.world.now;
                    if let Some(ending) = self.ledger.on_subscriber_event(now, number, event) {
                        self.give_up(number, ending);
                    }
                }
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
                let truth = &self.world.oracle.truth;
                self.ledger.on_delivery(consumer, &delivered, truth);
            }
        }
    }

    /// Whether all is done, seen to be done, and idle.
    fn is_at_rest(&self) -> bool {
        let storm = self.scenario.storm.max(self.world.established);
        let since = self.rested.map_or(storm, |rested| storm.max(rested));
        self.world.now >= since + HEARTBEATS * TICK && self.waiting().is_empty()
    }

    /// Consumers of which the program does not hold what they want, in the present session of their domain.
    fn strangers(&self) -> Vec<String> {
        let workload = self.ledger.workload();
        let found = (0..self.consumers.len()).filter_map(|number| {
            let consumer = &workload.consumers[number];
            let owner = &workload.sources[consumer.domain].identity;
            let domain = *owner.public().domain_id().as_bytes();
            let key = consumer.identity.signing_key().verifying_key();
            let session = self.ledger.session_since(consumer.domain);
            let oracle = &self.world.oracle;
            let held = session.map(|(session, _)| oracle.held(&domain, session, &key));
            let wanted = self.ledger.answers().wanted(number);
            if self.ledger.has_ended(number) || held.as_ref() == Some(&wanted) {
                return None;
            }
            let party = Party::Consumer(number);
            Some(format!(
                "{party} has {held:?} instead of {wanted:?} in the session"
            ))
        });
        found.collect()
    }

    /// What a run at rest would not show.
    fn waiting(&self) -> Vec<String> {
        let mut waiting = self.strangers();
        if self.world.lives.anybody_dead() {
            waiting.push("somebody is dead".into());
        }
        for source in 0..self.applications.len() {
            let party = self.ledger.workload().party(source);
            let (published, due) = (self.applications[source].published, self.due());
            if published < due {
                waiting.push(format!("{party} has published {published} of {due}"));
            }
            if !self.source(source).is_drained() {
                waiting.push(format!("{party} has something that is not settled"));
            }
        }
        let settings = cast::link_settings(&self.scenario);
        let full = |class| match class {
            FrameClass::Control => settings.terms.control_window.min(settings.control_queue),
            FrameClass::Data => settings.terms.data_window.min(settings.data_queue),
        };
        waiting.extend(self.publishers.iter().flat_map(|one| one.busy_link(full)));
        waiting.extend(self.grantees.iter().flat_map(|one| one.busy_link(full)));
        let ended = |number: &usize| self.ledger.has_ended(*number);
        let here: Vec<_> = (0..self.consumers.len())
            .filter(|number| !ended(number))
            .collect();
        let consumers = here.iter().map(|number| &self.consumers[*number]);
        waiting.extend(consumers.flat_map(|one| one.busy_link(full)));
        let all = self.applications.len() + here.len();
        waiting.extend(self.host.busy_links(all, full));
        waiting
    }
}
