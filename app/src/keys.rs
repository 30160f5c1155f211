//! Key files: read, written with the right mode, named in errors.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sc_client::OsEntropy;
use sc_crypto::{KEY_FILE_MAX, OwnerPublic, OwnerSecret};
use zeroize::Zeroizing;

use crate::wrong_use;

/// Reads a private key file; one that others may read is refused.
pub(crate) fn read_private(path: &Path) -> anyhow::Result<OwnerSecret> {
    let text = read(path)?;
    // First whether it is a private key at all: a public one may well be readable by others.
    let secret = OwnerSecret::from_pem(&text)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    refuse_shared(path)?;
    Ok(secret)
}

/// Refuses a file with a secret that others may read or write.
pub(crate) fn refuse_shared(path: &Path) -> anyhow::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(wrong_use(format!(
        "{path} can be read by others (mode {:03o}): run `chmod 600 {path}`",
        mode & 0o777
    )))
}

/// Reads a public key file.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<OwnerPublic> {
    OwnerPublic::from_pem(&read(path)?)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let failed =
        |error: io::Error| wrong_use(format!("{}: {error}{}", path.display(), hint(&error)));
    if std::fs::metadata(path).map_err(failed)?.len() > KEY_FILE_MAX as u64 {
        return Err(wrong_use(format!(
            "{} is too large for a key file",
            path.display()
        )));
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(failed)
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::NotFound {
        ": an owner makes a pair of keys with `securecloud keygen`, and gives everybody else the public one"
    } else {
        ""
    }
}

/// The identity in `path`, made at first use.
pub(crate) fn read_or_make_identity(path: &Path) -> anyhow::Result<OwnerSecret> {
    if !path.exists() {
        let identity = OwnerSecret::generate(&mut OsEntropy);
        write_new(path, identity.to_pem().as_bytes(), 0o600, false)?;
    }
    let identity = read_private(path)?;
    if identity.public().identity_key().is_none() {
        return Err(wrong_use(format!(
            "{} is an RSA key, and a consumer's identity is an Ed25519 key: name a file that is not there yet, and it is made",
            path.display()
        )));
    }
    Ok(identity)
}

/// Refuses to go on where one of `paths` is there already, before anything is written; `fix` says what to do.
pub(crate) fn all_absent(paths: &[&Path], fix: &str) -> anyhow::Result<()> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(is_there(path, fix)),
        None => Ok(()),
    }
}

/// What to do about a file that is there, where it cannot be replaced.
pub(crate) const ANOTHER_NAME: &str = "choose another name";

fn is_there(path: &Path, fix: &str) -> anyhow::Error {
    wrong_use(format!("{} is there already: {fix}", path.display()))
}

/// Writes a file that must not be there yet, unless `replace`; it has `mode` from the beginning.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32, replace: bool) -> anyhow::Result<()> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(path, ANOTHER_NAME),
        _ => wrong_use(format!("{}: {error}", path.display())),
    };
    if replace {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    create_whole(path, mode, |file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
    .map_err(failed)
}

/// Creates a file and has it filled; one that cannot be filled is removed again, so that nobody takes it for a key later.
fn create_whole(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    fill(&mut file).inspect_err(|_| {
        // What is told is why it could not be filled.
        let _ = std::fs::remove_file(path);
    })
}

/// `path` with `suffix` appended to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_filled_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.prv");

        let full = create_whole(&path, 0o600, |file| {
            file.write_all(b"half of")?;
            Err(io::ErrorKind::StorageFull.into())
        });

        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_was_there_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.prv");
        std::fs::write(&path, "old").unwrap();

        let refused = create_whole(&path, 0o600, |_| Ok(()));

        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    }
}
