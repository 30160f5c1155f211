//! Pages of a datastore: its objects, or all their versions, grouped by a delimiter.

use crate::transaction::Transaction;
use crate::{Catalog, CatalogError, DatastoreId, Key, Version, catalog::Reach};

/// A part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Those whose keys have no delimiter after the prefix: by key, and then by number, descending.
    pub versions: Vec<Version>,
    /// What the other keys have in common up to and with their first delimiter after the prefix; ascending.
    pub prefixes: Vec<Key>,
    /// Where the next page begins, if there is more.
    pub next: Option<Cursor>,
}

/// The last thing on a page: the next one begins after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Its key or common prefix.
    pub key: Key,
    /// Of a listing of versions: go on with the versions of this key below this number. `None`: with the next key.
    pub number: Option<u64>,
    /// Whether `key` is a common prefix, so that all keys that begin with it are behind.
    pub is_prefix: bool,
}

impl Catalog {
    /// Objects whose keys begin with `prefix`, by key; `limit` counts objects and common prefixes together. Markers and older versions
    /// cost nothing; a common prefix costs one search in the index, however many keys have it.
    ///
    /// # Errors
    /// `Invalid` for an empty delimiter.
    pub async fn list(
        &self,
        datastore: DatastoreId,
        prefix: &[u8],
        delimiter: Option<&[u8]>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, CatalogError> {
        let asked = Asked::new(Kind::Objects, datastore, prefix, delimiter, after, limit)?;
        self.read(Reach::Scan, asked, |tx, asked| Box::pin(page(tx, asked)))
            .await
    }

    /// All versions and markers of keys that begin with `prefix`, by key and then by number, descending; otherwise as
    /// [`Catalog::list`].
    ///
    /// # Errors
    /// `Invalid` for an empty delimiter.
    pub async fn list_versions(
        &self,
        datastore: DatastoreId,
        prefix: &[u8],
        delimiter: Option<&[u8]>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, CatalogError> {
        let asked = Asked::new(Kind::Versions, datastore, prefix, delimiter, after, limit)?;
        self.read(Reach::Scan, asked, |tx, asked| Box::pin(page(tx, asked)))
            .await
    }
}

// STUB
enum Kind {
    Objects,
    Versions,
}
struct Asked;
impl Asked {
    fn new(
        _: Kind,
        _: DatastoreId,
        _: &[u8],
        _: Option<&[u8]>,
        _: Option<&Cursor>,
        _: usize,
    ) -> Result<Self, CatalogError> {
        Ok(Self)
    }
}
async fn page(_: &mut dyn Transaction, _: &Asked) -> Result<Page, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
