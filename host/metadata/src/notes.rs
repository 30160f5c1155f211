//! Notes: what lies at the locations of a datastore's settings, or of a record, so that a catalogue that is lost can be made again.
//!
//! Invariant: a change of the settings or the record counts in its note, in the same transaction; the note outlives what it is about, until
//! no location holds anything of it.

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, Datastore, DatastoreId, TenantId, catalog::Reach, datastores, locations,
};

/// What a note is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The settings of a datastore.
    Datastore(TenantId, DatastoreId),
    /// A record of a tenant's own.
    Record {
        /// Whose it is.
        tenant: TenantId,
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
    },
}

/// What lies at the locations of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub subject: Subject,
    /// How often that has changed, from 1; 0 of what a rebuild has guessed.
    pub change: u64,
    /// The change that enough locations keep; 0: none.
    pub kept: u64,
    /// The oldest change of which a location may hold a copy.
    pub oldest: u64,
}

/// A subject as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// A datastore, and the numbers at which keeping versions began or ended.
    Datastore(Datastore, Vec<u64>),
    /// A record, sealed.
    Record(Bytes),
    /// It was deleted.
    Gone,
}

impl Catalog {
    /// A note, and what it is about as it is now.
    pub async fn note(&self, subject: &Subject) -> Result<Option<(Note, Noted)>, CatalogError> {
        self.read(Reach::Scan, subject.clone(), |tx, subject| {
            Box::pin(note(tx, subject))
        })
        .await
    }

    /// At most `limit` notes that too few locations keep, or of which older copies may be somewhere; the former first.
    pub async fn notes_due(&self, limit: usize) -> Result<Vec<Note>, CatalogError> {
        self.read(Reach::Scan, limit, |tx, limit| {
            Box::pin(notes_due(tx, *limit))
        })
        .await
    }

    /// All notes.
    pub async fn notes(&self) -> Result<Vec<Note>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(notes(tx)))
            .await
    }

    /// At most `limit` notes about what was deleted, which no location needs any more: enough of them know, none has an older copy, and of a
    /// datastore there is no removal left.
    pub async fn notes_gone(&self, limit: usize) -> Result<Vec<Note>, CatalogError> {
        self.read(Reach::Scan, limit, |tx, limit| {
            Box::pin(notes_gone(tx, *limit))
        })
        .await
    }

    /// Notes that enough locations keep a change.
    pub async fn note_kept(&self, subject: &Subject, change: u64) -> Result<(), CatalogError> {
        self.write((subject.clone(), change), |tx, (subject, change)| {
            let sql = "UPDATE note SET kept = $5 \
                WHERE tenant = $1 AND datastore = $2 AND kind = $3 AND id = $4 AND kept < $5";
            Box::pin(set(tx, sql, subject, *change))
        })
        .await
    }

    /// Notes that no location has a copy older than `oldest`.
    pub async fn note_dropped(&self, subject: &Subject, oldest: u64) -> Result<(), CatalogError> {
        self.write((subject.clone(), oldest), |tx, (subject, oldest)| {
            let sql = "UPDATE note SET oldest = $5 \
                WHERE tenant = $1 AND datastore = $2 AND kind = $3 AND id = $4 AND oldest < $5";
            Box::pin(set(tx, sql, subject, *oldest))
        })
        .await
    }

    /// Forgets a note, unless its subject has changed since `change`.
    pub async fn forget_note(&self, subject: &Subject, change: u64) -> Result<(), CatalogError> {
        self.write((subject.clone(), change), |tx, (subject, change)| {
            let sql = "DELETE FROM note \
                WHERE tenant = $1 AND datastore = $2 AND kind = $3 AND id = $4 AND change = $5";
            Box::pin(set(tx, sql, subject, *change))
        })
        .await
    }
}

impl Subject {
    pub(crate) fn params(&self) -> [Param<'_>; 4] {
        const NONE: &[u8] = &[];
        match self {
            Self::Datastore(tenant, id) => [tenant.into(), id.into(), "".into(), "".into()],
            Self::Record { tenant, kind, id } => {
                [tenant.into(), NONE.into(), (&**kind).into(), (&**id).into()]
            }
        }
    }
}

/// The number of the next change: 1024 after a guess (change 0), and 64 further while locations may be missing, so that an older change which is
/// found later has the smaller number.
macro_rules! next_change {
    () => {
        "note.change + CASE WHEN note.change = 0 THEN 1024 \
            WHEN EXISTS (SELECT 1 FROM counter WHERE name = 'missing' AND last = 1) THEN 64 ELSE 1 END"
    };
}

/// Counts a change of a subject.
pub(crate) async fn touch(tx: &mut dyn Transaction, subject: &Subject) -> Result<(), CatalogError> {
    let sql = concat!(
        "INSERT INTO note (tenant, datastore, kind, id, change, kept, oldest) \
        VALUES ($1, $2, $3, $4, 1, 0, 1) ON CONFLICT (tenant, datastore, kind, id) DO UPDATE SET change = ",
        next_change!()
    );
    tx.execute(sql, &subject.params()).await?;
    Ok(())
}

/// Counts a change of a datastore, which is there.
pub(crate) async fn touch_datastore(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
) -> Result<(), CatalogError> {
    let sql = concat!(
        "INSERT INTO note (tenant, datastore, kind, id, change, kept, oldest) \
        SELECT tenant, id, '', '', 1, 0, 1 FROM datastore WHERE id = $1 \
        ON CONFLICT (tenant, datastore, kind, id) DO UPDATE SET change = ",
        next_change!()
    );
    tx.execute(sql, &[id.into()]).await?;
    Ok(())
}

/// Has what a rebuild has guessed kept at the locations: nothing else will be found.
pub(crate) async fn keep_guesses(tx: &mut dyn Transaction) -> Result<(), CatalogError> {
    let sql = "UPDATE note SET change = 1, oldest = 1 WHERE change = 0";
    tx.execute(sql, &[]).await.map(drop)
}

async fn set(
    tx: &mut dyn Transaction,
    sql: &'static str,
    subject: &Subject,
    value: u64,
) -> Result<(), CatalogError> {
    let mut params = subject.params().to_vec();
    params.push(value.into());
    tx.execute(sql, &params).await?;
    Ok(())
}

async fn note(
    tx: &mut dyn Transaction,
    subject: &Subject,
) -> Result<Option<(Note, Noted)>, CatalogError> {
    let sql = "SELECT tenant, datastore, kind, id, change, kept, oldest FROM note \
        WHERE tenant = $1 AND datastore = $2 AND kind = $3 AND id = $4";
    let mut rows = tx.query(sql, &subject.params()).await?;
    let Some(row) = rows.pop() else {
        return Ok(None);
    };
    let noted = match subject {
        Subject::Datastore(_, id) => match datastores::with_switches(tx, id).await? {
            Some((datastore, switches)) => Noted::Datastore(datastore, switches),
            None => Noted::Gone,
        },
        Subject::Record { tenant, kind, id } => {
            match crate::records::record(tx, tenant, kind, id).await? {
                Some(sealed) => Noted::Record(sealed),
                None => Noted::Gone,
            }
        }
    };
    Ok(Some((from_row(row)?, noted)))
}

async fn notes_due(tx: &mut dyn Transaction, limit: usize) -> Result<Vec<Note>, CatalogError> {
    let sql = "SELECT tenant, datastore, kind, id, change, kept, oldest FROM note \
        WHERE kept < change OR oldest < change \
        ORDER BY CASE WHEN kept < change THEN 0 ELSE 1 END, tenant, datastore, kind, id LIMIT $1";
    let rows = tx.query(sql, &[limit.into()]).await?;
    rows.into_iter().map(from_row).collect()
}

async fn notes(tx: &mut dyn Transaction) -> Result<Vec<Note>, CatalogError> {
    let sql = "SELECT tenant, datastore, kind, id, change, kept, oldest FROM note";
    let rows = tx.query(sql, &[]).await?;
    rows.into_iter().map(from_row).collect()
}

/// Every note whose change enough locations keep.
pub(crate) async fn kept(tx: &mut dyn Transaction) -> Result<Vec<Note>, CatalogError> {
    let sql = "SELECT tenant, datastore, kind, id, change, kept, oldest FROM note \
        WHERE kept = change AND change > 0";
    let rows = tx.query(sql, &[]).await?;
    rows.into_iter().map(from_row).collect()
}

async fn notes_gone(tx: &mut dyn Transaction, limit: usize) -> Result<Vec<Note>, CatalogError> {
    // Where nobody has looked there may be an older copy.
    if locations::may_hide_something(tx).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT n.tenant, n.datastore, n.kind, n.id, n.change, n.kept, n.oldest FROM note n \
        WHERE n.kept = n.change AND n.oldest = n.change \
        AND NOT EXISTS (SELECT 1 FROM datastore d WHERE d.id = n.datastore) \
        AND NOT EXISTS (SELECT 1 FROM removal m WHERE m.datastore = n.datastore) \
        AND NOT EXISTS (SELECT 1 FROM record r WHERE r.tenant = n.tenant AND r.kind = n.kind AND r.id = n.id) \
        ORDER BY n.tenant, n.datastore, n.kind, n.id LIMIT $1";
    let rows = tx.query(sql, &[limit.into()]).await?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(mut row: Row) -> Result<Note, CatalogError> {
    let tenant = row.take()?;
    let datastore: Bytes = row.take()?;
    let (kind, id) = (row.take()?, row.take()?);
    let subject = if datastore.is_empty() {
        Subject::Record { tenant, kind, id }
    } else {
        Subject::Datastore(tenant, DatastoreId::try_from(&datastore[..])?)
    };
    Ok(Note {
        subject,
        change: row.take()?,
        kept: row.take()?,
        oldest: row.take()?,
    })
}
