//! `securecloud-bench`: measurement campaigns. `docs/BENCHMARKS.md` says what each means.

mod admission;
mod cli;
mod crowd;
mod descriptors;
mod fleet;
mod machine;
mod median;
mod processor;
mod report;
mod role;
mod routing;
mod steps;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Routing(arguments) => routing::run(&arguments),
        Command::Steps(arguments) => steps::run(&arguments),
        Command::Crowd(arguments) => crowd::run(&arguments),
        Command::Admission(arguments) => admission::run(&arguments),
        Command::Consumers(arguments) => fleet::consumers::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
