//! Reports of AMD SEV-SNP: `sev` reads them, what signs them is checked here over the bytes as they came.
//!
//! Sources: AMD 56860 (SEV-SNP firmware ABI), table 23; AMD 57230 (key distribution server) for certificates and their extensions.

mod chain;
#[cfg(test)]
mod tests;

pub(crate) use chain::{AmdCertificate, AmdRevocations};

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use sev::firmware::guest::AttestationReport;
use sev::firmware::host::TcbVersion;
use sev::parser::ByteParser as _;

use crate::snp::chain::Endorsement;
use crate::{AmdTcb, Policy, ProgramIdentity, Refused, Statement, Tcb};

/// Bytes of a report.
const REPORT_BYTES: usize = 0x4a0;
/// Bytes of it that are signed.
const SIGNED_BYTES: usize = 0x2a0;
/// Bytes of each number of the signature, of which P-384 uses the first 48, the least significant byte first.
const NUMBER_BYTES: usize = 72;
/// SIGNATURE_ALGO: ECDSA over P-384 with SHA-384.
const ECDSA_P384: u32 = 1;
/// The longest table of certificates that is looked at behind a report.
const TABLE_MAX: usize = 64 << 10;

/// Verifies evidence, a report and whatever table of certificates its host put behind it, with the policy's collateral and roots, at a time in
/// seconds since 1970, and reads it.
pub(crate) fn read(evidence: &[u8], policy: &Policy, now: u64) -> Result<Statement, Refused> {
    let (report, table) = evidence
        .split_at_checked(REPORT_BYTES)
        .filter(|(_, table)| table.len() <= TABLE_MAX)
        .ok_or(Refused::Malformed)?;
    let given = chain::certificates_of_table(table);
    let signer = |endorsement: &Endorsement| is_signed_by(report, &endorsement.key);
    let endorsement = chain::endorsement(policy, &given, now, signer)?;
    chain::check_revocations(&endorsement, policy, now)?;

    // From here on the bytes are what an AMD processor signed.
    let report = AttestationReport::from_bytes(report).map_err(|_| Refused::Malformed)?;
    let tcb = of_report(&report.reported_tcb);
    if !(2..=5).contains(&report.version)
        || report.sig_algo != ECDSA_P384
        || report.key_info.signing_key() != 0
    {
        return Err(Refused::Malformed);
    }
    if endorsement.tcb != tcb || !endorsement.is_of_chip(&report.chip_id) {
        return Err(Refused::OtherChip);
    }
    if report.vmpl != 0 {
        return Err(Refused::LessPrivileged(report.vmpl));
    }
    Ok(Statement {
        platform: "sev-snp",
        program: ProgramIdentity::Snp {
            measurement: report.measurement,
            svn: report.guest_svn,
        },
        report_data: report.report_data,
        // A migration agent holds the machine's keys as a debugger would.
        is_debug: report.policy.debug_allowed() || report.policy.migrate_ma_allowed(),
        owner: (report.host_data != [0; 32]).then_some(report.host_data),
        machine: report.chip_id.to_vec(),
        tcb: Tcb::Amd(tcb),
    })
}

/// Whether the key, a point of P-384 without compression, signed `report`.
fn is_signed_by(report: &[u8], key: &[u8]) -> bool {
    let (signed, signature) = report.split_at(SIGNED_BYTES);
    let mut fixed = [0; 96];
    for (out, number) in fixed
        .chunks_exact_mut(48)
        .zip(signature.chunks_exact(NUMBER_BYTES))
    {
        let (number, beyond) = number.split_at(48);
        if beyond.iter().any(|byte| *byte != 0) {
            return false;
        }
        out.copy_from_slice(number);
        out.reverse();
    }
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key)
        .verify(signed, &fixed)
        .is_ok()
}

fn of_report(tcb: &TcbVersion) -> AmdTcb {
    AmdTcb {
        bootloader: tcb.bootloader,
        tee: tcb.tee,
        snp: tcb.snp,
        microcode: tcb.microcode,
        fmc: tcb.fmc.unwrap_or(0),
    }
}
