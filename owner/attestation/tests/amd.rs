//! A genuine report of a SEV-SNP machine on a Milan processor: `samples/README.md` says where it comes from.
#![allow(missing_docs, clippy::unwrap_used)]

use sc_attestation::{
    AllowedProgram, AmdTcb, Policy, ProgramIdentity, Refused, Statement, Tcb, appraise, read,
};
use sc_crypto::VerifyingKey;
use sc_proto::provision::{Evidence, evidence::Kind};

const OWNER: [u8; 32] = [7; 32];
/// Within the validity of all its certificates: 2025-06-25.
const NOW: u64 = 1_750_809_600;
const REPORT: usize = 0x4a0;
const SIGNED: usize = 0x2a0;
const CHAIN: &[u8] = include_bytes!("samples/sev/cert_chain_milan");
const CHIP: &[u8] = include_bytes!("samples/sev/vcek_milan.der");

fn report() -> Vec<u8> {
    let digits = include_str!("samples/sev/report_milan.hex").trim();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn evidence(report: Vec<u8>) -> Evidence {
    Evidence {
        kind: Some(Kind::SnpReport(report.into())),
    }
}

/// AMD's certificates, no list of what was revoked (the sample has none), and no rule.
fn collateral() -> Policy {
    let mut policy = Policy {
        may_lack_amd_revocations: true,
        ..Policy::default()
    };
    policy.collateral.add(CHAIN).unwrap();
    policy.collateral.add(CHIP).unwrap();
    policy
}

fn statement() -> Statement {
    read(&collateral(), Some(&evidence(report())), NOW).unwrap()
}

fn policy() -> Policy {
    let mut policy = collateral();
    let statement = statement();
    let ProgramIdentity::Snp { measurement, svn } = statement.program else {
        panic!("it is a machine")
    };
    policy
        .programs
        .push(AllowedProgram::Snp { measurement, svn });
    policy.machines = Some(vec![statement.machine]);
    policy.amd_tcb = AmdTcb {
        bootloader: 3,
        snp: 8,
        microcode: 0x73,
        ..AmdTcb::default()
    };
    policy
}

fn appraised(policy: &Policy, report: Vec<u8>, now: u64) -> Option<Refused> {
    let data = statement().report_data;
    appraise(
        policy,
        VerifyingKey::from_bytes(OWNER),
        Some(&evidence(report)),
        &data,
        now,
    )
    .err()
}

#[test]
fn a_genuine_report_is_accepted_under_the_right_policy_at_the_right_time() {
    assert_eq!(appraised(&policy(), report(), NOW), None);

    let statement = statement();
    assert_eq!(statement.platform, "sev-snp");
    assert_eq!(statement.machine[..4], [0xd4, 0x95, 0x54, 0xec]);
    assert_eq!((statement.is_debug, statement.owner), (false, None));
    assert_eq!(
        statement.tcb,
        Tcb::Amd(AmdTcb {
            bootloader: 3,
            snp: 8,
            microcode: 0x73,
            ..AmdTcb::default()
        })
    );
}

#[test]
fn every_flipped_bit_of_what_is_signed_is_refused() {
    let (policy, report) = (policy(), report());
    for bit in 0..SIGNED * 8 {
        let mut changed = report.clone();
        changed[bit / 8] ^= 1 << (bit % 8);

        assert_eq!(
            appraised(&policy, changed, NOW),
            Some(Refused::NotAuthentic),
            "bit {bit}"
        );
    }
}

#[test]
fn every_flipped_bit_of_the_signature_is_refused() {
    let (policy, report) = (policy(), report());
    for bit in SIGNED * 8..(SIGNED + 144) * 8 {
        let mut changed = report.clone();
        changed[bit / 8] ^= 1 << (bit % 8);

        assert_eq!(
            appraised(&policy, changed, NOW),
            Some(Refused::NotAuthentic),
            "bit {bit}"
        );
    }
}

#[test]
fn each_rule_of_the_policy_refuses_on_its_own() {
    let with = |change: fn(&mut Policy)| {
        let mut policy = policy();
        change(&mut policy);
        appraised(&policy, report(), NOW)
    };

    assert_eq!(
        with(|policy| policy.programs.clear()),
        Some(Refused::UnknownMeasurement)
    );
    assert_eq!(
        with(|policy| {
            let AllowedProgram::Snp { svn, .. } = &mut policy.programs[0] else {
                panic!("made above")
            };
            *svn += 1;
        }),
        Some(Refused::OldProgram { found: 0, least: 1 })
    );
    assert_eq!(
        with(|policy| policy.machines = Some(vec![vec![0; 64]])),
        Some(Refused::UnknownMachine)
    );
    assert_eq!(
        with(|policy| policy.amd_tcb.microcode = 0x74),
        Some(Refused::OldFirmware {
            component: "microcode",
            found: 0x73,
            least: 0x74
        })
    );
    assert_eq!(
        with(|policy| policy.is_owner_pinned = true),
        Some(Refused::NotPinned)
    );
    assert!(matches!(
        with(|policy| policy.may_lack_amd_revocations = false),
        Some(Refused::NoCollateral(_))
    ));
}

#[test]
fn certificates_that_are_not_of_their_time_are_refused() {
    // Before the chip's certificate, and after it.
    for now in [1_600_000_000, 1_950_000_000] {
        assert!(matches!(
            appraised(&policy(), report(), now),
            Some(Refused::Stale(_))
        ));
    }
}

#[test]
fn every_certificate_is_needed_and_none_may_be_altered() {
    let mut none = policy();
    none.collateral = sc_attestation::Collateral::default();
    none.collateral.add(CHAIN).unwrap();
    assert!(matches!(
        appraised(&none, report(), NOW),
        Some(Refused::NoCollateral(_))
    ));

    for at in (0..CHIP.len()).step_by(11) {
        let mut chip = CHIP.to_vec();
        chip[at] ^= 1;
        let mut altered = none.clone();
        // Some alterations make it no certificate at all.
        if altered.collateral.add(&chip).is_ok() {
            assert!(appraised(&altered, report(), NOW).is_some(), "byte {at}");
        }
    }
}

#[test]
fn a_chips_certificate_may_come_with_the_report() {
    let mut policy = policy();
    policy.collateral = sc_attestation::Collateral::default();
    policy.collateral.add(CHAIN).unwrap();

    let with = |table: &[u8]| appraised(&policy, [&report()[..], table].concat(), NOW);

    let table = table(48, CHIP.len() as u32);
    assert_eq!(with(&[&table[..], CHIP].concat()), None);
    assert!(with(&table).is_some(), "it is not there");
    assert!(with(&CHIP[..40]).is_some(), "it is no table");
}

/// A table of one chip's certificate at `offset`, and the entry that ends it.
fn table(offset: u32, length: u32) -> Vec<u8> {
    let mut table = vec![
        0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac,
        0xcd,
    ];
    table.extend(offset.to_le_bytes());
    table.extend(length.to_le_bytes());
    table.extend([0; 24]);
    table
}

#[test]
fn a_table_that_points_anywhere_is_read_within_its_bounds() {
    let policy = policy();
    for (offset, length) in [
        (0, u32::MAX),
        (u32::MAX, 1),
        (u32::MAX, u32::MAX),
        (48, 1),
        (0, 0),
        (47, 2),
    ] {
        let with = [&report()[..], &table(offset, length)].concat();

        // The owner has the certificate itself.
        assert_eq!(appraised(&policy, with, NOW), None);
    }
}

#[test]
fn a_report_of_any_other_length_is_malformed() {
    for length in [0, 1, SIGNED, REPORT - 1] {
        let short = report()[..length].to_vec();
        assert_eq!(appraised(&policy(), short, NOW), Some(Refused::Malformed));
    }
    let long = [report(), vec![0; (64 << 10) + 1]].concat();
    assert_eq!(appraised(&policy(), long, NOW), Some(Refused::Malformed));
}
