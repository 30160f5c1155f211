//! Policy files, with the collateral that they name; and `attest policy`.

use std::path::Path;

use sc_attestation::Policy;
use sc_enclave::simulation_development_key;
use sc_launcher::find_program;

use super::{hex, measure};
use crate::report::line;
use crate::wrong_use;

/// A file of collateral is at most so long; a platform's takes some 25 KB.
const COLLATERAL_MAX: u64 = 4 << 20;

/// Reads a policy and the files of collateral that it names, from the policy's folder if they are not absolute.
///
/// # Errors
/// Wrong use: which file, which line, and what is expected there.
pub(crate) fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let in_file = |path: &Path, error: &dyn std::fmt::Display| {
        wrong_use(format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| in_file(path, &error))?;
    let mut policy = Policy::parse(&text).map_err(|error| in_file(path, &error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for name in policy.collateral_files.clone() {
        let file = folder.join(name);
        let length = std::fs::metadata(&file).map_err(|error| in_file(&file, &error))?;
        if length.len() > COLLATERAL_MAX {
            return Err(in_file(&file, &"is too long for collateral"));
        }
        let bytes = std::fs::read(&file).map_err(|error| in_file(&file, &error))?;
        let added = policy.collateral.add(&bytes);
        added.map_err(|error| in_file(&file, &error))?;
    }
    Ok(policy)
}

/// The policy of whoever hands keys to trusted programs.
///
/// # Errors
/// Wrong use: no policy, and no word that a simulation will do.
pub(crate) fn evidence_policy(
    path: Option<&Path>,
    allow_simulation: bool,
) -> anyhow::Result<Policy> {
    let Some(path) = path else {
        if allow_simulation {
            return Ok(Policy::development());
        }
        return Err(wrong_use(
            "no policy says which trusted programs may have the roots: name one with --policy FILE, or accept a simulation, which protects nothing, with --allow-simulation",
        ));
    };
    Ok(Policy {
        allow_simulation,
        ..read_policy(path)?
    })
}

pub(crate) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    match file {
        Some(path) => describe(&read_policy(path)?),
        None => print_own()?,
    }
    Ok(())
}

/// A policy for the trusted programs beside this binary.
fn print_own() -> anyhow::Result<()> {
    line(
        "# Which trusted programs may have an owner's keys; docs/FORMATS.md, \"Policy\", lists all rules.",
    );
    line("");
    line("# In simulation, which protects nothing: accepted with --allow-simulation alone.");
    let key = simulation_development_key().verifying_key();
    line(&format!("simulation-key {}", hex(key.as_bytes())));
    for name in measure::PROGRAMS {
        let binary = find_program(name).map_err(|error| wrong_use(error.to_string()))?;
        let digest = measure::digest(&binary)?;
        line(&format!("measurement {}  # {name}", hex(&digest)));
        if let Some(enclave) = measure::Enclave::beside(&binary)? {
            line("");
            line("# In an SGX enclave under Gramine, and what Intel publishes of its platform.");
            line(&format!("{}  # {name}", enclave.rule()));
        }
    }
    line("");
    line(
        "# On hardware: add a rule for each program (`securecloud attest measure`), and what its maker publishes:",
    );
    line("# collateral intel.json");
    line("# collateral cert_chain.pem");
    line("# collateral crl.der");
    line("# machine 00112233445566778899aabbccddeeff");
    Ok(())
}

fn describe(policy: &Policy) {
    let counted = |count: usize, what: &str| {
        if count > 0 {
            line(&format!("{count:>3} {what}"));
        }
    };
    counted(
        policy.simulation_keys.len(),
        "simulated platform(s), with --allow-simulation alone",
    );
    match &policy.measurements {
        Some(measurements) => counted(measurements.len(), "program(s) in simulation"),
        None if !policy.simulation_keys.is_empty() => line("any program in simulation"),
        None => {}
    }
    counted(policy.programs.len(), "program(s) on hardware");
    match &policy.machines {
        Some(machines) => counted(machines.len(), "machine(s) by name"),
        None if !policy.programs.is_empty() => line("any machine that passes the other rules"),
        None => {}
    }
    counted(policy.states.len(), "state(s) of a platform tolerated");
    counted(policy.advisories.len(), "advisory(ies) tolerated");
    counted(
        policy.collateral_files.len(),
        "file(s) of collateral, all read",
    );
    if policy.programs.is_empty() && policy.simulation_keys.is_empty() {
        line("it accepts nothing");
    }
}
