//! A catalogue is made again of what was found at the locations: a merge into what it has.
//!
//! Invariants: what is merged again changes nothing; what the catalogue knows to be gone does not come back; of a datastore that keeps no
//! versions the greatest number of a key remains, and what it replaces is garbage. Sums and the counter of numbers are right when
//! [`Catalog::merge_datastore`] has come after all versions of the datastore; until then a new datastore is not there to be written to.

mod found;

use bytes::Bytes;

use crate::current::{self, Latest};
use crate::segments::{is_owed, stored_bytes};
use crate::transaction::{Param, Transaction};
use crate::versions::NewVersion;
use crate::{
    Catalog, CatalogError, Datastore, DatastoreId, Fragment, Key, Subject, TenantId, VersionId,
    catalog::Reach, datastores, garbage, keys, notes, removals, spent, uploads, versions,
};

pub use self::found::{
    Found, FoundDatastore, FoundFragment, FoundRemoval, FoundSegment, FoundVersion, Merged,
    MergedDatastore, Present,
};

/// More writes than a datastore sees between two rebuilds.
const NUMBERS_APART: u64 = 1 << 32;

pub(crate) async fn is_due(tx: &mut dyn Transaction) -> Result<bool, CatalogError> {
    let sql = "SELECT last FROM counter WHERE name = 'rebuild'";
    let mut rows = tx.query(sql, &[]).await?;
    rows.pop().map_or(Ok(false), |mut row| row.take())
}

impl Catalog {
    /// Whether a rebuild is due: the catalogue is new, or was restored, and does not know all that lies at the locations.
    pub async fn is_rebuild_due(&self) -> Result<bool, CatalogError> {
        self.read(Reach::Point, (), |tx, ()| Box::pin(is_due(tx)))
            .await
    }

    /// Has every datastore go on with numbers far above those that were found: what lies at locations that are away may have the next ones,
    /// and is older than what is written from now on.
    pub async fn set_numbers_apart(&self) -> Result<(), CatalogError> {
        self.write((), |tx, ()| {
            Box::pin(async move {
                let sql = "UPDATE datastore SET last_number = last_number + $1";
                tx.execute(sql, &[NUMBERS_APART.into()]).await.map(drop)
            })
        })
        .await
    }

    /// Notes whether a rebuild is due.
    pub async fn set_rebuild_due(&self, is_due: bool) -> Result<(), CatalogError> {
        self.write(is_due, |tx, is_due| {
            Box::pin(async move {
                let sql = "UPDATE counter SET last = $1 WHERE name = 'rebuild'";
                tx.execute(sql, &[(*is_due).into()]).await.map(drop)
            })
        })
        .await
    }

    /// Merges a version of a policy. One that nothing was stored under gives way to what was found; `false` if another of that name and
    /// number is in use.
    pub async fn merge_policy(
        &self,
        name: &str,
        version: u32,
        definition: &str,
    ) -> Result<bool, CatalogError> {
        self.write(
            (name.to_owned(), version, definition.to_owned()),
            |tx, (name, version, definition)| {
                Box::pin(merge_policy(tx, name, *version, definition))
            },
        )
        .await
    }

    /// Merges versions of one datastore.
    ///
    /// # Errors
    /// `Invalid` for a key or name of impossible length.
    pub async fn merge_versions(&self, found: Found) -> Result<Merged, CatalogError> {
        self.write(found, |tx, found| Box::pin(merge_versions(tx, found)))
            .await
    }

    /// Notes manifests that others of their versions have taken the place of, with the datastore and key of each: their copies are to go.
    pub async fn discard_manifests(
        &self,
        manifests: &[(DatastoreId, Key, VersionId)],
        due_ms: u64,
    ) -> Result<(), CatalogError> {
        self.write((manifests.to_vec(), due_ms), |tx, (manifests, due_ms)| {
            Box::pin(discard_manifests(tx, manifests, *due_ms))
        })
        .await
    }

    /// Merges a datastore, after all its versions, and makes its sums and its counter right.
    pub async fn merge_datastore(
        &self,
        found: FoundDatastore,
    ) -> Result<MergedDatastore, CatalogError> {
        self.write(found, |tx, found| Box::pin(merge_datastore(tx, found)))
            .await
    }

    /// Merges removals, before any version: versions that they are about go.
    pub async fn merge_removals(
        &self,
        found: &[FoundRemoval],
        due_ms: u64,
    ) -> Result<u64, CatalogError> {
        self.write((found.to_vec(), due_ms), |tx, (found, due_ms)| {
            Box::pin(merge_removals(tx, found, *due_ms))
        })
        .await
    }

    /// Merges a record, as it is after this many changes; `None`: it was deleted. Returns whether that changed anything.
    pub async fn merge_record(
        &self,
        subject: &Subject,
        sealed: Option<Bytes>,
        change: u64,
        oldest: u64,
        is_kept: bool,
    ) -> Result<bool, CatalogError> {
        self.write(
            (subject.clone(), sealed, change, oldest, is_kept),
            |tx, (subject, sealed, change, oldest, is_kept)| {
                Box::pin(merge_record(
                    tx,
                    subject,
                    sealed.as_ref(),
                    (*change, *oldest, *is_kept),
                ))
            },
        )
        .await
    }

    /// At most `limit` versions, by id, those after `after`.
    pub async fn present(
        &self,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<Present>, CatalogError> {
        self.read(Reach::Scan, (after, limit), |tx, (after, limit)| {
            Box::pin(present(tx, after.as_ref(), *limit))
        })
        .await
    }

    /// Every note whose change enough locations keep, in no order: what of them is at no location any more was deleted.
    pub async fn kept_notes(&self) -> Result<Vec<crate::Note>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(notes::kept(tx)))
            .await
    }

    /// Every datastore, by id.
    pub async fn all_datastores(&self) -> Result<Vec<(Datastore, Vec<u64>)>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| {
            Box::pin(async move {
                let rows = tx
                    .query("SELECT id FROM datastore ORDER BY id", &[])
                    .await?;
                let mut all = Vec::with_capacity(rows.len());
                for mut row in rows {
                    let id: DatastoreId = row.take()?;
                    all.extend(datastores::with_switches(tx, &id).await?);
                }
                Ok(all)
            })
        })
        .await
    }
}

async fn merge_policy(
    tx: &mut dyn Transaction,
    name: &str,
    version: u32,
    definition: &str,
) -> Result<bool, CatalogError> {
    let params = [name.into(), version.into()];
    let sql = "SELECT definition FROM policy WHERE name = $1 AND version = $2";
    let mut rows = tx.query(sql, &params).await?;
    let before: Option<String> = rows.pop().map(|mut row| row.take()).transpose()?;
    match before {
        Some(before) if before == definition => return Ok(true),
        Some(_) => {
            let sql = "SELECT 1 FROM version WHERE policy = $1 AND policy_version = $2 LIMIT 1";
            if !tx.query(sql, &params).await?.is_empty() {
                return Ok(false);
            }
        }
        None => {}
    }
    let sql = "INSERT INTO policy (name, version, definition) VALUES ($1, $2, $3) \
        ON CONFLICT (name, version) DO UPDATE SET definition = excluded.definition";
    let params = [name.into(), version.into(), definition.into()];
    tx.execute(sql, &params).await?;
    Ok(true)
}

async fn merge_versions(tx: &mut dyn Transaction, found: &Found) -> Result<Merged, CatalogError> {
    let mut merged = Merged::default();
    for version in &found.versions {
        merge_version(tx, found, version, &mut merged).await?;
    }
    Ok(merged)
}

async fn merge_version(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
    merged: &mut Merged,
) -> Result<(), CatalogError> {
    keys::check(&version.key)?;
    let id = &version.id;
    let sql = "SELECT 1 FROM version WHERE id = $1 UNION ALL SELECT 2 FROM spent WHERE id = $1 ORDER BY 1";
    let rows = tx.query(sql, &[id.into()]).await?;
    match rows.first() {
        Some(row) if row.is_integer(1) => {
            if version.is_removed {
                remove(tx, found, &version.key, id).await?;
                merged.gone += 1;
            } else {
                merged.known += 1;
                if version.is_moved && is_placed_later(tx, version).await? {
                    move_version(tx, found, version).await?;
                    merged.moved += version.segments.len() as u64;
                }
                for segment in &version.segments {
                    merged.moved += u64::from(settle(tx, found, segment).await?);
                }
                owe(tx, version).await?;
            }
            return Ok(());
        }
        Some(_) => {
            merged.gone += 1;
            return Ok(());
        }
        None => {}
    }
    end_intent(tx, id).await?;
    if version.is_removed || is_replaced(tx, found, version).await? {
        bury(tx, found, version).await?;
        merged.gone += 1;
        return Ok(());
    }
    let before = current::latest(tx, &found.datastore, &version.key).await?;
    if !insert(tx, found, version).await? {
        merged.contradicting += 1;
        return Ok(());
    }
    let is_latest = before.as_ref().is_none_or(|it| it.number < version.number);
    if is_latest {
        let now = Latest {
            id: version.id,
            number: version.number,
            is_marker: version.is_marker,
            tags: version.tags.concat().into(),
        };
        current::follow(
            tx,
            &found.datastore,
            &version.key,
            before.as_ref(),
            Some(&now),
        )
        .await?;
    }
    if before.is_some() && !found.keeps(version.number) {
        merged.gone += replace_older(tx, found, version).await?;
    }
    owe(tx, version).await?;
    merged.added += 1;
    Ok(())
}

/// Whether the catalogue knows of an earlier placing of a version only.
async fn is_placed_later(
    tx: &mut dyn Transaction,
    version: &FoundVersion,
) -> Result<bool, CatalogError> {
    let sql = "SELECT CASE WHEN placed > 0 THEN placed ELSE number END FROM version WHERE id = $1";
    let mut rows = tx.query(sql, &[(&version.id).into()]).await?;
    let known: Option<u64> = rows.pop().map(|mut row| row.take()).transpose()?;
    Ok(known.is_some_and(|known| version.placed > known))
}

/// Takes over where a version was placed anew, under whatever policy.
async fn move_version(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
) -> Result<(), CatalogError> {
    garbage::discard(tx, &version.id, found.due_ms).await?;
    take_placing(tx, version).await?;
    put_segments(tx, found, version).await?;
    let sql = "UPDATE version SET policy = $2, policy_version = $3, head = $4, body = $5, manifest = $6, placed = $7 \
        WHERE id = $1";
    let params: [Param<'_>; 7] = [
        (&version.id).into(),
        (&*version.policy).into(),
        version.policy_version.into(),
        (&version.head).into(),
        (&version.body).into(),
        (&version.manifest).into(),
        version.placed.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// What the catalogue has of a placing that was under way: it was committed since, and its segments are the version's.
async fn take_placing(
    tx: &mut dyn Transaction,
    version: &FoundVersion,
) -> Result<(), CatalogError> {
    if !version.is_moved {
        return Ok(());
    }
    let sql = "DELETE FROM intent WHERE version = $1";
    let placing = [(&version.manifest).into()];
    if tx.execute(sql, &placing).await? > 0 {
        tx.execute("DELETE FROM segment WHERE version = $1", &placing)
            .await?;
    }
    Ok(())
}

/// A version that is being merged was committed after its intent was written down; what of the intent is not of the version is garbage.
async fn end_intent(tx: &mut dyn Transaction, id: &VersionId) -> Result<(), CatalogError> {
    let sql = "DELETE FROM intent WHERE version = $1";
    if tx.execute(sql, &[id.into()]).await? > 0 {
        uploads::drop_parts(tx, id).await?;
        let sql = "UPDATE segment SET position = NULL WHERE version = $1";
        tx.execute(sql, &[id.into()]).await?;
    }
    Ok(())
}

/// Whether a later version was written when the datastore kept none.
async fn is_replaced(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
) -> Result<bool, CatalogError> {
    if found.always_keeps() {
        return Ok(false);
    }
    let sql = "SELECT number FROM version WHERE datastore = $1 AND key = $2 AND number > $3";
    let params = [
        (&found.datastore).into(),
        (&version.key).into(),
        version.number.into(),
    ];
    for mut row in tx.query(sql, &params).await? {
        if !found.keeps(row.take()?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a version replaces goes.
async fn replace_older(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
) -> Result<u64, CatalogError> {
    let sql = "SELECT id FROM version WHERE datastore = $1 AND key = $2 AND number < $3";
    let params = [
        (&found.datastore).into(),
        (&version.key).into(),
        version.number.into(),
    ];
    let rows = tx.query(sql, &params).await?;
    let count = rows.len() as u64;
    for mut row in rows {
        let id: VersionId = row.take()?;
        let (datastore, key) = (&found.datastore, &version.key);
        versions::remove(tx, datastore, key, Some(&id), found.due_ms).await?;
    }
    Ok(count)
}

/// Removes a version that the catalogue has.
async fn remove(
    tx: &mut dyn Transaction,
    found: &Found,
    key: &Key,
    id: &VersionId,
) -> Result<(), CatalogError> {
    take_away(tx, &found.datastore, key, id, found.due_ms).await
}

async fn take_away(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    id: &VersionId,
    due_ms: u64,
) -> Result<(), CatalogError> {
    let before = current::latest(tx, datastore, key).await?;
    versions::remove(tx, datastore, key, Some(id), due_ms).await?;
    let now = current::latest(tx, datastore, key).await?;
    current::follow(tx, datastore, key, before.as_ref(), now.as_ref()).await?;
    Ok(())
}

/// What was deleted, and still lies somewhere: garbage.
async fn bury(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
) -> Result<(), CatalogError> {
    put_segments(tx, found, version).await?;
    garbage::discard(tx, &version.id, found.due_ms).await?;
    spent::spend(tx, &[version.id], found.due_ms).await?;
    let ids = [version.manifest];
    let (datastore, key) = (&found.datastore, &version.key);
    removals::put(tx, datastore, key, version.number, &ids, found.due_ms).await?;
    Ok(())
}

/// Writes a version and its segments; `false` if another one has its number.
async fn insert(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
) -> Result<bool, CatalogError> {
    let sql = "SELECT 1 FROM version WHERE datastore = $1 AND key = $2 AND number = $3";
    let params = [
        (&found.datastore).into(),
        (&version.key).into(),
        version.number.into(),
    ];
    if !tx.query(sql, &params).await?.is_empty() {
        return Ok(false);
    }
    take_placing(tx, version).await?;
    put_segments(tx, found, version).await?;
    garbage::discard_unplaced(tx, &version.id, found.due_ms).await?;
    let row = NewVersion {
        id: &version.id,
        datastore: &found.datastore,
        key: &version.key,
        number: version.number,
        size: version.size,
        created_ms: version.created_ms,
        policy: &version.policy,
        policy_version: version.policy_version,
        is_marker: version.is_marker,
        head: &version.head,
        tags: &version.tags.concat(),
        body: &version.body,
    };
    row.insert(tx).await?;
    if version.is_moved {
        let sql = "UPDATE version SET manifest = $2, placed = $3 WHERE id = $1";
        let params = [
            (&version.id).into(),
            (&version.manifest).into(),
            version.placed.into(),
        ];
        tx.execute(sql, &params).await?;
    }
    Ok(true)
}

async fn put_segments(
    tx: &mut dyn Transaction,
    found: &Found,
    version: &FoundVersion,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO segment (id, version, part, place, position, is_owed, plain_bytes, fragment_bytes, stored_bytes, \
            fragments, record) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
        ON CONFLICT (id) DO UPDATE SET position = excluded.position, due_ms = NULL, is_owed = excluded.is_owed, \
            stored_bytes = excluded.stored_bytes, fragments = excluded.fragments WHERE segment.version = excluded.version";
    for (position, segment) in (0_u32..).zip(&version.segments) {
        let fragments = segment.fragments(found, &[]);
        let packed = Fragment::pack(&fragments)?;
        let params: [Param<'_>; 11] = [
            (&segment.id).into(),
            (&version.id).into(),
            segment.part.into(),
            segment.index.into(),
            position.into(),
            is_owed(&fragments).into(),
            segment.plain_bytes.into(),
            segment.fragment_bytes.into(),
            stored_bytes(segment.fragment_bytes, &fragments).into(),
            (&*packed).into(),
            (&segment.record).into(),
        ];
        tx.execute(sql, &params).await?;
    }
    Ok(())
}

/// Brings a segment's fragments in line with where they were found; whether that changed anything.
async fn settle(
    tx: &mut dyn Transaction,
    found: &Found,
    segment: &FoundSegment,
) -> Result<bool, CatalogError> {
    let sql = "SELECT fragments FROM segment WHERE id = $1";
    let mut rows = tx.query(sql, &[(&segment.id).into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(false);
    };
    let before = row.take::<Bytes>()?;
    let fragments = segment.fragments(found, &Fragment::unpack(&before)?);
    let packed = Fragment::pack(&fragments)?;
    if packed == before {
        return Ok(false);
    }
    let sql = "UPDATE segment SET fragments = $2, is_owed = $3 WHERE id = $1";
    let owed = is_owed(&fragments);
    let params: [Param<'_>; 3] = [(&segment.id).into(), (&*packed).into(), owed.into()];
    tx.execute(sql, &params).await?;
    Ok(true)
}

async fn discard_manifests(
    tx: &mut dyn Transaction,
    manifests: &[(DatastoreId, Key, VersionId)],
    due_ms: u64,
) -> Result<(), CatalogError> {
    for (datastore, key, manifest) in manifests {
        let sql = "SELECT 1 FROM removal WHERE datastore = $1 AND key = $2 AND record = $3";
        let params = [datastore.into(), key.into(), manifest.into()];
        if tx.query(sql, &params).await?.is_empty() {
            removals::put(tx, datastore, key, 0, &[*manifest], due_ms).await?;
            spent::spend(tx, &[*manifest], due_ms).await?;
        }
    }
    Ok(())
}

async fn owe(tx: &mut dyn Transaction, version: &FoundVersion) -> Result<(), CatalogError> {
    if version.is_owed {
        let sql = "INSERT INTO manifest_debt (version) VALUES ($1) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[(&version.id).into()]).await?;
    }
    Ok(())
}

async fn merge_removals(
    tx: &mut dyn Transaction,
    found: &[FoundRemoval],
    due_ms: u64,
) -> Result<u64, CatalogError> {
    let mut gone = 0;
    for removal in found {
        let (datastore, key) = (&removal.datastore, &removal.key);
        let one = "SELECT id FROM version WHERE datastore = $1 AND key = $2 AND id = $3";
        let all = "SELECT id FROM version WHERE datastore = $1 AND key = $2 AND number <= $3";
        let number = removal.number.into();
        let (sql, last) = match &removal.version {
            Some(id) => (one, id.into()),
            None => (all, number),
        };
        let params: [Param<'_>; 3] = [datastore.into(), key.into(), last];
        for mut row in tx.query(sql, &params).await? {
            take_away(tx, datastore, key, &row.take()?, due_ms).await?;
            gone += 1;
        }
        if let Some(word) = &removal.word {
            keep_word(tx, removal, word, due_ms).await?;
        }
    }
    Ok(gone)
}

/// Notes the file of a removal, so that it goes when nothing is left of what it is about.
async fn keep_word(
    tx: &mut dyn Transaction,
    removal: &FoundRemoval,
    word: &[u8; 16],
    due_ms: u64,
) -> Result<(), CatalogError> {
    let (datastore, key) = (&removal.datastore, &removal.key);
    let sql = "SELECT id, number, words FROM removal WHERE datastore = $1 AND key = $2";
    let mut same = None;
    for mut row in tx.query(sql, &[datastore.into(), key.into()]).await? {
        let (id, number): (u64, u64) = (row.take()?, row.take()?);
        let words = row.optional::<Bytes>()?.unwrap_or_default();
        if words.as_chunks().0.contains(word) {
            return Ok(());
        }
        if number == removal.number {
            same = Some((id, words));
        }
    }
    let (id, words) = match same {
        Some(same) => same,
        None => {
            let ids: Vec<_> = removal.version.into_iter().collect();
            let id = removals::put(tx, datastore, key, removal.number, &ids, due_ms).await?;
            (id, Bytes::new())
        }
    };
    removals::add_word(tx, id, &words, word).await
}

async fn merge_datastore(
    tx: &mut dyn Transaction,
    found: &FoundDatastore,
) -> Result<MergedDatastore, CatalogError> {
    let it = &found.datastore;
    let subject = Subject::Datastore(it.tenant, it.id);
    let merged = merge_settings(tx, found, &subject).await?;
    if matches!(merged, MergedDatastore::NameTaken) {
        return Ok(merged);
    }
    merge_note(tx, &subject, (found.change, found.oldest, found.is_kept)).await?;
    if !matches!(merged, MergedDatastore::Gone) {
        settle_sums(tx, &it.id, found.last_number).await?;
    }
    Ok(merged)
}

async fn merge_settings(
    tx: &mut dyn Transaction,
    found: &FoundDatastore,
    subject: &Subject,
) -> Result<MergedDatastore, CatalogError> {
    let it = &found.datastore;
    let switches = datastores::pack_switches(&found.switches);
    let known = datastores::with_switches(tx, &it.id).await?;
    let before = change_of(tx, subject).await?;
    if found.is_gone {
        let sql = "DELETE FROM datastore WHERE id = $1 \
            AND NOT EXISTS (SELECT 1 FROM version WHERE datastore = $1)";
        tx.execute(sql, &[(&it.id).into()]).await?;
        return Ok(MergedDatastore::Gone);
    }
    if known.is_some() {
        if found.change <= before {
            return Ok(MergedDatastore::Same);
        }
        let sql = "UPDATE datastore SET policy = $2, versioning = $3, quota_bytes = $4, wrapped_key = $5, root_number = $6, \
            switches = $7, created_ms = $8 WHERE id = $1";
        let params: [Param<'_>; 8] = [
            (&it.id).into(),
            (&*it.policy).into(),
            it.versioning.into(),
            it.quota_bytes.into(),
            (&it.wrapped_key).into(),
            it.root_number.into(),
            (&*switches).into(),
            it.created_ms.into(),
        ];
        tx.execute(sql, &params).await?;
        return Ok(MergedDatastore::Changed);
    }
    let sql = "INSERT INTO datastore (id, tenant, name, policy, versioning, quota_bytes, used_bytes, stored_bytes, objects, \
            versions, last_number, wrapped_key, root_number, created_ms, switches) \
        VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, 0, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let params: [Param<'_>; 10] = [
        (&it.id).into(),
        (&it.tenant).into(),
        (&*it.name).into(),
        (&*it.policy).into(),
        it.versioning.into(),
        it.quota_bytes.into(),
        (&it.wrapped_key).into(),
        it.root_number.into(),
        it.created_ms.into(),
        (&*switches).into(),
    ];
    match tx.execute(sql, &params).await? {
        0 => Ok(MergedDatastore::NameTaken),
        _ => Ok(MergedDatastore::Added),
    }
}

async fn change_of(tx: &mut dyn Transaction, subject: &Subject) -> Result<u64, CatalogError> {
    let sql = "SELECT change FROM note \
        WHERE tenant = $1 AND datastore = $2 AND kind = $3 AND id = $4";
    let mut rows = tx.query(sql, &subject.params()).await?;
    rows.pop().map_or(Ok(0), |mut row| row.take())
}

/// Brings a note in line with the copies that were found. Settings that were guessed are change 0: no location keeps them, and those that are
/// found later count, until somebody changes them or there are no locations that may have them.
async fn merge_note(
    tx: &mut dyn Transaction,
    subject: &Subject,
    (change, oldest, is_kept): (u64, u64, bool),
) -> Result<(), CatalogError> {
    let kept = if is_kept { change } else { 0 };
    let sql = "INSERT INTO note (tenant, datastore, kind, id, change, kept, oldest) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, datastore, kind, id) DO UPDATE SET \
            change = CASE WHEN excluded.change > note.change THEN excluded.change ELSE note.change END, \
            kept = CASE WHEN excluded.kept > note.kept THEN excluded.kept ELSE note.kept END, \
            oldest = CASE WHEN excluded.oldest < note.oldest THEN excluded.oldest ELSE note.oldest END";
    let mut params = subject.params().to_vec();
    let oldest = oldest.clamp(change.min(1), change);
    let numbers: [Param<'_>; 3] = [change.into(), kept.into(), oldest.into()];
    params.extend(numbers);
    tx.execute(sql, &params).await?;
    Ok(())
}

async fn settle_sums(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
    last_number: u64,
) -> Result<(), CatalogError> {
    datastores::lock(tx, id).await?;
    let sql = "UPDATE version SET stored_bytes = (SELECT CAST(coalesce(sum(s.stored_bytes), 0) AS BIGINT) FROM segment s \
            WHERE s.version = version.id AND s.position IS NOT NULL) \
        WHERE datastore = $1 AND stored_bytes <> (SELECT CAST(coalesce(sum(s.stored_bytes), 0) AS BIGINT) FROM segment s \
            WHERE s.version = version.id AND s.position IS NOT NULL)";
    tx.execute(sql, &[id.into()]).await?;
    let sql = "UPDATE datastore SET \
        used_bytes = (SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM version WHERE datastore = $1), \
        stored_bytes = (SELECT CAST(coalesce(sum(stored_bytes), 0) AS BIGINT) FROM version WHERE datastore = $1), \
        versions = (SELECT count(*) FROM version WHERE datastore = $1), \
        objects = (SELECT count(*) FROM object WHERE datastore = $1), \
        last_number = CASE WHEN last_number < $2 THEN $2 ELSE last_number END WHERE id = $1";
    tx.execute(sql, &[id.into(), last_number.into()]).await?;
    Ok(())
}

async fn merge_record(
    tx: &mut dyn Transaction,
    subject: &Subject,
    sealed: Option<&Bytes>,
    note: (u64, u64, bool),
) -> Result<bool, CatalogError> {
    let Subject::Record { tenant, kind, id } = subject else {
        return Err(CatalogError::Invalid("a record is no datastore"));
    };
    let is_newer = note.0 > change_of(tx, subject).await?;
    merge_note(tx, subject, note).await?;
    if !is_newer {
        return Ok(false);
    }
    let (tenant, kind, id): (&TenantId, &str, &str) = (tenant, kind, id);
    let changed = match sealed {
        Some(sealed) => {
            let sql = "INSERT INTO record (tenant, kind, id, sealed) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (tenant, kind, id) DO UPDATE SET sealed = excluded.sealed";
            let params = [tenant.into(), kind.into(), id.into(), sealed.into()];
            tx.execute(sql, &params).await?
        }
        None => {
            let sql = "DELETE FROM record WHERE tenant = $1 AND kind = $2 AND id = $3";
            tx.execute(sql, &[tenant.into(), kind.into(), id.into()])
                .await?
        }
    };
    Ok(changed > 0)
}

async fn present(
    tx: &mut dyn Transaction,
    after: Option<&VersionId>,
    limit: usize,
) -> Result<Vec<Present>, CatalogError> {
    let sql = "SELECT v.id, v.datastore, v.key, v.is_marker, \
            CASE WHEN EXISTS (SELECT 1 FROM manifest_debt d WHERE d.version = v.id) THEN 1 ELSE 0 END \
        FROM version v WHERE v.id > $1 ORDER BY v.id LIMIT $2";
    let after: &[u8] = after.map_or(&[], |after| &after.0);
    let rows = tx.query(sql, &[after.into(), limit.into()]).await?;
    let each = rows.into_iter().map(|mut row| {
        Ok(Present {
            id: row.take()?,
            datastore: row.take()?,
            key: row.take()?,
            is_marker: row.take()?,
            is_owed: row.take()?,
        })
    });
    each.collect()
}
