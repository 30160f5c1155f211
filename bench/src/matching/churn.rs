//! Subscriptions that come and go while there are as many as ever.
//!
//! Invariant: the longest call is that of the thread's own processor time, so that nothing else on the machine is in it;
//! the 99.9th percentile is that of the wall.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::engine::Engine;
use super::language::Unsupported;
use super::workload::Workload;
use crate::random::Random;

/// Calls of the phase, each second one a removal.
const CALLS: usize = 200_000;
/// A slow engine gets as many as it can make in this time.
const TIME: Duration = Duration::from_secs(2);
/// Calls for which the arguments are made at a time.
const CHUNK: usize = 1000;
/// Removals that are measured: this part of all, but no more than the most.
const REMOVED_PART: u32 = 10;
const REMOVED_MAX: u32 = 100_000;

/// What the phases showed; nothing of an engine that cannot remove.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Churn {
    pub(super) longest_us: Option<f64>,
    pub(super) p999_us: Option<f64>,
    pub(super) delete_ns: Option<f64>,
}

/// Replaces subscriptions at random, then removes some.
///
/// # Errors
/// The engine refuses a subscription that it had taken before.
pub(super) fn measure(
    engine: &mut dyn Engine,
    workload: &Workload,
    subscriptions: u32,
) -> Result<Churn, Unsupported> {
    let mut random = Random::new(31);
    // Whoever cannot remove one cannot remove any.
    if engine.remove(0).is_err() {
        return Ok(Churn::default());
    }
    engine.insert(0, &workload.subscription(0))?;
    let mut calls = Calls::default();
    while calls.wall_us.len() < CALLS && calls.spent < TIME {
        let chunk: Vec<_> = (0..CHUNK / 2)
            .map(|_| random.below(u64::from(subscriptions)) as u32)
            .map(|id| (id, workload.subscription(id)))
            .collect();
        for (id, subscription) in &chunk {
            let there = calls.time(|| engine.remove(*id))?;
            assert!(there, "an engine has lost subscription {id}");
            calls.time(|| engine.insert(*id, subscription))?;
        }
    }
    let delete_ns = removal_ns(engine, subscriptions, &mut random)?;
    calls.wall_us.sort_by(f64::total_cmp);
    let rank = (calls.wall_us.len() * 999).div_ceil(1000);
    Ok(Churn {
        longest_us: Some(calls.longest.as_nanos() as f64 / 1e3),
        p999_us: Some(calls.wall_us[rank - 1]),
        delete_ns: Some(delete_ns),
    })
}

#[derive(Default)]
struct Calls {
    wall_us: Vec<f64>,
    longest: Duration,
    spent: Duration,
}

impl Calls {
    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let (start, own_start) = (Instant::now(), thread_time());
        let result = call();
        let (own, wall) = (thread_time() - own_start, start.elapsed());
        self.longest = self.longest.max(own);
        self.spent += wall;
        self.wall_us.push(wall.as_nanos() as f64 / 1e3);
        result
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Removes some at random, each once; the time for each.
fn removal_ns(
    engine: &mut dyn Engine,
    subscriptions: u32,
    random: &mut Random,
) -> Result<f64, Unsupported> {
    let count = (subscriptions / REMOVED_PART).clamp(1, REMOVED_MAX) as usize;
    let mut ids: Vec<u32> = (0..subscriptions).collect();
    for at in 0..count {
        let other = at + random.below((ids.len() - at) as u64) as usize;
        ids.swap(at, other);
    }
    ids.truncate(count);
    let (start, mut removed) = (Instant::now(), 0);
    for ids in ids.chunks(CHUNK) {
        for id in ids {
            assert!(engine.remove(*id)?, "an engine has lost subscription {id}");
        }
        removed += ids.len();
        if start.elapsed() > TIME {
            break;
        }
    }
    Ok(start.elapsed().as_nanos() as f64 / removed as f64)
}
