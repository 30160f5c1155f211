//! The command line of `cargo xtask`: words in, one check run, an exit code out.
//!
//! Invariant: 0 says that everything asked for was checked and holds, 1 that something does not, 2 that the words were wrong.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people: its output is the terminal"
)]

use std::process::ExitCode;

use xtask::violation::Violation;
use xtask::workspace::Workspace;
use xtask::{laws, licences, steps, tcb, trusted};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test           everything below and the workspace's tests: the project's one test command
  laws           what may name what, in the manifests and in the sources
  licences       every dependency's licence, origin, and the crates that are banned
  tcb            compares trusted/TCB.txt with the trusted rooms as they are
  tcb --write    writes trusted/TCB.txt anew
  trusted        builds the trusted programs as any owner's machine would, and tells where they are
  reproduce      builds them in two folders and compares them byte by byte
  sanitizer      the tests of the vector kernels under AddressSanitizer, where the toolchain has it
  help           this text
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    match words {
        ["test"] => Ok(held(steps::run_all()?)),
        ["sanitizer"] => Ok(held(steps::run_sanitizer()?)),
        ["trusted"] => {
            for path in trusted::build_here()? {
                println!("{}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        ["reproduce"] => Ok(report("reproduce", &trusted::reproduce()?)),
        ["laws"] => Ok(report("laws", &laws::check_here()?)),
        ["licences"] => Ok(report("licences", &licences::check(&Workspace::here()?))),
        ["tcb"] => Ok(report("tcb", &tcb::check_here()?)),
        ["tcb", "--write"] => {
            println!("wrote {}", tcb::write_here()?.display());
            Ok(ExitCode::SUCCESS)
        }
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

fn held(all_held: bool) -> ExitCode {
    if all_held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(check: &str, violations: &[Violation]) -> ExitCode {
    for violation in violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        println!("{check}: ok");
        ExitCode::SUCCESS
    } else {
        println!("{check}: {} violations", violations.len());
        ExitCode::FAILURE
    }
}
