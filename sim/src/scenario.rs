//! A scenario: how many take part, what they send, and what goes wrong.

use std::time::Duration;

use sc_cbr::SlowPolicy;
use sc_client::BatchBounds;
use sc_transport::Terms;

use crate::disk::Death;
use crate::fault::{Fault, Silence, Weather};
use crate::malice::Malice;
use crate::party::Party;
use crate::plant::Plant;
use crate::random::Random;
use crate::trial::{self, Cast, Kinds, Trial};
use crate::wall::{ClockTrouble, Wrong};

/// The idle timeout of every link.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two ticks of a publisher.
pub const TICK: Duration = Duration::from_secs(5);

/// Windows for a few batches at a time; the largest frame still fits.
const NARROW: Terms = Terms {
    control_window: 32 << 10,
    data_window: 32 << 10,
    max_frame: 30 << 10,
};
/// What a link needs, once it is heard again, before a renewal has reached the publisher.
const RECOVERY: Duration = Duration::from_secs(10);

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Publishers, each the owner of one domain; at least 1.
    pub publishers: usize,
    /// Further publishers, each in the domain of one owner.
    pub grantees: usize,
    /// Sources whose input can be read again after a crash, in parts of a thousand.
    pub rereading: u32,
    /// Consumers, each of one domain.
    pub consumers: usize,
    /// Subscriptions of one consumer at most.
    pub subscriptions_max: usize,
    /// Consumers that come only when publishing has begun, in parts of a thousand.
    pub late: u32,
    /// Consumers that withdraw some of their subscriptions, in parts of a thousand.
    pub leaving: u32,
    /// Publications of each publisher during the storm.
    pub publications: usize,
    /// Publications of each publisher once all has come to rest: these reach everybody, whatever has happened before.
    pub epilogue: usize,
    /// The longest payload, in bytes.
    pub payload_max: usize,
    /// The longest pause between two publications of one publisher.
    pub pause_max: Duration,
    /// When publishers close batches.
    pub batch: BatchBounds,
    /// What every side of a link accepts.
    pub terms: Terms,
    /// What every side of a link keeps unacknowledged of class data, in bytes; of class control the default.
    pub queue: u64,
    /// How long subscriptions live without renewal.
    pub lease: Duration,
    /// Chances of faults while the storm lasts.
    pub weather: Weather,
    /// How long the storm lasts.
    pub storm: Duration,
    /// What happens to consumers that do not keep up.
    pub slow: SlowPolicy,
    /// How long consumers ask to have their notices kept while they are away.
    pub retention: Duration,
    /// When links are silent.
    pub silences: Vec<Silence>,
    /// What befalls whom, and when.
    pub trials: Vec<(Duration, Trial)>,
    /// When which clock is wrong.
    pub clocks: Vec<ClockTrouble>,
    /// What the router's host does to everybody.
    pub malice: Option<Malice>,
    /// A bug put in on purpose.
    pub plant: Option<Plant>,
}

impl Scenario {
    /// A few parties, a little traffic, no faults.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            publishers: 1,
            grantees: 0,
            rereading: 500,
            consumers: 3,
            subscriptions_max: 6,
            late: 0,
            leaving: 0,
            publications: 40,
            epilogue: 3,
            payload_max: 200,
            pause_max: Duration::from_millis(20),
            batch: BatchBounds::default(),
            terms: Terms {
                control_window: 1 << 20,
                data_window: 8 << 20,
                max_frame: 4 << 20,
            },
            queue: 16 << 20,
            lease: Duration::from_secs(3600),
            weather: Weather::default(),
            storm: Duration::ZERO,
            slow: SlowPolicy::default(),
            retention: Duration::ZERO,
            silences: Vec::new(),
            trials: Vec::new(),
            clocks: Vec::new(),
            malice: None,
            plant: None,
        }
    }

    /// The scenario of a seed: numbers, sizes and faults of its own.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, "scenario", 0);
        let narrow = random.chance(500);
        let mut scenario = Self {
            publishers: random.within(1..4),
            consumers: random.within(1..7),
            subscriptions_max: random.within(1..12),
            late: *random.pick(&[0, 300]),
            leaving: *random.pick(&[0, 300]),
            publications: random.within(1..80),
            payload_max: *random.pick(&[0, 40, 400, 3000]),
            pause_max: *random.pick(&[
                Duration::from_micros(200),
                Duration::from_millis(20),
                Duration::from_millis(500),
            ]),
            batch: BatchBounds {
                publications: *random.pick(&[1, 3, 16, 512]),
                bytes: *random.pick(&[1 << 10, 8 << 10]),
                linger: *random.pick(&[
                    Duration::ZERO,
                    Duration::from_millis(1),
                    Duration::from_millis(50),
                ]),
            },
            terms: if narrow { NARROW } else { Self::calm().terms },
            queue: if narrow {
                2 * NARROW.data_window
            } else {
                16 << 20
            },
            lease: *random.pick(&[Duration::from_secs(80), Duration::from_secs(3600)]),
            weather: Weather::draw(&mut random),
            storm: Duration::from_secs(random.within(10..40) as u64),
            ..Self::calm()
        };
        scenario.draw_faults(seed, &mut random);
        scenario
    }

    /// Of eight runs two have weather alone, two crashes too, two disks, power and clocks as well, and two a hostile host instead.
    fn draw_faults(&mut self, seed: u64, random: &mut Random) {
        let mut more = Random::new(seed, "trials", 0);
        self.slow = *more.pick(&[
            SlowPolicy::Spill,
            SlowPolicy::Spill,
            SlowPolicy::Block,
            SlowPolicy::Disconnect,
        ]);
        self.retention = *more.pick(&[
            Duration::ZERO,
            Duration::from_secs(60),
            Duration::from_secs(3600),
        ]);
        self.rereading = *more.pick(&[0, 500, 1000]);
        self.grantees = more.below(2 * self.publishers + 1);
        match seed % 8 {
            0 | 1 => self.silences = self.draw_silences(random),
            2 | 3 => {
                if more.chance(300) {
                    self.silences = self.draw_silences(random);
                }
                self.draw_trials(&mut more, Kinds::Processes);
            }
            4 | 5 => {
                self.draw_trials(&mut more, Kinds::Machines);
                self.draw_clocks(&mut more);
                if more.chance(300) {
                    self.fill_spill(&mut more);
                }
            }
            _ => {
                self.weather = Weather::default();
                self.storm = Duration::from_secs(more.within(40..70) as u64);
                self.malice = Some(Malice::draw(&mut more, self.storm));
                let steals = |malice: &Malice| malice.schemes.contains(&Fault::DropSpill);
                if self.malice.as_ref().is_some_and(steals) {
                    self.send_away(Duration::from_secs(2));
                } else if more.chance(300) {
                    self.draw_trials(&mut more, Kinds::Processes);
                }
            }
        }
    }

    fn cast(&self) -> Cast {
        Cast {
            publishers: self.publishers,
            grantees: self.grantees,
            consumers: self.consumers,
        }
    }

    fn draw_trials(&mut self, random: &mut Random, kinds: Kinds) {
        self.trials = trial::draw(random, self.cast(), self.storm, kinds);
        let ends = self.trials.iter().map(|(at, trial)| *at + trial.lasting());
        self.storm = self.storm.max(ends.max().unwrap_or_default());
    }

    /// A consumer is away, and the router's disk has no room for what it misses.
    fn fill_spill(&mut self, random: &mut Random) {
        let from = random.time(Duration::from_secs(1), Duration::from_secs(5));
        self.send_away(from);
        let full = Trial::DiskFull {
            party: Party::Router,
            lasting: Duration::from_secs(12),
        };
        self.trials.push((from, full));
    }

    /// A consumer is away for a while, and its notices go to the router's disk.
    fn send_away(&mut self, from: Duration) {
        self.slow = SlowPolicy::Spill;
        let down = Duration::from_secs(15);
        let away = Trial::Crash {
            party: Party::Consumer(0),
            death: Death::Killed,
            outputs: 0,
            down,
        };
        self.trials.push((from, away));
        self.storm = self.storm.max(from + down);
    }

    fn draw_clocks(&mut self, random: &mut Random) {
        for party in self.cast().all() {
            if random.chance(200) {
                let from = random.time(Duration::ZERO, self.storm);
                let until = random.time(from, Duration::from_secs(30));
                self.clocks.push(ClockTrouble {
                    party,
                    from,
                    until,
                    wrong: *random.pick(&[Wrong::Frozen, Wrong::Ahead, Wrong::Back]),
                });
                self.storm = self.storm.max(until);
            }
        }
    }

    /// Whether the host is honest.
    pub(crate) fn is_honest(&self) -> bool {
        self.malice.is_none()
    }

    /// Whether every lease is renewed in time: half of it outlasts a silence of the consumer's link and one of its publisher's.
    pub(crate) fn leases_hold(&self) -> bool {
        if !(self.trials.is_empty() && self.clocks.is_empty() && self.malice.is_none()) {
            return false;
        }
        let longest = |publishers: bool| {
            let of_kind =
                |silence: &&Silence| matches!(silence.party, Party::Publisher(_)) == publishers;
            let lengths = self.silences.iter().filter(of_kind);
            lengths
                .map(|silence| silence.until - silence.from + RECOVERY)
                .max()
                .unwrap_or_default()
        };
        self.lease / 2 > longest(true) + longest(false)
    }

    /// Silences of some links, one after another; the storm lasts until the last is over.
    fn draw_silences(&mut self, random: &mut Random) -> Vec<Silence> {
        let mut silences = Vec::new();
        let begun_within = self.storm;
        let publishers = (0..self.publishers).map(Party::Publisher);
        for party in publishers.chain((0..self.consumers).map(Party::Consumer)) {
            let mut free = Duration::ZERO;
            while random.chance(300) && free < begun_within {
                let from = random.time(free, begun_within - free);
                let outage = random.chance(150);
                let (least, span) = if outage {
                    (IDLE_TIMEOUT * 2, Duration::from_secs(10))
                } else {
                    let spans = [Duration::from_secs(1), IDLE_TIMEOUT / 2];
                    (Duration::ZERO, *random.pick(&spans))
                };
                let until = random.time(from + least, span);
                silences.push(Silence {
                    party,
                    from,
                    until,
                    outage,
                    reconnects: random.chance(500),
                });
                // The link has time to recover before the next.
                free = until + RECOVERY;
                self.storm = self.storm.max(until);
            }
        }
        silences
    }
}
