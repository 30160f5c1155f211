//! The network: when, how often and whether a datagram arrives.
//!
//! Invariant: without a fault datagrams arrive once, in the order in which they were sent. Loss alone never silences a direction for as
//! long as an idle timeout: what it does, the link layer has promised to mend.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::{Fault, Faults, Silence, Weather};
use crate::party::Party;
use crate::random::Random;

/// What a datagram needs at least.
const LATENCY: Duration = Duration::from_micros(100);
/// What it may need more, in fair weather.
const JITTER: Duration = Duration::from_micros(50);
/// Of a direction in which nothing has got through for so long, the next datagram is spared by loss: about half a keepalive.
const SPARED_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Direction {
    /// Datagrams sent.
    sent: u64,
    /// The highest number that has arrived.
    arrived: u64,
    /// When the last datagram in order arrives.
    last: Duration,
    /// When something was last let through.
    through: Duration,
}

#[derive(Debug)]
pub(crate) struct Network {
    weather: Weather,
    /// The end of the storm: afterwards there are no faults.
    calm_from: Duration,
    silences: Vec<Silence>,
    random: Random,
    directions: BTreeMap<(Party, Party), Direction>,
}

/// One copy of a datagram on its way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) number: u64,
    pub(crate) arrives: Duration,
}

impl Network {
    pub(crate) fn new(
        weather: Weather,
        calm_from: Duration,
        silences: Vec<Silence>,
        random: Random,
    ) -> Self {
        Self {
            weather,
            calm_from,
            silences,
            random,
            directions: BTreeMap::new(),
        }
    }

    /// Sends a datagram: it arrives once for each passage.
    pub(crate) fn send(
        &mut self,
        now: Duration,
        from: Party,
        to: Party,
        faults: &mut Faults,
    ) -> Vec<Passage> {
        let silent = self.is_silent(from, to, now);
        let storm = now < self.calm_from;
        let Self {
            weather,
            random,
            directions,
            ..
        } = self;
        let direction = directions.entry((from, to)).or_default();
        direction.sent += 1;
        if silent {
            return Vec::new();
        }
        if storm && random.chance(weather.loss) && now < direction.through + SPARED_AFTER {
            faults.count(Fault::Loss);
            return Vec::new();
        }
        direction.through = now;
        let twice = storm && random.chance(weather.duplication);
        if twice {
            faults.count(Fault::Duplication);
        }
        let copies = 1 + usize::from(twice);
        let arrivals = (0..copies).map(|_| {
            let mut arrives = random.time(now + LATENCY, JITTER);
            if storm && random.chance(weather.delay) {
                faults.count(Fault::Delay);
                arrives = random.time(arrives, weather.delay_max);
            }
            arrives = arrives.max(direction.last);
            if storm && random.chance(weather.reorder) {
                // Whatever follows may overtake it: it holds up nobody.
                arrives = random.time(arrives, weather.reorder_max);
            } else {
                direction.last = arrives;
            }
            Passage {
                number: direction.sent,
                arrives,
            }
        });
        arrivals.collect()
    }

    /// Whether a datagram that is here now gets through, which it does unless its link is silent.
    pub(crate) fn arrive(
        &mut self,
        now: Duration,
        from: Party,
        to: Party,
        number: u64,
        faults: &mut Faults,
    ) -> bool {
        if self.is_silent(from, to, now) {
            return false;
        }
        let direction = self.directions.entry((from, to)).or_default();
        if number < direction.arrived {
            faults.count(Fault::Reorder);
        }
        direction.arrived = direction.arrived.max(number);
        true
    }

    fn is_silent(&self, from: Party, to: Party, now: Duration) -> bool {
        self.silences
            .iter()
            .any(|silence| silence.covers(from, now) || silence.covers(to, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Party = Party::Publisher(0);
    const TO: Party = Party::Router;
    const STORM: Duration = Duration::from_secs(1000);

    fn network(weather: Weather, silences: Vec<Silence>) -> Network {
        Network::new(weather, STORM, silences, Random::new(1, "net", 0))
    }

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn in_fair_weather_datagrams_arrive_once_and_in_order() {
        let (mut net, mut faults) = (network(Weather::default(), Vec::new()), Faults::default());

        let passages: Vec<_> = (0..1000)
            .flat_map(|sent| net.send(Duration::from_micros(sent), FROM, TO, &mut faults))
            .collect();

        assert_eq!(passages.len(), 1000);
        assert!(passages.is_sorted_by_key(|passage| passage.arrives));
        assert!(passages.iter().map(|passage| passage.number).eq(1..=1000));
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn what_is_sent_or_would_arrive_in_a_silence_is_gone_in_both_directions() {
        let silence = Silence {
            party: FROM,
            from: millis(10),
            until: millis(20),
            outage: false,
            reconnects: false,
        };
        let (mut net, mut faults) = (
            network(Weather::default(), vec![silence]),
            Faults::default(),
        );

        for (from, to) in [(FROM, TO), (TO, FROM)] {
            assert_eq!(net.send(millis(15), from, to, &mut faults), []);
            assert!(!net.arrive(millis(10), from, to, 1, &mut faults));
            assert!(net.arrive(millis(20), from, to, 1, &mut faults));
        }
        assert_eq!(
            net.send(millis(15), Party::Consumer(0), TO, &mut faults)
                .len(),
            1
        );
    }

    #[test]
    fn loss_alone_never_silences_a_direction() {
        let weather = Weather {
            loss: 1000,
            ..Weather::default()
        };
        let (mut net, mut faults) = (network(weather, Vec::new()), Faults::default());

        let through: Vec<_> = (0..600)
            .filter(|tenth| {
                !net.send(millis(tenth * 100), FROM, TO, &mut faults)
                    .is_empty()
            })
            .collect();

        assert_eq!(through, (50..600).step_by(50).collect::<Vec<_>>());
        assert_eq!(faults.of(Fault::Loss), 600 - 11);
    }

    #[test]
    fn a_reordering_is_counted_when_a_later_datagram_has_come_first() {
        let (mut net, mut faults) = (network(Weather::default(), Vec::new()), Faults::default());

        for number in [1, 3, 2, 4] {
            net.arrive(millis(number), FROM, TO, number, &mut faults);
        }

        assert_eq!(faults.of(Fault::Reorder), 1);
    }

    #[test]
    fn there_are_no_faults_after_the_storm() {
        let weather = Weather {
            loss: 1000,
            duplication: 1000,
            delay: 1000,
            delay_max: millis(100),
            ..Weather::default()
        };
        let (mut net, mut faults) = (network(weather, Vec::new()), Faults::default());

        assert_eq!(net.send(STORM, FROM, TO, &mut faults).len(), 1);
        assert_eq!(faults, Faults::default());
    }
}
