//! What is told to people and programs: notes on standard error, events as JSON on standard output.

use std::io::{self, IsTerminal, Write, stderr, stdout};

use serde_json::Value;

use crate::cli::Verbosity;

/// Tells one role's news.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    role: &'static str,
    level: u8,
    json: bool,
}

impl Report {
    /// A report at the level asked for; library logs go to standard error, too.
    pub(crate) fn new(role: &'static str, verbosity: &Verbosity) -> Self {
        let filter = match (verbosity.silent, verbosity.verbose) {
            (true, _) => "error",
            (_, 0) => "warn",
            (_, 1) => "info",
            _ => "debug",
        };
        let filter = tracing_subscriber::EnvFilter::try_from_env("SECURECLOUD_LOG")
            .unwrap_or_else(|_| filter.into());
        // A second role in one process keeps the first one's log.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(stderr)
            .with_ansi(stderr().is_terminal())
            .try_init();
        let level = if verbosity.silent {
            0
        } else {
            1 + verbosity.verbose
        };
        Self {
            role,
            level,
            json: verbosity.json,
        }
    }

    /// Tells nothing.
    pub(crate) fn silent(role: &'static str) -> Self {
        Self {
            role,
            level: 0,
            json: false,
        }
    }

    /// The same for another role of this process, which tells only what the curious want to know of this one.
    pub(crate) fn quiet(&self, role: &'static str) -> Self {
        Self {
            role,
            level: self.level.saturating_sub(1),
            json: false,
        }
    }

    /// Something that everyone wants to know.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        self.tell(1, text.as_ref());
    }

    /// Something for the curious: `-v`.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        self.tell(2, text.as_ref());
    }

    fn tell(&self, level: u8, text: &str) {
        if self.level >= level {
            // Nobody listens on a broken standard error; that is no reason to stop.
            let _ = stderr().write_all(format!("{}: {text}\n", self.role).as_bytes());
        }
    }

    /// An event for programs: printed with `--json` alone.
    pub(crate) fn event(&self, event: &Value) {
        if self.json {
            line(&event.to_string());
        }
    }
}

/// Prints a line on standard output.
pub(crate) fn line(text: &str) {
    let mut out = stdout().lock();
    quit_unless_written(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Ends the process if standard output cannot be written: quietly when its reader has gone away, as others do; else with an error.
pub(crate) fn quit_unless_written(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    note(&format!("standard output: {error}"));
    std::process::exit(1);
}

/// Tells something that does not stop the command.
pub(crate) fn note(text: &str) {
    let _ = writeln!(stderr(), "securecloud: {text}");
}

/// Tells an error and what it came from.
pub(crate) fn error(error: &anyhow::Error) {
    let _ = writeln!(stderr(), "securecloud: {}", with_causes(error));
}

/// An error and its causes, but for those that it has told already in its own words.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text = text + between + &cause;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let told = anyhow!("disk full").context("journal: disk full");
        let untold = anyhow!("disk full").context("cannot write the journal");

        assert_eq!(with_causes(&told), "journal: disk full");
        assert_eq!(with_causes(&untold), "cannot write the journal: disk full");
    }
}
