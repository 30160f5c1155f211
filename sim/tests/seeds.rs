//! Many seeds: whatever the weather, what matches is delivered once and nothing else is.

use sc_sim::{Fault, Faults, Report, Scenario, Simulation};

/// Seeds that are run unless `SC_SIM_SEEDS` asks for more.
const SEEDS: u64 = 200;

fn seeds() -> u64 {
    match std::env::var("SC_SIM_SEEDS") {
        Ok(text) => text.parse().expect("SC_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

fn run(seed: u64) -> Report {
    Simulation::new(seed, Scenario::draw(seed)).run()
}

#[test]
fn every_seed_keeps_every_promise_and_together_they_inject_every_fault() {
    let mut faults = Faults::default();
    let mut deliveries = 0;
    let mut failed = Vec::new();
    for seed in 0..seeds() {
        let report = run(seed);
        faults.add(&report.faults);
        deliveries += report.deliveries;
        if !report.violations.is_empty() {
            failed.push(report.to_string());
        }
    }

    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(deliveries > 20 * seeds(), "{deliveries}");
    for fault in Fault::ALL {
        assert!(faults.of(fault) > 0, "no {fault} in {} seeds", seeds());
    }
}

#[test]
fn in_calm_nothing_is_injected_and_everything_arrives() {
    let report = Simulation::new(7, Scenario::calm()).run();

    assert_eq!(report.violations, []);
    assert_eq!(report.faults, Faults::default());
    assert!(report.deliveries > 0 && report.sessions == 1);
}
