//! `sc-coder`: the trusted coding program, behind standard input and output.

use std::error::Error;
use std::fs::File;
use std::io::{Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use sc_coder::Engine;
use sc_program::{CoderChoice, Tee, entropy, serve_on_threads};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error is about the stream or the arguments, never about what the stream carried.
            let _ = writeln!(stderr(), "sc-coder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // Whatever is asked of the system is asked before nothing can be.
    let (tee, arguments) = Tee::take(std::env::args_os().skip(1))?;
    let choice = CoderChoice::parse(arguments)?;
    let (kernel, threads) = (choice.kernel()?, choice.threads());
    let attester = tee.attester(Path::new("/"))?;
    for missing in tee.confine()? {
        let _ = writeln!(stderr(), "sc-coder: {missing}");
    }
    let engine = Engine::new(attester, kernel);
    // The standard streams look for the ends of lines and keep bytes back; these carry frames.
    let input = File::from(stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(stdout().as_fd().try_clone_to_owned()?);
    serve_on_threads(&engine, entropy, threads, input, output)?;
    Ok(())
}
