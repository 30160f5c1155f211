//! Where the trusted program runs, and where its binary is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sc_cbr::Engine;
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_launcher::{Platform, find_program};
use sc_matching::Kernel;
use sc_program::{Choice, entropy};

use crate::cli::PlatformName;
use crate::wrong_use;

const PROGRAM: &str = "sc-cbr";

/// The platform that was asked for.
pub(crate) fn platform(
    name: PlatformName,
    binary: Option<&Path>,
    choice: &Choice,
) -> anyhow::Result<Platform> {
    // The child runs on this very processor: what it would refuse is better said here.
    kernel(choice)?;
    Ok(match name {
        PlatformName::Inline => {
            let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
            let engine = Engine::with_processors(Box::new(platform), choice.start()?);
            Platform::Inline {
                program: Arc::new(engine),
                entropy,
            }
        }
        other => outside(other, program_binary(binary)?, choice.arguments())?,
    })
}

/// The platform `name`, which is not this very process, for the trusted program `binary` with these arguments.
///
/// # Errors
/// Wrong use: the machine does not have it.
pub(crate) fn outside(
    name: PlatformName,
    binary: PathBuf,
    arguments: Vec<String>,
) -> anyhow::Result<Platform> {
    let root = Path::new("/");
    let platform = match name {
        PlatformName::GramineSgx if !arguments.is_empty() => {
            return Err(wrong_use(format!(
                "--platform gramine-sgx: {} is measured, so it stands in the program's manifest and not on the command line",
                arguments.join(" ")
            )));
        }
        PlatformName::GramineSgx => Platform::gramine_sgx(root, binary),
        PlatformName::Vm => Platform::vm(root, binary, arguments),
        PlatformName::Process | PlatformName::Inline => Ok(Platform::Process { binary, arguments }),
    };
    platform.map_err(|error| wrong_use(error.to_string()))
}

/// The form of the vector instructions that was chosen.
///
/// # Errors
/// Wrong use: this processor does not have it.
pub(crate) fn kernel(choice: &Choice) -> anyhow::Result<Kernel> {
    let kernel = choice.kernel();
    kernel.map_err(|error| wrong_use(format!("--{error}")))
}

fn program_binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        if !path.is_file() {
            return Err(wrong_use(format!(
                "{}: no such file; --program names the binary of the trusted program {PROGRAM}",
                path.display()
            )));
        }
        return Ok(path.to_owned());
    }
    build_with_cargo(PROGRAM)?;
    find_program(PROGRAM).map_err(|error| wrong_use(error.to_string()))
}

/// Under `cargo run`, which builds this binary alone, has cargo build the trusted program `program` beside it, so that the two never differ.
pub(crate) fn build_with_cargo(program: &str) -> anyhow::Result<()> {
    let (Some(cargo), Some(package)) = (
        std::env::var_os("CARGO"),
        std::env::var_os("CARGO_MANIFEST_DIR"),
    ) else {
        return Ok(());
    };
    let executable = std::env::current_exe()?;
    let profile = executable
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    let profile = match profile {
        Some("debug") => "dev",
        Some(profile @ "release") => profile,
        // A test, or a profile of its own: whoever built this built the rest.
        _ => return Ok(()),
    };
    let status = std::process::Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "sc-program",
            "--bin",
            program,
            "--profile",
            profile,
            "--manifest-path",
        ])
        .arg(Path::new(&package).join("Cargo.toml"))
        .stdin(std::process::Stdio::null())
        .status()
        .context("cargo, which started this program, cannot be started")?;
    anyhow::ensure!(
        status.success(),
        "cargo could not build the trusted program {program}"
    );
    Ok(())
}
