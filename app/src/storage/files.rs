//! The owner's files: its key, its roots, the edge's credentials, tokens.
//!
//! Invariant: a file with a secret has mode 0600 from the beginning, and is refused where others may read it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sc_client::OsEntropy;
use sc_client::kv::{Credentials, Roots};
use sc_crypto::OwnerSecret;
use zeroize::Zeroizing;

use crate::keys::{read_or_make_identity, refuse_shared, write_new};
use crate::wrong_use;

/// The folder of one owner.
pub(crate) struct OwnerFolder(pub(crate) PathBuf);

impl OwnerFolder {
    /// Refuses a folder that no owner's keys are in, where none are to be made.
    pub(crate) fn must_exist(&self) -> anyhow::Result<()> {
        if self.0.join("owner.prv").exists() {
            return Ok(());
        }
        Err(wrong_use(format!(
            "{} holds no owner's keys: name the folder `owner` of a `securecloud up`, or the --owner of a gateway",
            self.0.display()
        )))
    }

    /// The owner's key and roots, made at first use.
    pub(crate) fn open(&self) -> anyhow::Result<(OwnerSecret, Roots)> {
        let owner_path = self.0.join("owner.prv");
        let roots_path = self.0.join("roots.toml");
        if owner_path.exists() != roots_path.exists() {
            let missing = if owner_path.exists() {
                &roots_path
            } else {
                &owner_path
            };
            return Err(wrong_use(format!(
                "{} is missing, and without it nothing that is stored can be read: restore it from your backup",
                missing.display()
            )));
        }
        make_private_folder(&self.0)?;
        if !roots_path.exists() {
            let roots = Roots::generate(&mut OsEntropy);
            write_new(&roots_path, roots.to_text().as_bytes(), 0o600, false)?;
        }
        let text = read_secret(&roots_path)?;
        let roots = Roots::parse(&text)
            .map_err(|error| wrong_use(format!("{}: {error}", roots_path.display())))?;
        Ok((read_or_make_identity(&owner_path)?, roots))
    }

    /// The credentials of the owner's own edge, made at first use.
    pub(crate) fn edge(&self, owner: &OwnerSecret, roots: &Roots) -> anyhow::Result<Credentials> {
        let path = self.0.join("edge.key");
        if !path.exists() {
            let made = Credentials::issue_all(
                owner.signing_key(),
                roots.current(),
                "edge",
                1,
                &mut OsEntropy,
            );
            write_new(&path, made.to_text().as_bytes(), 0o600, false)?;
        }
        read_credentials(&path)
    }
}

/// Reads a file of credentials.
pub(crate) fn read_credentials(path: &Path) -> anyhow::Result<Credentials> {
    Credentials::parse(&read_secret(path)?)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))
}

/// Reads a file that holds a secret.
pub(crate) fn read_secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    refuse_shared(path)?;
    Ok(text)
}

/// Makes a folder that nobody else may look into, unless it is there.
pub(crate) fn make_private_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("{} cannot be made", path.display()))
}
