//! `kv`: objects are stored, read, listed and deleted, and what keeps them is administered.
//!
//! Invariant: results go to standard output and everything else to standard error, so that either can be redirected by itself; whatever
//! ends a command leaves no file half written.

mod batch;
mod catalogue;
pub(crate) mod cli;
mod datastores;
mod document;
mod files;
mod get;
mod jobs;
mod locations;
mod ls;
mod modified;
mod name;
mod partial;
mod policies;
mod progress;
mod put;
mod quantity;
mod remote;
mod rm;
mod stat;
mod sync;
mod table;
mod tokens;
mod uploads;
mod usage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::report::{Report, line, note};
use crate::scbr::stopped;
use crate::{WRONG_USE, wrong_use};
pub(crate) use catalogue::rebuilt_in_words;
use cli::{KvArgs, KvCommand};
use progress::Progress;
use remote::{Remote, RemoteError};
pub(crate) use table::Table;

/// Exit status of a command that was asked to end, as shells have it for ^C.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(arguments: KvArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let stop = stopped()?;
        tokio::select! {
            outcome = Box::pin(carry_out(arguments)) => outcome,
            () = stop => {
                note("interrupted: what was under way is not done, what was done before stays");
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    });
    // Nothing may hold the process back now, least of all a read of standard input.
    runtime.shutdown_background();
    outcome.map_err(|error| match error.downcast_ref::<RemoteError>() {
        Some(refusal) if refusal.is_wrong_use() => wrong_use(refusal.to_string()),
        _ => error,
    })
}

async fn carry_out(mut arguments: KvArgs) -> anyhow::Result<ExitCode> {
    let Some(command) = arguments.command.take() else {
        let mut command = Cli::command();
        command.build();
        let help = command
            .find_subcommand_mut("kv")
            .map(|it| it.render_long_help());
        // A broken standard error changes nothing: the status tells, too.
        let _ = write!(std::io::stderr(), "{}", help.unwrap_or_default());
        return Ok(ExitCode::from(WRONG_USE));
    };
    let command = match command {
        KvCommand::Catalogue { command } => match catalogue::in_folder(command, arguments.json)? {
            Some(command) => KvCommand::Catalogue { command },
            None => return Ok(ExitCode::SUCCESS),
        },
        command => command,
    };
    let kv = Kv {
        report: Report::new("kv", &arguments.verbosity()),
        remote: Remote::open(&arguments.connection).await?,
        is_json: arguments.json,
        is_silent: arguments.silent,
    };
    match command {
        KvCommand::Datastore { command } => datastores::run(&kv, command).await,
        KvCommand::Put(arguments) => Box::pin(put::run(&kv, *arguments)).await,
        KvCommand::Get(arguments) => Box::pin(get::run(&kv, arguments)).await,
        KvCommand::Ls(arguments) => ls::run(&kv, arguments).await,
        KvCommand::Rm(arguments) => Box::pin(rm::run(&kv, arguments)).await,
        KvCommand::Stat(arguments) => stat::run(&kv, &arguments).await,
        KvCommand::Sync(arguments) => Box::pin(sync::run(&kv, arguments)).await,
        KvCommand::Policy { command } => policies::run(&kv, command).await,
        KvCommand::Location { command } => locations::run(&kv, command).await,
        KvCommand::Repair(work) => jobs::begin(&kv, json!({ "kind": "repair" }), work).await,
        KvCommand::Scrub { sample, work } => jobs::scrub(&kv, sample, work).await,
        KvCommand::Migrate {
            target,
            policy,
            one,
            work,
        } => jobs::migrate(&kv, &target, &policy, one, work).await,
        KvCommand::Tier(work) => jobs::begin(&kv, json!({ "kind": "tier" }), work).await,
        KvCommand::Gc { strays, wait } => jobs::collect_garbage(&kv, strays, wait).await,
        KvCommand::Job { command } => jobs::run(&kv, command).await,
        KvCommand::Token { command } => tokens::run(&kv, command).await,
        KvCommand::Upload { command } => uploads::run(&kv, command).await,
        KvCommand::Usage => usage::run(&kv).await,
        KvCommand::Catalogue { .. } => catalogue::rebuild(&kv).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

/// What every command works with.
struct Kv {
    remote: Remote,
    report: Report,
    is_json: bool,
    is_silent: bool,
}

impl Kv {
    /// Prints one result: as JSON for programs, else in words.
    fn result(&self, json: impl FnOnce() -> Value, words: impl FnOnce() -> String) {
        match self.is_json {
            true => line(&json().to_string()),
            false => line(&words()),
        }
    }

    /// A bar over so many bytes, if whoever sits there wants one.
    fn progress(&self, bytes: Option<u64>) -> Progress {
        Progress::new(bytes, !self.is_silent)
    }
}
