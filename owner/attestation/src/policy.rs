//! An owner's policy: which evidence it accepts.
//!
//! As text, one rule a line; `#` begins a comment. `docs/FORMATS.md` lists the rules. Without a `measurement` line any program is accepted on
//! the simulated platforms that are named; on hardware nothing is accepted that is not named. That simulation may be accepted at all is no
//! rule of a file: whoever starts a program says it there and then.

use std::path::PathBuf;

use sc_crypto::VerifyingKey;
use sc_enclave::{owner_pin, simulation_development_key};

use crate::{AmdTcb, Collateral, ProgramIdentity, Refused, Statement, Tcb};

/// States of an Intel platform that an owner may tolerate; `UpToDate` is always accepted, `Revoked` never.
const STATES: [&str; 7] = [
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
];

/// A program that is accepted on hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowedProgram {
    /// One SGX enclave, from this security version on.
    SgxEnclave {
        /// MRENCLAVE.
        enclave: [u8; 32],
        /// The least ISVSVN.
        svn: u16,
    },
    /// Any SGX enclave of a signer's product, from this security version on.
    SgxSigner {
        /// MRSIGNER.
        signer: [u8; 32],
        /// ISVPRODID.
        product: u16,
        /// The least ISVSVN.
        svn: u16,
    },
    /// A TDX virtual machine.
    Tdx {
        /// MRTD.
        machine: [u8; 48],
        /// RTMR0 to RTMR3; those that are `None` may be anything.
        runtime: [Option<[u8; 48]>; 4],
    },
    /// A SEV-SNP virtual machine, from this security version on.
    Snp {
        /// MEASUREMENT.
        measurement: [u8; 48],
        /// The least GUEST_SVN.
        svn: u32,
    },
}

/// What an owner accepts, and what it is checked against.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whether simulated evidence may be accepted at all.
    pub allow_simulation: bool,
    /// Keys of the simulated platforms that are accepted.
    pub simulation_keys: Vec<VerifyingKey>,
    /// Measurements that are accepted of simulated platforms; `None` accepts any.
    pub measurements: Option<Vec<[u8; 32]>>,
    /// Programs that are accepted on hardware.
    pub programs: Vec<AllowedProgram>,
    /// Machines that are accepted, by Intel's PPID or AMD's chip id; `None` accepts any.
    pub machines: Option<Vec<Vec<u8>>>,
    /// Whether a virtual machine must have been started for its owner alone, as [`owner_pin`] says it.
    pub is_owner_pinned: bool,
    /// States of an Intel platform that are tolerated, beside `UpToDate`.
    pub states: Vec<String>,
    /// Advisories that are tolerated.
    pub advisories: Vec<String>,
    /// The least number of Intel's TCB evaluation.
    pub evaluation: u32,
    /// The least versions of an AMD platform.
    pub amd_tcb: AmdTcb,
    /// Roots of AMD processors that are accepted beside those that this version pins: SHA-256 of a root key's SubjectPublicKeyInfo.
    pub amd_roots: Vec<[u8; 32]>,
    /// Whether an AMD key is accepted without a list of what was revoked.
    pub may_lack_amd_revocations: bool,
    /// Files that [`Policy::collateral`] comes from: whoever reads the policy reads them as well.
    pub collateral_files: Vec<PathBuf>,
    /// What evidence is checked against.
    pub collateral: Collateral,
}

/// Takes the words behind a rule's name; `None` where they are not what it expects.
type Add = fn(&mut Policy, &[&str]) -> Option<()>;

/// A line of a policy that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct PolicyError {
    /// Its number, from 1.
    pub line: usize,
    expected: &'static str,
}

impl Policy {
    /// Accepts any program that the development simulation vouches for: no protection at all, for one's own machine.
    #[must_use]
    pub fn development() -> Self {
        Self {
            allow_simulation: true,
            simulation_keys: vec![simulation_development_key().verifying_key()],
            ..Self::default()
        }
    }

    /// Reads a policy's text. Files of collateral are named, not read.
    ///
    /// # Errors
    /// [`PolicyError`] at the first line that is no rule.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for (number, line) in text.lines().enumerate() {
            let rule = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = rule.split_whitespace().collect();
            policy.add(&words).map_err(|expected| PolicyError {
                line: number + 1,
                expected,
            })?;
        }
        Ok(policy)
    }

    fn add(&mut self, words: &[&str]) -> Result<(), &'static str> {
        let Some((rule, values)) = words.split_first() else {
            return Ok(());
        };
        let (add, expected): (Add, _) = match *rule {
            "simulation-key" => (
                Self::add_simulation_key,
                "`simulation-key HEX` with 64 hexadecimal digits",
            ),
            "measurement" => (
                Self::add_measurement,
                "`measurement HEX` with 64 hexadecimal digits",
            ),
            "sgx-enclave" => (
                Self::add_enclave,
                "`sgx-enclave MRENCLAVE svn N` with 64 hexadecimal digits",
            ),
            "sgx-signer" => (
                Self::add_signer,
                "`sgx-signer MRSIGNER product N svn N` with 64 hexadecimal digits",
            ),
            "tdx" => (
                Self::add_tdx,
                "`tdx MRTD rtmr1 HEX rtmr2 HEX`, and rtmr0 and rtmr3 where they are fixed, with 96 hexadecimal digits each",
            ),
            "sev-snp" => (
                Self::add_snp,
                "`sev-snp MEASUREMENT svn N` with 96 hexadecimal digits",
            ),
            "machine" => (
                Self::add_machine,
                "`machine HEX`: a PPID of 32 hexadecimal digits, or a chip id of 128",
            ),
            "owner-pinned" => (Self::add_pinned, "`owner-pinned` alone"),
            "status" => (
                Self::add_status,
                "`status NAME` with a state of Intel's that may be tolerated, such as SWHardeningNeeded",
            ),
            "advisory" => (Self::add_advisory, "`advisory ID`, such as INTEL-SA-00289"),
            "tcb-evaluation" => (Self::add_evaluation, "`tcb-evaluation N`"),
            "amd-tcb" => (
                Self::add_amd_tcb,
                "`amd-tcb` with bootloader N, tee N, snp N, microcode N, fmc N as far as wanted, each up to 255",
            ),
            "amd-root" => (
                Self::add_amd_root,
                "`amd-root HEX`: SHA-256 of a root key, 64 hexadecimal digits",
            ),
            "amd-revocations-unknown" => (
                Self::add_unknown_revocations,
                "`amd-revocations-unknown` alone",
            ),
            "collateral" => (Self::add_collateral, "`collateral FILE`"),
            _ => {
                return Err(
                    "a rule: simulation-key, measurement, sgx-enclave, sgx-signer, tdx, sev-snp, machine, owner-pinned, status, advisory, tcb-evaluation, amd-tcb, amd-root, amd-revocations-unknown or collateral",
                );
            }
        };
        add(self, values).ok_or(expected)
    }

    fn add_simulation_key(&mut self, values: &[&str]) -> Option<()> {
        let [key] = values else { return None };
        let key = VerifyingKey::from_bytes(hex(key)?);
        self.simulation_keys.push(key);
        Some(())
    }

    fn add_measurement(&mut self, values: &[&str]) -> Option<()> {
        let [value] = values else { return None };
        let value = hex(value)?;
        self.measurements.get_or_insert_default().push(value);
        Some(())
    }

    fn add_enclave(&mut self, values: &[&str]) -> Option<()> {
        let [enclave, "svn", svn] = values else {
            return None;
        };
        self.programs.push(AllowedProgram::SgxEnclave {
            enclave: hex(enclave)?,
            svn: number(svn)?,
        });
        Some(())
    }

    fn add_signer(&mut self, values: &[&str]) -> Option<()> {
        let [signer, "product", product, "svn", svn] = values else {
            return None;
        };
        self.programs.push(AllowedProgram::SgxSigner {
            signer: hex(signer)?,
            product: number(product)?,
            svn: number(svn)?,
        });
        Some(())
    }

    fn add_tdx(&mut self, values: &[&str]) -> Option<()> {
        let (machine, registers) = values.split_first()?;
        let mut runtime = [None; 4];
        for pair in registers.chunks(2) {
            let [name, value] = pair else { return None };
            let index = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"]
                .iter()
                .position(|it| it == name)?;
            if runtime[index].replace(hex(value)?).is_some() {
                return None;
            }
        }
        // MRTD is the firmware alone: without kernel, command line and file system any program would do.
        if runtime[1].is_none() || runtime[2].is_none() {
            return None;
        }
        self.programs.push(AllowedProgram::Tdx {
            machine: hex(machine)?,
            runtime,
        });
        Some(())
    }

    fn add_snp(&mut self, values: &[&str]) -> Option<()> {
        let [measurement, "svn", svn] = values else {
            return None;
        };
        self.programs.push(AllowedProgram::Snp {
            measurement: hex(measurement)?,
            svn: number(svn)?,
        });
        Some(())
    }

    fn add_machine(&mut self, values: &[&str]) -> Option<()> {
        let [id] = values else { return None };
        let id = hex::<16>(id)
            .map(Vec::from)
            .or_else(|| hex::<64>(id).map(Vec::from))?;
        self.machines.get_or_insert_default().push(id);
        Some(())
    }

    fn add_pinned(&mut self, values: &[&str]) -> Option<()> {
        self.is_owner_pinned = true;
        values.is_empty().then_some(())
    }

    fn add_status(&mut self, values: &[&str]) -> Option<()> {
        let [state] = values else { return None };
        STATES
            .contains(state)
            .then(|| self.states.push((*state).to_owned()))
    }

    fn add_advisory(&mut self, values: &[&str]) -> Option<()> {
        let [id] = values else { return None };
        self.advisories.push((*id).to_owned());
        Some(())
    }

    fn add_evaluation(&mut self, values: &[&str]) -> Option<()> {
        let [least] = values else { return None };
        self.evaluation = self.evaluation.max(number(least)?);
        Some(())
    }

    fn add_amd_tcb(&mut self, values: &[&str]) -> Option<()> {
        if values.is_empty() {
            return None;
        }
        for pair in values.chunks(2) {
            let [name, least] = pair else { return None };
            let part = match *name {
                "bootloader" => &mut self.amd_tcb.bootloader,
                "tee" => &mut self.amd_tcb.tee,
                "snp" => &mut self.amd_tcb.snp,
                "microcode" => &mut self.amd_tcb.microcode,
                "fmc" => &mut self.amd_tcb.fmc,
                _ => return None,
            };
            *part = (*part).max(number(least)?);
        }
        Some(())
    }

    fn add_amd_root(&mut self, values: &[&str]) -> Option<()> {
        let [hash] = values else { return None };
        self.amd_roots.push(hex(hash)?);
        Some(())
    }

    fn add_unknown_revocations(&mut self, values: &[&str]) -> Option<()> {
        self.may_lack_amd_revocations = true;
        values.is_empty().then_some(())
    }

    fn add_collateral(&mut self, values: &[&str]) -> Option<()> {
        let [file] = values else { return None };
        self.collateral_files.push(PathBuf::from(file));
        Some(())
    }

    /// Whether evidence of this platform may be looked at.
    pub(crate) fn admits(&self, platform: &str) -> Result<(), Refused> {
        if platform == "simulation" && !self.allow_simulation {
            return Err(Refused::Simulation);
        }
        Ok(())
    }

    /// Judges what authentic evidence states for `owner`, but for its report data.
    ///
    /// # Errors
    /// [`Refused`]: the first rule that it breaks.
    pub fn judge(&self, statement: &Statement, owner: VerifyingKey) -> Result<(), Refused> {
        self.admits(statement.platform)?;
        if statement.is_debug {
            return Err(Refused::Debug);
        }
        if let ProgramIdentity::Simulation { measurement } = &statement.program {
            return self.judge_simulation(measurement, &statement.machine);
        }
        self.judge_program(&statement.program)?;
        let machines = self.machines.as_ref();
        if machines.is_some_and(|known| !known.contains(&statement.machine)) {
            return Err(Refused::UnknownMachine);
        }
        // An enclave's owner is part of its measurement.
        let is_machine = !matches!(statement.program, ProgramIdentity::Sgx { .. });
        if self.is_owner_pinned && is_machine && statement.owner != Some(owner_pin(owner)) {
            return Err(Refused::NotPinned);
        }
        self.judge_tcb(&statement.tcb)
    }

    fn judge_simulation(&self, measurement: &[u8; 32], key: &[u8]) -> Result<(), Refused> {
        if !self.simulation_keys.iter().any(|it| it.as_bytes() == key) {
            return Err(Refused::UnknownPlatform);
        }
        let measurements = self.measurements.as_ref();
        if measurements.is_some_and(|allowed| !allowed.contains(measurement)) {
            return Err(Refused::UnknownMeasurement);
        }
        Ok(())
    }

    fn judge_program(&self, program: &ProgramIdentity) -> Result<(), Refused> {
        let mut refused = Refused::UnknownMeasurement;
        for allowed in &self.programs {
            match allowed.matches(program) {
                Some((found, least)) if found >= least => return Ok(()),
                Some((found, least)) => refused = Refused::OldProgram { found, least },
                None => {}
            }
        }
        Err(refused)
    }

    fn judge_tcb(&self, tcb: &Tcb) -> Result<(), Refused> {
        match tcb {
            Tcb::None => Ok(()),
            Tcb::Intel {
                status,
                advisories,
                evaluation,
            } => {
                if status != "UpToDate" && !self.states.contains(status) {
                    return Err(Refused::Status(status.clone()));
                }
                let open = |id: &&String| !self.advisories.contains(id);
                if let Some(id) = advisories.iter().find(open) {
                    return Err(Refused::Advisory(id.clone()));
                }
                if *evaluation < self.evaluation {
                    return Err(Refused::OldEvaluation {
                        found: *evaluation,
                        least: self.evaluation,
                    });
                }
                Ok(())
            }
            Tcb::Amd(versions) => match versions.older_than(&self.amd_tcb) {
                Some((component, found, least)) => Err(Refused::OldFirmware {
                    component,
                    found,
                    least,
                }),
                None => Ok(()),
            },
        }
    }
}

impl AllowedProgram {
    /// If `program` is this one, its security version, and the least that is accepted.
    fn matches(&self, program: &ProgramIdentity) -> Option<(u32, u32)> {
        match (self, program) {
            (
                Self::SgxEnclave {
                    enclave,
                    svn: least,
                },
                ProgramIdentity::Sgx {
                    enclave: found,
                    svn,
                    ..
                },
            ) => (enclave == found).then_some(((*svn).into(), (*least).into())),
            (
                Self::SgxSigner {
                    signer,
                    product,
                    svn: least,
                },
                ProgramIdentity::Sgx {
                    signer: found,
                    product: found_product,
                    svn,
                    ..
                },
            ) => (signer == found && product == found_product)
                .then_some(((*svn).into(), (*least).into())),
            (
                Self::Tdx { machine, runtime },
                ProgramIdentity::Tdx {
                    machine: found,
                    runtime: registers,
                },
            ) => {
                let mut pairs = runtime.iter().zip(registers);
                let is_same = pairs.all(|(asked, found)| asked.is_none_or(|it| it == *found));
                (machine == found && is_same).then_some((0, 0))
            }
            (
                Self::Snp {
                    measurement,
                    svn: least,
                },
                ProgramIdentity::Snp {
                    measurement: found,
                    svn,
                },
            ) => (measurement == found).then_some((*svn, *least)),
            _ => None,
        }
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    // Digits alone: a parser of numbers takes a sign as well.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

/// N bytes from 2 N hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; N];
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(out)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_rules_and_comments() {
        let measurement = "ab".repeat(32);
        let policy = Policy::parse(&format!("# mine\n\nmeasurement {measurement} # v1\n")).unwrap();

        assert!(!policy.allow_simulation);
        assert_eq!(policy.measurements, Some(vec![[0xab; 32]]));
    }

    #[test]
    fn a_line_that_is_no_rule_is_named() {
        for text in [
            "#\nallow-simulation",
            "\nmeasurement 12",
            "#\nmeasurement",
            "\nsimulation-key zz",
        ] {
            assert_eq!(Policy::parse(text).unwrap_err().line, 2, "{text}");
        }
    }

    #[test]
    fn rules_add_up_in_either_case_of_letters() {
        let (low, high) = ("ab".repeat(32), "CD".repeat(32));
        let text = format!(
            "simulation-key {low}\nsimulation-key {high}\n  measurement\t{low}\nmeasurement {high}"
        );

        let policy = Policy::parse(&text).unwrap();

        let keys = [[0xab; 32], [0xcd; 32]].map(VerifyingKey::from_bytes);
        assert_eq!(policy.simulation_keys, keys);
        assert_eq!(policy.measurements, Some(vec![[0xab; 32], [0xcd; 32]]));
    }

    #[test]
    fn what_is_no_pair_of_digits_is_no_digest() {
        let good = "ab".repeat(31);
        for end in ["+a", "-1", " a", "0x", "g0", "é", "a", "abc", "ab ab", ""] {
            let text = format!("measurement {good}{end}");
            assert_eq!(Policy::parse(&text).unwrap_err().line, 1, "{end:?}");
        }
    }

    #[test]
    fn an_empty_policy_accepts_nothing() {
        let policy = Policy::parse("# nothing\n\n").unwrap();

        assert!(!policy.allow_simulation && policy.simulation_keys.is_empty());
        assert!(policy.programs.is_empty());
    }

    #[test]
    fn every_rule_of_hardware_is_read() {
        let (short, long) = ("ab".repeat(32), "cd".repeat(48));
        let text = format!(
            "sgx-enclave {short} svn 2\nsgx-signer {short} product 3 svn 4\n\
             tdx {long} rtmr1 {long} rtmr2 {long}\nsev-snp {long} svn 5\n\
             machine {}\nowner-pinned\nstatus OutOfDate\nadvisory INTEL-SA-00289\n\
             tcb-evaluation 17\namd-tcb snp 8 microcode 115\namd-revocations-unknown\ncollateral intel.json",
            "ef".repeat(16)
        );

        let policy = Policy::parse(&text).unwrap();

        let tdx = AllowedProgram::Tdx {
            machine: [0xcd; 48],
            runtime: [None, Some([0xcd; 48]), Some([0xcd; 48]), None],
        };
        assert_eq!(policy.programs.len(), 4);
        assert_eq!(policy.programs[2], tdx);
        assert_eq!(policy.machines, Some(vec![vec![0xef; 16]]));
        assert!(policy.is_owner_pinned && policy.may_lack_amd_revocations);
        assert_eq!((policy.evaluation, policy.amd_tcb.snp), (17, 8));
        assert_eq!(policy.collateral_files, [PathBuf::from("intel.json")]);
    }

    #[test]
    fn a_rule_of_hardware_that_is_not_whole_is_named() {
        let (short, long) = ("ab".repeat(32), "cd".repeat(48));
        for rule in [
            format!("sgx-enclave {short}"),
            format!("sgx-enclave {short} svn 65536"),
            format!("sgx-enclave {long} svn 1"),
            format!("sgx-signer {short} svn 1"),
            format!("sgx-signer {short} product +1 svn 1"),
            format!("tdx {long}"),
            format!("tdx {long} rtmr1 {long}"),
            format!("tdx {long} rtmr1 {long} rtmr1 {long} rtmr2 {long}"),
            format!("tdx {long} rtmr1 {long} rtmr2"),
            format!("sev-snp {short} svn 1"),
            "machine abcd".to_owned(),
            "owner-pinned yes".to_owned(),
            "status Revoked".to_owned(),
            "status UpToDate".to_owned(),
            "advisory".to_owned(),
            "tcb-evaluation -1".to_owned(),
            "amd-tcb".to_owned(),
            "amd-tcb snp".to_owned(),
            "amd-tcb snp 256".to_owned(),
            "amd-tcb other 1".to_owned(),
            "amd-root abcd".to_owned(),
            "amd-revocations-unknown yes".to_owned(),
            "collateral".to_owned(),
            "allow-debug".to_owned(),
        ] {
            assert_eq!(Policy::parse(&rule).unwrap_err().line, 1, "{rule}");
        }
    }
}
