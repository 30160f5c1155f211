//! `sc-sim`: replays the run of a seed, or runs many.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use sc_sim::{Faults, Plant, Report, Scenario, Simulation};

/// Runs the routing system in virtual time, with the faults of a seed.
#[derive(Debug, Parser)]
#[command(name = "sc-sim", version)]
struct Arguments {
    /// The seed to run, or the first of several.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Print the scenario and everything that happens.
    #[arg(long, short)]
    verbose: bool,
    /// Plant a bug, to see what the checks make of it.
    #[arg(long)]
    plant: Option<Plant>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Whether every run kept every promise.
fn run(arguments: &Arguments, out: &mut impl io::Write) -> io::Result<bool> {
    let (mut faults, mut failed) = (Faults::default(), 0u64);
    for seed in (arguments.seed..).take(arguments.seeds as usize) {
        let report = replay(arguments, seed, out)?;
        faults.add(&report.faults);
        failed += u64::from(!report.violations.is_empty());
    }
    if arguments.seeds > 1 {
        let table = faults.table();
        writeln!(out, "{} runs, {failed} failed\n{table}", arguments.seeds)?;
    }
    Ok(failed == 0)
}

fn replay(arguments: &Arguments, seed: u64, out: &mut impl io::Write) -> io::Result<Report> {
    let scenario = Scenario {
        plant: arguments.plant,
        ..Scenario::draw(seed)
    };
    if arguments.verbose {
        writeln!(out, "{scenario:#?}")?;
    }
    let simulation = Simulation::new(seed, scenario);
    let report = if arguments.verbose {
        simulation.with_text().run()
    } else {
        simulation.run()
    };
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    if arguments.verbose || arguments.seeds == 1 || !report.violations.is_empty() {
        writeln!(out, "{report}")?;
    }
    Ok(report)
}
