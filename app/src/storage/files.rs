//! The owner's files: its key, its roots, the edge's credentials, tokens.
//!
//! Invariant: a file with a secret has mode 0600 from the beginning, and is refused where others may read it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sc_client::OsEntropy;
use sc_client::kv::{Credentials, Roots};
use sc_crypto::OwnerSecret;
use zeroize::Zeroizing;

use crate::keys::{beside, read_or_make_identity, read_private, refuse_shared, write_new};
use crate::wrong_use;

/// The folder of one owner.
pub(crate) struct OwnerFolder(pub(crate) PathBuf);

impl OwnerFolder {
    /// Refuses a folder without an owner's keys, or with some of them alone.
    pub(crate) fn must_exist(&self) -> anyhow::Result<()> {
        let (owner_path, roots_path) = self.paths();
        let missing = match (owner_path.exists(), roots_path.exists()) {
            (true, true) => return Ok(()),
            (true, false) => roots_path,
            (false, true) => owner_path,
            (false, false) => {
                return Err(wrong_use(format!(
                    "{} holds no owner's keys: name the folder `owner` of a `securecloud up`, or one that `gateway --create-owner` has made",
                    self.0.display()
                )));
            }
        };
        Err(wrong_use(format!(
            "{} is missing, and without it nothing that is stored can be read: restore it from your backup",
            missing.display()
        )))
    }

    /// The owner's key and roots.
    ///
    /// # Errors
    /// As [`Self::must_exist`]; or one of the files cannot be read.
    pub(crate) fn open(&self) -> anyhow::Result<(OwnerSecret, Roots)> {
        self.must_exist()?;
        let (owner_path, roots_path) = self.paths();
        let text = read_secret(&roots_path)?;
        let roots = Roots::parse(&text)
            .map_err(|error| wrong_use(format!("{}: {error}", roots_path.display())))?;
        Ok((read_private(&owner_path)?, roots))
    }

    /// Whether there is an owner's key, or roots, or both.
    pub(crate) fn has_keys(&self) -> bool {
        let (owner_path, roots_path) = self.paths();
        owner_path.exists() || roots_path.exists()
    }

    /// Writes roots in the place of those that are there, which are among them: all of it or nothing, and on the disk before it counts.
    pub(crate) fn keep_roots(&self, roots: &Roots) -> anyhow::Result<()> {
        let (_, path) = self.paths();
        let fresh = beside(&path, ".new");
        write_new(&fresh, roots.to_text().as_bytes(), 0o600, true)?;
        std::fs::rename(&fresh, &path).with_context(|| path.display().to_string())?;
        let folder = std::fs::File::open(&self.0);
        folder
            .and_then(|folder| folder.sync_all())
            .with_context(|| self.0.display().to_string())
    }

    /// Makes an owner's key and roots, unless there are some.
    pub(crate) fn ensure(&self) -> anyhow::Result<()> {
        if self.has_keys() {
            return Ok(());
        }
        let (owner_path, roots_path) = self.paths();
        make_private_folder(&self.0)?;
        let roots = Roots::generate(&mut OsEntropy);
        write_new(&roots_path, roots.to_text().as_bytes(), 0o600, false)?;
        read_or_make_identity(&owner_path).map(drop)
    }

    fn paths(&self) -> (PathBuf, PathBuf) {
        (self.0.join("owner.prv"), self.0.join("roots.toml"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_made_where_that_is_asked_for_alone() {
        let folder = tempfile::tempdir().unwrap();
        let owner = OwnerFolder(folder.path().join("owner"));

        let refused = owner.open().err().unwrap().to_string();
        let is_made = owner.0.exists();
        owner.ensure().unwrap();
        let (_, roots) = owner.open().unwrap();
        owner.ensure().unwrap();

        assert!(refused.contains("holds no owner's keys"), "{refused}");
        assert!(!is_made);
        assert_eq!(owner.open().unwrap().1.to_text(), roots.to_text());
    }

    #[test]
    fn half_of_an_owners_keys_are_not_completed() {
        let folder = tempfile::tempdir().unwrap();
        let owner = OwnerFolder(folder.path().join("owner"));
        owner.ensure().unwrap();
        std::fs::remove_file(owner.0.join("roots.toml")).unwrap();

        owner.ensure().unwrap();
        let refused = owner.open().err().unwrap().to_string();

        assert!(refused.contains("restore it from your backup"), "{refused}");
    }
}
