//! Whether the folder of an earlier `up` is whole.
//!
//! Invariant: nothing is made in the place of what an earlier run had and is missing now: a new owner could read nothing that is stored, and
//! a new catalogue knows of nothing.

use std::path::{Path, PathBuf};

use crate::storage::files::OwnerFolder;
use crate::storage::store;
use crate::wrong_use;

/// The catalogue of an `up` that has none elsewhere.
pub(crate) fn own_catalogue(data: &Path) -> PathBuf {
    data.join("catalogue.db")
}

/// Makes an owner where `data` is used for the first time. `has_own_catalogue` says whether the catalogue is a file in it.
///
/// # Errors
/// Wrong use: an earlier run's owner or catalogue is missing.
pub(crate) fn must_be_whole(data: &Path, has_own_catalogue: bool) -> anyhow::Result<()> {
    let owner = OwnerFolder(data.join("owner"));
    let catalogue = own_catalogue(data);
    let has_run = catalogue.exists() || data.join(store::PUBLIC_KEY).exists();
    if has_run && !owner.0.exists() {
        return Err(wrong_use(format!(
            "{} is missing, and without it nothing that is stored can be read: restore it from your backup, or begin anew in another folder with --data",
            owner.0.display()
        )));
    }
    if has_own_catalogue && !catalogue.exists() && holds_locations(data) {
        return Err(wrong_use(format!(
            "{} is missing, which says where everything in {} lies: restore it from your backup, or begin anew in another folder with --data",
            catalogue.display(),
            data.join("locations").display()
        )));
    }
    owner.ensure()
}

/// Whether there are locations with the marker that each one has.
fn holds_locations(data: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(data.join("locations")) else {
        return false;
    };
    let mut folders = entries.flatten().map(|entry| entry.path());
    folders.any(|folder| folder.join("location").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_new_gets_an_owner() {
        let folder = tempfile::tempdir().unwrap();

        must_be_whole(folder.path(), true).unwrap();
        // The first run was ended before it made a catalogue.
        must_be_whole(folder.path(), true).unwrap();

        assert!(folder.path().join("owner/owner.prv").exists());
    }

    #[test]
    fn locations_are_those_with_a_marker() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("locations/site-1");
        std::fs::create_dir_all(&location).unwrap();
        must_be_whole(folder.path(), true).unwrap();
        std::fs::write(location.join("location"), "").unwrap();

        let refused = must_be_whole(folder.path(), true).unwrap_err().to_string();

        assert!(refused.contains("catalogue.db is missing"), "{refused}");
        // Where the catalogue is elsewhere none is missing.
        must_be_whole(folder.path(), false).unwrap();
    }
}
