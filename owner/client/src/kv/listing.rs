//! What there is: pages of objects, versions and uploads; and deletion, which needs no content either.

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::Plaintext;
use sc_proto::storage::{self, operation::Operation as Kind};

use super::objects::Condition;
use super::session::{PAUSE, TRIES};
use super::{Answer, Head, KvClient, KvError};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Keys that contain this behind the prefix are listed as one common prefix; empty: every key by itself.
    pub delimiter: Vec<u8>,
    /// Of the page before; empty: from the beginning.
    pub cursor: Vec<u8>,
    /// Entries of a page, 1 to 1000.
    pub limit: u32,
    /// All versions and delete markers, the newest of each key first.
    pub versions: bool,
}

/// One page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Ascending by key.
    pub heads: Vec<Head>,
    /// Common prefixes, ascending, delimiter included.
    pub prefixes: Vec<Bytes>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<Bytes>,
}

/// An upload that is under way.
pub type UploadEntry = Head;

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The version that is gone, or the delete marker that was made.
    pub version: Option<[u8; 16]>,
    /// Whether that is a delete marker that was made.
    pub is_marker: bool,
    /// Whether enough locations keep that it is deleted, as the store says. Where they do not, a catalogue that is made again of the
    /// locations may bring the object back: delete it again when they answer.
    pub is_sure: bool,
}

impl KvClient {
    /// A page of a datastore.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn list(&self, datastore: &str, options: &ListOptions) -> Result<Listing, KvError> {
        let operation = Kind::ListObjects(storage::ListObjects {
            datastore: datastore.to_owned(),
            prefix: Bytes::copy_from_slice(&options.prefix),
            delimiter: Bytes::copy_from_slice(&options.delimiter),
            cursor: Bytes::copy_from_slice(&options.cursor),
            limit: options.limit,
            versions: options.versions,
        });
        let listing = page(self.ask(operation, &[], &[], true).await?)?;
        let is_asked_for = |key: &Bytes| key.starts_with(&options.prefix);
        let mut keys = listing.heads.iter().map(|head| &head.key);
        if !keys.all(is_asked_for) || !listing.prefixes.iter().all(is_asked_for) {
            return Err(KvError::Malformed("an object that was not asked for"));
        }
        Ok(listing)
    }

    /// Current objects that carry a tag, which the datastore must index.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn search(
        &self,
        datastore: &str,
        tag: (&str, &str),
        cursor: &[u8],
        limit: u32,
    ) -> Result<Listing, KvError> {
        let operation = Kind::SearchObjects(storage::SearchObjects {
            datastore: datastore.to_owned(),
            cursor: Bytes::copy_from_slice(cursor),
            limit,
        });
        let tag = storage::Pair {
            name: tag.0.to_owned(),
            value: tag.1.to_owned(),
        };
        let secret = Plaintext::new(tag.encode_to_vec());
        let listing = page(self.ask(operation, &secret, &[], true).await?)?;
        let carries = |head: &Head| {
            let object = head.object.as_ref();
            object.is_some_and(|object| object.tags.contains(&tag))
        };
        if !listing.heads.iter().all(carries) {
            return Err(KvError::Malformed("an object without the tag"));
        }
        Ok(listing)
    }

    /// Deletes: `version` for good; without one the current object, in whose place a datastore with versions puts a delete marker.
    ///
    /// # Errors
    /// [`KvError`]; deleting what is not there is none.
    pub async fn delete(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<[u8; 16]>,
        condition: Condition,
    ) -> Result<Deleted, KvError> {
        let marker = self.draw_version();
        let operation = Kind::DeleteObject(storage::DeleteObject {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version: version.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it)),
            condition: condition.to_proto(),
            marker: Bytes::copy_from_slice(&marker),
        });
        let mut done = self.ask(operation.clone(), &[], &[], true).await?.done;
        let version: Option<[u8; 16]> = done.version[..].try_into().ok();
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            if !done.is_unsure {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            // It is done, whatever becomes of this.
            match self.ask(operation.clone(), &[], &[], true).await {
                Ok(answer) => done = answer.done,
                Err(_) => break,
            }
        }
        Ok(Deleted {
            version,
            is_marker: version == Some(marker),
            is_sure: !done.is_unsure,
        })
    }

    /// Where the pieces of a version lie, as the store says: a JSON document.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn stat(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<[u8; 16]>,
    ) -> Result<(Head, String), KvError> {
        let operation = Kind::StatObject(storage::StatObject {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version: version.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it)),
        });
        let mut answer = self.ask(operation, &[], &[], true).await?;
        let document = std::mem::take(&mut answer.done.document);
        let head = page(answer)?.heads.pop();
        let head = head.ok_or(KvError::Malformed("no head of the object"))?;
        if head.key[..] != *key || version.is_some_and(|version| head.version[..] != version) {
            return Err(KvError::Malformed("another object than was asked for"));
        }
        Ok((head, document))
    }
}

pub(super) fn page(answer: Answer) -> Result<Listing, KvError> {
    let heads = storage::Heads::decode(&answer.sealed[..])
        .map_err(|_| KvError::Malformed("a page of heads"))?;
    Ok(Listing {
        heads: heads.heads,
        prefixes: answer.done.prefixes,
        cursor: Some(answer.done.cursor).filter(|cursor| !cursor.is_empty()),
    })
}
