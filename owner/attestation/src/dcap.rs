//! Quotes of Intel SGX (DCAP, version 3) and TDX (versions 4 and 5), by `dcap-qvl` over this project's one cryptographic library.

use dcap_qvl::config::{Config, CryptoProvider};
use dcap_qvl::quote::{EnclaveReport, Report, TDReport10};
use dcap_qvl::signature::DerSigEncoder;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::x509::X509CertBackend;
use dcap_qvl::{QuoteClaims, QuoteCollateralV3, QuotePolicy};
use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::collateral::IntelCollateral;
use crate::{ProgramIdentity, Refused, Statement, Tcb};

/// Bytes of the longest quote that is looked at; genuine ones have about 5,000.
const QUOTE_MAX: usize = 64 << 10;
/// The DEBUG bit of an enclave's attributes (Intel SDM volume 3D, 36.7.1).
const SGX_DEBUG: u8 = 1 << 1;

/// Which kind of quote the evidence says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sgx,
    Tdx,
}

/// The parser of `dcap-qvl`, and aws-lc for signatures and hashes.
struct AwsLc;

impl Config for AwsLc {
    type X509 = X509CertBackend;
    type SigEncoder = DerSigEncoder;
    type Crypto = Self;
}

impl CryptoProvider for AwsLc {
    fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
        webpki::aws_lc_rs::ECDSA_P256_SHA256
    }

    fn sha256(data: &[u8]) -> [u8; 32] {
        sc_crypto::hash::sha256(data)
    }

    fn sha384(data: &[u8]) -> [u8; 48] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, data);
        digest.as_ref().try_into().expect("SHA-384 has 48 bytes")
    }
}

/// Verifies `quote` against what Intel has published, at a time in seconds since 1970, and reads it.
///
/// The signature of the attestation key, the quoting enclave's report under the platform's key, its certificates up to Intel's root,
/// the revocation lists, and that all of the collateral is current then.
pub(crate) fn read(
    kind: Kind,
    quote: &[u8],
    collateral: &[IntelCollateral],
    now: u64,
) -> Result<Statement, Refused> {
    if quote.len() > QUOTE_MAX {
        return Err(Refused::Malformed);
    }
    let mut refused = Refused::NoCollateral("an Intel platform");
    for given in collateral {
        match verify(quote, &given.parts, &given.root, now) {
            Ok(claims) => return statement(kind, &claims),
            Err(error) => refused = Refused::Quote(error),
        }
    }
    Err(refused)
}

fn verify(
    quote: &[u8],
    collateral: &QuoteCollateralV3,
    root: &[u8],
    now: u64,
) -> Result<QuoteClaims, String> {
    QuoteVerifier::<AwsLc>::new_with_config(root.to_vec())
        // Whether a machine under debugging is acceptable, and which versions are, is the policy's to say, with its own words.
        .allow_debug(true)
        .verify_with_policy(quote, collateral, now, &QuotePolicy::claims_only(now))
        .map_err(|error| {
            let text = format!("{error:#}");
            let hint = if text.contains("xpired") {
                " (the collateral is out of date: fetch what Intel publishes now)"
            } else {
                ""
            };
            format!("{text}{hint}")
        })
}

fn statement(kind: Kind, claims: &QuoteClaims) -> Result<Statement, Refused> {
    let tcb = Tcb::Intel {
        status: claims.tcb.status.to_string(),
        advisories: claims.tcb.advisory_ids.clone(),
        evaluation: claims.tcb.eval_data_number,
    };
    let machine = claims.platform.pck.ppid.clone();
    match (kind, &claims.report) {
        (Kind::Sgx, Report::SgxEnclave(report)) => Ok(of_enclave(report, machine, tcb)),
        (Kind::Tdx, Report::TD10(report)) => Ok(of_machine(report, machine, tcb)),
        (Kind::Tdx, Report::TD15(report)) => Ok(of_machine(&report.base, machine, tcb)),
        (Kind::Tdx, Report::TD15Ex(report)) => Ok(of_machine(&report.base.base, machine, tcb)),
        _ => Err(Refused::Malformed),
    }
}

fn of_enclave(report: &EnclaveReport, machine: Vec<u8>, tcb: Tcb) -> Statement {
    Statement {
        platform: "sgx",
        program: ProgramIdentity::Sgx {
            enclave: report.mr_enclave,
            signer: report.mr_signer,
            product: report.isv_prod_id,
            svn: report.isv_svn,
        },
        report_data: report.report_data,
        is_debug: report.attributes[0] & SGX_DEBUG != 0,
        owner: None,
        machine,
        tcb,
    }
}

fn of_machine(report: &TDReport10, machine: Vec<u8>, tcb: Tcb) -> Statement {
    Statement {
        platform: "tdx",
        program: ProgramIdentity::Tdx {
            machine: report.mr_td,
            runtime: [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3],
        },
        report_data: report.report_data,
        // The whole group "TD under debug": any of its bits makes the machine untrusted (TDX module ABI, TD_ATTRIBUTES).
        is_debug: report.td_attributes[0] != 0,
        owner: owner_of_configuration(&report.mr_config_id),
        machine,
        tcb,
    }
}

/// The owner in MRCONFIGID; `None` where there is none, or something that is not this project's.
fn owner_of_configuration(id: &[u8; 48]) -> Option<[u8; 32]> {
    let (owner, rest) = id.split_first_chunk::<32>()?;
    (rest == [0; 16] && *owner != [0; 32]).then_some(*owner)
}
