//! Pages of a datastore: its objects, or all their versions, grouped by a delimiter.

use crate::transaction::{Row, Transaction};
use crate::versions::version_columns;
use crate::{Catalog, CatalogError, DatastoreId, Key, Version, catalog::Reach, keys};

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

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Objects,
    Versions,
}

/// A point of the listing's order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The least key from here on.
    key: Vec<u8>,
    /// Of this very key, the versions below this number, before the keys above it; `None`: all of it.
    below: Option<u64>,
}

impl Place {
    fn at(key: Vec<u8>) -> Self {
        Self { key, below: None }
    }
}

/// What a page was asked for.
struct Asked {
    kind: Kind,
    datastore: DatastoreId,
    prefix: Vec<u8>,
    delimiter: Option<Vec<u8>>,
    from: Place,
    limit: usize,
}

impl Asked {
    fn new(
        kind: Kind,
        datastore: DatastoreId,
        prefix: &[u8],
        delimiter: Option<&[u8]>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Self, CatalogError> {
        if delimiter.is_some_and(<[u8]>::is_empty) {
            return Err(CatalogError::Invalid("a delimiter has at least one byte"));
        }
        let from = match after {
            None => Place::at(prefix.to_vec()),
            Some(cursor) if cursor.is_prefix => Place::at(keys::end(&cursor.key)),
            Some(Cursor { key, number, .. }) if kind == Kind::Versions && number.is_some() => {
                Place {
                    key: key.to_vec(),
                    below: *number,
                }
            }
            Some(cursor) => Place::at(keys::after(&cursor.key)),
        };
        let is_before = from.key.as_slice() < prefix;
        Ok(Self {
            kind,
            datastore,
            prefix: prefix.to_vec(),
            delimiter: delimiter.map(<[u8]>::to_vec),
            from: if is_before {
                Place::at(prefix.to_vec())
            } else {
                from
            },
            limit,
        })
    }

    /// The place behind a version.
    fn behind(&self, key: &[u8], number: u64) -> Place {
        match self.kind {
            Kind::Objects => Place::at(keys::after(key)),
            Kind::Versions => Place {
                key: key.to_vec(),
                below: Some(number),
            },
        }
    }

    /// The cursor that is behind a version.
    fn cursor(&self, key: &Key, number: u64) -> Cursor {
        Cursor {
            key: key.clone(),
            number: (self.kind == Kind::Versions).then_some(number),
            is_prefix: false,
        }
    }
}

async fn page(tx: &mut dyn Transaction, asked: &Asked) -> Result<Page, CatalogError> {
    match &asked.delimiter {
        _ if asked.limit == 0 => Ok(Page::default()),
        None => plain_page(tx, asked).await,
        Some(delimiter) => grouped_page(tx, asked, delimiter).await,
    }
}

async fn plain_page(tx: &mut dyn Transaction, asked: &Asked) -> Result<Page, CatalogError> {
    let mut versions = whole(tx, asked, &asked.from, asked.limit.saturating_add(1)).await?;
    let has_more = versions.len() > asked.limit;
    versions.truncate(asked.limit);
    let last = versions.last().filter(|_| has_more);
    Ok(Page {
        next: last.map(|last| asked.cursor(&last.key, last.number)),
        versions,
        prefixes: Vec::new(),
    })
}

/// Versions that follow one another with no common prefix between them.
struct Run {
    from: Place,
    count: usize,
}

/// How many keys are looked at in one go: the first time, and at least and at most afterwards.
const LOOK_FIRST: usize = 32;
const LOOK_MIN: usize = 2;
const LOOK_MAX: usize = 1024;

/// Walks over the keys alone, past each common prefix with one search, and then reads the versions of what it met. Each look is twice as
/// wide as the last one was fruitful, so that neither many keys under one prefix nor many prefixes are dear.
async fn grouped_page(
    tx: &mut dyn Transaction,
    asked: &Asked,
    delimiter: &[u8],
) -> Result<Page, CatalogError> {
    let mut found = Found::default();
    let mut place = asked.from.clone();
    let mut look = LOOK_FIRST;
    while !found.has_more {
        let keys = bare(tx, asked, &place, look).await?;
        let Some((last, number)) = keys.last().cloned() else {
            break;
        };
        let taken = found.taken;
        for (key, number) in &keys {
            found.meet(asked, delimiter, key, *number);
        }
        place = match &found.behind_prefix {
            Some(behind) if *last < **behind => Place::at(behind.clone()),
            _ => asked.behind(&last, number),
        };
        look = ((found.taken - taken) * 2).clamp(LOOK_MIN, LOOK_MAX);
    }
    found.read(tx, asked).await
}

/// What a walk has met.
#[derive(Default)]
struct Found {
    taken: usize,
    runs: Vec<Run>,
    in_run: bool,
    prefixes: Vec<Key>,
    /// The end of the latest common prefix.
    behind_prefix: Option<Vec<u8>>,
    last: Option<Cursor>,
    has_more: bool,
}

impl Found {
    fn meet(&mut self, asked: &Asked, delimiter: &[u8], key: &Key, number: u64) {
        if self.has_more
            || self
                .behind_prefix
                .as_deref()
                .is_some_and(|behind| &**key < behind)
        {
            return;
        }
        if self.taken == asked.limit {
            self.has_more = true;
            return;
        }
        self.taken += 1;
        if let Some(prefix) = keys::common_prefix(key, &asked.prefix, delimiter) {
            let prefix = key.slice_ref(prefix);
            self.behind_prefix = Some(keys::end(&prefix));
            self.prefixes.push(prefix.clone());
            self.in_run = false;
            self.last = Some(Cursor {
                key: prefix,
                number: None,
                is_prefix: true,
            });
            return;
        }
        self.last = Some(asked.cursor(key, number));
        match self.runs.last_mut().filter(|_| self.in_run) {
            Some(run) => run.count += 1,
            None => self.runs.push(Run {
                from: self.start_of_run(asked, key),
                count: 1,
            }),
        }
        self.in_run = true;
    }

    /// A run begins with a whole key, but for the one at the page's beginning.
    fn start_of_run(&self, asked: &Asked, key: &Key) -> Place {
        if asked.from.key == **key {
            asked.from.clone()
        } else {
            Place::at(key.to_vec())
        }
    }

    async fn read(self, tx: &mut dyn Transaction, asked: &Asked) -> Result<Page, CatalogError> {
        let mut versions = Vec::new();
        for run in &self.runs {
            versions.extend(whole(tx, asked, &run.from, run.count).await?);
        }
        Ok(Page {
            versions,
            prefixes: self.prefixes,
            next: self.last.filter(|_| self.has_more),
        })
    }
}

/// Statements for what lies from a place on: all keys, or the rest of one.
struct Statements {
    keys: &'static str,
    rest: &'static str,
}

/// At most `limit` versions from a place on.
async fn whole(
    tx: &mut dyn Transaction,
    asked: &Asked,
    place: &Place,
    limit: usize,
) -> Result<Vec<Version>, CatalogError> {
    let statements = match asked.kind {
        Kind::Objects => Statements {
            keys: concat!(
                "SELECT ",
                version_columns!("1"),
                " FROM object o JOIN version v ON v.datastore = o.datastore AND v.key = o.key AND v.number = o.number \
                    WHERE o.datastore = $1 AND o.key >= $2 AND o.key < $3 ORDER BY o.key LIMIT $4"
            ),
            rest: "",
        },
        Kind::Versions => Statements {
            keys: concat!(
                "SELECT ",
                version_columns!(),
                " FROM version v WHERE v.datastore = $1 AND v.key >= $2 AND v.key < $3 \
                    ORDER BY v.key, v.number DESC LIMIT $4"
            ),
            rest: concat!(
                "SELECT ",
                version_columns!(),
                " FROM version v WHERE v.datastore = $1 AND v.key = $2 AND v.number < $3 \
                    ORDER BY v.number DESC LIMIT $4"
            ),
        },
    };
    Version::from_rows(rows(tx, asked, &statements, place, limit).await?)
}

/// At most `limit` keys, with the numbers of their versions, from a place on. Objects say 0.
async fn bare(
    tx: &mut dyn Transaction,
    asked: &Asked,
    place: &Place,
    limit: usize,
) -> Result<Vec<(Key, u64)>, CatalogError> {
    let statements = match asked.kind {
        Kind::Objects => Statements {
            keys: "SELECT key, 0 FROM object WHERE datastore = $1 AND key >= $2 AND key < $3 \
                ORDER BY key LIMIT $4",
            rest: "",
        },
        Kind::Versions => Statements {
            keys: "SELECT key, number FROM version WHERE datastore = $1 AND key >= $2 AND key < $3 \
                ORDER BY key, number DESC LIMIT $4",
            rest: "SELECT key, number FROM version WHERE datastore = $1 AND key = $2 AND number < $3 \
                ORDER BY number DESC LIMIT $4",
        },
    };
    let rows = rows(tx, asked, &statements, place, limit).await?;
    rows.into_iter()
        .map(|mut row| Ok((row.take()?, row.take()?)))
        .collect()
}

async fn rows(
    tx: &mut dyn Transaction,
    asked: &Asked,
    statements: &Statements,
    place: &Place,
    limit: usize,
) -> Result<Vec<Row>, CatalogError> {
    let datastore = &asked.datastore;
    let mut rows = Vec::new();
    let mut from = place.key.clone();
    if let Some(below) = place.below {
        let params = [
            datastore.into(),
            (&*place.key).into(),
            below.into(),
            limit.into(),
        ];
        if place.key.starts_with(&asked.prefix) {
            rows = tx.query(statements.rest, &params).await?;
        }
        from = keys::after(&place.key);
    }
    let left = limit - rows.len();
    if left > 0 {
        let end = keys::end(&asked.prefix);
        let params = [
            datastore.into(),
            (&*from).into(),
            (&*end).into(),
            left.into(),
        ];
        rows.extend(tx.query(statements.keys, &params).await?);
    }
    Ok(rows)
}
