//! `put`: a file, the files of a folder, or standard input become objects.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::stream;
use serde_json::json;

use super::Kv;
use super::batch::{Outcome, each};
use super::cli::PutArgs;
use super::files::{Content, LocalFile, open, standard_input, walk};
use super::name::{ObjectName, shown};
use super::progress::Progress;
use super::quantity::shown_bytes;
use super::remote::{Condition, NewObject, Object, RemoteError};
use crate::report::{line, note};
use crate::wrong_use;

pub(super) async fn run(kv: &Kv, arguments: PutArgs) -> anyhow::Result<()> {
    let source = &arguments.source;
    if source == Path::new("-") {
        let target = ObjectName::new(
            arguments.target.datastore.clone(),
            arguments.target.prefix.clone(),
        );
        let target = target.map_err(wrong_use)?;
        let progress = Arc::new(kv.progress(None));
        let content = standard_input(&progress);
        return one(kv, &arguments, &target, content, progress).await;
    }
    let metadata = std::fs::metadata(source)
        .map_err(|error| wrong_use(format!("{}: {error}", source.display())))?;
    if metadata.is_dir() {
        return folder(kv, &arguments).await;
    }
    let target = target_of_file(&arguments)?;
    let progress = Arc::new(kv.progress(metadata.is_file().then_some(metadata.len())));
    let content = open(source, &progress)
        .await
        .map_err(|error| wrong_use(error.to_string()))?;
    one(kv, &arguments, &target, content, progress).await
}

/// The object that a file becomes: where a key is missing or ends with a slash, the file's name goes behind it.
fn target_of_file(arguments: &PutArgs) -> anyhow::Result<ObjectName> {
    let target = &arguments.target;
    let keeps_name = target.prefix.is_empty() || target.prefix.ends_with('/');
    let name = match keeps_name {
        true => {
            let name = arguments.source.file_name().and_then(|it| it.to_str());
            name.ok_or_else(|| {
                wrong_use("the file's name is no UTF-8, which a key has to be: name one, NAME/KEY")
            })?
        }
        false => "",
    };
    target.object(name).map_err(wrong_use)
}

async fn one(
    kv: &Kv,
    arguments: &PutArgs,
    target: &ObjectName,
    content: Content,
    progress: Arc<Progress>,
) -> anyhow::Result<()> {
    let new = NewObject {
        length: content.length,
        ..new_object(arguments)
    };
    let put = kv
        .remote
        .put(&target.datastore, &target.key, &new, content.body);
    let object = put.await?;
    drop(progress);
    kv.result(|| json!(object), || stored(target, &object));
    Ok(())
}

fn new_object(arguments: &PutArgs) -> NewObject {
    NewObject {
        policy: arguments.policy.clone(),
        content_type: arguments.content_type.clone(),
        metadata: arguments.meta.clone(),
        tags: arguments.tag.clone(),
        condition: match (arguments.if_absent, arguments.if_version) {
            (true, _) => Condition::Absent,
            (_, Some(version)) => Condition::Version(version),
            _ => Condition::None,
        },
        length: None,
    }
}

/// What is told of an object that is stored.
pub(super) fn stored(target: &ObjectName, object: &Object) -> String {
    format!(
        "stored {target}  {} under {}, version {}",
        shown_bytes(object.bytes),
        object.policy,
        object.version
    )
}

async fn folder(kv: &Kv, arguments: &PutArgs) -> anyhow::Result<()> {
    if arguments.if_version.is_some() {
        return Err(wrong_use(
            "--if-version is about one object, and a folder becomes several",
        ));
    }
    let target = arguments.target.as_folder();
    let found = walk(&arguments.source)?;
    for path in &found.unnameable {
        note(&unnameable(path));
    }
    if found.passed_over > 0 {
        kv.report.say(passed_over(found.passed_over));
    }
    let bytes = found.files.iter().map(|file| file.bytes).sum();
    let progress = Arc::new(kv.progress(Some(bytes)));
    let count = found.files.len();
    let new = new_object(arguments);
    let work = |file: LocalFile| {
        let name = target.object(&file.name);
        let (new, progress) = (new.clone(), Arc::clone(&progress));
        async move {
            let name = name.map_err(|error| wrong_use(format!("{}: {error}", file.name)))?;
            let object = match put_file(kv, &name, &file, new, &progress).await {
                Err(error) if is_there(&error) && arguments.if_absent => return Ok(Outcome::Kept),
                other => other?,
            };
            progress.aside(|| match kv.is_json {
                true => line(&json!(object).to_string()),
                false => kv.report.detail(stored(&name, &object)),
            });
            Ok(Outcome::Done(object.bytes))
        }
    };
    let items = stream::iter(found.files.into_iter().map(Ok));
    let mut tally = each(&progress, arguments.jobs.jobs, count, items, work).await?;
    drop(progress);
    tally.failed += found.unnameable.len();
    if !kv.is_json {
        let kept = match tally.kept {
            0 => String::new(),
            kept => format!(", {kept} were there already"),
        };
        line(&format!(
            "stored {} files, {}, in {target}{kept}",
            tally.done,
            shown_bytes(tally.bytes)
        ));
    }
    tally.check("files were not stored")
}

fn is_there(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<RemoteError>();
    error.is_some_and(|it| matches!(it.code(), "condition-failed" | "exists"))
}

/// Stores a file as an object; an error names the file.
pub(super) async fn put_file(
    kv: &Kv,
    name: &ObjectName,
    file: &LocalFile,
    new: NewObject,
    progress: &Arc<Progress>,
) -> anyhow::Result<Object> {
    let content = open(&file.path, progress).await?;
    let new = NewObject {
        length: content.length,
        ..new
    };
    let put = kv
        .remote
        .put(&name.datastore, &name.key, &new, content.body);
    Box::pin(put)
        .await
        .with_context(|| shown(file.path.as_os_str().as_encoded_bytes()))
}

/// What is told of a file whose name no key can be made of.
pub(super) fn unnameable(path: &Path) -> String {
    format!(
        "{}: its name is no UTF-8, which a key has to be: rename it",
        shown(path.as_os_str().as_encoded_bytes())
    )
}

/// What is told of links and the like.
pub(super) fn passed_over(count: usize) -> String {
    format!("passed over {count} symbolic links or special files: only files are stored")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Words {
        #[command(flatten)]
        put: PutArgs,
    }

    fn target(words: &[&str]) -> Result<String, String> {
        let words = Words::parse_from(["put"].iter().chain(words));
        let target = target_of_file(&words.put);
        target
            .map(|it| it.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_keeps_its_name_where_none_is_given() {
        assert_eq!(target(&["x/a.txt", "logs"]).unwrap(), "logs/a.txt");
        assert_eq!(
            target(&["x/a.txt", "logs/2026/"]).unwrap(),
            "logs/2026/a.txt"
        );
        assert_eq!(target(&["x/a.txt", "logs/2026"]).unwrap(), "logs/2026");
    }

    #[test]
    fn a_key_that_no_store_takes_is_refused() {
        let key = format!("logs/{}/", "a".repeat(1020));

        assert!(target(&["x/a.txt", &key]).is_err());
    }
}
