//! `sc-cbr`: the trusted routing program, behind standard input and output.

use std::error::Error;
use std::io::{Write, stderr, stdin, stdout};
use std::process::ExitCode;

use sc_cbr::Engine;
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_program::{Choice, entropy, measure_self, serve};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host's log is where whoever can mend it looks; the error is about the stream or the arguments, never about what the
            // stream carried.
            let _ = writeln!(stderr(), "sc-cbr: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let processors = Choice::parse(std::env::args_os().skip(1))?.start()?;
    let platform = SimulatedPlatform::new(simulation_development_key(), measure_self());
    let engine = Engine::with_processors(Box::new(platform), processors);
    serve(&engine, &mut entropy, stdin().lock(), stdout().lock())?;
    Ok(())
}
