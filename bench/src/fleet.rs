//! Many consumers at one real router: what the campaigns `crowd` and `admission` share.
//!
//! Router and trusted program are processes; the consumers are the real cores and links, many in one process, spread
//! over a few; the publisher is the real core and link on a thread of the campaign's own process.
//! Invariant: the domain is opened only when every link is proved and attached, so that connecting and admitting are
//! measured apart.

pub(crate) mod consumers;
mod load;
mod owner;
mod publishing;
mod results;
mod tally;
mod world;

pub(crate) use results::{Results, Row};
pub(crate) use world::{Usage, World};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long each stage may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Comparable between processes: nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_nanos() as u64
}

/// From one reading to a later one.
pub(crate) fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

/// Spreads consumers over so many processes, or over as many as there are consumers.
pub(crate) fn split(consumers: u64, processes: u64) -> Vec<u64> {
    let processes = processes.min(consumers);
    let sizes = (0..processes)
        .map(|place| consumers / processes + u64::from(place < consumers % processes));
    sizes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_spread_evenly_and_none_is_lost() {
        assert_eq!(split(10, 4), [3, 3, 2, 2]);
        assert_eq!(split(9900, 4), [2475; 4]);
    }

    #[test]
    fn no_process_is_without_consumers() {
        assert_eq!(split(2, 4), [1, 1]);
    }
}
