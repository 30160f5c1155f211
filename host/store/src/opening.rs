//! Locations are opened: when they are added, and when a store begins.
//!
//! Invariant: no location stands for another one. What a location said that it is when it was added is in the catalogue, and nothing else is
//! taken for it from then on: neither an empty folder whose disk is not mounted, nor another disk, nor one location under two names.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sc_backend::{Backend, Expected, LocationId};
use sc_metadata::{Location, LocationState};
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::location::LocationSettings;
use crate::locations::Site;
use crate::store::Store;

/// So long a location may take to open: one that replays much after a crash, or a disk that has to start.
const OPENING_PATIENCE: Duration = Duration::from_secs(30);

/// A backend that is being opened; what keeps it from that in words, with the fix.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn Backend>, String>> + Send + 'a>>;

/// Opens the backends of locations.
pub trait LocationOpener: Send + Sync + 'static {
    /// The backend that these settings describe. No other location is opened than the expected one, and none is made but for
    /// [`Expected::Any`].
    ///
    /// # Errors
    /// In words, with the fix.
    fn open<'a>(&'a self, settings: &'a LocationSettings, expected: Expected) -> Opening<'a>;
}

impl Store {
    /// Opens a location and makes it known, in the catalogue, too; or gives the one of its name other settings.
    ///
    /// # Errors
    /// It cannot be opened, or loses what it has stored when it ends; another one has its name, or it has another name already; the catalogue
    /// does not answer.
    pub async fn add_location(
        &self,
        name: &str,
        settings: LocationSettings,
        state: LocationState,
    ) -> Result<(), Problem> {
        self.know_location(name, settings, state, Expected::Any)
            .await
    }

    /// The same of a location that is there: none is made.
    ///
    /// # Errors
    /// As [`Self::add_location`].
    pub async fn find_location(
        &self,
        name: &str,
        settings: LocationSettings,
    ) -> Result<(), Problem> {
        self.know_location(name, settings, LocationState::Active, Expected::There)
            .await
    }

    async fn know_location(
        &self,
        name: &str,
        settings: LocationSettings,
        state: LocationState,
        new: Expected,
    ) -> Result<(), Problem> {
        let all = self.catalog.locations().await?;
        let before = all.iter().find(|it| it.name == name);
        let is_another = |before: &Location| {
            LocationSettings::parse(&before.settings).map(|it| it.backend)
                != Ok(settings.backend.clone())
        };
        if before.is_some_and(is_another) {
            return Err(exists(format!(
                "location {name:?} is something else already; choose another name"
            )));
        }
        let expected = before.and_then(|it| it.identity).map(LocationId);
        let site = self.locations.now().get(name).cloned();
        let (backend, id) = match site.filter(|it| it.why_unopened().is_none()) {
            Some(site) => {
                let backend = Arc::clone(&site.backend);
                identify(&backend, expected)
                    .await
                    .map(|id| (backend, id))
                    .map_err(|why| Problem::new(Code::Unavailable, why))?
            }
            // It is the settings that have to change; to come back later mends nothing.
            None => self
                .open(&settings, expected.map_or(new, Expected::This))
                .await
                .map_err(|why| {
                    Problem::malformed(&format!("the location cannot be opened: {why}"))
                })?,
        };
        let namesake = |it: &&Location| it.name != name && it.identity == Some(id.0);
        if let Some(same) = all.iter().find(namesake) {
            return Err(exists(format!(
                "this location is known already, as {:?}: two names for one place would lose two fragments at once",
                same.name
            )));
        }
        if before.is_none() {
            self.note_what_it_brings(&*backend).await?;
        }
        let location = Location {
            name: name.to_owned(),
            settings: settings.to_text(),
            state,
            identity: Some(id.0),
        };
        let state = self.catalog.put_location(&location).await?;
        self.locations
            .set(Site::new(name.to_owned(), settings, state, backend));
        self.begin_work_for(name, state).await?;
        if before.is_none() {
            self.use_another_location(&all).await?;
        }
        Ok(())
    }

    /// Begins again what may have wanted for a location.
    async fn use_another_location(&self, others: &[Location]) -> Result<(), Problem> {
        for it in others {
            if matches!(it.state, LocationState::Lost | LocationState::Draining) {
                self.begin_work_for(&it.name, it.state).await?;
            }
        }
        Ok(())
    }

    /// Notes of a location that is not known yet, and not empty, that what lies there may not be known either, nor what belongs to it.
    async fn note_what_it_brings(&self, backend: &dyn Backend) -> Result<(), Problem> {
        let patience = self.settings.location_patience;
        let listed = tokio::time::timeout(patience, backend.list(None, 1)).await;
        let is_empty = matches!(listed, Ok(Ok(names)) if names.is_empty());
        if !is_empty {
            self.catalog.set_may_miss_locations(true).await?;
        }
        Ok(())
    }

    /// Opens every location that the catalogue knows and this store does not. One that does not open is known without an answer, and tried
    /// again unless it is lost; whether all are open.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub async fn open_locations(&self) -> Result<bool, Problem> {
        self.rebuilding.learn(self.catalog.is_rebuild_due().await?);
        let known = self.locations.now();
        let locations = self.catalog.locations().await?;
        let opened = locations.into_iter().map(|location| {
            let before = known.get(&location.name);
            self.open_known(location, before)
        });
        Ok(join_all(opened).await.into_iter().all(|is_open| is_open))
    }

    /// Opens a location that the catalogue knows, unless it is open; whether it is now.
    async fn open_known(&self, location: Location, before: Option<&Arc<Site>>) -> bool {
        if let Some(site) = before {
            if site.state != location.state {
                self.locations.set_state(&location.name, location.state);
            }
            if site.why_unopened().is_none() || location.state == LocationState::Lost {
                return site.why_unopened().is_none();
            }
        }
        let settings = match LocationSettings::parse(&location.settings) {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(location = location.name, error, "settings cannot be read");
                return false;
            }
        };
        let (name, state) = (location.name.clone(), location.state);
        match self.reopen(location, &settings).await {
            Ok(backend) => {
                self.locations
                    .set(Site::new(name, settings, state, backend));
                true
            }
            Err(why) => {
                if before.is_none_or(|it| it.why_unopened() != Some(&why)) {
                    tracing::error!(location = name, why, "a location does not open");
                    self.locations
                        .set(Site::unopened(name, settings, state, why));
                }
                false
            }
        }
    }

    /// Opens a location that the catalogue knows. Who it is, is written down, if an earlier version of the store has not.
    async fn reopen(
        &self,
        mut location: Location,
        settings: &LocationSettings,
    ) -> Result<Arc<dyn Backend>, String> {
        let expected = location.identity.map(LocationId);
        let wanted = expected.map_or(Expected::There, Expected::This);
        let (backend, id) = self.open(settings, wanted).await?;
        if expected.is_none() {
            location.identity = Some(id.0);
            let noted = self.catalog.put_location(&location).await;
            noted.map_err(|error| error.to_string())?;
        }
        Ok(backend)
    }

    async fn open(
        &self,
        settings: &LocationSettings,
        expected: Expected,
    ) -> Result<(Arc<dyn Backend>, LocationId), String> {
        let opened = self.opener.open(settings, expected);
        let opened = tokio::time::timeout(OPENING_PATIENCE, opened).await;
        let backend = opened
            .map_err(|_| format!("it does not open within {} s", OPENING_PATIENCE.as_secs()))??;
        let known = match expected {
            Expected::This(id) => Some(id),
            _ => None,
        };
        let id = identify(&backend, known).await?;
        Ok((backend, id))
    }
}

/// Which location a backend is: the expected one, if there is one, since nothing else was opened.
async fn identify(
    backend: &Arc<dyn Backend>,
    expected: Option<LocationId>,
) -> Result<LocationId, String> {
    if let Some(id) = expected {
        return Ok(id);
    }
    let described = tokio::time::timeout(OPENING_PATIENCE, backend.describe()).await;
    let described = described.map_err(|_| "it does not say what it is".to_owned())?;
    let description = described.map_err(|error| error.to_string())?;
    if !description.durable {
        return Err("it loses what it has stored when it ends: use one that keeps it".to_owned());
    }
    Ok(description.id)
}

fn exists(message: String) -> Problem {
    Problem::new(Code::Exists, message)
}
