//! `sync`: a folder and what a datastore holds under a prefix are made the same.
//!
//! Invariant: what a datastore holds, whatever it is called, is written to files in the folder or to none; what is the same on both sides is
//! not moved.

mod join;
mod place;
mod plan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::stream;
use serde_json::json;

use super::Kv;
use super::batch::{Outcome, Tally, each};
use super::cli::SyncArgs;
use super::files::{Folder, LocalFile, walk};
use super::get::to_file;
use super::modified::MODIFIED;
use super::name::{Prefix, shown};
use super::partial::Partial;
use super::put::{passed_over, put_file, unnameable};
use super::quantity::{Pair, shown_bytes};
use super::remote::{NewObject, Objects, Query};
use crate::report::note;
use crate::wrong_use;
use join::Join;
use place::Way;
use plan::{Down, Up, Wanted};

pub(super) async fn run(kv: &Kv, arguments: SyncArgs) -> anyhow::Result<()> {
    match Way::find(&arguments.source, &arguments.target)? {
        Way::Up(folder, prefix) => up(kv, &arguments, &folder, &prefix.as_folder()).await,
        Way::Down(prefix, folder) => down(kv, &arguments, &prefix.as_folder(), &folder).await,
    }
}

async fn up(kv: &Kv, arguments: &SyncArgs, folder: &Path, target: &Prefix) -> anyhow::Result<()> {
    let found = walk(folder)?;
    let unnameable = tell_of(kv, &found);
    let mut plan = Up::default();
    let mut join = join(kv, found.files, target);
    while let Some(pairing) = join.next().await? {
        plan.take(pairing, arguments.delete);
    }
    if arguments.dry_run {
        for file in &plan.stored {
            would(
                kv,
                "put",
                &file.path,
                &format!("{}{}", target.prefix, file.name),
            );
        }
        for key in &plan.deleted {
            tell(kv, "delete", key, None, true);
        }
        summarize(kv, arguments, "put", &plan.tally(), plan.deleted.len());
        return Ok(());
    }
    let mut tally = store(kv, arguments, plan.stored, target).await?;
    tally.kept = plan.same;
    tally.failed += unnameable;
    // What is not stored whole takes nothing away.
    let deleted = match tally.failed {
        0 => delete_remote(kv, arguments, plan.deleted, target).await?,
        _ => Tally::default(),
    };
    summarize(kv, arguments, "put", &tally, deleted.done);
    tally.check("files were not stored")?;
    deleted.check("objects were not deleted")
}

async fn down(kv: &Kv, arguments: &SyncArgs, source: &Prefix, folder: &Path) -> anyhow::Result<()> {
    let found = match folder.try_exists() {
        Ok(false) => Folder::default(),
        _ => walk(folder)?,
    };
    tell_of(kv, &found);
    let mut plan = Down::default();
    let mut join = join(kv, found.files, source);
    while let Some(pairing) = join.next().await? {
        plan.take(pairing, arguments.delete);
    }
    for (name, why) in &plan.refused {
        note(&format!("{source}{}: {why}: not read", shown(name)));
    }
    if arguments.dry_run {
        for path in &plan.deleted {
            tell(kv, "delete", bytes_of(path), None, true);
        }
        for wanted in &plan.read {
            would(kv, "get", &folder.join(&wanted.path), &wanted.key);
        }
        summarize(kv, arguments, "get", &plan.tally(), plan.deleted.len());
        return plan.tally().check("objects were not read");
    }
    let mut deleted = Tally::default();
    for path in plan.deleted {
        match place::remove(folder, &path) {
            Ok(()) => {
                deleted.done += 1;
                told(kv, "delete", bytes_of(&path), None);
            }
            Err(error) => {
                deleted.failed += 1;
                note(&error.to_string());
            }
        }
    }
    let mut tally = read(kv, arguments, plan.read, source, folder).await?;
    tally.kept = plan.same;
    tally.failed += plan.refused.len();
    summarize(kv, arguments, "get", &tally, deleted.done);
    tally.check("objects were not read")?;
    deleted.check("files were not deleted")
}

fn join<'r>(kv: &'r Kv, files: Vec<LocalFile>, prefix: &Prefix) -> Join<'r> {
    let query = Query {
        datastore: prefix.datastore.clone(),
        prefix: prefix.prefix.clone(),
        ..Query::default()
    };
    Join::new(files, Objects::new(&kv.remote, query), prefix.prefix.len())
}

/// Tells what of a folder is left out; how many files of it should not be.
fn tell_of(kv: &Kv, found: &Folder) -> usize {
    found.unnameable.iter().for_each(|it| note(&unnameable(it)));
    if found.passed_over > 0 {
        kv.report.say(passed_over(found.passed_over));
    }
    found.unnameable.len()
}

async fn store(
    kv: &Kv,
    arguments: &SyncArgs,
    files: Vec<LocalFile>,
    target: &Prefix,
) -> anyhow::Result<Tally> {
    let bytes = files.iter().map(|file| file.bytes).sum();
    let progress = Arc::new(kv.progress(Some(bytes)));
    let count = files.len();
    let work = |file: LocalFile| {
        let progress = Arc::clone(&progress);
        async move {
            let name = target
                .object(&file.name)
                .map_err(|error| wrong_use(format!("{}: {error}", file.name)))?;
            let modified = Pair {
                name: MODIFIED.to_owned(),
                value: file.modified.to_string(),
            };
            let new = NewObject {
                policy: arguments.policy.clone(),
                metadata: vec![modified],
                ..NewObject::default()
            };
            let object = put_file(kv, &name, &file, new, &progress).await?;
            progress.aside(|| told(kv, "put", name.key.as_bytes(), Some(&file.path)));
            Ok(Outcome::Done(object.bytes))
        }
    };
    let items = stream::iter(files.into_iter().map(Ok));
    each(&progress, arguments.jobs.jobs, count, items, work).await
}

async fn delete_remote(
    kv: &Kv,
    arguments: &SyncArgs,
    keys: Vec<Vec<u8>>,
    target: &Prefix,
) -> anyhow::Result<Tally> {
    let progress = kv.progress(None);
    let count = keys.len();
    let work = |key: Vec<u8>| async move {
        let delete = kv.remote.delete(&target.datastore, &key, None);
        delete.await.with_context(|| shown(&key))?;
        told(kv, "delete", &key, None);
        Ok(Outcome::Done(0))
    };
    let items = stream::iter(keys.into_iter().map(Ok));
    each(&progress, arguments.jobs.jobs, count, items, work).await
}

async fn read(
    kv: &Kv,
    arguments: &SyncArgs,
    wanted: Vec<Wanted>,
    source: &Prefix,
    folder: &Path,
) -> anyhow::Result<Tally> {
    if !wanted.is_empty() {
        std::fs::create_dir_all(folder)
            .map_err(|error| wrong_use(format!("{}: {error}", folder.display())))?;
    }
    let bytes = wanted.iter().map(|it| it.bytes).sum();
    let progress = &kv.progress(Some(bytes));
    let count = wanted.len();
    let work = |wanted: Wanted| async move {
        let path = place::prepare(folder, &wanted.path)?;
        let partial = Partial::create(&path)?;
        let get = kv
            .remote
            .get(&source.datastore, &wanted.key, wanted.version, None);
        let reading = get.await.with_context(|| shown(wanted.key.as_bytes()))?;
        let bytes = reading.bytes;
        Box::pin(to_file(reading, partial, wanted.modified, progress)).await?;
        progress.aside(|| told(kv, "get", wanted.key.as_bytes(), Some(&path)));
        Ok(Outcome::Done(bytes))
    };
    let items = stream::iter(wanted.into_iter().map(Ok));
    each(progress, arguments.jobs.jobs, count, items, work).await
}

/// Tells what would be moved.
fn would(kv: &Kv, event: &str, path: &Path, key: &str) {
    tell(kv, event, key.as_bytes(), Some(path), true);
}

/// Tells what was done: to programs always, to people if they asked for more.
fn told(kv: &Kv, event: &str, name: &[u8], path: Option<&Path>) {
    match kv.is_json {
        true => tell(kv, event, name, path, false),
        false => kv.report.detail(format!("{event} {}", shown(name))),
    }
}

fn tell(kv: &Kv, event: &str, name: &[u8], path: Option<&Path>, is_dry: bool) {
    kv.result(
        || {
            let name = String::from_utf8_lossy(name);
            let path = path.map(Path::to_string_lossy);
            json!({ "event": event, "name": name, "file": path, "dry_run": is_dry })
        },
        || {
            let path = path.map(|it| format!("  {}", shown(bytes_of(it))));
            format!("would {event} {}{}", shown(name), path.unwrap_or_default())
        },
    );
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn summarize(kv: &Kv, arguments: &SyncArgs, event: &str, tally: &Tally, deleted: usize) {
    let (moved, is_dry) = (tally.done, arguments.dry_run);
    kv.result(
        || {
            json!({
                "event": "synced", "moved": moved, "bytes": tally.bytes, "deleted": deleted,
                "same": tally.kept, "failed": tally.failed, "dry_run": is_dry,
            })
        },
        || {
            let verb = match (event, is_dry) {
                ("put", false) => "stored",
                ("put", true) => "would store",
                (_, false) => "read",
                (_, true) => "would read",
            };
            let bytes = shown_bytes(tally.bytes);
            let same = tally.kept;
            format!("{verb} {moved}, {bytes}; deleted {deleted}; {same} were the same")
        },
    );
}

/// A path within a folder.
type Relative = PathBuf;
