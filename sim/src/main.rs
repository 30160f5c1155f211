//! `sc-sim`: replays the run of a seed, or runs many.

use std::io;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sc_sim::{Faults, Plant, Report, Scenario, Simulation, storage};

/// Runs the routing system, or the storage system, in virtual time, with the faults of a seed.
#[derive(Debug, Parser)]
#[command(name = "sc-sim", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    system: Option<System>,
    #[command(flatten)]
    routing: Routing,
}

/// Another system than routing.
#[derive(Debug, Subcommand)]
enum System {
    /// Runs the storage system.
    Storage(Storage),
}

/// Which runs of the storage system.
#[derive(Debug, Args)]
struct Storage {
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
    plant: Option<storage::Plant>,
    /// Let nothing go wrong.
    #[arg(long)]
    calm: bool,
    /// Let nothing go wrong, while jobs move and mend and collect.
    #[arg(long, conflicts_with = "calm")]
    busy: bool,
    /// Let nothing go wrong but that a store ends in such a journey, at the step that is as great as the seed.
    #[arg(long, value_enum, conflicts_with_all = ["calm", "busy"])]
    crash_in: Option<storage::Journey>,
}

/// Which runs of the routing system.
#[derive(Debug, Args)]
struct Routing {
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
    let mut out = io::stdout().lock();
    let kept = match &arguments.system {
        Some(System::Storage(storage)) => run_storage(storage, &mut out),
        None => run(&arguments.routing, &mut out),
    };
    match kept {
        Ok(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Whether every run kept every promise.
fn run(arguments: &Routing, out: &mut impl io::Write) -> io::Result<bool> {
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

fn replay(arguments: &Routing, seed: u64, out: &mut impl io::Write) -> io::Result<Report> {
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

/// The same for the storage system.
fn run_storage(arguments: &Storage, out: &mut impl io::Write) -> io::Result<bool> {
    let (mut faults, mut failed) = (storage::Faults::default(), 0u64);
    let mut upkeep = storage::Upkeep::default();
    for seed in (arguments.seed..).take(arguments.seeds as usize) {
        let drawn = match arguments.crash_in {
            Some(journey) => storage::Scenario::crash(journey, seed),
            None if arguments.calm => storage::Scenario::calm(),
            None if arguments.busy => storage::Scenario::busy(),
            None => storage::Scenario::draw(seed),
        };
        let scenario = storage::Scenario {
            plant: arguments.plant,
            ..drawn
        };
        if arguments.verbose {
            writeln!(out, "{scenario:#?}")?;
        }
        let simulation = storage::Simulation::new(seed, scenario);
        let report = match arguments.verbose {
            true => simulation.with_text().run(),
            false => simulation.run(),
        };
        for line in &report.lines {
            writeln!(out, "{line}")?;
        }
        faults.add(&report.faults);
        upkeep.add(&report.upkeep);
        failed += u64::from(!report.violations.is_empty());
        if arguments.verbose || arguments.seeds == 1 || !report.violations.is_empty() {
            writeln!(out, "{report}")?;
        }
    }
    if arguments.seeds > 1 {
        writeln!(
            out,
            "{} runs, {failed} failed\n{faults}\n{upkeep}",
            arguments.seeds
        )?;
    }
    Ok(failed == 0)
}
