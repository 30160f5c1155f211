//! Reports and certificates that were made for these tests, under a root that they name themselves: for what no genuine sample shows.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};

use super::*;

const ROOT_HASH: [u8; 32] = [
    0x29, 0x2a, 0xbd, 0x97, 0xc8, 0xef, 0xb3, 0x9a, 0xc0, 0x2d, 0x94, 0x88, 0xe7, 0x75, 0xcc, 0x7c,
    0xb9, 0x0b, 0x10, 0xbf, 0xb4, 0x44, 0x54, 0xcf, 0x79, 0xab, 0x33, 0xc1, 0x5e, 0xad, 0x9b, 0x13,
];
/// Within the lists and the certificates: 2027-06-01.
const NOW: u64 = 1_811_808_000;
const ROOT: &[u8] = include_bytes!("../../tests/samples/made/ark.der");
const SIGNER: &[u8] = include_bytes!("../../tests/samples/made/ask.der");
const CHIP: &[u8] = include_bytes!("../../tests/samples/made/vcek.der");
const CHIP_KEY: &[u8] = include_bytes!("../../tests/samples/made/vcek.key");
const NONE_REVOKED: &[u8] = include_bytes!("../../tests/samples/made/none.crl");
const SIGNER_REVOKED: &[u8] = include_bytes!("../../tests/samples/made/ask-revoked.crl");
const CHIP_REVOKED: &[u8] = include_bytes!("../../tests/samples/made/vcek-revoked.crl");

/// A policy that accepts the root of these tests, with these files.
fn policy(files: &[&[u8]]) -> Policy {
    let mut policy = Policy {
        amd_roots: vec![ROOT_HASH],
        ..Policy::default()
    };
    for file in files {
        policy.collateral.add(file).unwrap();
    }
    policy
}

/// A report of the made chip, after `change`, signed by its key.
fn report(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut report = vec![0; REPORT_BYTES];
    report[0] = 2;
    report[0x34] = 1;
    let tcb = [3, 0, 0, 0, 0, 0, 8, 115];
    report[0x38..0x40].copy_from_slice(&tcb);
    report[0x50..0x90].fill(5);
    report[0x90..0xc0].fill(9);
    report[0x180..0x188].copy_from_slice(&tcb);
    report[0x1a0..0x1e0].fill(0xa5);
    change(&mut report);
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, CHIP_KEY).unwrap();
    let signature = key
        .sign(&SystemRandom::new(), &report[..SIGNED_BYTES])
        .unwrap();
    for (place, number) in report[SIGNED_BYTES..]
        .chunks_exact_mut(NUMBER_BYTES)
        .zip(signature.as_ref().chunks_exact(48))
    {
        place[..48].copy_from_slice(number);
        place[..48].reverse();
    }
    report
}

fn read_with(evidence: &[u8], files: &[&[u8]]) -> Result<Statement, Refused> {
    read(evidence, &policy(files), NOW)
}

const GOOD: [&[u8]; 4] = [ROOT, SIGNER, CHIP, NONE_REVOKED];

#[test]
fn a_report_is_read_under_its_root_alone() {
    let statement = read_with(&report(|_| {}), &GOOD).unwrap();

    assert_eq!(statement.report_data, [5; 64]);
    assert_eq!(statement.program.measurement(), [9; 48]);
    assert!(!statement.is_debug && statement.owner.is_none());
    let without_root = Policy {
        amd_roots: Vec::new(),
        ..policy(&GOOD)
    };
    assert_eq!(
        read(&report(|_| {}), &without_root, NOW),
        Err(Refused::NoCollateral("an AMD processor")),
        "nobody trusts the root of these tests by default"
    );
}

#[test]
fn what_was_revoked_is_refused_even_beside_a_list_that_does_not_name_it() {
    for list in [SIGNER_REVOKED, CHIP_REVOKED] {
        let files = [&GOOD[..], &[list]].concat();

        assert_eq!(read_with(&report(|_| {}), &files), Err(Refused::Revoked));
    }
}

#[test]
fn a_list_of_what_was_revoked_must_be_there_and_current() {
    let without = &GOOD[..3];
    let at = |now| read(&report(|_| {}), &policy(&GOOD), now).err();

    assert!(matches!(
        read_with(&report(|_| {}), without),
        Err(Refused::NoCollateral(_))
    ));
    // The chip's list says nothing of the signing key.
    let mut other = CHIP_REVOKED.to_vec();
    assert!(read_with(&report(|_| {}), &[without, &[&other]].concat()).is_err());
    let last = other.len() - 1;
    other[last] ^= 1;
    assert!(matches!(
        read_with(&report(|_| {}), &[without, &[&other]].concat()),
        Err(Refused::NoCollateral(_))
    ));
    // After the list's end, within the certificates.
    assert_eq!(
        at(NOW + 365 * 24 * 60 * 60),
        Some(Refused::Stale("AMD's list of revoked certificates"))
    );
}

#[test]
fn a_list_that_was_altered_is_no_list() {
    for at in (0..NONE_REVOKED.len()).step_by(5) {
        let mut list = NONE_REVOKED.to_vec();
        list[at] ^= 1;
        let mut given = policy(&GOOD[..3]);
        if given.collateral.add(&list).is_ok() {
            let read = read(&report(|_| {}), &given, NOW);
            assert!(read.is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_path_has_all_its_certificates_and_ends_at_the_root() {
    for left_out in 0..3 {
        let mut files = GOOD.to_vec();
        files.remove(left_out);

        assert!(matches!(
            read_with(&report(|_| {}), &files),
            Err(Refused::NoCollateral(_))
        ));
    }
    for altered in 0..3 {
        let mut bytes = GOOD[altered].to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut files = GOOD.to_vec();
        files[altered] = &bytes;

        assert!(read_with(&report(|_| {}), &files).is_err());
    }
}

#[test]
fn a_report_of_another_chip_or_other_firmware_than_its_keys_is_refused() {
    let changes: [fn(&mut [u8]); 4] = [
        |report| report[0x1a0] ^= 1,
        |report| report[0x1df] ^= 1,
        |report| report[0x180] += 1,
        |report| report[0x187] -= 1,
    ];
    for change in changes {
        assert_eq!(read_with(&report(change), &GOOD), Err(Refused::OtherChip));
    }
}

#[test]
fn a_debugger_and_a_migration_agent_are_told_of() {
    for bit in [18, 19] {
        let report = report(|report| report[8 + bit / 8] |= 1 << (bit % 8));

        assert!(read_with(&report, &GOOD).unwrap().is_debug, "bit {bit}");
    }
}

#[test]
fn a_report_that_is_signed_by_a_loaded_key_or_asked_for_at_a_lower_level_is_refused() {
    let loaded = report(|report| report[0x48] = 1 << 2);
    let lower = report(|report| report[0x30] = 2);
    let other_algorithm = report(|report| report[0x34] = 2);
    let unknown_version = report(|report| report[0] = 1);

    assert_eq!(read_with(&loaded, &GOOD), Err(Refused::Malformed));
    assert_eq!(read_with(&lower, &GOOD), Err(Refused::LessPrivileged(2)));
    assert_eq!(read_with(&other_algorithm, &GOOD), Err(Refused::Malformed));
    assert_eq!(read_with(&unknown_version, &GOOD), Err(Refused::Malformed));
}

#[test]
fn the_owner_that_a_machine_was_started_for_is_read() {
    let pin = sc_enclave::owner_pin(sc_crypto::VerifyingKey::from_bytes([7; 32]));

    let statement = read_with(
        &report(|report| report[0xc0..0xe0].copy_from_slice(&pin)),
        &GOOD,
    );

    assert_eq!(statement.unwrap().owner, Some(pin));
}
