//! Why evidence was refused.

/// Why evidence was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no evidence, or it does not decode.
    #[error("the trusted program's evidence is missing or malformed")]
    Malformed,
    /// Its signature does not verify.
    #[error("the trusted program's evidence is not authentic")]
    NotAuthentic,
    /// A quote of Intel's does not verify.
    #[error("the trusted program's quote does not verify: {0}")]
    Quote(String),
    /// Nothing was given to check it against.
    #[error(
        "nothing was given to check it against for {0}: name a file with `collateral FILE` in the policy"
    )]
    NoCollateral(&'static str),
    /// What was given to check it against is not valid now.
    #[error("{0} is not valid at this time: fetch a current one")]
    Stale(&'static str),
    /// The key that signs it, or one above, was revoked.
    #[error("the key behind the trusted program's evidence was revoked")]
    Revoked,
    /// The endorsement key was made for other versions or another chip than the report says.
    #[error("the report is of another chip, or of other firmware, than the key that signs it")]
    OtherChip,
    /// The report was asked for below the machine's highest privilege.
    #[error("the report speaks for privilege level {0} of the machine: only level 0 is accepted")]
    LessPrivileged(u32),
    /// It vouches for something else than this provisioning.
    #[error("the trusted program's evidence belongs to another provisioning")]
    OtherReportData,
    /// It is simulated, and that was not allowed.
    #[error(
        "the trusted program runs in simulation; allow that with --allow-simulation, or use a router with hardware protection"
    )]
    Simulation,
    /// It is simulated by a platform that the policy does not name.
    #[error("the policy does not name the simulated platform's key")]
    UnknownPlatform,
    /// Whoever runs the platform may look inside.
    #[error("the trusted program runs where it may be debugged, so that nothing is protected")]
    Debug,
    /// The program's measurement is not among the policy's.
    #[error("the policy does not name the trusted program's measurement")]
    UnknownMeasurement,
    /// The program is of an older security version than the policy asks for.
    #[error("the trusted program has security version {found}, and the policy asks for {least}")]
    OldProgram {
        /// What it has.
        found: u32,
        /// What is asked for.
        least: u32,
    },
    /// The machine is not among the policy's.
    #[error("the policy names machines, and this one is not among them")]
    UnknownMachine,
    /// The policy asks for a dedicated program, and this one was not started for this owner.
    #[error("the trusted program was not started for this owner alone, as the policy asks")]
    NotPinned,
    /// Intel says that something is wrong with the platform.
    #[error(
        "the platform's state is {0}: update it, or tolerate that with `status {0}` in the policy"
    )]
    Status(String),
    /// An advisory is open for the platform.
    #[error(
        "{0} is open for the platform: update it, or tolerate that with `advisory {0}` in the policy"
    )]
    Advisory(String),
    /// The collateral is of an older evaluation than the policy asks for.
    #[error("the collateral is of TCB evaluation {found}, and the policy asks for {least}")]
    OldEvaluation {
        /// What it is of.
        found: u32,
        /// What is asked for.
        least: u32,
    },
    /// A component of an AMD platform is older than the policy asks for.
    #[error("the platform's {component} has version {found}, and the policy asks for {least}")]
    OldFirmware {
        /// Its name in the policy.
        component: &'static str,
        /// What it has.
        found: u8,
        /// What is asked for.
        least: u8,
    },
}
