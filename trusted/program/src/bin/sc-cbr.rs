//! `sc-cbr`: the trusted routing program, behind standard input and output.

use std::error::Error;
use std::io::{Write, stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use sc_cbr::Engine;
use sc_program::{Choice, Tee, entropy, serve};

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
    // Whatever is asked of the system is asked before nothing can be.
    let (tee, arguments) = Tee::take(std::env::args_os().skip(1))?;
    let choice = Choice::parse(arguments)?.settled();
    let attester = tee.attester(Path::new("/"))?;
    for missing in tee.confine()? {
        let _ = writeln!(stderr(), "sc-cbr: {missing}");
    }
    let processors = choice.start()?;
    let engine = Engine::with_processors(attester, processors);
    serve(&engine, &mut entropy, stdin().lock(), stdout().lock())?;
    Ok(())
}
