//! `securecloud-bench`: measurement campaigns. `docs/BENCHMARKS.md` says what each means.

mod admission;
mod cli;
mod coding;
mod crowd;
mod descriptors;
mod fleet;
mod machine;
mod matching;
mod median;
mod peers;
mod processor;
mod provisioning;
mod random;
mod rebuild;
mod report;
mod role;
mod routing;
mod steps;
mod storage;
mod threads;
mod upkeep;
mod workload;

use std::alloc::System;
use std::process::ExitCode;

use cap::Cap;
use clap::Parser;

use cli::{Cli, Command};

/// Counts the bytes that are allocated at the moment; `matching` asks it what an engine takes.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Routing(arguments) => routing::run(&arguments),
        Command::Steps(arguments) => steps::run(&arguments),
        Command::Threads(arguments) => threads::run(&arguments),
        Command::Crowd(arguments) => crowd::run(&arguments),
        Command::Admission(arguments) => admission::run(&arguments),
        Command::Matching(arguments) => matching::run(&arguments),
        Command::Coding(arguments) => coding::run(&arguments),
        Command::Storage(arguments) => storage::run(&arguments),
        Command::Upkeep(arguments) => upkeep::run(&arguments),
        Command::Rebuild(arguments) => rebuild::run(&arguments),
        Command::Provisioning(arguments) => provisioning::run(&arguments),
        Command::Consumers(arguments) => fleet::consumers::run(&arguments),
        Command::PeerPublisher(arguments) => peers::publisher::run(&arguments),
        Command::PeerConsumer(arguments) => peers::consumer::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
