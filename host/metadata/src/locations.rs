//! Storage locations: where fragments may lie.
//!
//! Invariant: a location that was lost is active again only once it has nothing that was deleted or moved in the meantime; until then it is
//! returning.

use core::str::FromStr;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::jobs::draw_id;
use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, catalog::Reach, notes, rebuild};

/// A place that stores fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its name, of which fragments are noted down.
    pub name: String,
    /// How to reach it and what it costs, as JSON; opaque here.
    pub settings: String,
    /// What it may be used for.
    pub state: LocationState,
    /// What it said that it is, once it was opened: opaque here, and the same of no two locations.
    pub identity: Option<[u8; 16]>,
}

/// A location that is returning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returning {
    /// Jobs with numbers above it were made since it returned.
    pub since: u64,
    /// Whether the last rebuild did not hear what lies there: what the catalogue does not know may have been stored.
    pub is_unheard: bool,
}

/// What a location may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocationState {
    /// Everything.
    Active,
    /// Reading, while its fragments move elsewhere.
    Draining,
    /// Reading.
    ReadOnly,
    /// Nothing: its fragments are to be made again elsewhere.
    Lost,
    /// Reading, after it was lost, while what it should have and has not is made again, and what nobody knows any more is deleted there.
    Returning,
}

impl LocationState {
    /// The word for it, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::ReadOnly => "read-only",
            Self::Lost => "lost",
            Self::Returning => "returning",
        }
    }
}

impl FromStr for LocationState {
    type Err = CatalogError;

    fn from_str(word: &str) -> Result<Self, CatalogError> {
        match word {
            "active" => Ok(Self::Active),
            "draining" => Ok(Self::Draining),
            "read-only" => Ok(Self::ReadOnly),
            "lost" => Ok(Self::Lost),
            "returning" => Ok(Self::Returning),
            _ => Err(CatalogError::Invalid(
                "a location is active, draining, read-only, lost or returning",
            )),
        }
    }
}

impl Catalog {
    /// All locations, by name.
    pub async fn locations(&self) -> Result<Vec<Location>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(locations(tx)))
            .await
    }

    /// Puts a location in place, or in the place of the one with its name; the state that it is in then, see [`Self::set_location_state`].
    ///
    /// # Errors
    /// `Exists` if another location has its identity.
    pub async fn put_location(&self, location: &Location) -> Result<LocationState, CatalogError> {
        self.write(location.clone(), |tx, location| {
            Box::pin(put_location(tx, location))
        })
        .await
    }

    /// Changes what a location may be used for; the state that it is in then: one that was lost and is to be used again is returning first.
    ///
    /// # Errors
    /// `NoSuchLocation`.
    pub async fn set_location_state(
        &self,
        name: &str,
        state: LocationState,
    ) -> Result<LocationState, CatalogError> {
        self.write((name.to_owned(), state), |tx, (name, state)| {
            Box::pin(set_location_state(tx, name, *state))
        })
        .await
    }

    /// What is to be known of a location that is returning; `None` if it is not.
    pub async fn returning(&self, name: &str) -> Result<Option<Returning>, CatalogError> {
        self.read(Reach::Point, name.to_owned(), |tx, name| {
            Box::pin(returning(tx, name))
        })
        .await
    }

    /// The locations that the last rebuild did not hear.
    pub async fn unheard(&self) -> Result<BTreeSet<String>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(unheard(tx)))
            .await
    }

    /// Notes which locations a rebuild has heard: these, and no others.
    pub async fn set_heard(&self, names: Vec<String>) -> Result<(), CatalogError> {
        self.write(names, |tx, names| Box::pin(set_heard(tx, names)))
            .await
    }

    /// Whether there may be locations that the catalogue does not know: a rebuild has not ruled it out, or one was added with something in it.
    pub async fn may_miss_locations(&self) -> Result<bool, CatalogError> {
        self.read(Reach::Point, (), |tx, ()| Box::pin(may_miss_locations(tx)))
            .await
    }

    /// Whether something may lie at a location that no rebuild has looked at, as far as that is known.
    pub async fn may_hide_something(&self) -> Result<bool, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(may_hide_something(tx)))
            .await
    }

    /// Notes that there are no locations which the catalogue does not know, and that what lies at those that are lost is not worth knowing;
    /// `false`, and nothing is noted, while a rebuild is due.
    pub async fn miss_no_locations(&self) -> Result<bool, CatalogError> {
        self.write((), |tx, ()| Box::pin(miss_no_locations(tx)))
            .await
    }

    /// Notes whether there may be locations that the catalogue does not know.
    pub async fn set_may_miss_locations(&self, may_miss: bool) -> Result<(), CatalogError> {
        self.write(may_miss, |tx, may_miss| {
            Box::pin(set_may_miss_locations(tx, *may_miss))
        })
        .await
    }

    /// Makes a location that is returning active, if this job, which has seen to it since it returned, is done; whether it is active now.
    pub async fn readmit_location(&self, name: &str, job: u64) -> Result<bool, CatalogError> {
        self.write((name.to_owned(), job), |tx, (name, job)| {
            Box::pin(readmit_location(tx, name, *job))
        })
        .await
    }
}

async fn returning(
    tx: &mut dyn Transaction,
    name: &str,
) -> Result<Option<Returning>, CatalogError> {
    let sql = "SELECT return_number, unheard FROM location WHERE name = $1 AND state = 'returning'";
    let mut rows = tx.query(sql, &[name.into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(None);
    };
    Ok(Some(Returning {
        since: row.take()?,
        is_unheard: row.take()?,
    }))
}

async fn unheard(tx: &mut dyn Transaction) -> Result<BTreeSet<String>, CatalogError> {
    let sql = "SELECT name FROM location WHERE unheard = 1";
    let rows = tx.query(sql, &[]).await?;
    rows.into_iter().map(|mut row| row.take()).collect()
}

async fn set_heard(tx: &mut dyn Transaction, names: &[String]) -> Result<(), CatalogError> {
    // One that is returning and was heard before has nothing new, and is not asked again.
    let sql = "UPDATE location SET unheard = 1 WHERE state <> 'returning'";
    tx.execute(sql, &[]).await?;
    let sets: Vec<Vec<Param<'_>>> = names.iter().map(|it| vec![(&**it).into()]).collect();
    tx.execute_each("UPDATE location SET unheard = 0 WHERE name = $1", &sets)
        .await?;
    Ok(())
}

/// Whether something may lie at a location that nobody has looked at.
pub(crate) async fn may_hide_something(tx: &mut dyn Transaction) -> Result<bool, CatalogError> {
    Ok(may_miss_locations(tx).await? || !unheard(tx).await?.is_empty())
}

async fn miss_no_locations(tx: &mut dyn Transaction) -> Result<bool, CatalogError> {
    if rebuild::is_due(tx).await? {
        return Ok(false);
    }
    set_may_miss_locations(tx, false).await?;
    let sql = "UPDATE location SET unheard = 0 WHERE state = 'lost'";
    tx.execute(sql, &[]).await?;
    Ok(true)
}

async fn may_miss_locations(tx: &mut dyn Transaction) -> Result<bool, CatalogError> {
    let sql = "SELECT last FROM counter WHERE name = 'missing'";
    let mut rows = tx.query(sql, &[]).await?;
    rows.pop().map_or(Ok(false), |mut row| row.take())
}

async fn set_may_miss_locations(
    tx: &mut dyn Transaction,
    may_miss: bool,
) -> Result<(), CatalogError> {
    if !may_miss {
        notes::keep_guesses(tx).await?;
    }
    let sql = "INSERT INTO counter (name, last) VALUES ('missing', $1) \
        ON CONFLICT (name) DO UPDATE SET last = excluded.last";
    tx.execute(sql, &[may_miss.into()]).await.map(drop)
}

async fn locations(tx: &mut dyn Transaction) -> Result<Vec<Location>, CatalogError> {
    let sql = "SELECT name, settings, state, identity FROM location ORDER BY name";
    let rows = tx.query(sql, &[]).await?;
    rows.into_iter().map(location).collect()
}

fn location(mut row: Row) -> Result<Location, CatalogError> {
    Ok(Location {
        name: row.take()?,
        settings: row.take()?,
        state: state(row.take::<String>()?)?,
        identity: row
            .optional::<Bytes>()?
            .map(|it| it[..].try_into())
            .transpose()
            .map_err(|_| CatalogError::Corrupt("a location's identity is none".to_owned()))?,
    })
}

async fn put_location(
    tx: &mut dyn Transaction,
    location: &Location,
) -> Result<LocationState, CatalogError> {
    if let Some(identity) = &location.identity {
        let sql = "SELECT 1 FROM location WHERE identity = $1 AND name <> $2";
        let params = [identity[..].into(), (&*location.name).into()];
        if !tx.query(sql, &params).await?.is_empty() {
            return Err(CatalogError::Exists("storage location"));
        }
    }
    let sql = "INSERT INTO location (name, settings, state, identity) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (name) DO UPDATE \
        SET settings = excluded.settings, identity = excluded.identity, \
            state = CASE WHEN location.state IN ('lost', 'returning') AND excluded.state <> 'lost' \
                THEN 'returning' ELSE excluded.state END";
    let params = [
        (&*location.name).into(),
        (&*location.settings).into(),
        location.state.as_str().into(),
        location.identity.as_ref().map(|it| &it[..]).into(),
    ];
    let before = state_of(tx, &location.name).await?;
    tx.execute(sql, &params).await?;
    changed(tx, &location.name, before).await
}

async fn set_location_state(
    tx: &mut dyn Transaction,
    name: &str,
    state: LocationState,
) -> Result<LocationState, CatalogError> {
    let sql = match state {
        LocationState::Lost => "UPDATE location SET state = $2 WHERE name = $1",
        _ => {
            "UPDATE location SET state = CASE WHEN state IN ('lost', 'returning') THEN 'returning' \
                ELSE $2 END WHERE name = $1"
        }
    };
    let params = [name.into(), state.as_str().into()];
    let before = state_of(tx, name).await?;
    match tx.execute(sql, &params).await? {
        0 => Err(CatalogError::NoSuchLocation),
        _ => changed(tx, name, before).await,
    }
}

/// Sees to what goes with another state; gives the state. Notes at a location that is left, or was lost, count no more: they are to be kept
/// elsewhere. A return begins with a number.
async fn changed(
    tx: &mut dyn Transaction,
    name: &str,
    before: Option<LocationState>,
) -> Result<LocationState, CatalogError> {
    let state = state_of(tx, name).await?;
    let state = state.ok_or(CatalogError::NoSuchLocation)?;
    if before == Some(state) {
        return Ok(state);
    }
    if !matches!(state, LocationState::Active | LocationState::ReadOnly) {
        tx.execute("UPDATE note SET kept = 0", &[]).await?;
    }
    if state == LocationState::Returning {
        let since = draw_id(tx).await?;
        let sql = "UPDATE location SET return_number = $2 WHERE name = $1";
        tx.execute(sql, &[name.into(), since.into()]).await?;
    }
    Ok(state)
}

async fn readmit_location(
    tx: &mut dyn Transaction,
    name: &str,
    job: u64,
) -> Result<bool, CatalogError> {
    let sql = "UPDATE location SET state = 'active' WHERE name = $1 AND state = 'returning' \
        AND return_number < $2 AND EXISTS (SELECT 1 FROM job j WHERE j.id = $2 AND j.state = 'done')";
    let params = [name.into(), job.into()];
    Ok(tx.execute(sql, &params).await? > 0)
}

async fn state_of(
    tx: &mut dyn Transaction,
    name: &str,
) -> Result<Option<LocationState>, CatalogError> {
    let sql = "SELECT state FROM location WHERE name = $1 /* FOR UPDATE */";
    let mut rows = tx.query(sql, &[name.into()]).await?;
    let word = rows.pop().map(|mut row| row.take::<String>()).transpose()?;
    word.map(state).transpose()
}

fn state(word: String) -> Result<LocationState, CatalogError> {
    word.parse()
        .map_err(|_| CatalogError::Corrupt("a location is in a state that there is not".to_owned()))
}
