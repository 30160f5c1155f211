//! AMD's certificates: the root (ARK), the signing key (ASK) and a chip's endorsement key (VCEK); and what was revoked.
//!
//! The paths are of one shape, so they are checked for it: ARK, whose key is pinned by its hash, signs ASK, which signs VCEK, all by
//! RSA-PSS with SHA-384 (AMD 57230, 3.1). Loaded keys (VLEK), which a cloud's operator holds for its machines, are not accepted.

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use const_oid::ObjectIdentifier;
use der::{Decode as _, Encode as _, Reader as _, SliceReader};
use sc_crypto::hash::sha256;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::{Time, Validity};

use crate::{AmdTcb, Policy, Refused};

const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");

/// The name of a chip's certificate in a host's table: 63da758d-e664-4564-adc5-f4b93be8accd.
const VCEK: [u8; 16] = [
    0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
];
/// Bytes of an entry of such a table, and entries that are looked at.
const ENTRY_BYTES: usize = 24;
const ENTRIES_MAX: usize = 16;

/// AMD's roots, of Milan, Genoa and Turin: SHA-256 of the SubjectPublicKeyInfo of each product line's ARK.
const ROOTS: [[u8; 32]; 3] = [
    [
        0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5, 0xff, 0xa8, 0x95, 0xbd,
        0xfb, 0x62, 0xd1, 0x88, 0x81, 0xfa, 0x6b, 0xed, 0x8d, 0x6f, 0x07, 0x5b, 0x02, 0x04, 0x08,
        0x9c, 0xb9,
    ],
    [
        0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d, 0xb5, 0xfc, 0xda, 0x9c,
        0x64, 0x70, 0xef, 0x15, 0xf8, 0xcd, 0x5a, 0x9c, 0xeb, 0xd6, 0xcb, 0xc7, 0xd9, 0x0b, 0x86,
        0x38, 0x31,
    ],
    [
        0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56, 0xf9, 0x24, 0x3f, 0x6f,
        0xe0, 0xb6, 0xf7, 0x3d, 0xe9, 0x86, 0x03, 0xf5, 0x3f, 0x90, 0x33, 0x9c, 0x70, 0xe9, 0xd7,
        0xad, 0x08,
    ],
];

/// The part of a certificate or list that is signed, as it came; DER has one encoding alone.
#[derive(Debug, Clone)]
struct Signed {
    body: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    /// Of the outer sequence, body, algorithm, signature: `None` unless the algorithm is the one that AMD uses, and the same within the body
    /// (RFC 5280, 4.1.1.2).
    fn split(
        der: &[u8],
        signature: &[u8],
        outer: &AlgorithmIdentifierOwned,
        inner: &AlgorithmIdentifierOwned,
    ) -> Option<Self> {
        if outer != inner || outer.oid != RSASSA_PSS {
            return None;
        }
        let mut outer = SliceReader::new(der).ok()?;
        let body = outer
            .sequence(|inner| {
                let body = inner.tlv_bytes()?.to_vec();
                inner.drain(inner.remaining_len())?;
                Ok::<_, der::Error>(body)
            })
            .ok()?;
        Some(Self {
            body,
            signature: signature.to_vec(),
        })
    }

    /// Whether the owner of `key`, an RSA key, signed this.
    fn is_signed_by(&self, key: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key)
            .verify(&self.body, &self.signature)
            .is_ok()
    }
}

/// A certificate of AMD's, read and not yet verified.
#[derive(Debug, Clone)]
pub(crate) struct AmdCertificate {
    parsed: Certificate,
    signed: Signed,
    key: Vec<u8>,
    key_hash: [u8; 32],
}

/// A list of revoked certificates, read and not yet verified.
#[derive(Debug, Clone)]
pub(crate) struct AmdRevocations {
    parsed: CertificateList,
    signed: Signed,
}

impl AmdCertificate {
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let parsed = Certificate::from_der(der).ok()?;
        let signed = Signed::split(
            der,
            parsed.signature().as_bytes()?,
            parsed.signature_algorithm(),
            parsed.tbs_certificate().signature(),
        )?;
        let info = parsed.tbs_certificate().subject_public_key_info();
        let key = info.subject_public_key.as_bytes()?.to_vec();
        let key_hash = sha256(&info.to_der().ok()?);
        Some(Self {
            parsed,
            signed,
            key,
            key_hash,
        })
    }

    fn subject(&self) -> &Name {
        self.parsed.tbs_certificate().subject()
    }

    fn issuer(&self) -> &Name {
        self.parsed.tbs_certificate().issuer()
    }

    fn serial(&self) -> &SerialNumber {
        self.parsed.tbs_certificate().serial_number()
    }

    fn is_valid_at(&self, now: u64) -> bool {
        let Validity {
            not_before,
            not_after,
            ..
        } = self.parsed.tbs_certificate().validity();
        (seconds(not_before)..=seconds(not_after)).contains(&now)
    }

    /// Whether it may sign others, and says nothing critical that is not understood.
    fn is_authority(&self) -> bool {
        let constraints = self
            .parsed
            .tbs_certificate()
            .get_extension::<BasicConstraints>();
        let is_authority = matches!(constraints, Ok(Some((_, constraints))) if constraints.ca);
        is_authority && self.has_known_critical_extensions()
    }

    fn has_known_critical_extensions(&self) -> bool {
        let extensions = self.parsed.tbs_certificate().extensions();
        extensions
            .into_iter()
            .flatten()
            .filter(|extension| extension.critical)
            .all(|extension| [BASIC_CONSTRAINTS, KEY_USAGE].contains(&extension.extn_id))
    }

    fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer() == issuer.subject() && self.signed.is_signed_by(&issuer.key)
    }

    /// The value of the one extension of this name.
    fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let extensions = self.parsed.tbs_certificate().extensions();
        let mut found = extensions
            .into_iter()
            .flatten()
            .filter(|extension| extension.extn_id == id);
        let extension = found.next()?;
        found
            .next()
            .is_none()
            .then_some(extension.extn_value.as_bytes())
    }

    /// The versions that an endorsement key was derived for.
    fn tcb(&self) -> Option<AmdTcb> {
        let number = |id| u8::from_der(self.extension(id)?).ok();
        Some(AmdTcb {
            bootloader: number(BOOTLOADER)?,
            tee: number(TEE)?,
            snp: number(SNP)?,
            microcode: number(MICROCODE)?,
            fmc: number(FMC).unwrap_or(0),
        })
    }
}

impl AmdRevocations {
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let parsed = CertificateList::from_der(der).ok()?;
        let signed = Signed::split(
            der,
            parsed.signature.as_bytes()?,
            &parsed.signature_algorithm,
            &parsed.tbs_cert_list.signature,
        )?;
        Some(Self { parsed, signed })
    }

    fn is_issued_by(&self, issuer: &AmdCertificate) -> bool {
        self.parsed.tbs_cert_list.issuer == *issuer.subject()
            && self.signed.is_signed_by(&issuer.key)
    }

    /// Whether this is what is known at `now`: a list without an end is not.
    fn is_current(&self, now: u64) -> bool {
        let list = &self.parsed.tbs_cert_list;
        let Some(next) = &list.next_update else {
            return false;
        };
        (seconds(&list.this_update)..=seconds(next)).contains(&now)
    }

    fn names(&self, certificate: &AmdCertificate) -> bool {
        let revoked = self.parsed.tbs_cert_list.revoked_certificates.iter();
        revoked
            .flatten()
            .any(|entry| entry.serial_number == *certificate.serial())
    }
}

/// A chip's endorsement key, whose path to a pinned root was verified.
pub(super) struct Endorsement {
    root: AmdCertificate,
    signer: AmdCertificate,
    certificate: AmdCertificate,
    /// The key: a point of P-384.
    pub(super) key: Vec<u8>,
    /// The versions that it was derived for.
    pub(super) tcb: AmdTcb,
    chip: Vec<u8>,
}

impl Endorsement {
    /// Whether the key is this chip's. Turin's certificates name the first 8 bytes, the rest of its id is zero (AMD 57230, 3.1.1).
    pub(super) fn is_of_chip(&self, chip: &[u8; 64]) -> bool {
        match chip.split_at_checked(self.chip.len()) {
            Some((id, rest)) => {
                matches!(id.len(), 8 | 64) && id == self.chip && rest.iter().all(|it| *it == 0)
            }
            None => false,
        }
    }
}

/// The certificates of chips in a table as the host gives it (GHCB 2.03, 4.1.8.1): entries of name, offset and length, the last one zero; the
/// certificates behind them. What points beyond the table is passed over. (`sev` reads such a table through a pointer, without its length.)
pub(super) fn certificates_of_table(table: &[u8]) -> Vec<AmdCertificate> {
    let certificate = |entry: &[u8]| {
        let (name, place) = entry.split_first_chunk::<16>()?;
        let (offset, length) = place.split_first_chunk::<4>()?;
        let offset = u32::from_le_bytes(*offset) as usize;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let data = table.get(offset..offset.checked_add(length)?)?;
        (*name == VCEK).then(|| AmdCertificate::parse(data))?
    };
    table
        .chunks_exact(ENTRY_BYTES)
        .take_while(|entry| entry.iter().any(|byte| *byte != 0))
        .take(ENTRIES_MAX)
        .filter_map(certificate)
        .collect()
}

/// The endorsement key for which `signed` holds, among the `given` certificates and the owner's.
pub(super) fn endorsement(
    policy: &Policy,
    given: &[AmdCertificate],
    now: u64,
    signed: impl Fn(&Endorsement) -> bool,
) -> Result<Endorsement, Refused> {
    let owned = &policy.collateral.amd_certificates;
    let mut refused = Refused::NoCollateral("an AMD processor");
    for certificate in given.iter().chain(owned) {
        let Some(endorsement) = path(policy, certificate, now, &mut refused) else {
            continue;
        };
        if signed(&endorsement) {
            return Ok(endorsement);
        }
        refused = Refused::NotAuthentic;
    }
    Err(refused)
}

/// The path from `certificate`, if it is a chip's, to a pinned root; `refused` is told what was wrong with one that was nearly there.
fn path(
    policy: &Policy,
    certificate: &AmdCertificate,
    now: u64,
    refused: &mut Refused,
) -> Option<Endorsement> {
    let (tcb, chip) = (certificate.tcb()?, certificate.extension(HARDWARE_ID)?);
    let owned = &policy.collateral.amd_certificates;
    let authorities = || owned.iter().filter(|it| it.is_authority());
    let is_root = |it: &&AmdCertificate| {
        ROOTS.contains(&it.key_hash) || policy.amd_roots.contains(&it.key_hash)
    };
    let signer = authorities().find(|it| certificate.is_issued_by(it))?;
    let root = authorities()
        .filter(is_root)
        .find(|it| signer.is_issued_by(it) && it.is_issued_by(it))?;
    if [certificate, signer, root]
        .iter()
        .any(|it| !it.is_valid_at(now) || !it.has_known_critical_extensions())
    {
        *refused = Refused::Stale("a certificate of AMD's");
        return None;
    }
    Some(Endorsement {
        root: root.clone(),
        signer: signer.clone(),
        certificate: certificate.clone(),
        key: certificate.key.clone(),
        tcb,
        chip: chip.to_vec(),
    })
}

/// Refuses what is revoked. The root's list must be there and current, unless the policy does without; the signing key's, for chips, is looked at where it
/// was given, since AMD publishes none.
pub(super) fn check_revocations(
    endorsement: &Endorsement,
    policy: &Policy,
    now: u64,
) -> Result<(), Refused> {
    let mut is_known = false;
    let mut is_stale = false;
    for list in &policy.collateral.amd_revocations {
        let (issued, by_root) = if list.is_issued_by(&endorsement.root) {
            (&endorsement.signer, true)
        } else if list.is_issued_by(&endorsement.signer) {
            (&endorsement.certificate, false)
        } else {
            continue;
        };
        // What was revoked once stays so, however old the list.
        if list.names(issued) {
            return Err(Refused::Revoked);
        }
        is_known |= by_root && list.is_current(now);
        is_stale |= by_root && !list.is_current(now);
    }
    match (is_known || policy.may_lack_amd_revocations, is_stale) {
        (true, _) => Ok(()),
        (false, true) => Err(Refused::Stale("AMD's list of revoked certificates")),
        (false, false) => Err(Refused::NoCollateral(
            "what AMD revoked (its list, from /vcek/v1/PRODUCT/crl of AMD's key server)",
        )),
    }
}

fn seconds(time: &Time) -> u64 {
    time.to_unix_duration().as_secs()
}
