//! Segments: what an object's bytes were coded into.
//!
//! Invariant: a live segment has a position exactly if it is of the object, or, while its upload is under way, of the part, as it is now;
//! other attempts have none, and become garbage with the commit at the latest.

use core::ops::Range;

use bytes::Bytes;

use crate::datastores::{self, Change};
use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Fragment, FragmentState, SegmentId, VersionId,
    catalog::Reach, garbage,
};

/// One coded segment and where its fragments lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// This attempt to store it.
    pub id: SegmentId,
    /// The version whose bytes it has.
    pub version: VersionId,
    /// The part of an upload that it belongs to; 0 for a plain PUT.
    pub part: u32,
    /// Its place in the part, from 0.
    pub index: u32,
    /// How many bytes of the object it has.
    pub plain_bytes: u32,
    /// What the trusted program needs to open it, sealed; opaque here.
    pub record: Bytes,
    /// The length of each of its fragments as a file.
    pub fragment_bytes: u32,
    /// Its fragments, by index, ascending; one that is being copied has two entries.
    pub fragments: Vec<Fragment>,
}

impl Catalog {
    /// Replaces what is known of a segment's fragments: some were stored late, or made again elsewhere.
    ///
    /// # Errors
    /// `NoSuchSegment`, `Invalid` for a name of impossible length.
    pub async fn set_fragments(
        &self,
        segment: SegmentId,
        fragments: &[Fragment],
    ) -> Result<(), CatalogError> {
        self.write((segment, fragments.to_vec()), |tx, (segment, fragments)| {
            Box::pin(set_fragments(tx, segment, fragments))
        })
        .await
    }

    /// The same, if the fragments are still what they were `before`; `false`, and nothing is changed, if somebody else has changed them.
    /// Names that are not there any more are garbage, due at `due_ms`.
    ///
    /// # Errors
    /// As for [`Self::set_fragments`].
    pub async fn exchange_fragments(
        &self,
        segment: SegmentId,
        before: &[Fragment],
        fragments: &[Fragment],
        due_ms: u64,
    ) -> Result<bool, CatalogError> {
        self.write(
            (segment, before.to_vec(), fragments.to_vec(), due_ms),
            |tx, (segment, before, fragments, due_ms)| {
                Box::pin(async move {
                    let is_as_before = has_fragments(tx, segment, before).await?;
                    if is_as_before {
                        set_fragments(tx, segment, fragments).await?;
                        garbage::discard_fragments(tx, &dropped(before, fragments), *due_ms)
                            .await?;
                    }
                    Ok(is_as_before)
                })
            },
        )
        .await
    }

    /// The segments of a version at these positions, in object order: by part and index, counted from 0 over the whole object. Of an
    /// upload under way: those of the parts that it has now.
    pub async fn segments(
        &self,
        version: VersionId,
        range: Range<u32>,
    ) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (version, range), |tx, (version, range)| {
            Box::pin(segments(tx, version, range.clone()))
        })
        .await
    }

    /// At most `limit` segments of committed versions with owed fragments, by id, those after `after`.
    pub async fn owed(
        &self,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (after, limit), |tx, (after, limit)| {
            Box::pin(owed(tx, after.as_ref(), *limit))
        })
        .await
    }
}

/// The columns of a segment, in the order of [`Segment::from_row`].
macro_rules! segment_columns {
    () => {
        "s.id, s.version, s.part, s.place, s.plain_bytes, s.record, s.fragment_bytes, s.fragments"
    };
}
pub(crate) use segment_columns;

impl Segment {
    /// Reads the columns of [`segment_columns`].
    pub(crate) fn from_row(row: &mut Row) -> Result<Self, CatalogError> {
        Ok(Self {
            id: row.take()?,
            version: row.take()?,
            part: row.take()?,
            index: row.take()?,
            plain_bytes: row.take()?,
            record: row.take()?,
            fragment_bytes: row.take()?,
            fragments: Fragment::unpack(&row.take::<Bytes>()?)?,
        })
    }

    pub(crate) fn from_rows(rows: Vec<Row>) -> Result<Vec<Self>, CatalogError> {
        rows.into_iter()
            .map(|mut row| Self::from_row(&mut row))
            .collect()
    }

    fn params<'a>(
        &'a self,
        version: &'a VersionId,
        position: Option<u32>,
        packed: &'a [u8],
    ) -> Vec<Param<'a>> {
        vec![
            (&self.id).into(),
            version.into(),
            self.part.into(),
            self.index.into(),
            position.into(),
            is_owed(&self.fragments).into(),
            self.plain_bytes.into(),
            self.fragment_bytes.into(),
            stored_bytes(self.fragment_bytes, &self.fragments).into(),
            packed.into(),
            (&self.record).into(),
        ]
    }
}

/// The fragments of `before` whose names are not among the others; also those that were owed, since a write that was not answered may have been
/// done all the same.
fn dropped(before: &[Fragment], fragments: &[Fragment]) -> Vec<Fragment> {
    let is_kept = |it: &Fragment| fragments.iter().any(|kept| kept.name == it.name);
    before.iter().filter(|it| !is_kept(it)).cloned().collect()
}

/// Whether any fragment has still to be stored.
pub(crate) fn is_owed(fragments: &[Fragment]) -> bool {
    fragments
        .iter()
        .any(|fragment| fragment.state == FragmentState::Owed)
}

/// Bytes that all fragments of a segment have.
pub(crate) fn stored_bytes(fragment_bytes: u32, fragments: &[Fragment]) -> u64 {
    let kept = fragments
        .iter()
        .filter(|it| it.state != FragmentState::Coming);
    u64::from(fragment_bytes) * kept.count() as u64
}

/// The positions of a part's segments while its upload is under way; 2^20 for each, more than a part of 5 GiB can have.
///
/// Completion moves the chosen parts down, in order, until their positions are dense from 0. What has been moved stays below what has
/// not: before part p there are at most p - 1 parts of at most 2^20 segments.
pub(crate) fn part_positions(part: u32) -> Range<u64> {
    let part = u64::from(part);
    part << 20..(part + 1) << 20
}

/// Adds segments to an intent that is live and locked. Those of a plain PUT are at their place at once, and push out an earlier attempt;
/// those of a part get one when the part is there.
pub(crate) async fn insert(
    tx: &mut dyn Transaction,
    version: &VersionId,
    is_upload: bool,
    segments: &[Segment],
) -> Result<(), CatalogError> {
    if segments
        .iter()
        .any(|segment| (segment.part > 0) != is_upload)
    {
        return Err(CatalogError::Invalid(
            "segments of an upload belong to a part, and those of a plain PUT to none",
        ));
    }
    let packed: Vec<_> = segments
        .iter()
        .map(|segment| Fragment::pack(&segment.fragments))
        .collect::<Result<_, _>>()?;
    let sets: Vec<_> = segments
        .iter()
        .zip(&packed)
        .enumerate()
        .map(|(at, (segment, packed))| {
            let is_last = |later: &Segment| later.index != segment.index;
            let position =
                (!is_upload && segments[at + 1..].iter().all(is_last)).then_some(segment.index);
            segment.params(version, position, packed)
        })
        .collect();
    let sql = "INSERT INTO segment (id, version, part, place, position, is_owed, plain_bytes, fragment_bytes, stored_bytes, \
            fragments, record) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
    if tx.execute_each(sql, &sets).await? < segments.len() as u64 {
        return Err(CatalogError::Exists("segment"));
    }
    Ok(())
}

/// Takes the position of the attempts that the same segments of a plain PUT had before.
pub(crate) async fn push_out(
    tx: &mut dyn Transaction,
    version: &VersionId,
    segments: &[Segment],
) -> Result<(), CatalogError> {
    let sql = "UPDATE segment SET position = NULL WHERE version = $1 AND position = $2";
    let sets: Vec<_> = segments
        .iter()
        .map(|segment| vec![version.into(), segment.index.into()])
        .collect();
    tx.execute_each(sql, &sets).await?;
    Ok(())
}

async fn segments(
    tx: &mut dyn Transaction,
    version: &VersionId,
    range: Range<u32>,
) -> Result<Vec<Segment>, CatalogError> {
    let of_upload = "SELECT upload FROM intent WHERE version = $1 AND upload IS NOT NULL";
    let rows = if tx.query(of_upload, &[version.into()]).await?.is_empty() {
        let sql = concat!(
            "SELECT ",
            segment_columns!(),
            " FROM segment s WHERE s.version = $1 AND s.position >= $2 AND s.position < $3 \
                ORDER BY s.position"
        );
        tx.query(sql, &[version.into(), range.start.into(), range.end.into()])
            .await?
    } else {
        // Positions have gaps until the upload is complete.
        let sql = concat!(
            "SELECT ",
            segment_columns!(),
            " FROM segment s WHERE s.version = $1 AND s.position IS NOT NULL \
                ORDER BY s.position LIMIT $3 OFFSET $2"
        );
        let count = range.end.saturating_sub(range.start);
        tx.query(sql, &[version.into(), range.start.into(), count.into()])
            .await?
    };
    Segment::from_rows(rows)
}

/// Whether a segment's fragments are these; its row is locked.
async fn has_fragments(
    tx: &mut dyn Transaction,
    segment: &SegmentId,
    fragments: &[Fragment],
) -> Result<bool, CatalogError> {
    // The datastore first, as everywhere.
    lock_datastore_of(tx, segment).await?;
    let sql = "SELECT fragments FROM segment WHERE id = $1 /* FOR UPDATE */";
    let mut rows = tx.query(sql, &[segment.into()]).await?;
    let mut row = rows.pop().ok_or(CatalogError::NoSuchSegment)?;
    Ok(row.take::<Bytes>()?[..] == *Fragment::pack(fragments)?)
}

async fn set_fragments(
    tx: &mut dyn Transaction,
    segment: &SegmentId,
    fragments: &[Fragment],
) -> Result<(), CatalogError> {
    let packed = Fragment::pack(fragments)?;
    let datastore = lock_datastore_of(tx, segment).await?;
    let sql =
        "SELECT version, fragment_bytes, stored_bytes FROM segment WHERE id = $1 /* FOR UPDATE */";
    let mut rows = tx.query(sql, &[segment.into()]).await?;
    let mut row = rows.pop().ok_or(CatalogError::NoSuchSegment)?;
    let version: VersionId = row.take()?;
    let stored = stored_bytes(row.take()?, fragments);
    let added = i64::try_from(stored).unwrap_or(i64::MAX) - row.take::<i64>()?;

    let sql = "UPDATE segment SET fragments = $2, is_owed = $3, stored_bytes = $4 WHERE id = $1";
    let owed = is_owed(fragments);
    let params: [Param<'_>; 4] = [
        segment.into(),
        (&*packed).into(),
        owed.into(),
        stored.into(),
    ];
    tx.execute(sql, &params).await?;

    // A segment of an intent, or garbage, is in no sum.
    let sql = "UPDATE version SET stored_bytes = stored_bytes + $2 WHERE id = $1 \
        AND EXISTS (SELECT 1 FROM segment s WHERE s.id = $3 AND s.due_ms IS NULL)";
    let params = [(&version).into(), added.into(), segment.into()];
    if let Some(datastore) = datastore
        && added != 0
        && tx.execute(sql, &params).await? > 0
    {
        let change = Change {
            stored_bytes: added,
            ..Change::default()
        };
        change.apply(tx, &datastore).await?;
    }
    Ok(())
}

/// Locks the datastore that a segment's version, or intent, is in; `None` for garbage of what is gone.
async fn lock_datastore_of(
    tx: &mut dyn Transaction,
    segment: &SegmentId,
) -> Result<Option<DatastoreId>, CatalogError> {
    let sql = "SELECT v.datastore, i.datastore FROM segment s \
        LEFT JOIN version v ON v.id = s.version LEFT JOIN intent i ON i.version = s.version \
        WHERE s.id = $1";
    let mut rows = tx.query(sql, &[segment.into()]).await?;
    let mut row = rows.pop().ok_or(CatalogError::NoSuchSegment)?;
    let of_version: Option<DatastoreId> = row.optional()?;
    let of_intent: Option<DatastoreId> = row.optional()?;
    let Some(datastore) = of_version.or(of_intent) else {
        return Ok(None);
    };
    match datastores::lock(tx, &datastore).await {
        Ok(()) => Ok(Some(datastore)),
        Err(CatalogError::NoSuchDatastore) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn owed(
    tx: &mut dyn Transaction,
    after: Option<&SegmentId>,
    limit: usize,
) -> Result<Vec<Segment>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        segment_columns!(),
        " FROM segment s WHERE s.is_owed = 1 AND s.due_ms IS NULL AND s.id > $1 \
            AND EXISTS (SELECT 1 FROM version v WHERE v.id = s.version) ORDER BY s.id LIMIT $2"
    );
    let after: &[u8] = after.map_or(&[], |after| &after.0);
    Segment::from_rows(tx.query(sql, &[after.into(), limit.into()]).await?)
}
