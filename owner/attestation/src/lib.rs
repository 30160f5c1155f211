//! Appraisal of a trusted program's evidence against its owner's policy.
//!
//! Invariant: nothing is accepted that the policy does not name. First evidence is verified, up to a root whose key is pinned here, and read
//! ([`read`]); then the policy judges what it states ([`Policy::judge`]). Nothing is fetched: collateral and time are given. Simulated
//! evidence proves nothing about hardware; it is accepted only where the policy names the simulating platform's key *and* simulation was
//! allowed by word.

mod collateral;
mod dcap;
mod policy;
mod refused;
mod simulation;
mod snp;
mod statement;

pub use collateral::{Collateral, CollateralError};
pub use policy::{AllowedProgram, Policy, PolicyError};
pub use refused::Refused;
pub use statement::{AmdTcb, ProgramIdentity, Statement, Tcb};

use sc_crypto::VerifyingKey;
use sc_enclave::tee_line;
use sc_proto::provision::{Evidence, evidence::Kind};

/// What an appraisal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraisal {
    /// What the evidence states.
    pub statement: Statement,
    /// The line that tells people what protects the program.
    pub tee_line: &'static str,
}

impl Appraisal {
    /// The program's measurement.
    #[must_use]
    pub fn measurement(&self) -> &[u8] {
        self.statement.program.measurement()
    }
}

/// The platform that `evidence` claims, before anything of it is verified: needed to compute the transcript that it must vouch for.
///
/// # Errors
/// [`Refused::Malformed`].
pub fn claimed_platform(evidence: Option<&Evidence>) -> Result<&'static str, Refused> {
    match evidence.and_then(|evidence| evidence.kind.as_ref()) {
        Some(Kind::Simulation(_)) => Ok("simulation"),
        Some(Kind::SgxQuote(_)) => Ok("sgx"),
        Some(Kind::TdxQuote(_)) => Ok("tdx"),
        Some(Kind::SnpReport(_)) => Ok("sev-snp"),
        None => Err(Refused::Malformed),
    }
}

/// Verifies `evidence` at a time in seconds since 1970, with the policy's collateral, and reads what it states. Nothing is judged.
///
/// # Errors
/// [`Refused`]: it is not authentic, or nothing current says that it is.
pub fn read(policy: &Policy, evidence: Option<&Evidence>, now: u64) -> Result<Statement, Refused> {
    let collateral = &policy.collateral;
    match evidence.and_then(|evidence| evidence.kind.as_ref()) {
        Some(Kind::Simulation(simulation)) => simulation::read(simulation),
        Some(Kind::SgxQuote(quote)) => dcap::read(dcap::Kind::Sgx, quote, &collateral.intel, now),
        Some(Kind::TdxQuote(quote)) => dcap::read(dcap::Kind::Tdx, quote, &collateral.intel, now),
        Some(Kind::SnpReport(report)) => snp::read(report, policy, now),
        None => Err(Refused::Malformed),
    }
}

/// Appraises `evidence` for `owner`; it must vouch for `report_data`, at a time in seconds since 1970.
///
/// # Errors
/// [`Refused`]: the first rule that it breaks.
pub fn appraise(
    policy: &Policy,
    owner: VerifyingKey,
    evidence: Option<&Evidence>,
    report_data: &[u8; 64],
    now: u64,
) -> Result<Appraisal, Refused> {
    policy.admits(claimed_platform(evidence)?)?;
    let statement = read(policy, evidence, now)?;
    policy.judge(&statement, owner)?;
    if statement.report_data != *report_data {
        return Err(Refused::OtherReportData);
    }
    Ok(Appraisal {
        tee_line: tee_line(statement.platform),
        statement,
    })
}

#[cfg(test)]
mod tests {
    use sc_enclave::{Attester, Report, SimulatedPlatform, simulation_development_key};

    use super::*;

    const DATA: [u8; 64] = [5; 64];

    /// Appraises for an owner who pins nothing, at a time that a simulation does not care for.
    fn appraised(
        policy: &Policy,
        evidence: Option<&Evidence>,
        data: &[u8; 64],
    ) -> Result<Appraisal, Refused> {
        appraise(
            policy,
            simulation_development_key().verifying_key(),
            evidence,
            data,
            0,
        )
    }

    fn evidence() -> Evidence {
        SimulatedPlatform::new(simulation_development_key(), [1; 32])
            .evidence(&DATA)
            .expect("a simulation always makes evidence")
    }

    fn lenient() -> Policy {
        Policy {
            allow_simulation: true,
            simulation_keys: vec![simulation_development_key().verifying_key()],
            measurements: Some(vec![[1; 32]]),
            ..Policy::default()
        }
    }

    fn with_report(change: impl FnOnce(&mut Vec<u8>)) -> Evidence {
        let mut evidence = evidence();
        let Some(Kind::Simulation(simulation)) = &mut evidence.kind else {
            unreachable!("made by the simulation")
        };
        let mut report = simulation.report.to_vec();
        change(&mut report);
        simulation.report = report.into();
        evidence
    }

    #[test]
    fn simulated_evidence_is_accepted_when_the_policy_says_so() {
        let appraisal = appraised(&lenient(), Some(&evidence()), &DATA).unwrap();

        assert_eq!(appraisal.measurement(), [1; 32]);
        assert!(appraisal.tee_line.contains("NO HARDWARE PROTECTION"));
    }

    #[test]
    fn simulated_evidence_is_refused_by_default() {
        assert_eq!(
            appraised(&Policy::default(), Some(&evidence()), &DATA),
            Err(Refused::Simulation)
        );
    }

    #[test]
    fn each_rule_refuses_on_its_own() {
        let unnamed = Policy {
            simulation_keys: vec![],
            ..lenient()
        };
        let other_program = Policy {
            measurements: Some(vec![[2; 32]]),
            ..lenient()
        };

        assert_eq!(
            appraised(&unnamed, Some(&evidence()), &DATA),
            Err(Refused::UnknownPlatform)
        );
        assert_eq!(
            appraised(&other_program, Some(&evidence()), &DATA),
            Err(Refused::UnknownMeasurement)
        );
        assert_eq!(
            appraised(&lenient(), Some(&evidence()), &[6; 64]),
            Err(Refused::OtherReportData)
        );
        assert_eq!(appraised(&lenient(), None, &DATA), Err(Refused::Malformed));
    }

    #[test]
    fn every_flipped_bit_of_a_report_is_refused() {
        for bit in 0..97 * 8 {
            let evidence = with_report(|report| report[bit / 8] ^= 1 << (bit % 8));

            assert_eq!(
                appraised(&lenient(), Some(&evidence), &DATA),
                Err(Refused::NotAuthentic),
                "bit {bit}"
            );
        }
    }

    fn changed(change: impl FnOnce(&mut sc_proto::provision::Simulation)) -> Evidence {
        let mut evidence = evidence();
        let Some(Kind::Simulation(simulation)) = &mut evidence.kind else {
            unreachable!("made by the simulation")
        };
        change(simulation);
        evidence
    }

    fn refused(evidence: &Evidence) -> Option<Refused> {
        appraised(&lenient(), Some(evidence), &DATA).err()
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_of_a_signature_is_refused() {
        for bit in 0..64 * 8 {
            let evidence = changed(|simulation| {
                let mut signature = simulation.signature.to_vec();
                signature[bit / 8] ^= 1 << (bit % 8);
                simulation.signature = signature.into();
            });
            assert_eq!(refused(&evidence), Some(Refused::NotAuthentic), "bit {bit}");
        }
        for length in [0, 1, 63, 65] {
            let evidence = changed(|simulation| {
                simulation.signature = vec![0; length].into();
            });
            assert_eq!(refused(&evidence), Some(Refused::NotAuthentic));
        }
    }

    #[test]
    fn evidence_of_a_platform_that_signs_for_itself_is_refused() {
        let stranger = sc_crypto::SigningKey::from_seed(&[3; 32]);
        let of_stranger = SimulatedPlatform::new(stranger, [1; 32])
            .evidence(&DATA)
            .unwrap();
        let renamed = changed(|simulation| {
            let Some(Kind::Simulation(theirs)) = &of_stranger.kind else {
                unreachable!("made by the simulation")
            };
            simulation.signature = theirs.signature.clone();
        });

        assert_eq!(refused(&of_stranger), Some(Refused::UnknownPlatform));
        assert_eq!(refused(&renamed), Some(Refused::NotAuthentic));
    }

    #[test]
    fn a_key_of_any_other_length_is_malformed() {
        for length in [0, 31, 33] {
            let evidence = changed(|simulation| simulation.key = vec![0; length].into());

            assert_eq!(refused(&evidence), Some(Refused::Malformed));
        }
    }

    #[test]
    fn an_authentic_report_of_another_shape_is_malformed() {
        let key = simulation_development_key();
        let report = Report {
            measurement: [1; 32],
            report_data: DATA,
        }
        .encode();
        let other_version = [&[2], &report[1..]].concat();
        for bytes in [
            vec![],
            report[..96].to_vec(),
            [&report[..], &[0]].concat(),
            other_version,
        ] {
            let evidence = changed(|simulation| {
                simulation.signature = key.sign(&Report::signed(&bytes)).to_vec().into();
                simulation.report = bytes.clone().into();
            });

            assert_eq!(refused(&evidence), Some(Refused::Malformed));
        }
    }

    #[test]
    fn a_policy_that_names_no_measurement_accepts_any_program_on_its_platforms_alone() {
        let any = Policy {
            measurements: None,
            ..lenient()
        };
        let none = Policy {
            measurements: Some(vec![]),
            ..lenient()
        };

        assert!(appraised(&any, Some(&evidence()), &DATA).is_ok());
        assert_eq!(
            appraised(&none, Some(&evidence()), &DATA),
            Err(Refused::UnknownMeasurement)
        );
    }

    #[test]
    fn hardware_evidence_is_refused_and_never_taken_for_a_simulation() {
        for kind in [
            Kind::SgxQuote(vec![1].into()),
            Kind::TdxQuote(vec![1].into()),
            Kind::SnpReport(vec![1].into()),
        ] {
            let evidence = Evidence { kind: Some(kind) };

            assert!(matches!(
                refused(&evidence),
                Some(Refused::Malformed | Refused::NoCollateral(_))
            ));
            assert_ne!(claimed_platform(Some(&evidence)), Ok("simulation"));
        }
        let empty = Evidence { kind: None };
        assert_eq!(refused(&empty), Some(Refused::Malformed));
        assert_eq!(claimed_platform(Some(&empty)), Err(Refused::Malformed));
        assert_eq!(claimed_platform(None), Err(Refused::Malformed));
        assert_eq!(claimed_platform(Some(&evidence())), Ok("simulation"));
    }
}
