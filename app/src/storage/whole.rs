//! Whether the folder of an earlier `up` is whole.
//!
//! Invariant: nothing is made in the place of what an earlier run had and is missing now: a new owner could read nothing that is stored, and
//! a new catalogue knows of nothing.

use std::collections::BTreeSet;
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

/// The locations in a store's folder that its catalogue does not know, when it is made again of them: all folders in which one is.
///
/// # Errors
/// Wrong use: a folder has no location in it, so that its disk may not be mounted; one made there would stand for what is only away.
pub(crate) fn unknown_locations(
    data: &Path,
    known: &BTreeSet<String>,
) -> anyhow::Result<Vec<String>> {
    let mut unknown = Vec::new();
    let mut empty = Vec::new();
    for (name, folder) in folders_in(data) {
        if known.contains(&name) {
            continue;
        }
        match folder.join("location").exists() {
            true => unknown.push(name),
            false => empty.push(folder.display().to_string()),
        }
    }
    if !empty.is_empty() {
        return Err(wrong_use(format!(
            "there is no storage location in {}: mount its disk; or, if it is lost for good, remove the folder; then again",
            empty.join(", ")
        )));
    }
    unknown.sort();
    Ok(unknown)
}

/// Those of the names that `up` gives to locations which are not there, though greater ones are.
pub(crate) fn gaps_in(data: &Path, known: &BTreeSet<String>) -> Vec<String> {
    let names: BTreeSet<String> = folders_in(data).map(|it| it.0).collect();
    let name = |number: &u8| format!("site-{number}");
    let is_there = |number: &u8| names.contains(&name(number)) || known.contains(&name(number));
    let greatest = (1..=u8::MAX).rev().find(is_there).unwrap_or(0);
    let missing = (1..greatest).filter(|number| !is_there(number));
    missing.map(|number| name(&number)).collect()
}

/// The folders that are where a store makes locations of its own.
fn folders_in(data: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(data.join("locations"));
    entries.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        entry.path().is_dir().then(|| (name, entry.path()))
    })
}

/// Whether there are locations with the marker that each one has.
fn holds_locations(data: &Path) -> bool {
    folders_in(data).any(|(_, folder)| folder.join("location").exists())
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
    fn a_catalogue_is_made_again_of_what_is_there_and_never_of_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        for name in ["site-1", "site-4", "disk"] {
            let location = data.join("locations").join(name);
            std::fs::create_dir_all(&location).unwrap();
            std::fs::write(location.join("location"), "").unwrap();
        }
        let known = BTreeSet::from(["site-2".to_owned(), "site-4".to_owned()]);
        let unknown = unknown_locations(data, &known).unwrap();
        std::fs::create_dir_all(data.join("locations/site-2")).unwrap();
        std::fs::create_dir_all(data.join("locations/site-3")).unwrap();
        let refused = unknown_locations(data, &known).unwrap_err().to_string();

        assert_eq!(unknown, ["disk", "site-1"]);
        // One that the catalogue knows is for the rebuild to miss.
        assert!(refused.contains("site-3: mount its disk"), "{refused}");
        assert!(!refused.contains("site-2"), "{refused}");
        std::fs::remove_dir(data.join("locations/site-3")).unwrap();
        assert_eq!(gaps_in(data, &known), ["site-3"]);
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
