//! A listing, entry by entry: the pages behind it are asked for as they are needed.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Object, Query, Remote, RemoteError};

/// One line of a listing.
#[derive(Debug)]
pub(crate) enum Entry {
    Object(Box<Object>),
    /// What several keys have in common, the delimiter included.
    Prefix(Bytes),
}

impl Entry {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Object(object) => object.key_bytes(),
            Self::Prefix(prefix) => prefix.to_vec(),
        }
    }
}

/// What a query finds, ascending by key.
pub(crate) struct Objects<'r> {
    remote: &'r Remote,
    query: Query,
    page: VecDeque<Entry>,
    next: Option<Bytes>,
    is_last: bool,
}

impl<'r> Objects<'r> {
    /// Asks for nothing yet.
    pub(crate) fn new(remote: &'r Remote, query: Query) -> Self {
        Self {
            remote,
            query,
            page: VecDeque::new(),
            next: None,
            is_last: false,
        }
    }

    /// The next entry; none behind the last.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, RemoteError> {
        while self.page.is_empty() && !self.is_last {
            let page = self.remote.page(&self.query, self.next.as_deref()).await?;
            self.is_last = page.next.is_none();
            self.next = page.next;
            let objects = page.objects.into_iter().map(Box::new).map(Entry::Object);
            let prefixes = page.prefixes.into_iter().map(Entry::Prefix);
            let mut entries: Vec<Entry> = objects.chain(prefixes).collect();
            // Stable: versions of one key stay as they come, the newest first.
            entries.sort_by_cached_key(Entry::key);
            self.page = entries.into();
        }
        Ok(self.page.pop_front())
    }

    /// The next object of a query without a delimiter.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn next_object(&mut self) -> Result<Option<Object>, RemoteError> {
        loop {
            match self.next().await? {
                Some(Entry::Object(object)) => return Ok(Some(*object)),
                Some(Entry::Prefix(_)) => {}
                None => return Ok(None),
            }
        }
    }
}
