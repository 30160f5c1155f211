//! Files of this machine: those of a folder, and their content as a body.
//!
//! Invariant: a walk follows no symbolic link, so what it finds lies in the folder; a body has the length that was promised or is an error.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use sc_client::kv::ObjectBody;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::modified::Modified;
use super::name::shown;
use super::partial::is_partial;
use super::progress::Progress;
use super::remote::BodyFailed;
use crate::wrong_use;

/// Bytes of a body's pieces.
const PIECE_BYTES: usize = 256 << 10;

/// A file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    /// Its path within the folder, with slashes.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) modified: Modified,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Ascending by name.
    pub(crate) files: Vec<LocalFile>,
    /// Files whose names are no UTF-8, which no key can be made of.
    pub(crate) unnameable: Vec<PathBuf>,
    /// Symbolic links, sockets and the like.
    pub(crate) passed_over: usize,
}

/// Finds the files of a folder and of the folders in it.
///
/// # Errors
/// A folder of them cannot be read.
pub(crate) fn walk(folder: &Path) -> anyhow::Result<Folder> {
    let mut found = Folder::default();
    let mut waiting = vec![(folder.to_owned(), String::new())];
    while let Some((folder, before)) = waiting.pop() {
        let failed = |error: io::Error| wrong_use(format!("{}: {error}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                found.unnameable.push(path);
                continue;
            };
            if is_partial(name) {
                continue;
            }
            let name = format!("{before}{name}");
            match kind {
                kind if kind.is_dir() => waiting.push((path, format!("{name}/"))),
                kind if kind.is_file() => match entry.metadata() {
                    Ok(metadata) => found.files.push(LocalFile {
                        path,
                        name,
                        bytes: metadata.len(),
                        modified: metadata.modified()?.into(),
                    }),
                    // It was deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                },
                _ => found.passed_over += 1,
            }
        }
    }
    found.files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// A file that is being read to be stored.
pub(crate) struct Content {
    pub(crate) body: ObjectBody,
    /// None for what has no length beforehand, as a pipe.
    pub(crate) length: Option<u64>,
}

/// Opens a file.
///
/// # Errors
/// It cannot be read, or is a folder; the message names it.
pub(crate) async fn open(path: &Path, progress: &Arc<Progress>) -> io::Result<Content> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(named)?;
    let metadata = file.metadata().await.map_err(named)?;
    let length = length_of(&metadata).map_err(named)?;
    let name = shown(path.as_os_str().as_encoded_bytes());
    Ok(Content {
        body: body(file, length, name, Arc::clone(progress)),
        length,
    })
}

fn length_of(metadata: &Metadata) -> io::Result<Option<u64>> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(metadata.is_file().then_some(metadata.len()))
}

/// Standard input.
pub(crate) fn standard_input(progress: &Arc<Progress>) -> Content {
    let name = "standard input".to_owned();
    Content {
        body: body(tokio::io::stdin(), None, name, Arc::clone(progress)),
        length: None,
    }
}

/// What a reader gives, in pieces: exactly `length` bytes where that is given.
fn body<R>(reader: R, length: Option<u64>, name: String, progress: Arc<Progress>) -> ObjectBody
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let begun = Some((reader, length));
    let pieces = stream::unfold(begun, move |state| {
        let (name, progress) = (name.clone(), Arc::clone(&progress));
        async move {
            let (mut reader, left) = state?;
            match piece(&mut reader, left).await {
                Ok(piece) if piece.is_empty() => None,
                Ok(piece) => {
                    progress.moved(piece.len());
                    let left = left.map(|left| left - piece.len() as u64);
                    Some((Ok(piece), Some((reader, left))))
                }
                Err(error) => {
                    let failed = BodyFailed(format!("{name}: {error}"));
                    Some((Err(io::Error::new(error.kind(), failed)), None))
                }
            }
        }
    });
    pieces.boxed()
}

/// The next piece; empty at the end.
async fn piece<R: AsyncRead + Unpin>(reader: &mut R, left: Option<u64>) -> io::Result<Bytes> {
    let wanted = left.map_or(PIECE_BYTES, |left| {
        usize::try_from(left)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES)
    });
    let mut piece = BytesMut::with_capacity(wanted);
    let mut reader = reader.take(wanted as u64);
    while piece.len() < wanted && reader.read_buf(&mut piece).await? > 0 {}
    if left.is_some() && piece.len() < wanted {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it has become shorter while it was read",
        ));
    }
    Ok(piece.freeze())
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    fn no_progress() -> Arc<Progress> {
        Arc::new(Progress::new(None, false))
    }

    async fn read(content: &[u8], length: Option<u64>) -> io::Result<Vec<u8>> {
        let reader = io::Cursor::new(content.to_vec());
        let body = body(reader, length, "it".into(), no_progress());
        let pieces: Vec<Bytes> = body.try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn a_body_is_what_is_read() {
        let content = vec![7; 3 * PIECE_BYTES + 5];
        let length = content.len() as u64;

        assert_eq!(read(&content, None).await.unwrap(), content);
        assert_eq!(read(&content, Some(length)).await.unwrap(), content);
        assert_eq!(read(&content, Some(9)).await.unwrap(), &content[..9]);
        assert!(read(&[], Some(0)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_is_an_error() {
        let error = read(&[7; 10], Some(11)).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().starts_with("it: "), "{error}");
    }

    #[test]
    fn a_walk_finds_files_in_order_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        ["b", "a/c", "a.d", ".securecloud-0.part"]
            .into_iter()
            .for_each(file);
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();

        let found = walk(folder.path()).unwrap();

        let names: Vec<&str> = found.files.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a.d", "a/c", "b"]);
        assert_eq!(found.passed_over, 1);
    }
}
