//! A location as one store reaches it: over a link that may be cut.
//!
//! Invariant: whoever calls over a cut link hears nothing, not even that it is cut; what had arrived is done all the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sc_backend::{Backend, BackendError, Description, FragmentName, Listed, Reply, Usage};

use super::fault::Fault;
use super::links::{Link, Links, Party};
use super::place::Place;
use super::surroundings::Surroundings;
use super::vitals::stem;

/// Two stores that make fragments of one segment within this time are at it together.
const TOGETHER: Duration = Duration::from_secs(3);

/// Who has made fragments of which segment last.
#[derive(Default)]
pub(crate) struct Menders(Mutex<BTreeMap<String, (usize, Duration)>>);

impl Menders {
    /// Notes that a store is making fragments of a segment.
    fn note(&self, segment: &str, store: usize, surroundings: &Surroundings) {
        let now = surroundings.now();
        let mut last = self.0.lock().expect("no holder of this lock panics");
        let before = last.insert(segment.to_owned(), (store, now));
        if before.is_some_and(|(other, at)| other != store && now < at + TOGETHER) {
            surroundings.count(Fault::RepairTogether);
        }
    }
}

/// The way from a store to a location.
pub(crate) struct Route {
    store: usize,
    place: Place,
    link: Link,
    menders: Arc<Menders>,
    surroundings: Surroundings,
}

impl Route {
    pub(crate) fn new(
        store: usize,
        place: &Place,
        links: &Links,
        menders: &Arc<Menders>,
        surroundings: &Surroundings,
    ) -> Self {
        Self {
            store,
            place: place.clone(),
            link: links.between(Party::Store(store), Party::Place(place.number)),
            menders: Arc::clone(menders),
            surroundings: surroundings.clone(),
        }
    }

    /// A call that takes effect when it arrives.
    async fn carry<T>(
        &self,
        call: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        if !self.link.carries_there() {
            return std::future::pending().await;
        }
        let result = call.await;
        if !self.link.carries_back() {
            return std::future::pending().await;
        }
        result
    }

    fn note_mending(&self, name: &FragmentName) {
        self.menders
            .note(stem(name.as_str()), self.store, &self.surroundings);
    }
}

impl Backend for Route {
    fn describe<'a>(&'a self) -> Reply<'a, Description> {
        Box::pin(self.carry(async { self.place.describe().await }))
    }

    fn put<'a>(&'a self, name: &'a FragmentName, body: Bytes) -> Reply<'a, ()> {
        // What takes the place of another fragment has a number of its own.
        if name.as_str().split('.').count() == 3 {
            self.note_mending(name);
        }
        Box::pin(self.carry(async { self.place.put(name, body).await }))
    }

    fn get<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, Bytes> {
        Box::pin(self.carry(async { self.place.get(name).await }))
    }

    fn read<'a>(&'a self, name: &'a FragmentName, range: Range<u64>) -> Reply<'a, Bytes> {
        Box::pin(self.carry(async { self.place.read(name, range).await }))
    }

    fn recode<'a>(&'a self, name: &'a FragmentName, scalars: Bytes) -> Reply<'a, Bytes> {
        self.note_mending(name);
        Box::pin(self.carry(async { self.place.recode(name, scalars).await }))
    }

    fn delete<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, bool> {
        Box::pin(self.carry(async { self.place.delete(name).await }))
    }

    fn list<'a>(&'a self, after: Option<&'a FragmentName>, limit: usize) -> Reply<'a, Vec<Listed>> {
        Box::pin(self.carry(async move { self.place.list(after, limit).await }))
    }

    fn usage<'a>(&'a self) -> Reply<'a, Usage> {
        Box::pin(self.carry(async { self.place.usage().await }))
    }
}
