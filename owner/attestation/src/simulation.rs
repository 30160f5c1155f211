//! Simulated evidence: a statement in the shape of hardware's, signed by an ordinary key. It proves nothing about hardware.

use sc_crypto::VerifyingKey;
use sc_enclave::Report;
use sc_proto::provision;

use crate::{ProgramIdentity, Refused, Statement, Tcb};

/// What `simulation` states, under the key that it carries: whether that key is known is the policy's to say.
pub(crate) fn read(simulation: &provision::Simulation) -> Result<Statement, Refused> {
    let key: [u8; 32] = simulation
        .key
        .as_ref()
        .try_into()
        .map_err(|_| Refused::Malformed)?;
    VerifyingKey::from_bytes(key)
        .verify(&Report::signed(&simulation.report), &simulation.signature)
        .map_err(|_| Refused::NotAuthentic)?;
    let report = Report::decode(&simulation.report).ok_or(Refused::Malformed)?;
    Ok(Statement {
        platform: "simulation",
        program: ProgramIdentity::Simulation {
            measurement: report.measurement,
        },
        report_data: report.report_data,
        is_debug: false,
        owner: None,
        machine: key.to_vec(),
        tcb: Tcb::None,
    })
}
