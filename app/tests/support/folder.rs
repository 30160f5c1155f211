//! A folder of one test, and the files in it.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::securecloud;

/// Keys made elsewhere.
pub(crate) const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../trusted/crypto/tests/vectors"
);
/// Larger data that need not be there.
pub(crate) const DATASETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/datasets");

/// A folder that is removed at the end.
pub(crate) struct Folder(TempDir);

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.path()
    }
}

impl Folder {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with a pair of keys, `key.prv` and `key.pub`.
    pub(crate) fn with_keys() -> Self {
        let folder = Self::empty();
        securecloud(&folder, &["keygen"]).succeeded();
        folder
    }

    /// A folder with keys, `subs` that want even numbers (id 1) and small ones (id 2), and `pubs` of the numbers 0 to 9.
    pub(crate) fn with_numbers() -> Self {
        let folder = Self::with_keys();
        folder.write("subs", SUBSCRIPTIONS);
        folder.write("pubs", numbers(0..10));
        folder
    }

    /// Writes a file; returns its path.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.join(name)).unwrap()
    }

    /// Copies a file from elsewhere, with a mode.
    pub(crate) fn copy(&self, from: &str, name: &str, mode: u32) {
        self.write(name, std::fs::read(from).unwrap());
        self.set_mode(name, mode);
    }

    /// The permissions of a file.
    pub(crate) fn mode(&self, name: &str) -> u32 {
        let permissions = std::fs::metadata(self.join(name)).unwrap().permissions();
        permissions.mode() & 0o777
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.join(name), permissions).unwrap();
    }
}

/// Wants even numbers (1) and those below 3 (2).
pub(crate) const SUBSCRIPTIONS: &str = "0 1 S i even = 1\n0 2 S i n < 3\n";
/// What [`SUBSCRIPTIONS`] get of the numbers 0 to 9: 0, 2, 4, 6, 8 and 0, 1, 2.
pub(crate) const DELIVERIES: u64 = 8;

/// Publications of these numbers.
pub(crate) fn numbers(range: std::ops::Range<u64>) -> String {
    let line = |n: u64| format!("0 0 P i n {n} i even {}\n", u64::from(n.is_multiple_of(2)));
    range.map(line).collect()
}
