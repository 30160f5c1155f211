//! `rm`: objects are deleted.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use futures_util::stream;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;

use super::Kv;
use super::batch::{Outcome, each};
use super::cli::{RmArgs, version_text};
use super::name::{ObjectName, Prefix, shown};
use super::quantity::shown_bytes;
use super::remote::{Object, Objects, Query};
use crate::report::{line, note};
use crate::wrong_use;

/// What to know of an object that is deleted while too few locations answer.
const UNSURE: &str = "is deleted, but too few locations answer to make sure that it stays so: delete it again when they do";

pub(super) async fn run(kv: &Kv, arguments: RmArgs) -> anyhow::Result<()> {
    match arguments.recursive {
        true => all(kv, &arguments).await,
        false => one(kv, arguments).await,
    }
}

async fn one(kv: &Kv, arguments: RmArgs) -> anyhow::Result<()> {
    let Prefix { datastore, prefix } = arguments.target;
    let name = ObjectName::new(datastore, prefix)
        .map_err(|error| wrong_use(format!("{error}; -r deletes all whose keys begin so")))?;
    let key = name.key.as_bytes();
    let delete = kv.remote.delete(&name.datastore, key, arguments.version);
    let deleted = delete.await?;
    if deleted.version.is_none() && !arguments.force {
        let what = match arguments.version {
            Some(version) => format!("{name} has no version {}", version_text(version)),
            None => format!("{name} is not there"),
        };
        anyhow::bail!(
            "{what}, so nothing was deleted: `securecloud kv ls` tells what there is, and with --force this is no error"
        );
    }
    if !deleted.is_sure {
        note(&format!("{name} {UNSURE}"));
    }
    kv.result(
        || json!({ "key": name.key, "version": deleted.version, "is_delete_marker": deleted.is_marker }),
        || match deleted.is_marker {
            true => format!("deleted {name}; its versions are still there"),
            false if deleted.version.is_none() => format!("{name} is not there"),
            false => format!("deleted {name}"),
        },
    );
    Ok(())
}

async fn all(kv: &Kv, arguments: &RmArgs) -> anyhow::Result<()> {
    let target = &arguments.target;
    let query = Query {
        datastore: target.datastore.clone(),
        prefix: target.prefix.clone(),
        versions: arguments.versions,
        ..Query::default()
    };
    let (count, bytes) = measure(kv, query.clone()).await?;
    if count > 0 && !arguments.yes {
        let what = if arguments.versions {
            "versions"
        } else {
            "objects"
        };
        let what = format!("{count} {what}, {}", shown_bytes(bytes));
        confirm(&what, count, target).await?;
    }
    let progress = kv.progress(None);
    let objects = Objects::new(&kv.remote, query);
    let items = stream::try_unfold(objects, |mut objects| async move {
        let object = objects.next_object().await?;
        anyhow::Ok(object.map(|object| (object, objects)))
    });
    let work = |object: Object| async move {
        let key = object.key_bytes();
        let version = object.version_id().filter(|_| arguments.versions);
        let delete = kv.remote.delete(&target.datastore, &key, version);
        let deleted = delete.await.map_err(|error| {
            let name = shown(&key);
            anyhow::Error::from(error).context(name)
        })?;
        if !deleted.is_sure {
            note(&format!("{} {UNSURE}", shown(&key)));
        }
        if kv.is_json {
            line(&json!({ "key": object.key, "version": deleted.version, "is_delete_marker": deleted.is_marker }).to_string());
        }
        Ok(Outcome::Done(object.bytes))
    };
    let tally = each(&progress, arguments.jobs.jobs, count, items, work).await?;
    drop(progress);
    if !kv.is_json {
        let bytes = shown_bytes(tally.bytes);
        line(&format!("deleted {} under {target}, {bytes}", tally.done));
    }
    tally.check("were not deleted")
}

async fn measure(kv: &Kv, query: Query) -> anyhow::Result<(usize, u64)> {
    let mut objects = Objects::new(&kv.remote, query);
    let (mut count, mut bytes) = (0, 0);
    while let Some(object) = objects.next_object().await? {
        count += 1;
        bytes += object.bytes;
    }
    Ok((count, bytes))
}

/// Goes on only if whoever sits there types the number.
async fn confirm(what: &str, count: usize, target: &Prefix) -> anyhow::Result<()> {
    if !stdin().is_terminal() {
        return Err(wrong_use(format!(
            "{what} begin with {target}, and nobody is there to be asked: delete them with --yes"
        )));
    }
    let question = format!("{what} begin with {target}. Type the number to delete them: ");
    // Whoever cannot read the question will not type the number.
    let _ = stderr().write_all(question.as_bytes());
    let mut typed = String::new();
    tokio::io::BufReader::new(tokio::io::stdin())
        .read_line(&mut typed)
        .await?;
    match typed.trim() == count.to_string() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("nothing was deleted")),
    }
}
