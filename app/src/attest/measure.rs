//! `attest measure`: what an owner should pin.

use std::io::Read;
use std::path::{Path, PathBuf};

use sc_crypto::hash::sha256;
use sc_enclave::owner_pin;
use sc_launcher::find_program;

use super::cli::MeasureArgs;
use super::hex;
use crate::keys::read_public;
use crate::report::line;
use crate::storage::OwnerFolder;
use crate::wrong_use;

/// The trusted programs.
pub(crate) const PROGRAMS: [&str; 2] = ["sc-cbr", "sc-coder"];

pub(crate) fn run(arguments: &MeasureArgs) -> anyhow::Result<()> {
    let programs = if arguments.programs.is_empty() {
        let find = |name: &&str| find_program(name).map_err(|error| wrong_use(error.to_string()));
        PROGRAMS
            .iter()
            .map(find)
            .collect::<anyhow::Result<Vec<_>>>()?
    } else {
        arguments.programs.clone()
    };
    for program in &programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        line(&format!("# {name}: {}", program.display()));
        line(&format!("measurement {}", hex(&digest(program)?)));
        match Enclave::beside(program)? {
            Some(enclave) => line(&enclave.rule()),
            None => line(&format!(
                "# no {name}.sig: sign it with Gramine for an SGX enclave, see deploy/gramine"
            )),
        }
    }
    if let Some(path) = &arguments.owner {
        let pin = hex(&owner_pin(owner_key(path)?));
        line(
            "# a virtual machine that serves this owner alone, which `owner-pinned` in a policy asks for",
        );
        line(&format!("# SEV-SNP: HOST_DATA  = {pin}"));
        line(&format!("# TDX:     MRCONFIGID = {pin}{}", "00".repeat(16)));
    }
    Ok(())
}

/// SHA-256 of a binary, as the simulation measures it.
///
/// # Errors
/// Wrong use: it cannot be read.
pub(crate) fn digest(binary: &Path) -> anyhow::Result<[u8; 32]> {
    let bytes = std::fs::read(binary)
        .map_err(|error| wrong_use(format!("{}: {error}", binary.display())))?;
    Ok(sha256(&bytes))
}

fn owner_key(path: &Path) -> anyhow::Result<sc_crypto::VerifyingKey> {
    if path.is_dir() {
        let (owner, _) = OwnerFolder(path.to_owned()).open()?;
        return Ok(owner.signing_key().verifying_key());
    }
    read_public(path)?.identity_key().ok_or_else(|| {
        wrong_use(format!(
            "{}: an RSA key does not tell the key that its owner signs with: name the folder of the owner's keys",
            path.display()
        ))
    })
}

/// What the signed structure of an enclave says (SIGSTRUCT, Intel SDM volume 3D, 37.14).
pub(crate) struct Enclave {
    enclave: [u8; 32],
    svn: u16,
}

impl Enclave {
    const BYTES: usize = 1808;
    const HASH: usize = 960;
    const SVN: usize = 1026;

    /// Of the file `NAME.sig` beside a program's binary, if there is one.
    ///
    /// # Errors
    /// Wrong use: it is no such structure.
    pub(crate) fn beside(binary: &Path) -> anyhow::Result<Option<Self>> {
        let mut path = binary.to_owned().into_os_string();
        path.push(".sig");
        let path = PathBuf::from(path);
        let Ok(mut file) = std::fs::File::open(&path) else {
            return Ok(None);
        };
        let mut bytes = [0; Self::BYTES];
        file.read_exact(&mut bytes).map_err(|_| {
            wrong_use(format!(
                "{} is no signed structure of an enclave: it has fewer than {} bytes",
                path.display(),
                Self::BYTES
            ))
        })?;
        let enclave = bytes[Self::HASH..Self::HASH + 32].try_into()?;
        let svn = u16::from_le_bytes(bytes[Self::SVN..Self::SVN + 2].try_into()?);
        Ok(Some(Self { enclave, svn }))
    }

    /// The policy's rule that accepts it.
    pub(crate) fn rule(&self) -> String {
        format!("sgx-enclave {} svn {}", hex(&self.enclave), self.svn)
    }
}
