//! `get`: an object becomes a file, or standard output.

use std::path::Path;

use futures_util::StreamExt as _;
use sc_client::kv::KvError;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::Kv;
use super::cli::GetArgs;
use super::modified::Modified;
use super::name::shown;
use super::partial::Partial;
use super::progress::Progress;
use super::quantity::shown_bytes;
use super::remote::{Reading, RemoteError};
use crate::report::quit_unless_written;
use crate::wrong_use;

pub(super) async fn run(kv: &Kv, arguments: GetArgs) -> anyhow::Result<()> {
    let GetArgs {
        source,
        target,
        range,
        version,
    } = arguments;
    let is_standard_output = target == Path::new("-");
    // Whether it can be written at all is known before anything is asked.
    let partial = match is_standard_output {
        true => None,
        false => Some(Partial::create(&target).map_err(|error| wrong_use(error.to_string()))?),
    };
    let get = kv
        .remote
        .get(&source.datastore, &source.key, version, range);
    let reading = get.await?;
    let (bytes, version) = (reading.bytes, reading.version.clone());
    let progress = kv.progress(Some(bytes));
    let Some(partial) = partial else {
        return to_standard_output(reading, &progress).await;
    };
    to_file(reading, partial, None, &progress).await?;
    drop(progress);
    kv.result(
        || {
            let file = shown(target.as_os_str().as_encoded_bytes());
            json!({ "key": source.key, "version": version, "bytes": bytes, "file": file })
        },
        || {
            format!(
                "{source} is in {}, {}",
                target.display(),
                shown_bytes(bytes)
            )
        },
    );
    Ok(())
}

/// Writes an object to a file, which takes its place when it is whole.
pub(super) async fn to_file(
    mut reading: Reading,
    mut partial: Partial,
    modified: Option<Modified>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut written = 0;
    while let Some(piece) = reading.body.next().await {
        let piece = piece.map_err(broke_off)?;
        partial.write(&piece).await?;
        written += piece.len() as u64;
        progress.moved(piece.len());
    }
    check_length(written, reading.bytes)?;
    Ok(partial.finish(modified).await?)
}

async fn to_standard_output(mut reading: Reading, progress: &Progress) -> anyhow::Result<()> {
    let mut out = tokio::io::stdout();
    let mut written = 0;
    while let Some(piece) = reading.body.next().await {
        let piece = piece.map_err(broke_off)?;
        quit_unless_written(out.write_all(&piece).await);
        written += piece.len() as u64;
        progress.moved(piece.len());
    }
    quit_unless_written(out.flush().await);
    Ok(check_length(written, reading.bytes)?)
}

/// Why a body ended early: the store's own word where it is one.
fn broke_off(error: std::io::Error) -> RemoteError {
    let told = error.to_string();
    let cause = error.into_inner().map(|it| it.downcast::<KvError>());
    match cause {
        Some(Ok(refusal)) => (*refusal).into(),
        _ => RemoteError::BrokeOff(told),
    }
}

fn check_length(written: u64, promised: u64) -> Result<(), RemoteError> {
    match written == promised {
        true => Ok(()),
        false => Err(RemoteError::BrokeOff(format!(
            "{written} of {promised} bytes came"
        ))),
    }
}
