//! `sc-cbr`: the trusted routing program, behind standard input and output.

use std::io::{Write, stderr, stdin, stdout};
use std::process::ExitCode;

use sc_cbr::Engine;
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_program::{entropy, measure_self, serve};

fn main() -> ExitCode {
    let platform = SimulatedPlatform::new(simulation_development_key(), measure_self());
    let engine = Engine::new(Box::new(platform));
    match serve(&engine, &mut entropy, stdin().lock(), stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host's log is where whoever can mend it looks; the error is about the stream, never about what it carried.
            let _ = writeln!(stderr(), "sc-cbr: {error}");
            ExitCode::FAILURE
        }
    }
}
