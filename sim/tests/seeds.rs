//! Many seeds: whatever the weather, the disks and the host, what matches is delivered once or reported, and nothing else is delivered.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sc_sim::{Fault, Faults, Report, Scenario, Simulation};

/// Seeds that are run unless `SC_SIM_SEEDS` asks for more.
const SEEDS: u64 = 1000;

fn seeds() -> u64 {
    match std::env::var("SC_SIM_SEEDS") {
        Ok(text) => text.parse().expect("SC_SIM_SEEDS is a number"),
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
    deliveries: u64,
    failed: Vec<String>,
}

impl Outcome {
    fn take(&mut self, report: &Report) {
        self.faults.add(&report.faults);
        self.deliveries += report.deliveries;
        if !report.violations.is_empty() {
            self.failed.push(report.to_string());
        }
    }
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
                    outcome.take(&report);
                }
            });
        }
    });
    outcome.into_inner().expect("no holder of this lock panics")
}

#[test]
fn every_seed_keeps_every_promise_and_together_they_inject_every_fault() {
    let outcome = run_all();

    let table = outcome.faults.table();
    assert!(
        outcome.failed.is_empty(),
        "{}\n{table}",
        outcome.failed.join("\n")
    );
    assert!(outcome.deliveries > 20 * seeds(), "{}", outcome.deliveries);
    for fault in Fault::ALL {
        let count = outcome.faults.of(fault);
        assert!(count > 0, "no {fault} in {} seeds:\n{table}", seeds());
    }
    // What was tried, for whoever reads the log of a test run.
    let printed = std::io::Write::write_all(&mut std::io::stdout(), table.as_bytes());
    assert!(printed.is_ok());
}

#[test]
fn in_calm_nothing_is_injected_and_everything_arrives() {
    let report = Simulation::new(7, Scenario::calm()).run();

    assert_eq!(report.violations, []);
    assert_eq!(report.faults, Faults::default());
    assert!(report.deliveries > 0 && report.sessions >= 1);
}

#[test]
fn what_a_consumer_withdrew_while_the_program_was_gone_stays_withdrawn() {
    assert_eq!(run(309).violations, []);
}

#[test]
fn a_consumer_whose_owner_corrects_its_clock_is_admitted_again() {
    assert_eq!(run(397).violations, []);
}
