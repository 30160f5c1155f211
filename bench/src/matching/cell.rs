//! One workload with one number of subscriptions: every engine built, checked and measured.
//!
//! Invariant: engines are measured in turn, run by run, so that whatever else the machine does meets all alike.

use std::time::{Duration, Instant};

use anyhow::Context;
use sc_matching::{Kernel, Subscription};

use super::churn::{self, Churn};
use super::engine::{Engine, EngineName, Pass, Publications, Sample};
use super::language::Unsupported;
use super::table::{Figures, Row};
use super::workload::{Workload, WorkloadName};
use crate::median::Sorted;
use crate::report::note;

/// Subscriptions that are made at a time, outside the clock.
const CHUNK: u32 = 1024;
/// What an engine may know beforehand.
const SAMPLE_SUBSCRIPTIONS: u32 = 1000;
/// A build that takes longer is given up.
const BUILD_MAX: Duration = Duration::from_secs(60);
/// What all runs of an engine may take, as long as each has [`PUBLICATIONS_MIN`].
const RUNS_TIME: Duration = Duration::from_millis(1500);
/// A run of fewer publications says nothing.
const PUBLICATIONS_MIN: usize = 20;
/// A run repeats its publications until it lasts about so long.
const RUN_MIN: Duration = Duration::from_millis(20);
/// A trial that lasts longer says how many publications a run can have.
const TRIAL_MIN: Duration = Duration::from_millis(2);
/// Publications for which answers are compared.
const CHECKED: usize = 64;
/// Of these, so many are compared with the definition of the language.
const CHECKED_BY_DEFINITION: usize = 4;
/// Subscriptions of which the definition is asked.
const DEFINED_MAX: u32 = 100_000;

/// What to measure.
pub(super) struct Case<'a> {
    pub(super) name: WorkloadName,
    pub(super) workload: &'a Workload,
    pub(super) subscriptions: u32,
    pub(super) engines: &'a [EngineName],
    pub(super) runs: u32,
    pub(super) kernel: Kernel,
}

/// An engine with all subscriptions.
struct Built {
    engine: Box<dyn Engine>,
    insertion: Duration,
    bytes: usize,
}

/// What one engine is measured with.
struct Plan {
    /// Publications of a run, evenly over all.
    places: Vec<usize>,
    /// How often a run takes them.
    passes: usize,
}

/// Nanoseconds for each publication, one value for each run.
#[derive(Default)]
struct Times {
    ids: Vec<f64>,
    counts: Vec<f64>,
}

impl Case<'_> {
    /// A row for each engine.
    ///
    /// # Errors
    /// An engine's answers are not those of the scan.
    pub(super) fn measure(&self) -> anyhow::Result<Vec<Row>> {
        let bytes = Publications::encode(&self.workload.publications)?;
        let publications = Publications::decode(&self.workload.publications, &bytes)?;
        let mut engines: Vec<_> = self
            .engines
            .iter()
            .map(|name| (*name, self.build(*name)))
            .collect();
        self.check(&mut engines, &publications)?;
        let times = self.times(&mut engines, &publications);
        let rows = engines.into_iter().zip(times);
        rows.map(|((name, built), times)| {
            let figures = built.and_then(|built| self.figures(built, &times, &publications));
            Ok(Row {
                workload: self.name,
                subscriptions: self.subscriptions,
                engine: name,
                figures,
            })
        })
        .collect()
    }

    fn build(&self, name: EngineName) -> Result<Built, Unsupported> {
        if self.subscriptions > name.subscriptions_max() {
            let most = name.subscriptions_max();
            return Err(Unsupported(format!(
                "not tried beyond {most} subscriptions"
            )));
        }
        note(&format!("  building {name}"));
        let sample: Vec<Subscription> = (0..self.subscriptions.min(SAMPLE_SUBSCRIPTIONS))
            .map(|n| self.workload.subscription(n))
            .collect();
        let before = crate::ALLOCATOR.allocated();
        let sample = Sample {
            subscriptions: &sample,
            publications: &self.workload.publications,
        };
        let mut engine = name.create(&sample, self.kernel)?;
        let insertion = self.insert_all(&mut *engine)?;
        Ok(Built {
            engine,
            insertion,
            bytes: crate::ALLOCATOR.allocated().saturating_sub(before),
        })
    }

    /// Inserts every subscription; returns the time that this took, without that for making them.
    fn insert_all(&self, engine: &mut dyn Engine) -> Result<Duration, Unsupported> {
        let mut insertion = Duration::ZERO;
        for first in (0..self.subscriptions).step_by(CHUNK as usize) {
            let last = self.subscriptions.min(first + CHUNK);
            let chunk: Vec<_> = (first..last)
                .map(|id| (id, self.workload.subscription(id)))
                .collect();
            let start = Instant::now();
            for (id, subscription) in &chunk {
                engine.insert(*id, subscription)?;
            }
            insertion += start.elapsed();
            if insertion > BUILD_MAX {
                let seconds = BUILD_MAX.as_secs();
                return Err(Unsupported(format!(
                    "given up at {last} subscriptions: the build took more than {seconds} s"
                )));
            }
        }
        Ok(insertion)
    }

    /// Compares every engine with the scan, and the scan with the definition of the language.
    ///
    /// An engine that cannot take the publications is replaced by the reason.
    fn check(
        &self,
        engines: &mut [(EngineName, Result<Built, Unsupported>)],
        publications: &Publications<'_>,
    ) -> anyhow::Result<()> {
        let places = evenly(publications.len(), CHECKED);
        let expected = self.expected(engines, publications, &places)?;
        self.check_by_definition(&places, &expected, publications)?;
        for (name, built) in engines {
            let Ok(engine) = built else { continue };
            let pass = engine.engine.pass(publications);
            match pass.map(|mut pass| answers(&mut *pass, &places)) {
                Ok(found) => same(&expected, &found)
                    .with_context(|| format!("{name} differs from the scan"))?,
                Err(reason) => *built = Err(reason),
            }
        }
        Ok(())
    }

    /// The answers of the scan, which is built for this if it is not measured.
    fn expected(
        &self,
        engines: &[(EngineName, Result<Built, Unsupported>)],
        publications: &Publications<'_>,
        places: &[usize],
    ) -> Result<Vec<Vec<u32>>, Unsupported> {
        let measured = engines.iter().find_map(|(name, built)| match name {
            EngineName::Scan => built.as_ref().ok(),
            _ => None,
        });
        let own;
        let scan = match measured {
            Some(scan) => scan,
            None => {
                own = self.build(EngineName::Scan)?;
                &own
            }
        };
        Ok(answers(&mut *scan.engine.pass(publications)?, places))
    }

    fn check_by_definition(
        &self,
        places: &[usize],
        expected: &[Vec<u32>],
        publications: &Publications<'_>,
    ) -> anyhow::Result<()> {
        let chosen = evenly(places.len(), CHECKED_BY_DEFINITION);
        let defined = self.subscriptions.min(DEFINED_MAX);
        let mut matching = vec![Vec::new(); chosen.len()];
        for id in 0..defined {
            let subscription = self.workload.subscription(id);
            for (place, matching) in chosen.iter().zip(&mut matching) {
                if subscription.matches(&publications.list[places[*place]]) {
                    matching.push(id);
                }
            }
        }
        let found: Vec<Vec<u32>> = chosen
            .iter()
            .map(|place| {
                let ids = expected[*place].iter().copied();
                ids.filter(|id| *id < defined).collect()
            })
            .collect();
        same(&matching, &found).context("the scan differs from the definition of the language")
    }

    /// The times of each engine, empty for one that was not built.
    fn times(
        &self,
        engines: &mut [(EngineName, Result<Built, Unsupported>)],
        publications: &Publications<'_>,
    ) -> Vec<Times> {
        let budget = RUNS_TIME / self.runs;
        let mut plans = Vec::new();
        for (_, built) in &*engines {
            let pass = built.as_ref().ok().map(|built| pass(built, publications));
            plans.push(pass.map(|mut pass| Plan::new(&mut *pass, publications.len(), budget)));
        }
        let mut times: Vec<Times> = engines.iter().map(|_| Times::default()).collect();
        for _ in 0..self.runs {
            for (((_, built), plan), times) in engines.iter().zip(&plans).zip(&mut times) {
                if let (Ok(built), Some(plan)) = (built, plan) {
                    plan.run(&mut *pass(built, publications), times);
                }
            }
        }
        times
    }

    /// What is known of an engine when its runs are over; changes it.
    fn figures(
        &self,
        mut built: Built,
        times: &Times,
        publications: &Publications<'_>,
    ) -> Result<Figures, Unsupported> {
        let places = evenly(publications.len(), CHECKED);
        let matches: usize = answers(&mut *pass(&built, publications), &places)
            .iter()
            .map(Vec::len)
            .sum();
        let count = f64::from(self.subscriptions);
        let Churn {
            longest_us,
            p999_us,
            delete_ns,
        } = churn::measure(&mut *built.engine, self.workload, self.subscriptions)?;
        Ok(Figures {
            ns_per_publication: Sorted::new(times.ids.iter().copied()),
            ns_of_runs: (!times.counts.is_empty())
                .then(|| Sorted::new(times.counts.iter().copied()).median()),
            matches_per_publication: matches as f64 / places.len() as f64,
            insert_ns: built.insertion.as_nanos() as f64 / count,
            delete_ns,
            bytes_per_subscription: built.bytes as f64 / count,
            build_s: built.insertion.as_secs_f64(),
            longest_call_us: longest_us,
            p999_call_us: p999_us,
        })
    }
}

/// A pass of an engine that has proved in the check that it can take these publications.
fn pass<'e>(built: &'e Built, publications: &'e Publications<'e>) -> Box<dyn Pass + 'e> {
    let pass = built.engine.pass(publications);
    pass.expect("it took these publications in the check")
}

/// The ids for each of these publications, ascending.
fn answers(pass: &mut dyn Pass, places: &[usize]) -> Vec<Vec<u32>> {
    pass.announce(places);
    let answer = |place: &usize| {
        let mut ids = Vec::new();
        pass.ids(*place, &mut ids);
        if let Some(count) = pass.count(*place) {
            assert_eq!(count, ids.len(), "a count that is not that of the ids");
        }
        ids.sort_unstable();
        ids
    };
    places.iter().map(answer).collect()
}

fn same(expected: &[Vec<u32>], found: &[Vec<u32>]) -> anyhow::Result<()> {
    for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
        anyhow::ensure!(
            expected == found,
            "publication {at} of those compared: {} subscriptions match and {} were found",
            expected.len(),
            found.len()
        );
    }
    Ok(())
}

/// So many places, or all, evenly over `0..length`.
fn evenly(length: usize, count: usize) -> Vec<usize> {
    let count = count.min(length);
    (0..count).map(|n| n * length / count).collect()
}

/// How long a publication takes, once the first of them have filled the caches.
fn seconds_each(pass: &mut dyn Pass, publications: usize, ids: &mut Vec<u32>) -> f64 {
    let mut count = PUBLICATIONS_MIN.min(publications);
    loop {
        let tried = evenly(publications, count);
        pass.announce(&tried);
        let start = Instant::now();
        tried.iter().for_each(|at| pass.ids(*at, ids));
        let taken = start.elapsed();
        if taken > TRIAL_MIN || count == publications {
            return taken.as_secs_f64() / tried.len() as f64 + 1e-9;
        }
        count = (count * 4).min(publications);
    }
}

impl Plan {
    /// Tries a few publications, and takes as many as the time allows.
    fn new(pass: &mut dyn Pass, publications: usize, budget: Duration) -> Self {
        let mut ids = Vec::new();
        let each = seconds_each(pass, publications, &mut ids);
        let affordable = (budget.as_secs_f64() / each) as usize;
        let places = evenly(publications, affordable.max(PUBLICATIONS_MIN));
        let pass_s = each * places.len() as f64;
        Self {
            places,
            passes: (RUN_MIN.as_secs_f64() / pass_s).ceil() as usize,
        }
    }

    fn run(&self, pass: &mut dyn Pass, times: &mut Times) {
        let mut ids = Vec::new();
        pass.announce(&self.places);
        times.ids.push(self.clock(|at| {
            pass.ids(at, &mut ids);
            std::hint::black_box(&ids);
        }));
        if pass.count(self.places[0]).is_some() {
            times.counts.push(self.clock(|at| {
                std::hint::black_box(pass.count(at));
            }));
        }
    }

    fn clock(&self, mut each: impl FnMut(usize)) -> f64 {
        let start = Instant::now();
        for _ in 0..self.passes {
            self.places.iter().for_each(|at| each(*at));
        }
        start.elapsed().as_nanos() as f64 / (self.passes * self.places.len()) as f64
    }
}
