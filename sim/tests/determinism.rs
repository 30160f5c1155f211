//! One seed is one run.

use sc_sim::{Scenario, Simulation};

#[test]
fn the_same_seed_gives_the_same_trace_and_the_same_words() {
    for seed in 0..16 {
        let first = Simulation::new(seed, Scenario::draw(seed))
            .with_text()
            .run();
        let second = Simulation::new(seed, Scenario::draw(seed))
            .with_text()
            .run();

        assert_eq!(first.lines, second.lines, "seed {seed}");
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.faults, second.faults);
        assert_eq!(first.steps, second.steps);
    }
}

#[test]
fn keeping_the_words_changes_nothing() {
    let with = Simulation::new(3, Scenario::draw(3)).with_text().run();
    let without = Simulation::new(3, Scenario::draw(3)).run();

    assert_eq!(with.trace, without.trace);
    assert!(!with.lines.is_empty() && without.lines.is_empty());
}

#[test]
fn another_seed_gives_another_trace_even_of_the_same_scenario() {
    let trace = |seed| Simulation::new(seed, Scenario::calm()).run().trace;

    assert_ne!(trace(1), trace(2));
}
