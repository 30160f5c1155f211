//! `catalogue`: it is copied, put back, and made again of what lies at the locations.
//!
//! Invariant: nothing takes the place of a catalogue that is there; what is put back is what was copied, by its hash.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::Kv;
use super::cli::{CatalogueCommand, CataloguePlace};
use super::document::words;
use crate::keys::{beside, write_new};
use crate::report::line;
use crate::storage::{FolderLock, HELD, LOCK, default_folder, own_catalogue};
use crate::wrong_use;

/// How often it is asked how far a rebuild is.
const LOOK: Duration = Duration::from_millis(250);

/// What to do about signs of locations that the catalogue does not know.
const MAY_MISS: &str = "\nstray or missing fragments may be due to locations that are not here: compare with `securecloud kv location ls`, bring back what is not in it, and rebuild again; nothing of what may be theirs is deleted until `securecloud kv gc --strays` says that there are none";

/// Carries out what needs no store; gives back what does.
pub(super) fn in_folder(
    command: CatalogueCommand,
    is_json: bool,
) -> anyhow::Result<Option<CatalogueCommand>> {
    match command {
        CatalogueCommand::Backup { file, place } => back_up(&file, &place, is_json)?,
        CatalogueCommand::Restore {
            file,
            sha256,
            place,
        } => restore(&file, sha256.as_deref(), &place, is_json)?,
        command @ CatalogueCommand::Rebuild => return Ok(Some(command)),
    }
    Ok(None)
}

/// The file of a catalogue.
fn file_of(place: &CataloguePlace) -> anyhow::Result<PathBuf> {
    if let Some(named) = &place.catalogue {
        if named.contains("://") {
            return Err(wrong_use(
                "a catalogue in PostgreSQL is copied with `pg_dump --format=custom`, and put back with `pg_restore` into an empty database; then start the store with --rebuild",
            ));
        }
        return Ok(named.into());
    }
    let data = match &place.data {
        Some(data) => data.clone(),
        None => default_folder()?,
    };
    Ok(own_catalogue(&data))
}

/// Holds the store's folder, so that none runs there, unless the catalogue is elsewhere or there is no folder yet.
fn lock_of(place: &CataloguePlace) -> anyhow::Result<Option<FolderLock>> {
    let data = match &place.data {
        _ if place.catalogue.is_some() => return Ok(None),
        Some(data) => data.clone(),
        None => default_folder()?,
    };
    match data.is_dir() {
        true => FolderLock::take(&data, LOCK, Duration::ZERO, HELD).map(Some),
        false => Ok(None),
    }
}

fn hash_file(file: &Path) -> PathBuf {
    beside(file, ".sha256")
}

fn hash(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let hash = sc_crypto::hash::sha256(&bytes);
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn back_up(file: &Path, place: &CataloguePlace, is_json: bool) -> anyhow::Result<()> {
    let catalogue = file_of(place)?;
    if !catalogue.exists() {
        return Err(wrong_use(format!(
            "there is no {}: name the folder with --data DIR",
            catalogue.display()
        )));
    }
    // It tells whoever reads it what there is, as the catalogue does.
    let fresh = beside(file, ".new");
    let _ = std::fs::remove_file(&fresh);
    if file.symlink_metadata().is_ok() {
        return Err(wrong_use(format!(
            "{} is there already: choose another name",
            file.display()
        )));
    }
    sc_metadata::back_up(&catalogue, &fresh)
        .map_err(|error| wrong_use(format!("{}: {error}", catalogue.display())))?;
    make_private(&fresh)?;
    let sha256 = hash(&fresh)?;
    let name = file.file_name().unwrap_or_default().display();
    let text = format!("{sha256}  {name}\n");
    write_new(&hash_file(file), text.as_bytes(), 0o644, true)?;
    put_in_place(&fresh, file)?;
    if is_json {
        line(&json!({ "file": file, "sha256": sha256 }).to_string());
    } else {
        line(&format!(
            "{} has the catalogue; sha256 {sha256}",
            file.display()
        ));
    }
    Ok(())
}

fn make_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).with_context(|| path.display().to_string())
}

/// Gives a file its name when all of it is on the disk.
fn put_in_place(fresh: &Path, path: &Path) -> anyhow::Result<()> {
    let failed = || path.display().to_string();
    File::open(fresh)
        .and_then(|file| file.sync_all())
        .with_context(failed)?;
    std::fs::rename(fresh, path).with_context(failed)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(failed)
}

fn restore(
    file: &Path,
    sha256: Option<&str>,
    place: &CataloguePlace,
    is_json: bool,
) -> anyhow::Result<()> {
    let catalogue = file_of(place)?;
    let _lock = lock_of(place)?;
    for path in [&catalogue, &beside(&catalogue, "-wal")] {
        if path.symlink_metadata().is_ok() {
            return Err(wrong_use(format!(
                "{} is there, and is not overwritten: move it away, with its files -wal and -shm, or name another folder with --data",
                path.display()
            )));
        }
    }
    let expected = match sha256 {
        Some(given) => given.trim().to_ascii_lowercase(),
        None => said_hash(file)?,
    };
    let found = hash(file)?;
    if found != expected {
        bail!(
            "{} is not what was copied: its sha256 is {found}, and {expected} was expected; take another copy",
            file.display()
        );
    }
    let fresh = beside(&catalogue, ".new");
    let _ = std::fs::remove_file(&fresh);
    sc_metadata::back_up(file, &fresh)
        .map_err(|error| wrong_use(format!("{}: {error}", file.display())))?;
    make_private(&fresh)?;
    mark(&fresh)?;
    put_in_place(&fresh, &catalogue)?;
    if is_json {
        line(&json!({ "catalogue": catalogue, "sha256": found }).to_string());
    } else {
        line(&format!(
            "{} is back as it was; the next start looks through the locations for what came after",
            catalogue.display()
        ));
    }
    Ok(())
}

fn said_hash(file: &Path) -> anyhow::Result<String> {
    let path = hash_file(file);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        wrong_use(format!(
            "{}: {error}: say the copy's hash with --sha256 HEX",
            path.display()
        ))
    })?;
    let hash = text.split_whitespace().next().unwrap_or_default();
    Ok(hash.to_ascii_lowercase())
}

/// Notes in a copy that a rebuild is due. Its journal goes into the file, so that it is whole by itself.
fn mark(path: &Path) -> anyhow::Result<()> {
    sc_metadata::mark_restored(path)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))
}

/// Has the catalogue made again, and waits for it.
pub(super) async fn rebuild(kv: &Kv) -> anyhow::Result<()> {
    let mut told = kv.remote.rebuild(true).await?;
    loop {
        match told.get("state").and_then(Value::as_str) {
            Some("running") => {
                kv.report.detail(format!(
                    "{}: {} of {}",
                    words(told.get("stage")),
                    words(told.get("done")),
                    words(told.get("total"))
                ));
                tokio::time::sleep(LOOK).await;
                told = kv.remote.rebuild(false).await?;
            }
            Some("done") => break,
            _ => bail!(
                "the catalogue was not made again: {}",
                words(told.get("why"))
            ),
        }
    }
    let report = told.get("report").cloned().unwrap_or_default();
    kv.result(|| report.clone(), || rebuilt_in_words(&report));
    for it in list(&report, "notes").chain(list(&report, "named")) {
        kv.report.say(it);
    }
    Ok(())
}

fn list<'r>(report: &'r Value, name: &str) -> impl Iterator<Item = &'r str> {
    let list = report.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// The report of a rebuild for people.
pub(crate) fn rebuilt_in_words(report: &Value) -> String {
    let number = |name: &str| words(report.get(name));
    let may_miss = report["may_miss_locations"] == true;
    let mut text = format!(
        "the catalogue is {} again after {} ms: {} datastores and {} versions came back, {} were known, {} are gone; {} records, {} segments elsewhere, {} stray fragments, {} missing, {} files not taken over",
        if may_miss { "made" } else { "whole" },
        number("millis"),
        number("datastores"),
        number("added"),
        number("known"),
        number("gone"),
        number("records"),
        number("moved"),
        number("strays"),
        number("missing"),
        number("bad"),
    );
    if may_miss {
        text.push_str(MAY_MISS);
    }
    text
}
