//! What is to be done so that two sides are the same. Nothing here reads or writes.
//!
//! Invariant: a name is in one list at most; nothing is deleted unless it was asked for.

use std::path::PathBuf;

use super::Relative;
use super::join::{Pairing, RemoteFile};
use super::place::relative;
use crate::kv::batch::Tally;
use crate::kv::cli::Version;
use crate::kv::files::LocalFile;
use crate::kv::modified::Modified;
use crate::kv::remote::Object;

/// What makes a datastore like a folder.
#[derive(Debug, Default)]
pub(super) struct Up {
    pub(super) stored: Vec<LocalFile>,
    /// Keys.
    pub(super) deleted: Vec<Vec<u8>>,
    pub(super) same: usize,
}

impl Up {
    /// Takes a name into the plan.
    pub(super) fn take(&mut self, pairing: Pairing, may_delete: bool) {
        match pairing {
            Pairing::Both(file, remote) if is_stored(&file, &remote.object) => self.same += 1,
            Pairing::Both(file, _) | Pairing::Local(file) => self.stored.push(file),
            Pairing::Remote(remote) if may_delete => self.deleted.push(remote.object.key_bytes()),
            Pairing::Remote(_) => {}
        }
    }

    /// As if it were done.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            done: self.stored.len(),
            bytes: self.stored.iter().map(|it| it.bytes).sum(),
            kept: self.same,
            failed: 0,
        }
    }
}

/// Whether an object is this file: of the same size and time. One that was stored by other means has no such time; it is the file if that
/// was not modified since.
fn is_stored(file: &LocalFile, object: &Object) -> bool {
    file.bytes == object.bytes
        && match object.modified() {
            Some(modified) => modified.agrees_with(file.modified),
            None => object.created().is_some_and(|it| file.modified <= it),
        }
}

/// An object that is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) key: String,
    /// The one that was listed: what is read belongs to its size and time.
    pub(super) version: Option<Version>,
    pub(super) bytes: u64,
    pub(super) modified: Option<Modified>,
    pub(super) path: Relative,
}

/// What makes a folder like a datastore.
#[derive(Debug, Default)]
pub(super) struct Down {
    pub(super) read: Vec<Wanted>,
    pub(super) deleted: Vec<PathBuf>,
    /// Names that no file in the folder can have, each with the reason.
    pub(super) refused: Vec<(Vec<u8>, &'static str)>,
    pub(super) same: usize,
}

impl Down {
    /// Takes a name into the plan.
    pub(super) fn take(&mut self, pairing: Pairing, may_delete: bool) {
        match pairing {
            Pairing::Both(file, remote) if is_read(&file, &remote.object) => self.same += 1,
            Pairing::Both(_, remote) | Pairing::Remote(remote) => self.want(remote),
            Pairing::Local(file) if may_delete => self.deleted.push(file.path),
            Pairing::Local(_) => {}
        }
    }

    fn want(&mut self, remote: RemoteFile) {
        let RemoteFile { name, object } = remote;
        let is_folder = object.bytes == 0 && (name.is_empty() || name.ends_with(b"/"));
        if is_folder {
            // Some programs make such objects to show an empty folder.
            return;
        }
        match relative(&name) {
            Ok(path) => self.read.push(Wanted {
                version: object.version_id(),
                bytes: object.bytes,
                modified: modified(&object),
                key: object.key,
                path,
            }),
            Err(why) => self.refused.push((name, why)),
        }
    }

    /// As if it were done.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            done: self.read.len(),
            bytes: self.read.iter().map(|it| it.bytes).sum(),
            kept: self.same,
            failed: self.refused.len(),
        }
    }
}

/// The time that a file gets: its own, or else when it was stored.
fn modified(object: &Object) -> Option<Modified> {
    object.modified().or_else(|| object.created())
}

/// Whether a file is this object: of the same size and of the time that it would get.
fn is_read(file: &LocalFile, object: &Object) -> bool {
    file.bytes == object.bytes && modified(object).is_some_and(|it| it.agrees_with(file.modified))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::modified::MODIFIED;

    fn file(bytes: u64, modified: &str) -> LocalFile {
        LocalFile {
            path: "dir/a".into(),
            name: "a".into(),
            bytes,
            modified: modified.parse().unwrap(),
        }
    }

    fn object(name: &str, bytes: u64, modified: Option<&str>) -> RemoteFile {
        let modified = modified.map(|it| (MODIFIED.to_owned(), it.to_owned()));
        RemoteFile {
            name: name.as_bytes().to_vec(),
            object: Object {
                key: format!("p/{name}"),
                bytes,
                created: "1970-01-01T00:00:10.000Z".into(),
                metadata: modified.into_iter().collect(),
                ..Object::default()
            },
        }
    }

    #[test]
    fn what_has_the_same_size_and_time_is_not_moved() {
        let pair = || Pairing::Both(file(5, "7.5"), object("a", 5, Some("7.500000000")));
        let (mut up, mut down) = (Up::default(), Down::default());

        up.take(pair(), true);
        down.take(pair(), true);

        assert_eq!((up.same, up.stored.len(), up.deleted.len()), (1, 0, 0));
        assert_eq!((down.same, down.read.len(), down.deleted.len()), (1, 0, 0));
    }

    #[test]
    fn another_size_or_time_is_moved() {
        for (bytes, modified) in [(6, "7.5"), (5, "7.6")] {
            let pair = || Pairing::Both(file(bytes, modified), object("a", 5, Some("7.5")));
            let (mut up, mut down) = (Up::default(), Down::default());

            up.take(pair(), false);
            down.take(pair(), false);

            assert_eq!((up.stored.len(), down.read.len()), (1, 1));
        }
    }

    #[test]
    fn without_a_time_what_was_stored_after_the_file_was_written_is_the_file() {
        let mut up = Up::default();

        up.take(Pairing::Both(file(5, "9"), object("a", 5, None)), false);
        up.take(Pairing::Both(file(5, "11"), object("a", 5, None)), false);

        assert_eq!((up.same, up.stored.len()), (1, 1));
    }

    #[test]
    fn without_a_time_a_file_gets_the_one_at_which_it_was_stored() {
        let mut down = Down::default();

        down.take(Pairing::Both(file(5, "9"), object("a", 5, None)), false);
        down.take(Pairing::Both(file(5, "10"), object("a", 5, None)), false);

        assert_eq!((down.same, down.read.len()), (1, 1));
        assert_eq!(down.read[0].modified, Some("10".parse().unwrap()));
    }

    #[test]
    fn nothing_is_deleted_unless_asked_for() {
        let (mut up, mut down) = (Up::default(), Down::default());
        for may_delete in [false, true] {
            up.take(Pairing::Remote(object("b", 1, None)), may_delete);
            down.take(Pairing::Local(file(1, "1")), may_delete);
        }

        assert_eq!(up.deleted, [b"p/b"]);
        assert_eq!(down.deleted, [PathBuf::from("dir/a")]);
    }

    #[test]
    fn names_that_no_file_can_have_are_refused() {
        let mut down = Down::default();
        for name in ["../a", "a/../../b", "/etc/passwd", "a//b"] {
            down.take(Pairing::Remote(object(name, 1, None)), false);
        }
        down.take(Pairing::Remote(object("folder/", 0, None)), false);

        assert_eq!((down.read.len(), down.refused.len()), (0, 4));
    }
}
