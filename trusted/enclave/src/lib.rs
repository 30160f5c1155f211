//! The door of a trusted program: what its host may call, how its owner's keys reach it, what it says of itself.
//!
//! Invariant: only request and reply bytes cross the door; a secret arrives sealed to a key that was made behind it.
//! A program draws no randomness, reads no clock and opens no file: its measured main passes in what it needs.

mod evidence;
mod program;
mod provision;

pub use evidence::{
    Attester, Report, SIMULATION_LINE, SimulatedPlatform, simulation_development_key, tee_line,
};
pub use program::{ClosureEntropy, Program};
pub use provision::{
    ConfirmationKey, PENDING_MAX, ProvisionError, Provisioned, Provisioner, Purpose,
    SecretsMessage, Transcript, owner_pin,
};
