//! The project's one test command: every check, in order, each with its heading and its time.
//!
//! Invariant: the first step that fails ends the run, and only a run in which all held says so.
#![expect(
    clippy::print_stdout,
    reason = "a command for people: its output is the terminal"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::tally::Tally;
use crate::violation::Violation;
use crate::workspace::{self, Workspace};
use crate::{laws, licences, sanitizer, tcb, toolchain, trusted};

/// One step of [`run_all`].
struct Step {
    name: &'static str,
    action: Action,
}

enum Action {
    /// Runs cargo with these words.
    Cargo(&'static [&'static str]),
    /// As `Cargo`, with one more environment variable.
    CargoWith(&'static [&'static str], (&'static str, &'static str)),
    /// Runs cargo's tests and counts them.
    Tests(&'static [&'static str]),
    /// As `Tests` for each of several commands; none of them is a step that is skipped.
    EachOf(&'static [&'static [&'static str]]),
    /// Runs a check of this package.
    Check(fn() -> anyhow::Result<Vec<Violation>>),
    /// Runs `cargo NAME …` when that command is installed.
    IfInstalled(&'static str, &'static [&'static str]),
    /// As `Tests`, under AddressSanitizer where the toolchain has it.
    Sanitized(&'static [&'static str]),
}

/// Tests of whole systems, run in release because they move real amounts of data: words for cargo, one line for each.
const END_TO_END: &[&[&str]] = &[];

/// The tests of the vector kernels of matching and erasure, the only code of the trusted libraries that is `unsafe`.
const SANITIZER: Step = Step {
    name: "sanitizer",
    action: Action::Sanitized(&[
        "test",
        "--package",
        "sc-matching",
        "--package",
        "sc-erasure",
        "--locked",
        "--",
        "kernel",
    ]),
};

const STEPS: &[Step] = &[
    Step {
        name: "set-up",
        action: Action::Check(compilers),
    },
    Step {
        name: "fmt",
        action: Action::Cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        action: Action::Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    },
    Step {
        name: "laws",
        action: Action::Check(laws::check_here),
    },
    Step {
        name: "licences",
        action: Action::Check(licences_here),
    },
    Step {
        name: "tcb",
        action: Action::Check(tcb::check_here),
    },
    Step {
        name: "build",
        action: Action::Cargo(&["build", "--workspace", "--locked"]),
    },
    Step {
        name: "tests",
        action: Action::Tests(&["test", "--workspace", "--locked", "--no-fail-fast"]),
    },
    SANITIZER,
    Step {
        name: "reproduce",
        action: Action::Check(trusted::reproduce),
    },
    Step {
        name: "end to end",
        action: Action::EachOf(END_TO_END),
    },
    Step {
        name: "docs",
        action: Action::CargoWith(
            &["doc", "--workspace", "--no-deps", "--locked"],
            ("RUSTDOCFLAGS", "-D warnings"),
        ),
    },
    Step {
        name: "cargo deny",
        action: Action::IfInstalled("deny", &["check"]),
    },
];

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    Skipped(&'static str),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Failed => f.write_str("FAILED"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Runs every step and prints a summary; `false` when one failed.
///
/// # Errors
/// When a step cannot even be run.
pub fn run_all() -> anyhow::Result<bool> {
    run_each(STEPS)
}

/// Runs the tests under AddressSanitizer alone.
///
/// # Errors
/// When they cannot even be run.
pub fn run_sanitizer() -> anyhow::Result<bool> {
    run_each(&[SANITIZER])
}

fn run_each(steps: &[Step]) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut summary = Vec::new();
    for (number, step) in (1..).zip(steps) {
        println!("\n== {number}/{}: {}", steps.len(), step.name);
        let start = Instant::now();
        let outcome = run(&step.action, &mut tally)?;
        let line = format!(
            "{:<12}{:>9}  {outcome}",
            step.name,
            seconds(start.elapsed())
        );
        println!("-- {line}");
        summary.push(line);
        if outcome == Outcome::Failed {
            close(&summary, began.elapsed(), false, &tally);
            return Ok(false);
        }
    }
    close(&summary, began.elapsed(), true, &tally);
    Ok(true)
}

fn close(summary: &[String], elapsed: Duration, held: bool, tally: &Tally) {
    println!("\n== summary");
    for line in summary.iter().map(String::as_str).chain(tally.lines()) {
        println!("{line}");
    }
    println!(
        "{} in {}",
        if held {
            "all steps held"
        } else {
            "stopped at the step that failed"
        },
        seconds(elapsed)
    );
    // A step that failed without a failing test must not end in a line that reads like success.
    if let Some(total) = tally.total().filter(|total| held || total.failed > 0) {
        println!("{total}");
    }
}

fn run(action: &Action, tally: &mut Tally) -> anyhow::Result<Outcome> {
    match action {
        Action::Cargo(words) => status(&mut cargo(words)),
        Action::CargoWith(words, (name, value)) => status(cargo(words).env(name, value)),
        Action::Tests(words) => tests(&mut cargo(words), tally),
        Action::Sanitized(words) => match sanitizer::command(cargo(&[]), words)? {
            Some(mut command) => tests(&mut command, tally),
            None => Ok(Outcome::Skipped(
                "the toolchain has no AddressSanitizer for this machine",
            )),
        },
        Action::EachOf([]) => Ok(Outcome::Skipped("there is none yet")),
        Action::EachOf(commands) => {
            for words in *commands {
                if tests(&mut cargo(words), tally)? == Outcome::Failed {
                    return Ok(Outcome::Failed);
                }
            }
            Ok(Outcome::Ok)
        }
        Action::Check(check) => check().map(|violations| told_violations(&violations)),
        Action::IfInstalled(name, words) => {
            let probe = cargo(&[name, "--version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if probe.is_ok_and(|status| status.success()) {
                status(cargo(&[name]).args(*words))
            } else {
                Ok(Outcome::Skipped("not installed"))
            }
        }
    }
}

fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.args(words).current_dir(workspace::root());
    command
}

fn status(command: &mut Command) -> anyhow::Result<Outcome> {
    let status = command.status().context("cannot run cargo")?;
    Ok(if status.success() {
        Outcome::Ok
    } else {
        Outcome::Failed
    })
}

/// Runs tests, passing their output on line by line while counting.
fn tests(command: &mut Command, tally: &mut Tally) -> anyhow::Result<Outcome> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let mut output = BufReader::new(
        child
            .stdout
            .take()
            .expect("the output was asked for as a pipe"),
    );
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        tally.read(&text);
        line.clear();
    }
    Ok(if child.wait()?.success() {
        Outcome::Ok
    } else {
        Outcome::Failed
    })
}

fn told_violations(violations: &[Violation]) -> Outcome {
    for violation in violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        Outcome::Ok
    } else {
        Outcome::Failed
    }
}

fn compilers() -> anyhow::Result<Vec<Violation>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(toolchain::missing(&path)
        .into_iter()
        .map(|what| Violation::new("set-up", "this machine", what))
        .collect())
}

fn licences_here() -> anyhow::Result<Vec<Violation>> {
    Ok(licences::check(&Workspace::here()?))
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds() -> anyhow::Result<Vec<Violation>> {
        Ok(Vec::new())
    }

    fn breaks() -> anyhow::Result<Vec<Violation>> {
        Ok(vec![Violation::new("law 0", "here", "is broken")])
    }

    fn must_not_run() -> anyhow::Result<Vec<Violation>> {
        anyhow::bail!("a step after the one that failed was run")
    }

    fn check(action: fn() -> anyhow::Result<Vec<Violation>>) -> Step {
        Step {
            name: "check",
            action: Action::Check(action),
        }
    }

    #[test]
    fn a_run_in_which_every_step_holds_holds() {
        assert!(run_each(&[check(holds), check(holds)]).unwrap());
    }

    #[test]
    fn the_first_step_that_fails_ends_the_run() {
        assert!(!run_each(&[check(holds), check(breaks), check(must_not_run)]).unwrap());
    }

    #[test]
    fn a_step_that_cannot_be_run_is_an_error() {
        assert!(run_each(&[check(must_not_run)]).is_err());
    }

    #[test]
    fn what_is_absent_is_skipped_and_said() {
        let absent = run(
            &Action::IfInstalled("no-such-command", &[]),
            &mut Tally::default(),
        )
        .unwrap();
        let empty = run(&Action::EachOf(&[]), &mut Tally::default()).unwrap();

        assert_eq!(
            [absent.to_string(), empty.to_string()],
            ["skipped: not installed", "skipped: there is none yet"]
        );
    }

    #[test]
    fn a_command_that_fails_is_a_step_that_failed() {
        let mut command = cargo(&["no-such-command"]);

        let outcome = status(command.stderr(Stdio::null())).unwrap();

        assert_eq!(outcome, Outcome::Failed);
    }
}
