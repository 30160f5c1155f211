//! A scenario: how many take part, what they send, and what goes wrong.

use std::time::Duration;

use sc_client::BatchBounds;
use sc_transport::Terms;

use crate::fault::{Silence, Weather};
use crate::party::Party;
use crate::plant::Plant;
use crate::random::Random;

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
    /// When links are silent.
    pub silences: Vec<Silence>,
    /// A bug put in on purpose.
    pub plant: Option<Plant>,
}

impl Scenario {
    /// A few parties, a little traffic, no faults.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            publishers: 1,
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
            silences: Vec::new(),
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
        scenario.silences = scenario.draw_silences(&mut random);
        scenario
    }

    /// Whether every lease is renewed in time: half of it outlasts a silence of the consumer's link and one of its publisher's.
    pub(crate) fn leases_hold(&self) -> bool {
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
