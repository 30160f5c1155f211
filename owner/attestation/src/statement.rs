//! What authentic evidence states, whatever platform made it.

/// What a platform vouches for. Nothing in it was judged yet: that is the policy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The name of the platform, which is part of the provisioning transcript: `simulation`, `sgx`, `tdx` or `sev-snp`.
    pub platform: &'static str,
    /// The program that runs.
    pub program: ProgramIdentity,
    /// What the program had vouched for: the transcript hash of a provisioning.
    pub report_data: [u8; 64],
    /// Whether the platform lets whoever runs it look into the program or change it.
    pub is_debug: bool,
    /// The owner that the program was started for, as [`owner_pin`](sc_enclave::owner_pin) of its key; `None` where it serves any, and on SGX, where the
    /// measurement itself says it.
    pub owner: Option<[u8; 32]>,
    /// The machine: Intel's PPID, AMD's chip id, the simulated platform's key.
    pub machine: Vec<u8>,
    /// What firmware and microcode it runs on.
    pub tcb: Tcb,
}

/// Which program evidence is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramIdentity {
    /// A simulated platform's word for it.
    Simulation {
        /// SHA-256 of the binary.
        measurement: [u8; 32],
    },
    /// An SGX enclave (Intel SDM volume 3D, 37.15, REPORT).
    Sgx {
        /// MRENCLAVE.
        enclave: [u8; 32],
        /// MRSIGNER.
        signer: [u8; 32],
        /// ISVPRODID.
        product: u16,
        /// ISVSVN.
        svn: u16,
    },
    /// A TDX virtual machine (Intel TDX DCAP quoting, A.3.2).
    Tdx {
        /// MRTD: what the machine was built with, its firmware.
        machine: [u8; 48],
        /// RTMR0 to RTMR3: configuration, kernel, its command line and file system, and what was measured later.
        runtime: [[u8; 48]; 4],
    },
    /// A SEV-SNP virtual machine (AMD 56860, table 23).
    Snp {
        /// MEASUREMENT: what the machine was started with.
        measurement: [u8; 48],
        /// GUEST_SVN.
        svn: u32,
    },
}

impl ProgramIdentity {
    /// The measurement that people compare.
    #[must_use]
    pub fn measurement(&self) -> &[u8] {
        match self {
            Self::Simulation { measurement } => measurement,
            Self::Sgx { enclave, .. } => enclave,
            Self::Tdx { machine, .. } => machine,
            Self::Snp { measurement, .. } => measurement,
        }
    }
}

/// The trusted computing base below a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tcb {
    /// A simulation has none.
    None,
    /// What Intel says of this platform's versions.
    Intel {
        /// `UpToDate`, or what is wrong.
        status: String,
        /// Advisories that are open for these versions.
        advisories: Vec<String>,
        /// The number of the evaluation that says so; it rises with each that Intel publishes.
        evaluation: u32,
    },
    /// The versions that the endorsement key was derived for.
    Amd(AmdTcb),
}

/// AMD's TCB_VERSION (AMD 56860, 2.2), by component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AmdTcb {
    /// Boot loader of the secure processor.
    pub bootloader: u8,
    /// Operating system of the secure processor.
    pub tee: u8,
    /// SEV-SNP firmware.
    pub snp: u8,
    /// Microcode of all cores.
    pub microcode: u8,
    /// FMC firmware, which Turin and later have; 0 before.
    pub fmc: u8,
}

impl AmdTcb {
    /// The first component that is older than `least` asks for: its name, what it has, what is asked for.
    #[must_use]
    pub fn older_than(&self, least: &Self) -> Option<(&'static str, u8, u8)> {
        self.parts()
            .into_iter()
            .zip(least.parts())
            .find(|((_, has), (_, asked))| has < asked)
            .map(|((name, has), (_, asked))| (name, has, asked))
    }

    /// The components by name, in the order of a policy's rule.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u8); 5] {
        [
            ("bootloader", self.bootloader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
            ("fmc", self.fmc),
        ]
    }
}
