//! Quotes of a TDX machine and reports of a SEV-SNP machine, by the kernel's `configfs-tsm`.
//!
//! Source: Linux, Documentation/ABI/testing/configfs-tsm-report: each folder below `/sys/kernel/config/tsm/report` is one request; what is written to
//! `inblob` is vouched for by `outblob`, `auxblob` may hold certificates, and `generation` counts writes, so that a reader sees whether
//! another was in between.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use sc_enclave::{Attester, tee_line};
use sc_proto::provision::{Evidence, evidence::Kind};

use super::{EvidenceError, word};

/// Tries to have a report that no other request was mixed into.
const TRIES: usize = 8;
/// HOST_DATA in a SEV-SNP report (AMD 56860, table 23).
const HOST_DATA: std::ops::Range<usize> = 0xc0..0xe0;
/// The first 32 bytes of MRCONFIGID in the body of a TDX quote (Intel TDX DCAP quoting, A.3.2), and the 16 behind them.
const CONFIGURATION: std::ops::Range<usize> = 184..216;
const CONFIGURATION_REST: std::ops::Range<usize> = 216..232;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Tdx,
    Snp,
}

/// A virtual machine of TDX or SEV-SNP.
pub struct Tsm {
    request: PathBuf,
    provider: Provider,
    owner: Option<[u8; 32]>,
    one: Mutex<()>,
}

impl Tsm {
    /// The kernel's interface below `root`; makes a first report, to read for which owner the machine was started.
    ///
    /// # Errors
    /// [`EvidenceError::Absent`]: it is not there, or of a kind that is not known, or makes no report.
    pub fn open(root: &Path) -> Result<Self, EvidenceError> {
        let reports = root.join("sys/kernel/config/tsm/report");
        let absent = |path: &Path, what: String| EvidenceError::Absent {
            platform: "confidential virtual machine",
            path: path.to_owned(),
            what,
        };
        if !reports.is_dir() {
            return Err(absent(
                &reports,
                "is not there: it needs a TDX or SEV-SNP guest, Linux 6.7, and configfs mounted"
                    .into(),
            ));
        }
        let request = reports.join(format!("securecloud-{}", std::process::id()));
        match std::fs::create_dir(&request) {
            // One of a process of this number that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(absent(&request, format!("cannot be made: {error}"))),
            Ok(()) => {}
        }
        let name = request.join("provider");
        let provider = match word(&name).as_deref() {
            Ok("tdx_guest") => Provider::Tdx,
            Ok("sev_guest") => Provider::Snp,
            Ok(other) => {
                return Err(absent(
                    &name,
                    format!("says `{other}`: expected tdx_guest or sev_guest"),
                ));
            }
            Err(error) => return Err(absent(&name, format!("cannot be read: {error}"))),
        };
        let mut tsm = Self {
            request,
            provider,
            owner: None,
            one: Mutex::new(()),
        };
        let (report, _) = tsm
            .report(&[0; 64])
            .map_err(|error| absent(&tsm.request, format!("makes no report: {error}")))?;
        tsm.owner = owner(provider, &report);
        Ok(tsm)
    }

    /// A report over `data`, and what the host gave with it.
    fn report(&self, data: &[u8; 64]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        for _ in 0..TRIES {
            let before = self.generation()?;
            let mut input = OpenOptions::new()
                .write(true)
                .open(self.request.join("inblob"))?;
            input.write_all(data)?;
            // The kernel takes it when it is closed.
            drop(input);
            let report = std::fs::read(self.request.join("outblob"))?;
            let certificates = match self.provider {
                // Not every host gives any.
                Provider::Snp => std::fs::read(self.request.join("auxblob")).unwrap_or_default(),
                Provider::Tdx => Vec::new(),
            };
            if self.generation()? == before.wrapping_add(1) {
                return Ok((report, certificates));
            }
        }
        Err(io::Error::other("other requests come in between each time"))
    }

    fn generation(&self) -> io::Result<u64> {
        let text = word(&self.request.join("generation"))?;
        text.parse()
            .map_err(|_| io::Error::other("its generation is no number"))
    }
}

impl Drop for Tsm {
    fn drop(&mut self) {
        // The kernel takes away what is in it.
        let _ = std::fs::remove_dir(&self.request);
    }
}

/// The owner that the machine's measured configuration names.
fn owner(provider: Provider, report: &[u8]) -> Option<[u8; 32]> {
    let bytes = match provider {
        Provider::Snp => report.get(HOST_DATA)?,
        Provider::Tdx => {
            // Version 5 says kind and length of the body before it.
            let body = report.get(if report.first() == Some(&5) { 54 } else { 48 }..)?;
            if body.get(CONFIGURATION_REST)? != [0; 16] {
                return None;
            }
            body.get(CONFIGURATION)?
        }
    };
    let pin: [u8; 32] = bytes.try_into().ok()?;
    (pin != [0; 32]).then_some(pin)
}

impl Attester for Tsm {
    fn platform(&self) -> &'static str {
        match self.provider {
            Provider::Tdx => "tdx",
            Provider::Snp => "sev-snp",
        }
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Option<Evidence> {
        let _one = self.one.lock().expect("no holder of this lock panics");
        let (mut report, certificates) = self.report(report_data).ok()?;
        Some(Evidence {
            kind: Some(match self.provider {
                Provider::Tdx => Kind::TdxQuote(Bytes::from(report)),
                Provider::Snp => {
                    report.extend_from_slice(&certificates);
                    Kind::SnpReport(Bytes::from(report))
                }
            }),
        })
    }

    fn owner(&self) -> Option<[u8; 32]> {
        self.owner
    }

    fn tee_line(&self) -> &'static str {
        tee_line(self.platform())
    }
}
