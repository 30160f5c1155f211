//! What evidence is checked against, as the makers of the hardware publish it: given in files, never fetched.
//!
//! Nothing in it is trusted for where it comes from: it is signed up to a root whose key is pinned here by its hash.

use dcap_qvl::QuoteCollateralV3;
use der::{Decode as _, Encode as _};
use sc_crypto::hash::sha256;
use x509_cert::Certificate;

use crate::snp::{AmdCertificate, AmdRevocations};

/// SHA-256 of the SubjectPublicKeyInfo of Intel's SGX root CA, which stands above TDX as well.
const INTEL_ROOT: [u8; 32] = [
    0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a, 0x7f, 0xc1,
    0x36, 0x28, 0x63, 0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e,
];

/// Files that a collection may have of one kind; each appraisal goes through them.
const FILES_MAX: usize = 64;

/// Collateral of one Intel platform.
#[derive(Debug, Clone)]
pub(crate) struct IntelCollateral {
    pub(crate) parts: QuoteCollateralV3,
    /// Intel's root certificate, whose key was compared with the pinned hash.
    pub(crate) root: Vec<u8>,
}

/// What evidence is checked against.
#[derive(Debug, Clone, Default)]
pub struct Collateral {
    pub(crate) intel: Vec<IntelCollateral>,
    pub(crate) amd_certificates: Vec<AmdCertificate>,
    pub(crate) amd_revocations: Vec<AmdRevocations>,
}

/// Why a file is no collateral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralError {
    /// It is none of the forms that are known.
    #[error(
        "no collateral: expected Intel's as JSON (`dcap-qvl fetch-collateral`, or a PCCS's answers in its form), or AMD's certificates and revocation lists as PEM or DER"
    )]
    Unknown,
    /// It is JSON without all of Intel's collateral.
    #[error("no collateral of an Intel platform: {0}")]
    Json(String),
    /// It is signed under another root.
    #[error("the collateral does not stand under Intel's root certificate")]
    OtherRoot,
    /// There is more of it than is looked at.
    #[error("more than {FILES_MAX} pieces of collateral of one kind")]
    TooMuch,
}

impl Collateral {
    /// Adds what a file holds: Intel's collateral of one platform as JSON, in `dcap-qvl`'s form; or certificates and revocation lists of
    /// AMD's key server, as PEM or DER.
    ///
    /// # Errors
    /// [`CollateralError`]; nothing of the file was added.
    pub fn add(&mut self, file: &[u8]) -> Result<(), CollateralError> {
        let mut with = self.clone();
        match file.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => with.intel.push(intel(file)?),
            Some(b'-') => with.add_pem(file)?,
            Some(0x30) => with.add_der(file.to_vec())?,
            _ => return Err(CollateralError::Unknown),
        }
        let counts = [
            with.intel.len(),
            with.amd_certificates.len(),
            with.amd_revocations.len(),
        ];
        if counts.into_iter().any(|count| count > FILES_MAX) {
            return Err(CollateralError::TooMuch);
        }
        *self = with;
        Ok(())
    }

    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intel.is_empty() && self.amd_certificates.is_empty() && self.amd_revocations.is_empty()
    }

    fn add_pem(&mut self, text: &[u8]) -> Result<(), CollateralError> {
        const END: &[u8] = b"-----END";
        let mut rest = text;
        while let Some(begin) = find(rest, b"-----BEGIN") {
            let block = &rest[begin..];
            let end = find(block, END).ok_or(CollateralError::Unknown)?;
            let line = find(&block[end + END.len()..], b"-----").ok_or(CollateralError::Unknown)?;
            let (block, behind) = block.split_at(end + END.len() + line + 5);
            let (_, der) = der::pem::decode_vec(block).map_err(|_| CollateralError::Unknown)?;
            self.add_der(der)?;
            rest = behind;
        }
        Ok(())
    }

    fn add_der(&mut self, der: Vec<u8>) -> Result<(), CollateralError> {
        if let Some(certificate) = AmdCertificate::parse(&der) {
            self.amd_certificates.push(certificate);
        } else if let Some(list) = AmdRevocations::parse(&der) {
            self.amd_revocations.push(list);
        } else {
            return Err(CollateralError::Unknown);
        }
        Ok(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

fn intel(json: &[u8]) -> Result<IntelCollateral, CollateralError> {
    let parts: QuoteCollateralV3 =
        serde_json::from_slice(json).map_err(|error| CollateralError::Json(error.to_string()))?;
    let chain = Certificate::load_pem_chain(parts.tcb_info_issuer_chain.as_bytes())
        .map_err(|_| CollateralError::Json("tcb_info_issuer_chain is no chain".into()))?;
    let root = chain.into_iter().find(|certificate| {
        let key = certificate.tbs_certificate().subject_public_key_info();
        key.to_der().is_ok_and(|key| sha256(&key) == INTEL_ROOT)
    });
    let root = root.ok_or(CollateralError::OtherRoot)?;
    let root = root.to_der().map_err(|_| CollateralError::OtherRoot)?;
    // What is handed on is what was compared.
    Certificate::from_der(&root).map_err(|_| CollateralError::OtherRoot)?;
    Ok(IntelCollateral { parts, root })
}
