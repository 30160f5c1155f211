//! Evidence of real hardware, from the devices that the platform gives to what runs inside.
//!
//! Invariant: a device that was asked for and is not there ends the program before it reads a byte; evidence of one kind never takes the
//! place of another.

mod gramine;
mod tsm;

pub use gramine::Gramine;
pub use tsm::Tsm;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sc_enclave::{Attester, SimulatedPlatform, simulation_development_key};

use crate::sandbox::{Layer, Missing};
use crate::{confine, measure_self};

/// Where a program runs, as it is told by its first arguments: `--tee NAME`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tee {
    /// Nowhere in particular: a simulation, which the program keeps from the rest of the system by itself.
    #[default]
    Simulation,
    /// In an SGX enclave under Gramine.
    GramineSgx,
    /// In a virtual machine of TDX or SEV-SNP.
    Vm,
}

/// Why a program does not start where it was told that it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The argument names no platform.
    #[error("--tee {0}: expected simulation, gramine-sgx or vm")]
    Name(String),
    /// No device makes evidence here.
    #[error("this is no {platform}: {} {what}", path.display())]
    Absent {
        /// What was asked for.
        platform: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with that.
        what: String,
    },
    /// The program cannot be kept from the rest of the system.
    #[error(transparent)]
    Sandbox(#[from] Missing),
}

impl Tee {
    /// Its name as an argument.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simulation => "simulation",
            Self::GramineSgx => "gramine-sgx",
            Self::Vm => "vm",
        }
    }

    /// Takes `--tee NAME` from the front of a program's arguments; without it, the simulation.
    ///
    /// # Errors
    /// [`EvidenceError::Name`].
    pub fn take(
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<(Self, impl Iterator<Item = OsString>), EvidenceError> {
        let mut arguments = arguments.peekable();
        let mut tee = Self::Simulation;
        if arguments.next_if(|argument| argument == "--tee").is_some() {
            let name = arguments.next().unwrap_or_default();
            tee = [Self::Simulation, Self::GramineSgx, Self::Vm]
                .into_iter()
                .find(|it| name == it.name())
                .ok_or_else(|| EvidenceError::Name(name.to_string_lossy().into_owned()))?;
        }
        Ok((tee, arguments))
    }

    /// What makes evidence here, by the devices under `root`, which is `/` but in tests.
    ///
    /// # Errors
    /// [`EvidenceError::Absent`].
    pub fn attester(self, root: &Path) -> Result<Box<dyn Attester>, EvidenceError> {
        Ok(match self {
            Self::Simulation => Box::new(SimulatedPlatform::new(
                simulation_development_key(),
                measure_self(),
            )),
            Self::GramineSgx => Box::new(Gramine::open(root)?),
            Self::Vm => Box::new(Tsm::open(root)?),
        })
    }

    /// Gives up what this program does not need here, and says what could not be given up.
    ///
    /// An enclave has nothing of the system but through its library, which has no such calls; in a virtual machine the devices that make
    /// evidence must stay in reach, and what surrounds the program is measured with it.
    ///
    /// # Errors
    /// [`EvidenceError::Sandbox`].
    pub fn confine(self) -> Result<Vec<Missing>, EvidenceError> {
        match self {
            Self::Simulation => Ok(confine(&Layer::ALL)?),
            Self::GramineSgx => Ok(Vec::new()),
            Self::Vm => Ok(confine(&[
                Layer::Descriptors,
                Layer::CoreDumps,
                Layer::LockedMemory,
                Layer::NotDumpable,
            ])?),
        }
    }
}

/// Reads a small file, without what is blank around it.
fn word(path: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
