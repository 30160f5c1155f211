//! Evidence made inside: a platform's signed statement of which program runs and which data it vouches for.
//!
//! The simulation is here; what makes evidence on hardware is where the devices are, in the measured main programs.

use bytes::Bytes;
use sc_crypto::{SigningKey, Transcript};
use sc_proto::provision;

/// What every start, log header and evidence of a simulation says.
pub const SIMULATION_LINE: &str = "TEE: SIMULATION - NO HARDWARE PROTECTION. The operator of this machine can read all keys and data.";

/// The line that tells people what protects a program on `platform`, by its name in the transcript.
#[must_use]
pub fn tee_line(platform: &str) -> &'static str {
    match platform {
        "sgx" => "TEE: Intel SGX",
        "tdx" => "TEE: Intel TDX",
        "sev-snp" => "TEE: AMD SEV-SNP",
        _ => SIMULATION_LINE,
    }
}

/// Length in bytes of an encoded [`Report`].
const REPORT_BYTES: usize = 1 + 32 + 64;
const REPORT_VERSION: u8 = 1;
const CONTEXT: &str = "simulated evidence";

/// Makes evidence on one kind of platform.
pub trait Attester: Send + Sync {
    /// The name of the platform that goes into the transcript: `simulation`, `sgx`, `tdx`, `sev-snp`.
    fn platform(&self) -> &'static str;

    /// Evidence whose report data is `report_data`; `None` when the platform makes none, which it says where it can.
    fn evidence(&self, report_data: &[u8; 64]) -> Option<provision::Evidence>;

    /// The owner that the platform's measured configuration names, as [`owner_pin`](crate::owner_pin): the program serves it alone.
    fn owner(&self) -> Option<[u8; 32]> {
        None
    }

    /// The line that tells people what protects this program.
    fn tee_line(&self) -> &'static str;
}

/// What simulated evidence states: the program's measurement and the data that it vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// SHA-256 of the program's binary, or zeros where no binary was measured (inline).
    pub measurement: [u8; 32],
    /// The transcript hash of the provisioning that it belongs to.
    pub report_data: [u8; 64],
}

impl Report {
    /// The bytes that a simulated platform signs: version, measurement, report data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(REPORT_BYTES);
        out.push(REPORT_VERSION);
        out.extend_from_slice(&self.measurement);
        out.extend_from_slice(&self.report_data);
        out
    }

    /// Reads [`Report::encode`]'s bytes; `None` for any other length or version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (measurement, report_data) = rest.split_at_checked(32)?;
        if *version != REPORT_VERSION {
            return None;
        }
        Some(Self {
            measurement: measurement.try_into().ok()?,
            report_data: report_data.try_into().ok()?,
        })
    }

    /// The transcript that the simulated platform's signature covers.
    #[must_use]
    pub fn signed(encoded: &[u8]) -> Transcript {
        Transcript::new(CONTEXT).bytes(encoded)
    }
}

/// A platform that protects nothing and says so: evidence in the shape of hardware's, signed by an ordinary key.
pub struct SimulatedPlatform {
    key: SigningKey,
    measurement: [u8; 32],
}

impl SimulatedPlatform {
    /// A simulated platform that signs with `key` and reports `measurement` for the program it runs.
    #[must_use]
    pub fn new(key: SigningKey, measurement: [u8; 32]) -> Self {
        Self { key, measurement }
    }
}

/// The key of simulated platforms during development. Its seed stands here for all to see: it proves nothing.
#[must_use]
pub fn simulation_development_key() -> SigningKey {
    SigningKey::from_seed(b"securecloud simulation, no TEE!!")
}

impl Attester for SimulatedPlatform {
    fn platform(&self) -> &'static str {
        "simulation"
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Option<provision::Evidence> {
        let report = Report {
            measurement: self.measurement,
            report_data: *report_data,
        }
        .encode();
        let signature = self.key.sign(&Report::signed(&report));
        Some(provision::Evidence {
            kind: Some(provision::evidence::Kind::Simulation(
                provision::Simulation {
                    report: report.into(),
                    key: Bytes::copy_from_slice(self.key.verifying_key().as_bytes()),
                    signature: Bytes::copy_from_slice(&signature),
                },
            )),
        })
    }

    fn tee_line(&self) -> &'static str {
        SIMULATION_LINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_and_nothing_else_does() {
        let report = Report {
            measurement: [7; 32],
            report_data: [9; 64],
        };
        let bytes = report.encode();

        assert_eq!(Report::decode(&bytes), Some(report));
        assert_eq!(Report::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Report::decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Report::decode(&[&[2], &bytes[1..]].concat()), None);
    }
}
