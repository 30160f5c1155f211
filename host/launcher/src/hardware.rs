//! Whether this machine has the hardware that was asked for, and how a program is started within it.
//!
//! Invariant: what is not there is an error that lists what was looked for and where; nothing falls back to a simulation.

use std::path::{Path, PathBuf};

use crate::{LaunchError, Platform};

/// Where Gramine's runner is, by its packages or built from source.
const RUNNERS: [&str; 2] = ["usr/bin/gramine-sgx", "usr/local/bin/gramine-sgx"];
/// SGX devices, of the kernel's driver and of the older one.
const SGX_DEVICES: [&str; 2] = ["dev/sgx_enclave", "dev/sgx/enclave"];
/// The kernel's interface to a confidential virtual machine's reports.
const TSM_REPORTS: &str = "sys/kernel/config/tsm/report";
/// What the guest's driver makes, on TDX and on SEV-SNP.
const GUEST_DEVICES: [&str; 2] = ["dev/tdx_guest", "dev/sev-guest"];

impl Platform {
    /// The program `binary` in an SGX enclave under Gramine: its manifest, signed, stands beside it as `NAME.manifest.sgx` and `NAME.sig`.
    /// What it is told of the machine is part of the manifest, so that it is measured.
    ///
    /// `root` is where devices and Gramine are looked for: `/` but in tests.
    ///
    /// # Errors
    /// [`LaunchError::NoHardware`].
    pub fn gramine_sgx(root: &Path, binary: PathBuf) -> Result<Self, LaunchError> {
        let mut search = Search::new("gramine-sgx", root);
        search.one_of("an SGX device of the kernel", &SGX_DEVICES);
        let runner = search.one_of("Gramine", &RUNNERS);
        for end in ["manifest.sgx", "sig"] {
            let mut name = binary.clone().into_os_string();
            name.push(".");
            name.push(end);
            search.file("the program's signed manifest", PathBuf::from(name));
        }
        let runner = search.found(runner)?;
        Ok(Self::GramineSgx { runner, binary })
    }

    /// The program `binary` in this machine, which is a virtual machine of TDX or SEV-SNP.
    ///
    /// `root` is where devices are looked for: `/` but in tests.
    ///
    /// # Errors
    /// [`LaunchError::NoHardware`].
    pub fn vm(root: &Path, binary: PathBuf, arguments: Vec<String>) -> Result<Self, LaunchError> {
        let mut search = Search::new("vm", root);
        let reports = search.one_of("the kernel's reports (configfs-tsm)", &[TSM_REPORTS]);
        search.one_of("a TDX or SEV-SNP guest's device", &GUEST_DEVICES);
        search.found(reports)?;
        let tee = ["--tee".to_owned(), "vm".to_owned()];
        Ok(Self::Process {
            binary,
            arguments: tee.into_iter().chain(arguments).collect(),
        })
    }
}

/// What was looked for so far, and what of it is missing.
struct Search<'a> {
    platform: &'static str,
    root: &'a Path,
    missing: Vec<String>,
}

impl<'a> Search<'a> {
    fn new(platform: &'static str, root: &'a Path) -> Self {
        Self {
            platform,
            root,
            missing: Vec::new(),
        }
    }

    /// The first of these paths below the root that is there.
    fn one_of(&mut self, what: &str, paths: &[&str]) -> Option<PathBuf> {
        let paths: Vec<_> = paths.iter().map(|path| self.root.join(path)).collect();
        let found = paths.iter().find(|path| path.exists()).cloned();
        if found.is_none() {
            let paths: Vec<_> = paths.iter().map(|it| it.display().to_string()).collect();
            self.missing
                .push(format!("{what}, at {}", paths.join(" or ")));
        }
        found
    }

    fn file(&mut self, what: &str, path: PathBuf) {
        if !path.is_file() {
            self.missing.push(format!("{what}, at {}", path.display()));
        }
    }

    /// `found`, if nothing is missing.
    fn found(self, found: Option<PathBuf>) -> Result<PathBuf, LaunchError> {
        found
            .filter(|_| self.missing.is_empty())
            .ok_or(LaunchError::NoHardware {
                platform: self.platform,
                missing: self.missing.join("; "),
            })
    }
}
