//! Targets for what a host hands over as evidence, and for the files that evidence is checked against.

use std::sync::LazyLock;

use sc_attestation::{Collateral, Policy, read};
use sc_proto::provision::{Evidence, evidence::Kind};

/// A genuine sample: what it is, when its collateral was current, and how much of it is signed.
struct Sample {
    bytes: &'static [u8],
    now: u64,
    signed: usize,
}

const SGX: Sample = Sample {
    bytes: include_bytes!("../../owner/attestation/tests/samples/dcap-qvl/sgx_quote"),
    now: 1_750_809_600,
    signed: 48 + 384,
};
const TDX: Sample = Sample {
    bytes: include_bytes!("../../owner/attestation/tests/samples/dcap-qvl/tdx_quote"),
    now: 1_750_809_600,
    signed: 48 + 584,
};
const SNP_DIGITS: &str = include_str!("../../owner/attestation/tests/samples/sev/report_milan.hex");
const SNP_NOW: u64 = 1_750_809_600;
const SNP_SIGNED: usize = 0x2a0;

/// What the samples were checked against in their time.
pub(crate) const COLLATERAL: [&[u8]; 4] = [
    include_bytes!("../../owner/attestation/tests/samples/dcap-qvl/sgx_quote_collateral.json"),
    include_bytes!("../../owner/attestation/tests/samples/dcap-qvl/tdx_quote_collateral.json"),
    include_bytes!("../../owner/attestation/tests/samples/sev/cert_chain_milan"),
    include_bytes!("../../owner/attestation/tests/samples/sev/vcek_milan.der"),
];

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut policy = Policy {
        may_lack_amd_revocations: true,
        ..Policy::default()
    };
    for file in COLLATERAL {
        policy.collateral.add(file).expect("genuine collateral");
    }
    policy
});

fn snp() -> Vec<u8> {
    let digits = SNP_DIGITS.trim();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// The samples, each behind the byte that says its kind.
pub(crate) fn seeds() -> [Vec<u8>; 3] {
    [
        [&[0][..], SGX.bytes].concat(),
        [&[1][..], TDX.bytes].concat(),
        [vec![2], snp()].concat(),
    ]
}

/// Evidence of hardware, behind a byte that says its kind.
///
/// # Panics
/// When something is authentic that no hardware has signed: all that any key of the collateral has signed are the samples.
pub fn evidence(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let owned = bytes.to_vec().into();
    let (kind, now, genuine) = match kind {
        0 => (
            Kind::SgxQuote(owned),
            SGX.now,
            SGX.bytes[..SGX.signed].to_vec(),
        ),
        1 => (
            Kind::TdxQuote(owned),
            TDX.now,
            TDX.bytes[..TDX.signed].to_vec(),
        ),
        _ => (
            Kind::SnpReport(owned),
            SNP_NOW,
            snp()[..SNP_SIGNED].to_vec(),
        ),
    };
    let evidence = Evidence { kind: Some(kind) };
    if read(&POLICY, Some(&evidence), now).is_ok() {
        assert!(bytes.starts_with(&genuine), "nobody has signed this");
    }
}

/// A file of collateral.
///
/// # Panics
/// When an error has left something behind.
pub fn collateral(bytes: &[u8]) {
    let mut collateral = Collateral::default();
    if collateral.add(bytes).is_err() {
        assert!(collateral.is_empty());
    }
}
