//! Many objects at once: some fail, and the others are done.

use std::io;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};

use super::progress::Progress;
use super::remote::RemoteError;
use crate::report;

/// What became of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, and had so many bytes.
    Done(u64),
    /// It was left as it is.
    Kept,
}

/// What became of all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) bytes: u64,
    pub(super) kept: usize,
    pub(super) failed: usize,
}

impl Tally {
    /// An error if something failed; `what` says what was not done, e.g. "files were not stored".
    pub(super) fn check(&self, what: &str) -> anyhow::Result<()> {
        let all = self.done + self.kept + self.failed;
        match self.failed {
            0 => Ok(()),
            failed => Err(anyhow::anyhow!(
                "{failed} of {all} {what}, for the reasons above"
            )),
        }
    }
}

/// Does `work` for every item, for `jobs` of them at a time. A failure that is about one item is told, and the others go on.
///
/// # Errors
/// Something that would befall every item, so that nothing more is begun.
pub(super) async fn each<T, S, W, F>(
    progress: &Progress,
    jobs: u8,
    all: usize,
    items: S,
    work: W,
) -> anyhow::Result<Tally>
where
    S: Stream<Item = anyhow::Result<T>>,
    W: Fn(T) -> F,
    F: Future<Output = anyhow::Result<Outcome>>,
{
    let mut tally = Tally::default();
    let work = &work;
    let under_way = items
        .map(|item| async move { work(item?).await })
        .buffer_unordered(usize::from(jobs));
    let mut under_way = std::pin::pin!(under_way);
    progress.count(0, all);
    while let Some(outcome) = under_way.next().await {
        match outcome {
            Ok(Outcome::Done(bytes)) => {
                tally.done += 1;
                tally.bytes += bytes;
            }
            Ok(Outcome::Kept) => tally.kept += 1,
            Err(error) if is_about_one(&error) => {
                tally.failed += 1;
                progress.aside(|| report::error(&error));
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("stopped when {} of {all} were done", tally.done));
            }
        }
        progress.count(tally.done + tally.kept + tally.failed, all);
    }
    Ok(tally)
}

fn is_about_one(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    if let Some(error) = error.downcast_ref::<RemoteError>() {
        return error.is_about_one();
    }
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    !matches!(kind, Some(StorageFull | QuotaExceeded | ReadOnlyFilesystem))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn tally(error: impl Fn() -> anyhow::Error) -> anyhow::Result<Tally> {
        let progress = Progress::new(None, false);
        let items = stream::iter((0..10).map(Ok));
        let work = |number| {
            let outcome = match number {
                3 => Err(error()),
                5 => Ok(Outcome::Kept),
                _ => Ok(Outcome::Done(2)),
            };
            async move { outcome }
        };
        each(&progress, 4, 10, items, work).await
    }

    #[tokio::test]
    async fn one_failure_does_not_stop_the_others() {
        let failure = || io::Error::from(io::ErrorKind::PermissionDenied).into();

        let tally = tally(failure).await.unwrap();

        assert_eq!(
            tally,
            Tally {
                done: 8,
                bytes: 16,
                kept: 1,
                failed: 1
            }
        );
        let error = tally.check("files were not stored").unwrap_err();
        assert!(error.to_string().starts_with("1 of 10 files"));
    }

    #[tokio::test]
    async fn what_befalls_all_stops_at_once() {
        let full = || io::Error::from(io::ErrorKind::StorageFull).into();

        assert!(tally(full).await.is_err());
    }
}
