//! Removal records: which versions are gone, until every location has dropped their manifests.
//!
//! Invariant: a version is gone and its record there in one transaction.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::jobs::draw_id;
use crate::transaction::{Row, Transaction};
use crate::{Catalog, CatalogError, DatastoreId, Key, VersionId, catalog::Reach, locations};

/// A removal record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its id.
    pub id: u64,
    /// Where the object was.
    pub datastore: DatastoreId,
    /// Its key.
    pub key: Key,
    /// The number of the deletion; 0 where nothing was deleted, and a manifest replaced.
    pub number: u64,
    /// What the manifests of the versions that are gone are named by, one after the other.
    pub record: Bytes,
    /// When their manifests may be dropped.
    pub due_ms: u64,
    /// The ids of the files at the locations that say the same, sixteen bytes each, one after the other.
    pub words: Bytes,
}

impl Catalog {
    /// The oldest removal records that are due, at most `limit`, by id; those of manifests that a move has replaced only once the locations hold
    /// the new one.
    pub async fn removals(&self, now_ms: u64, limit: usize) -> Result<Vec<Removal>, CatalogError> {
        self.read(Reach::Scan, (now_ms, limit), |tx, (now_ms, limit)| {
            Box::pin(removals(tx, *now_ms, *limit))
        })
        .await
    }

    /// The greatest number among the versions of a key that are gone and whose manifests may still be there.
    pub async fn last_removed(
        &self,
        datastore: DatastoreId,
        key: &Key,
    ) -> Result<Option<u64>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone()),
            |tx, (datastore, key)| Box::pin(last_removed(tx, datastore, key)),
        )
        .await
    }

    /// Notes that a file at the locations, named by `word`, is about to say which versions of a key are gone; returns the greatest number
    /// among them. `None`, and nothing is to be said, where none is gone whose manifest may still be there.
    pub async fn name_removal(
        &self,
        datastore: DatastoreId,
        key: &Key,
        word: [u8; 16],
    ) -> Result<Option<u64>, CatalogError> {
        self.write(
            (datastore, key.clone(), word),
            |tx, (datastore, key, word)| Box::pin(name_removal(tx, datastore, key, word)),
        )
        .await
    }

    /// Whether nothing is left of what the files of a removal are about: neither a segment of its versions, nor an older removal of the key,
    /// whose manifests may still be somewhere. Only then may the files go.
    pub async fn are_words_spent(&self, removal: &Removal) -> Result<bool, CatalogError> {
        self.read(Reach::Scan, removal.clone(), |tx, removal| {
            Box::pin(are_words_spent(tx, removal))
        })
        .await
    }

    /// The ids of all files at the locations that say what is gone, and are to stay.
    pub async fn words(&self) -> Result<BTreeSet<[u8; 16]>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(words(tx)))
            .await
    }

    /// Forgets the files of a removal, which are gone everywhere; unless others have come to them.
    pub async fn forget_words(&self, removal: &Removal) -> Result<(), CatalogError> {
        self.write((removal.id, removal.words.clone()), |tx, (id, words)| {
            Box::pin(forget_words(tx, *id, words))
        })
        .await
    }

    /// Has a removal looked at again at another time.
    pub async fn put_off_removal(&self, id: u64, due_ms: u64) -> Result<(), CatalogError> {
        self.write((id, due_ms), |tx, (id, due_ms)| {
            Box::pin(async move {
                let sql = "UPDATE removal SET due_ms = $2 WHERE id = $1";
                let params = [(*id).into(), (*due_ms).into()];
                tx.execute(sql, &params).await.map(drop)
            })
        })
        .await
    }

    /// Forgets a removal record. Does nothing if there is none, or if files at the locations say the same.
    pub async fn forget_removal(&self, id: u64) -> Result<(), CatalogError> {
        self.write(id, |tx, id| Box::pin(forget_removal(tx, *id)))
            .await
    }
}

/// Notes that the versions of a key with these manifests, up to `number`, are gone; returns the record's id.
pub(crate) async fn put(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    number: u64,
    manifests: &[VersionId],
    due_ms: u64,
) -> Result<u64, CatalogError> {
    let id = draw_id(tx).await?;
    let record = manifests.iter().flat_map(|manifest| manifest.0);
    let record: Vec<u8> = record.collect();
    let sql = "INSERT INTO removal (id, datastore, key, number, record, due_ms) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    let params = [
        id.into(),
        datastore.into(),
        key.into(),
        number.into(),
        (&*record).into(),
        due_ms.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(id)
}

async fn removals(
    tx: &mut dyn Transaction,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<Removal>, CatalogError> {
    let sql = "SELECT id, datastore, key, number, record, due_ms, words FROM removal \
        WHERE due_ms <= $1 AND (number > 0 OR NOT EXISTS (SELECT 1 FROM manifest_debt d JOIN version v ON v.id = d.version \
            WHERE v.datastore = removal.datastore AND v.key = removal.key AND v.placed > 0)) \
        ORDER BY id LIMIT $2";
    let rows = tx.query(sql, &[now_ms.into(), limit.into()]).await?;
    rows.into_iter().map(from_row).collect()
}

async fn last_removed(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
) -> Result<Option<u64>, CatalogError> {
    let sql = "SELECT number FROM removal WHERE datastore = $1 AND key = $2 AND number > 0 \
        ORDER BY number DESC LIMIT 1";
    let mut rows = tx.query(sql, &[datastore.into(), key.into()]).await?;
    rows.pop().map(|mut row| row.take()).transpose()
}

fn from_row(mut row: Row) -> Result<Removal, CatalogError> {
    Ok(Removal {
        id: row.take()?,
        datastore: row.take()?,
        key: row.take()?,
        number: row.take()?,
        record: row.take()?,
        due_ms: row.take()?,
        words: row.optional()?.unwrap_or_default(),
    })
}

async fn forget_removal(tx: &mut dyn Transaction, id: u64) -> Result<(), CatalogError> {
    let sql = "DELETE FROM removal WHERE id = $1 AND words IS NULL";
    tx.execute(sql, &[id.into()]).await?;
    Ok(())
}

async fn name_removal(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    word: &[u8; 16],
) -> Result<Option<u64>, CatalogError> {
    let sql = "SELECT id, number, words FROM removal WHERE datastore = $1 AND key = $2 AND number > 0 \
        ORDER BY number DESC LIMIT 1 /* FOR UPDATE */";
    let mut rows = tx.query(sql, &[datastore.into(), key.into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(None);
    };
    let (id, number) = (row.take()?, row.take()?);
    let words: Option<Bytes> = row.optional()?;
    add_word(tx, id, &words.unwrap_or_default(), word).await?;
    Ok(Some(number))
}

/// Adds the id of a file to those of a removal, unless it is among them.
pub(crate) async fn add_word(
    tx: &mut dyn Transaction,
    id: u64,
    words: &[u8],
    word: &[u8; 16],
) -> Result<(), CatalogError> {
    if words.as_chunks().0.contains(word) {
        return Ok(());
    }
    let words = [words, word].concat();
    let sql = "UPDATE removal SET words = $2 WHERE id = $1";
    tx.execute(sql, &[id.into(), (&*words).into()]).await?;
    Ok(())
}

async fn are_words_spent(
    tx: &mut dyn Transaction,
    removal: &Removal,
) -> Result<bool, CatalogError> {
    let sql = "SELECT 1 FROM removal WHERE datastore = $1 AND key = $2 AND number <= $3 AND id <> $4 \
        LIMIT 1";
    let params = [
        (&removal.datastore).into(),
        (&removal.key).into(),
        removal.number.into(),
        removal.id.into(),
    ];
    if !tx.query(sql, &params).await?.is_empty() {
        return Ok(false);
    }
    // What a location has that nobody has looked at, they are about, too.
    if locations::may_hide_something(tx).await? {
        return Ok(false);
    }
    for version in removal.record.as_chunks::<16>().0 {
        let sql = "SELECT 1 FROM segment WHERE version = $1 LIMIT 1";
        if !tx.query(sql, &[version.into()]).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn words(tx: &mut dyn Transaction) -> Result<BTreeSet<[u8; 16]>, CatalogError> {
    let sql = "SELECT words FROM removal WHERE words IS NOT NULL";
    let mut all = BTreeSet::new();
    for mut row in tx.query(sql, &[]).await? {
        let words: Bytes = row.take()?;
        all.extend(words.as_chunks().0);
    }
    Ok(all)
}

async fn forget_words(
    tx: &mut dyn Transaction,
    id: u64,
    words: &Bytes,
) -> Result<(), CatalogError> {
    let sql = "UPDATE removal SET words = NULL WHERE id = $1 AND words = $2";
    tx.execute(sql, &[id.into(), words.into()]).await?;
    Ok(())
}
