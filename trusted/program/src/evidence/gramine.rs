//! Quotes of an SGX enclave, from Gramine's pseudo-files under `/dev/attestation`.
//!
//! Source: Gramine's documentation, "Attestation and secret provisioning": 64 bytes are written to `user_report_data`, and `quote` then has a
//! DCAP quote over them.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use sc_enclave::{Attester, tee_line};
use sc_proto::provision::{Evidence, evidence::Kind};

use super::{EvidenceError, word};

/// An SGX enclave under Gramine.
pub struct Gramine {
    folder: PathBuf,
    /// One quote at a time: what is written and what is read belong together.
    one: Mutex<()>,
}

impl Gramine {
    /// The enclave's device, below `root`.
    ///
    /// # Errors
    /// [`EvidenceError::Absent`]: there is none, or it makes no DCAP quotes.
    pub fn open(root: &Path) -> Result<Self, EvidenceError> {
        let folder = root.join("dev/attestation");
        let absent = |path: PathBuf, what: String| EvidenceError::Absent {
            platform: "SGX enclave under Gramine",
            path,
            what,
        };
        let kind = folder.join("attestation_type");
        match word(&kind) {
            Ok(word) if word == "dcap" => {}
            Ok(word) => {
                return Err(absent(
                    kind,
                    format!("says `{word}`: the manifest needs sgx.remote_attestation = \"dcap\""),
                ));
            }
            Err(error) => return Err(absent(kind, format!("cannot be read: {error}"))),
        }
        Ok(Self {
            folder,
            one: Mutex::new(()),
        })
    }
}

impl Attester for Gramine {
    fn platform(&self) -> &'static str {
        "sgx"
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Option<Evidence> {
        let _one = self.one.lock().expect("no holder of this lock panics");
        std::fs::write(self.folder.join("user_report_data"), report_data).ok()?;
        let quote = std::fs::read(self.folder.join("quote")).ok()?;
        Some(Evidence {
            kind: Some(Kind::SgxQuote(Bytes::from(quote))),
        })
    }

    fn tee_line(&self) -> &'static str {
        tee_line(self.platform())
    }
}
