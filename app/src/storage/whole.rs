//! Whether the folder of an earlier `up` is whole.
//!
//! Invariant: nothing is made in the place of what an earlier run had and is missing now: a new owner could read nothing that is stored, and
//! a new catalogue knows of nothing.

use std::path::{Path, PathBuf};

use crate::storage::files::OwnerFolder;
use crate::storage::store;
use crate::wrong_use;

/// The catalogue of a store that has none elsewhere.
pub(crate) fn own_catalogue(data: &Path) -> PathBuf {
    data.join("catalogue.db")
}

/// The catalogue that a store in `data` is to use: the one that was named, or its own. One that `is_rebuilt` may be missing.
///
/// # Errors
/// Wrong use: its own is missing, and there are locations of an earlier run.
pub(crate) fn catalogue_of(
    data: &Path,
    named: Option<&str>,
    is_rebuilt: bool,
) -> anyhow::Result<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let catalogue = own_catalogue(data);
    if !catalogue.exists() && !is_rebuilt && holds_locations(data) {
        return Err(wrong_use(format!(
            "{} is missing, which says where everything in {} lies: have it made again of what lies there, with `securecloud up --data {} --rebuild`; or put your backup in its place with `securecloud kv catalogue restore FILE --data {}`; or name it with --catalogue if it is elsewhere",
            catalogue.display(),
            data.join("locations").display(),
            data.display(),
            data.display(),
        )));
    }
    Ok(catalogue.display().to_string())
}

/// Refuses a catalogue in the working folder that a store in `data` would not take for its own, as earlier releases did.
pub(crate) fn must_not_be_here(data: &Path) -> anyhow::Result<()> {
    let (own, here) = (own_catalogue(data), own_catalogue(Path::new(".")));
    if here.exists() && !own.exists() {
        return Err(wrong_use(format!(
            "there is a catalogue.db here and none in {}: name it with --catalogue, or move it there, beside its files -wal and -shm",
            data.display()
        )));
    }
    Ok(())
}

/// Makes an owner where `data` is used for the first time.
///
/// # Errors
/// Wrong use: an earlier run's owner is missing.
pub(crate) fn ensure_owner(data: &Path) -> anyhow::Result<()> {
    let owner = OwnerFolder(data.join("owner"));
    let has_run = own_catalogue(data).exists() || data.join(store::PUBLIC_KEY).exists();
    if has_run && !owner.has_keys() {
        return Err(wrong_use(format!(
            "{} is missing, or holds no keys, and without them nothing that is stored can be read: restore it from your backup, or begin anew in another folder with --data",
            owner.0.display()
        )));
    }
    owner.ensure()
}

/// How many locations there are in the folder of an `up`, by the greatest number in their names.
pub(crate) fn locations_in(data: &Path) -> u8 {
    let numbers = (1..=u8::MAX).rev();
    let is_there = |number: &u8| {
        let folder = format!("locations/site-{number}/location");
        data.join(folder).exists()
    };
    numbers.into_iter().find(is_there).unwrap_or(0)
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

        ensure_owner(folder.path()).unwrap();
        // The first run was ended before it made a catalogue.
        ensure_owner(folder.path()).unwrap();

        assert!(folder.path().join("owner/owner.prv").exists());
    }

    #[test]
    fn locations_are_those_with_a_marker() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("locations/site-1");
        std::fs::create_dir_all(&location).unwrap();
        catalogue_of(folder.path(), None, false).unwrap();
        std::fs::write(location.join("location"), "").unwrap();

        let refused = catalogue_of(folder.path(), None, false)
            .unwrap_err()
            .to_string();
        let elsewhere = catalogue_of(folder.path(), Some("postgres://db/store"), false);

        assert!(refused.contains("catalogue.db is missing"), "{refused}");
        assert!(refused.contains("--rebuild"), "{refused}");
        assert!(catalogue_of(folder.path(), None, true).is_ok());
        assert_eq!(elsewhere.unwrap(), "postgres://db/store");
    }
}
