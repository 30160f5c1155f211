//! The files of a folder and the objects under a prefix, side by side.
//!
//! Invariant: both sides ascend by the bytes of their names, so each name is met once and neither side is searched.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

use crate::kv::files::LocalFile;
use crate::kv::remote::{Object, Objects, RemoteError};

/// An object, by its name under the prefix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    pub(super) name: Vec<u8>,
    pub(super) object: Object,
}

/// What there is of one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pairing {
    Local(LocalFile),
    Remote(RemoteFile),
    Both(LocalFile, RemoteFile),
}

/// Both sides.
pub(super) struct Join<'r> {
    local: Peekable<IntoIter<LocalFile>>,
    remote: Objects<'r>,
    ahead: Option<RemoteFile>,
    prefix_len: usize,
}

impl<'r> Join<'r> {
    /// Files ascending by name, and objects whose keys have a prefix of so many bytes.
    pub(super) fn new(files: Vec<LocalFile>, remote: Objects<'r>, prefix_len: usize) -> Self {
        Self {
            local: files.into_iter().peekable(),
            remote,
            ahead: None,
            prefix_len,
        }
    }

    /// What there is of the next name.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(super) async fn next(&mut self) -> Result<Option<Pairing>, RemoteError> {
        if self.ahead.is_none() {
            let object = self.remote.next_object().await?;
            self.ahead = object.map(|object| RemoteFile {
                name: object.key_bytes().split_off(self.prefix_len),
                object,
            });
        }
        Ok(pairing(&mut self.local, &mut self.ahead))
    }
}

/// The lower of the next names of either side.
fn pairing(
    local: &mut Peekable<IntoIter<LocalFile>>,
    remote: &mut Option<RemoteFile>,
) -> Option<Pairing> {
    let order = match (local.peek(), &*remote) {
        (None, None) => return None,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(file), Some(object)) => file.name.as_bytes().cmp(&object.name),
    };
    match order {
        Ordering::Less => local.next().map(Pairing::Local),
        Ordering::Greater => remote.take().map(Pairing::Remote),
        Ordering::Equal => local
            .next()
            .zip(remote.take())
            .map(|(file, object)| Pairing::Both(file, object)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn file(name: &str) -> LocalFile {
        LocalFile {
            path: name.into(),
            name: name.to_owned(),
            bytes: 0,
            modified: UNIX_EPOCH.into(),
        }
    }

    fn remote_file(name: &str) -> RemoteFile {
        RemoteFile {
            name: name.as_bytes().to_vec(),
            object: Object::default(),
        }
    }

    proptest! {
        #[test]
        fn each_name_is_met_once_on_its_side(
            left in prop::collection::btree_set("[a-c/.]{1,3}", 0..8),
            right in prop::collection::btree_set("[a-c/.]{1,3}", 0..8),
        ) {
            let files: Vec<_> = left.iter().map(|it| file(it)).collect();
            let mut local = files.into_iter().peekable();
            let mut objects = right.iter().map(|it| remote_file(it));
            let (mut alone, mut behind, mut both) = <(BTreeSet<_>, BTreeSet<_>, BTreeSet<_>)>::default();
            let mut ahead = None;
            loop {
                ahead = ahead.or_else(|| objects.next());
                match pairing(&mut local, &mut ahead) {
                    None => break,
                    Some(Pairing::Local(it)) => prop_assert!(alone.insert(it.name)),
                    Some(Pairing::Remote(it)) => prop_assert!(behind.insert(String::from_utf8(it.name).unwrap())),
                    Some(Pairing::Both(it, _)) => prop_assert!(both.insert(it.name)),
                }
            }

            prop_assert_eq!(alone, &left - &right);
            prop_assert_eq!(behind, &right - &left);
            prop_assert_eq!(both, &left & &right);
        }
    }
}
