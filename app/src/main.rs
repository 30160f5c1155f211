//! `securecloud`: every role and every command in one binary.

mod attest;
mod cli;
mod config;
mod consumer;
mod demo;
mod keygen;
mod keys;
mod kv;
mod links;
mod matching;
mod memory;
mod metrics;
mod platform;
mod quotes;
mod report;
mod scbr;
mod source;
mod spill;
mod storage;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use cli::{Cli, Command};

/// Gives memory back to the system after seconds instead of at once: see `docs/decisions/0026-memory-that-is-kept.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit status for wrong use: arguments, configuration, input files.
const WRONG_USE: u8 = 2;

/// An error of whoever typed the command, to be answered by exit status 2.
#[derive(Debug)]
pub(crate) struct WrongUse(String);

impl std::fmt::Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// An error that names what to change in the command or its files.
pub(crate) fn wrong_use(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(WrongUse(message.into()))
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            report::error(&error);
            if error.is::<WrongUse>() {
                ExitCode::from(WRONG_USE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    demo::process::end_with_parent()?;
    let (command, from_file) = config::with_file_defaults(Cli::command())?;
    let matches = command.get_matches();
    let binds = config::binds_by_choice(&matches, &from_file)?;
    if matches.get_flag("print_config") {
        config::print(&matches, binds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Some(mut command) = cli.command else {
        // A broken standard error changes nothing: the status tells, too.
        let _ = write!(std::io::stderr(), "{}", Cli::command().render_long_help());
        return Ok(ExitCode::from(WRONG_USE));
    };
    if binds {
        command.forget_connections();
    }
    match command {
        Command::Match(arguments) => matching::run(&arguments),
        Command::Keygen(arguments) => keygen::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "securecloud", &mut script);
            report::quit_unless_written(std::io::stdout().write_all(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            report::quit_unless_written(std::io::stdout().write_all(&page));
            Ok(ExitCode::SUCCESS)
        }
        Command::Kv(arguments) => kv::run(*arguments),
        Command::Scbr(arguments) => block_on(scbr::run(arguments)),
        Command::Source(arguments) => block_on(source::run(arguments)),
        Command::Consumer(arguments) => block_on(consumer::run(arguments)),
        Command::Up(arguments) => block_on(storage::run_up(arguments)),
        Command::Store(arguments) => block_on_threads(storage::run_store(*arguments)),
        Command::Coder(arguments) => block_on(storage::run_coder(arguments)),
        Command::Backend(arguments) => block_on_threads(storage::run_backend(arguments)),
        Command::Credentials { command } => {
            storage::run_credentials(command).map(|()| ExitCode::SUCCESS)
        }
        Command::Gateway(arguments) => block_on_threads(storage::run_gateway(*arguments)),
        Command::Attest { command } => block_on(attest::run(command)),
        Command::Demo { demo } => block_on(demo::run(demo)),
    }
}

/// Runs a role that has work for all processors.
fn block_on_threads(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(role);
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

fn block_on(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(role);
    // Nothing may hold the process back once its role is over, least of all a read of standard input.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}
