//! Appraisal of a trusted program's evidence against its owner's policy.
//!
//! Invariant: nothing is accepted that the policy does not name. Simulated evidence proves nothing about hardware; it is accepted only
//! where the policy names the simulating platform's key *and* simulation was allowed by word.

mod policy;

pub use policy::{Policy, PolicyError};

use sc_crypto::VerifyingKey;
use sc_enclave::{Report, SIMULATION_LINE};
use sc_proto::provision::{Evidence, evidence::Kind};

/// What an appraisal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraisal {
    /// The name of the platform, which is part of the provisioning transcript.
    pub platform: &'static str,
    /// The program's measurement.
    pub measurement: [u8; 32],
    /// The line that tells people what protects the program.
    pub tee_line: &'static str,
}

/// Why evidence was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no evidence, or it does not decode.
    #[error("the trusted program's evidence is missing or malformed")]
    Malformed,
    /// Its signature does not verify.
    #[error("the trusted program's evidence is not authentic")]
    NotAuthentic,
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
    /// The program's measurement is not among the policy's.
    #[error("the policy does not name the trusted program's measurement")]
    UnknownMeasurement,
    /// A kind of hardware evidence that this version cannot appraise.
    #[error("this version appraises no hardware evidence yet")]
    Unsupported,
}

/// The platform that `evidence` claims, before anything of it is verified: needed to compute the transcript that it must vouch for.
///
/// # Errors
/// [`Refused::Malformed`] or [`Refused::Unsupported`].
pub fn claimed_platform(evidence: Option<&Evidence>) -> Result<&'static str, Refused> {
    match evidence.and_then(|evidence| evidence.kind.as_ref()) {
        Some(Kind::Simulation(_)) => Ok("simulation"),
        Some(_) => Err(Refused::Unsupported),
        None => Err(Refused::Malformed),
    }
}

/// Appraises `evidence`, which must vouch for `report_data`.
///
/// # Errors
/// [`Refused`]: the first rule that it breaks.
pub fn appraise(
    policy: &Policy,
    evidence: Option<&Evidence>,
    report_data: &[u8; 64],
) -> Result<Appraisal, Refused> {
    let simulation = match evidence.and_then(|evidence| evidence.kind.as_ref()) {
        Some(Kind::Simulation(simulation)) => simulation,
        Some(_) => return Err(Refused::Unsupported),
        None => return Err(Refused::Malformed),
    };
    if !policy.allow_simulation {
        return Err(Refused::Simulation);
    }
    let key = VerifyingKey::from_bytes(
        simulation
            .key
            .as_ref()
            .try_into()
            .map_err(|_| Refused::Malformed)?,
    );
    if !policy.simulation_keys.contains(&key) {
        return Err(Refused::UnknownPlatform);
    }
    key.verify(&Report::signed(&simulation.report), &simulation.signature)
        .map_err(|_| Refused::NotAuthentic)?;
    let report = Report::decode(&simulation.report).ok_or(Refused::Malformed)?;
    if report.report_data != *report_data {
        return Err(Refused::OtherReportData);
    }
    if policy
        .measurements
        .as_ref()
        .is_some_and(|allowed| !allowed.contains(&report.measurement))
    {
        return Err(Refused::UnknownMeasurement);
    }
    Ok(Appraisal {
        platform: "simulation",
        measurement: report.measurement,
        tee_line: SIMULATION_LINE,
    })
}

#[cfg(test)]
mod tests {
    use sc_enclave::{Attester, SimulatedPlatform, simulation_development_key};

    use super::*;

    const DATA: [u8; 64] = [5; 64];

    fn evidence() -> Evidence {
        SimulatedPlatform::new(simulation_development_key(), [1; 32]).evidence(&DATA)
    }

    fn lenient() -> Policy {
        Policy {
            allow_simulation: true,
            simulation_keys: vec![simulation_development_key().verifying_key()],
            measurements: Some(vec![[1; 32]]),
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
        let appraisal = appraise(&lenient(), Some(&evidence()), &DATA).unwrap();

        assert_eq!(appraisal.measurement, [1; 32]);
        assert!(appraisal.tee_line.contains("NO HARDWARE PROTECTION"));
    }

    #[test]
    fn simulated_evidence_is_refused_by_default() {
        assert_eq!(
            appraise(&Policy::default(), Some(&evidence()), &DATA),
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
            appraise(&unnamed, Some(&evidence()), &DATA),
            Err(Refused::UnknownPlatform)
        );
        assert_eq!(
            appraise(&other_program, Some(&evidence()), &DATA),
            Err(Refused::UnknownMeasurement)
        );
        assert_eq!(
            appraise(&lenient(), Some(&evidence()), &[6; 64]),
            Err(Refused::OtherReportData)
        );
        assert_eq!(appraise(&lenient(), None, &DATA), Err(Refused::Malformed));
        assert_eq!(
            appraise(
                &lenient(),
                Some(&Evidence {
                    kind: Some(Kind::SgxQuote(vec![1].into()))
                }),
                &DATA
            ),
            Err(Refused::Unsupported)
        );
    }

    #[test]
    fn every_flipped_bit_of_a_report_is_refused() {
        for bit in 0..97 * 8 {
            let evidence = with_report(|report| report[bit / 8] ^= 1 << (bit % 8));

            assert_eq!(
                appraise(&lenient(), Some(&evidence), &DATA),
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
        appraise(&lenient(), Some(evidence), &DATA).err()
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
        let of_stranger = SimulatedPlatform::new(stranger, [1; 32]).evidence(&DATA);
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

        assert!(appraise(&any, Some(&evidence()), &DATA).is_ok());
        assert_eq!(
            appraise(&none, Some(&evidence()), &DATA),
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

            assert_eq!(refused(&evidence), Some(Refused::Unsupported));
            assert_eq!(claimed_platform(Some(&evidence)), Err(Refused::Unsupported));
        }
        let empty = Evidence { kind: None };
        assert_eq!(refused(&empty), Some(Refused::Malformed));
        assert_eq!(claimed_platform(Some(&empty)), Err(Refused::Malformed));
        assert_eq!(claimed_platform(None), Err(Refused::Malformed));
        assert_eq!(claimed_platform(Some(&evidence())), Ok("simulation"));
    }
}
