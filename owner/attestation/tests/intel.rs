//! Genuine quotes of SGX and TDX, with Intel's collateral of their time: `samples/README.md` says where they come from.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use sc_attestation::{AllowedProgram, Policy, ProgramIdentity, Refused, Statement, Tcb, appraise};
use sc_crypto::VerifyingKey;
use sc_proto::provision::{Evidence, evidence::Kind};

/// Bytes of a quote's header, of an enclave's report, and of a TDX 1.0 machine's.
const HEADER: usize = 48;
const ENCLAVE: usize = 384;
const MACHINE: usize = 584;
const OWNER: [u8; 32] = [7; 32];

struct Sample {
    name: &'static str,
    /// Seconds since 1970 at which its collateral is current.
    now: u64,
}

/// Version 3, on 2025-06-25.
const SGX: Sample = Sample {
    name: "sgx_quote",
    now: 1_750_809_600,
};
/// Version 4, on the same day.
const TDX4: Sample = Sample {
    name: "tdx_quote",
    now: 1_750_809_600,
};
/// Version 5, of a TDX 1.5 machine with the extended report, on 2026-10-20.
const TDX5: Sample = Sample {
    name: "tdx_quote_td15ex",
    now: 1_792_454_400,
};
/// Of a platform that no level of Intel's covers any more, on 2026-03-01.
const OUTDATED: Sample = Sample {
    name: "tdx_quote_outdated",
    now: 1_772_323_200,
};

impl Sample {
    fn file(&self, end: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/dcap-qvl");
        std::fs::read(folder.join(format!("{}{end}", self.name))).unwrap()
    }

    fn quote(&self) -> Vec<u8> {
        self.file("")
    }

    /// Bytes that the attestation key signs.
    fn signed(&self) -> usize {
        let quote = self.quote();
        match quote[0] {
            3 => HEADER + ENCLAVE,
            4 => HEADER + MACHINE,
            // Kind and length of the body stand before it.
            _ => HEADER + 6 + length_at(&quote, HEADER + 2),
        }
    }

    fn evidence(&self, quote: Vec<u8>) -> Evidence {
        let kind = if self.name.starts_with("sgx") {
            Kind::SgxQuote(quote.into())
        } else {
            Kind::TdxQuote(quote.into())
        };
        Evidence { kind: Some(kind) }
    }

    /// What Intel published, and no rule.
    fn collateral(&self) -> Policy {
        let mut policy = Policy::default();
        policy
            .collateral
            .add(&self.file("_collateral.json"))
            .unwrap();
        policy
    }

    fn statement(&self) -> Statement {
        let evidence = self.evidence(self.quote());
        sc_attestation::read(&self.collateral(), Some(&evidence), self.now).unwrap()
    }

    /// The policy that accepts this sample and nothing else.
    fn policy(&self) -> Policy {
        let statement = self.statement();
        let mut policy = self.collateral();
        policy.programs.push(match statement.program {
            ProgramIdentity::Sgx { enclave, svn, .. } => {
                AllowedProgram::SgxEnclave { enclave, svn }
            }
            ProgramIdentity::Tdx { machine, runtime } => AllowedProgram::Tdx {
                machine,
                runtime: runtime.map(Some),
            },
            other => panic!("no sample is {other:?}"),
        });
        policy.machines = Some(vec![statement.machine]);
        if let Tcb::Intel {
            status,
            advisories,
            evaluation,
        } = statement.tcb
        {
            policy.states = vec![status];
            policy.advisories = advisories;
            policy.evaluation = evaluation;
        }
        policy
    }

    fn appraised(&self, policy: &Policy, quote: Vec<u8>, now: u64) -> Result<(), Refused> {
        let data = self.statement().report_data;
        appraise(
            policy,
            VerifyingKey::from_bytes(OWNER),
            Some(&self.evidence(quote)),
            &data,
            now,
        )
        .map(drop)
    }

    fn refused(&self, policy: &Policy) -> Option<Refused> {
        self.appraised(policy, self.quote(), self.now).err()
    }
}

fn length_at(quote: &[u8], at: usize) -> usize {
    u32::from_le_bytes(quote[at..at + 4].try_into().unwrap()) as usize
}

#[test]
fn genuine_quotes_are_accepted_under_the_right_policy_at_the_right_time() {
    for sample in [SGX, TDX4, TDX5] {
        let accepted = sample.appraised(&sample.policy(), sample.quote(), sample.now);

        assert_eq!(accepted, Ok(()), "{}", sample.name);
    }
}

#[test]
fn what_genuine_quotes_state_is_read() {
    let sgx = SGX.statement();
    let greeting = *b"Hello, world!";

    assert_eq!(sgx.report_data[..13], greeting);
    let ProgramIdentity::Sgx {
        enclave,
        product,
        svn,
        ..
    } = sgx.program
    else {
        panic!("it is an enclave")
    };
    assert_eq!(enclave[..4], [0x33, 0xd8, 0x73, 0x6d]);
    assert_eq!((product, svn, sgx.machine.len()), (0, 0, 16));
    assert_eq!(
        sgx.tcb,
        Tcb::Intel {
            status: "ConfigurationAndSWHardeningNeeded".to_owned(),
            advisories: vec!["INTEL-SA-00289".to_owned(), "INTEL-SA-00615".to_owned()],
            evaluation: 17,
        }
    );
    for (sample, first) in [(TDX4, 0x91), (TDX5, 0x2a)] {
        let statement = sample.statement();
        assert!(!statement.is_debug && statement.platform == "tdx");
        assert_eq!(statement.program.measurement()[0], first);
    }
}

#[test]
fn every_flipped_bit_of_what_is_signed_is_refused() {
    for sample in [SGX, TDX4, TDX5] {
        let (policy, quote) = (sample.policy(), sample.quote());
        for bit in 0..sample.signed() * 8 {
            let mut changed = quote.clone();
            changed[bit / 8] ^= 1 << (bit % 8);

            let refused = sample.appraised(&policy, changed, sample.now);
            assert!(refused.is_err(), "{}: bit {bit}", sample.name);
        }
    }
}

/// Behind what is signed: the signature, the attestation key, the quoting enclave's report and its signature.
#[test]
fn every_flipped_bit_of_the_signatures_and_keys_is_refused() {
    for sample in [SGX, TDX4, TDX5] {
        let (policy, quote) = (sample.policy(), sample.quote());
        // Length; signature and key of the attestation; in versions 4 and 5 type and length of what follows.
        let frame = if sample.name == SGX.name { 0 } else { 6 };
        let key = sample.signed() + 4;
        let report = key + 128 + frame;
        for bit in (key * 8..(key + 128) * 8).chain(report * 8..(report + ENCLAVE + 64) * 8) {
            let mut changed = quote.clone();
            changed[bit / 8] ^= 1 << (bit % 8);

            let refused = sample.appraised(&policy, changed, sample.now);
            assert!(refused.is_err(), "{}: bit {bit}", sample.name);
        }
    }
}

#[test]
fn a_quote_that_is_cut_short_is_refused() {
    for sample in [SGX, TDX4, TDX5] {
        let (policy, quote) = (sample.policy(), sample.quote());
        let signed = sample.signed();
        // What stands behind its end is no part of it.
        let end = signed + 4 + length_at(&quote, signed);
        for length in (0..end).step_by(7) {
            let refused = sample.appraised(&policy, quote[..length].to_vec(), sample.now);
            assert!(refused.is_err(), "{}: {length} bytes", sample.name);
        }
    }
}

#[test]
fn collateral_that_is_not_of_its_time_is_refused() {
    const DAY: u64 = 24 * 60 * 60;
    for sample in [SGX, TDX4, TDX5] {
        let policy = sample.policy();
        for now in [
            0,
            sample.now - 40 * DAY,
            sample.now + 40 * DAY,
            u64::MAX / 2,
        ] {
            let refused = sample.appraised(&policy, sample.quote(), now);
            assert!(
                matches!(refused, Err(Refused::Quote(_))),
                "{}: {now}",
                sample.name
            );
        }
    }
}

#[test]
fn a_platform_that_intel_gives_up_is_refused() {
    let evidence = OUTDATED.evidence(OUTDATED.quote());

    let refused = sc_attestation::read(&OUTDATED.collateral(), Some(&evidence), OUTDATED.now);

    assert!(matches!(refused, Err(Refused::Quote(_))), "{refused:?}");
}

#[test]
fn each_rule_of_the_policy_refuses_on_its_own() {
    let good = SGX.policy();
    let with = |change: fn(&mut Policy)| {
        let mut policy = good.clone();
        change(&mut policy);
        SGX.refused(&policy)
    };

    assert_eq!(with(|_| {}), None);
    assert_eq!(
        with(|policy| policy.programs.clear()),
        Some(Refused::UnknownMeasurement)
    );
    assert_eq!(
        with(|policy| {
            let AllowedProgram::SgxEnclave { svn, .. } = &mut policy.programs[0] else {
                panic!("made above")
            };
            *svn = 1;
        }),
        Some(Refused::OldProgram { found: 0, least: 1 })
    );
    assert_eq!(
        with(|policy| policy.machines = Some(vec![vec![0; 16]])),
        Some(Refused::UnknownMachine)
    );
    assert_eq!(
        with(|policy| policy.states.clear()),
        Some(Refused::Status("ConfigurationAndSWHardeningNeeded".into()))
    );
    assert_eq!(
        with(|policy| drop(policy.advisories.pop())),
        Some(Refused::Advisory("INTEL-SA-00615".into()))
    );
    assert_eq!(
        with(|policy| policy.evaluation = 18),
        Some(Refused::OldEvaluation {
            found: 17,
            least: 18
        })
    );
    assert_eq!(
        with(|policy| policy.collateral = sc_attestation::Collateral::default()),
        Some(Refused::NoCollateral("an Intel platform"))
    );
}

#[test]
fn a_machine_is_another_if_any_of_its_registers_is() {
    let good = TDX4.policy();
    for index in 0..4 {
        let mut policy = good.clone();
        let AllowedProgram::Tdx { runtime, .. } = &mut policy.programs[0] else {
            panic!("made above")
        };
        runtime[index].as_mut().unwrap()[0] ^= 1;

        assert_eq!(TDX4.refused(&policy), Some(Refused::UnknownMeasurement));
    }
    let pinned = Policy {
        is_owner_pinned: true,
        ..good
    };
    assert_eq!(TDX4.refused(&pinned), Some(Refused::NotPinned));
}

#[test]
fn a_signer_stands_for_its_enclaves() {
    let ProgramIdentity::Sgx { signer, .. } = SGX.statement().program else {
        panic!("it is an enclave")
    };
    let mut policy = SGX.policy();
    let of = |product, svn| AllowedProgram::SgxSigner {
        signer,
        product,
        svn,
    };

    policy.programs = vec![of(0, 0)];
    assert_eq!(SGX.refused(&policy), None);
    policy.programs = vec![of(1, 0)];
    assert_eq!(SGX.refused(&policy), Some(Refused::UnknownMeasurement));
    policy.programs = vec![of(0, 1), of(0, 2)];
    assert!(matches!(
        SGX.refused(&policy),
        Some(Refused::OldProgram { .. })
    ));
}

#[test]
fn collateral_that_was_edited_is_refused() {
    for sample in [SGX, TDX4, TDX5] {
        let text = String::from_utf8(sample.file("_collateral.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let good = sample.policy();
        for (field, from, to) in [
            ("tcb_info", "UpToDate", "Revoked"),
            ("tcb_info", "OutOfDate", "UpToDate"),
            ("tcb_info", "2025", "2026"),
            ("tcb_info", "2026", "2027"),
            ("qe_identity", "UpToDate", "OutOfDate"),
            ("qe_identity", "\"isvprodid\":", "\"isvprodid\":1"),
        ] {
            let was = json[field].as_str().unwrap();
            if !was.contains(from) {
                continue;
            }
            let mut edited = json.clone();
            edited[field] = was.replace(from, to).into();
            assert_refuses(&sample, &good, &edited);
        }
        for field in [
            "tcb_info_signature",
            "qe_identity_signature",
            "pck_crl",
            "root_ca_crl",
        ] {
            let was = json[field].as_str().unwrap();
            let digit = if was.ends_with('0') { "1" } else { "0" };
            let mut edited = json.clone();
            edited[field] = format!("{}{digit}", &was[..was.len() - 1]).into();
            assert_refuses(&sample, &good, &edited);
        }
    }
}

fn assert_refuses(sample: &Sample, good: &Policy, edited: &serde_json::Value) {
    let mut policy = good.clone();
    policy.collateral = sc_attestation::Collateral::default();
    policy
        .collateral
        .add(edited.to_string().as_bytes())
        .unwrap();

    let refused = sample.refused(&policy);
    assert!(matches!(refused, Some(Refused::Quote(_))), "{refused:?}");
}

#[test]
fn collateral_under_another_root_or_of_another_shape_is_no_collateral() {
    let text = String::from_utf8(SGX.file("_collateral.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["tcb_info_issuer_chain"] = "".into();
    for file in [
        &b""[..],
        b"{",
        b"{}",
        b"collateral",
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &[0x30, 0x80, 0, 0],
        json.to_string().as_bytes(),
    ] {
        let mut collateral = sc_attestation::Collateral::default();
        assert!(collateral.add(file).is_err());
    }
}

#[test]
fn collateral_of_several_platforms_stands_side_by_side() {
    let mut policy = TDX4.policy();
    policy
        .collateral
        .add(&SGX.file("_collateral.json"))
        .unwrap();

    assert_eq!(TDX4.refused(&policy), None);
}

#[test]
fn a_quote_of_one_kind_is_not_taken_for_the_other() {
    let as_sgx = Evidence {
        kind: Some(Kind::SgxQuote(TDX4.quote().into())),
    };
    let as_tdx = Evidence {
        kind: Some(Kind::TdxQuote(SGX.quote().into())),
    };

    for (evidence, sample) in [(as_sgx, TDX4), (as_tdx, SGX)] {
        let read = sc_attestation::read(&sample.policy(), Some(&evidence), sample.now);
        assert_eq!(read, Err(Refused::Malformed));
    }
}
