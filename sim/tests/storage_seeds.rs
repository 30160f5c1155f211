//! The storage system in storms: whatever ends, hangs, lies, rots, jumps or is cut off while jobs move and mend everything, what was
//! acknowledged reads back, what was deleted stays deleted, and nothing is left over; also when the catalogue is lost in the end. And the checks themselves: planted bugs are found.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sc_sim::storage::{
    Fault, Faults, JobKind, Journey, Plant, Report, Scenario, Simulation, Upkeep,
};

/// Seeds that are run unless `SC_SIM_STORAGE_SEEDS` asks for another number.
const SEEDS: u64 = 1000;

fn seeds() -> u64 {
    match std::env::var("SC_SIM_STORAGE_SEEDS") {
        Ok(text) => text.parse().expect("SC_SIM_STORAGE_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

fn run(seed: u64) -> Report {
    Simulation::new(seed, Scenario::draw(seed)).run()
}

/// What all runs came to.
#[derive(Default)]
struct Outcome {
    faults: Faults,
    upkeep: Upkeep,
    acknowledged: u64,
    attempts: u64,
    failed: Vec<String>,
}

/// Runs all seeds, on as many threads as there are cores.
fn run_all() -> Outcome {
    let next = AtomicU64::new(0);
    let outcome = Mutex::new(Outcome::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds() {
                        return;
                    }
                    let report = run(seed);
                    let mut outcome = outcome.lock().expect("no holder of this lock panics");
                    outcome.faults.add(&report.faults);
                    outcome.upkeep.add(&report.upkeep);
                    outcome.acknowledged += report.acknowledged;
                    outcome.attempts += report.attempts;
                    if !report.violations.is_empty() {
                        outcome.failed.push(report.to_string());
                    }
                }
            });
        }
    });
    outcome.into_inner().expect("no holder of this lock panics")
}

#[test]
fn every_seed_keeps_every_promise_and_together_they_inject_every_fault() {
    let outcome = run_all();

    let Outcome {
        faults,
        upkeep,
        acknowledged,
        attempts,
        failed,
    } = outcome;
    assert!(failed.is_empty(), "{}\n{faults}", failed.join("\n"));
    for fault in Fault::ALL {
        assert!(
            faults.of(fault) > 0,
            "no {fault} in {} seeds:\n{faults}",
            seeds()
        );
    }
    for kind in JobKind::ALL {
        assert!(
            upkeep.changed(kind) > 0,
            "{kind:?} has done nothing:\n{upkeep}"
        );
    }
    // Most of what was tried came through all the same.
    assert!(
        acknowledged * 10 > attempts * 7,
        "{acknowledged} of {attempts}"
    );
    let table = format!("{faults}\n{upkeep}");
    let printed = std::io::Write::write_all(&mut std::io::stdout(), table.as_bytes());
    assert!(printed.is_ok());
}

#[test]
fn the_same_seed_gives_the_same_trace_and_the_same_words() {
    for seed in 0..16 {
        let report = || {
            let simulation = Simulation::new(seed, Scenario::draw(seed));
            simulation.with_text().run()
        };
        let (first, second) = (report(), report());

        assert_eq!(first.lines, second.lines, "seed {seed}");
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.faults, second.faults);
        assert_eq!(first.trace, run(seed).trace);
    }
    assert_ne!(run(1).trace, run(2).trace);
}

#[test]
fn in_calm_everything_is_done() {
    for seed in 0..4 {
        let report = Simulation::new(seed, Scenario::calm()).run();

        assert_eq!(report.violations, []);
        assert_eq!(report.faults.total(), report.faults.of(Fault::SlowGet));
        assert!(report.acknowledged > 0 && report.reads > 0);
    }
}

#[test]
fn while_jobs_move_and_collect_nobody_notices_anything() {
    let mut upkeep = Upkeep::default();
    for seed in 0..20 {
        let report = Simulation::new(seed, Scenario::busy()).run();

        assert_eq!(report.violations, [], "seed {seed}");
        upkeep.add(&report.upkeep);
    }
    for kind in [JobKind::Migrate, JobKind::Tier, JobKind::Drain] {
        assert!(upkeep.changed(kind) > 0, "{upkeep}");
    }
}

/// A store ends at every step of a journey, from the first to the last that there is.
fn every_step(journey: Journey, fault: Fault) {
    let mut step = 1;
    loop {
        let report = Simulation::new(1, Scenario::crash(journey, step)).run();
        assert_eq!(report.violations, [], "{journey:?}, step {step}");
        if report.faults.of(fault) == 0 {
            break;
        }
        step += 1;
    }
    // Of one request, and of all that come after it.
    assert!(step > 10, "a {journey:?} has only {step} steps");
}

#[test]
fn a_store_may_end_at_every_step_of_a_put() {
    every_step(Journey::Put, Fault::CrashInPut);
}

#[test]
fn a_store_may_end_at_every_step_of_a_get() {
    every_step(Journey::Get, Fault::CrashInGet);
}

#[test]
fn a_store_may_end_at_any_step_of_a_chore() {
    // How many there are is another number in each run: chance begins jobs.
    let steps = (1..300).step_by(3);
    let mut crashed = 0;
    for step in steps.clone() {
        let report = Simulation::new(step, Scenario::crash(Journey::Chore, step)).run();
        assert_eq!(report.violations, [], "step {step}");
        crashed += usize::from(report.faults.of(Fault::CrashInChore) > 0);
    }
    assert!(crashed * 2 > steps.count(), "{crashed} ended");
}

#[test]
fn a_store_may_end_at_every_step_of_a_deletion() {
    every_step(Journey::Delete, Fault::CrashInDelete);
}

#[test]
fn every_planted_bug_is_found() {
    for plant in Plant::ALL {
        let found = (0..100).any(|seed| {
            let calm = Scenario {
                plant: Some(plant),
                ..Scenario::calm()
            };
            let storm = Scenario {
                plant: Some(plant),
                ..Scenario::draw(seed)
            };
            // What is lost at a crash needs crashes, what is not repaired harm, and the away are forgotten after a storm.
            let scenario = match plant {
                Plant::LoseAtCrash
                | Plant::SpoilRepairs
                | Plant::NeverRepair
                | Plant::ForgetTheAway => storm,
                _ => calm,
            };
            let report = Simulation::new(seed, scenario).run();
            !report.violations.is_empty()
        });
        assert!(found, "{plant}");
    }
}
