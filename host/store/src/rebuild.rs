//! A catalogue that is lost, or older than what lies at the locations, is made again of it.
//!
//! Invariant: what is taken over was verified by a coder; what does not verify is named and left where it lies, and no file is deleted here.
//! It is a merge: again it changes nothing, and over an older catalogue it adds what is missing and takes away what was deleted.
//! While it is due nothing else is done: a number drawn or a lease expired before everything is known would be wrong.
//! Source: docs/decisions/0032-a-rebuild-is-a-merge.md.

mod absence;
mod listing;
mod merging;
mod reading;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use sc_metadata::TenantId;
use sc_proto::coder;
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::Done;
use sc_proto::store::problem::Code;
use serde_json::{Value, json};

use crate::administration::with_document;
use crate::error::Problem;
use crate::policy::Policy;
use crate::store::Store;

pub(crate) use self::listing::parse_fragment;

/// Names of files in a report; the others are counted.
const NAMED_MAX: usize = 100;

/// What a rebuild has found and done.
#[derive(Debug, Clone, Default)]
pub struct Rebuilt {
    /// Datastores that were not there.
    pub datastores: u64,
    /// Versions that were not there.
    pub added: u64,
    /// Versions that were there already.
    pub known: u64,
    /// Versions that are gone: deleted or replaced.
    pub gone: u64,
    /// Records that were not there, or others.
    pub records: u64,
    /// Segments whose fragments lie elsewhere than the catalogue had them.
    pub moved: u64,
    /// Fragments that no version names.
    pub strays: u64,
    /// Fragments of known versions that no location has.
    pub missing: u64,
    /// Strays, or what is missing, may be due to locations that the catalogue does not know.
    pub may_miss_locations: bool,
    /// Files that are not what was made for what they say, or cannot be read.
    pub bad: u64,
    /// The names of some of them, and what is wrong.
    pub named: Vec<String>,
    /// What whoever reads this should know.
    pub notes: Vec<String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl Rebuilt {
    fn is_bad(&mut self, name: &str, why: &str) {
        self.bad += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{name}: {why}"));
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NAMED_MAX {
            self.notes.push(note);
        }
    }

    fn document(&self) -> Value {
        json!({
            "datastores": self.datastores,
            "added": self.added,
            "known": self.known,
            "gone": self.gone,
            "records": self.records,
            "moved": self.moved,
            "strays": self.strays,
            "missing": self.missing,
            "may_miss_locations": self.may_miss_locations,
            "bad": self.bad,
            "named": self.named,
            "notes": self.notes,
            "millis": self.millis,
        })
    }
}

/// How far a rebuild is.
#[derive(Default)]
enum State {
    /// None was asked for since the store has started.
    #[default]
    Idle,
    /// One is under way: at what, and how much of that is done.
    Running(&'static str, usize, usize),
    Done(Box<Rebuilt>),
    Failed(Problem),
}

/// Whether a rebuild is due, and how far it is.
#[derive(Default)]
pub(crate) struct Rebuilding {
    is_due: AtomicBool,
    state: Mutex<State>,
    /// Policies that there are to be where none of their names are.
    ready_made: Mutex<BTreeMap<String, Policy>>,
}

impl Rebuilding {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn is_running(&self) -> bool {
        matches!(*self.state(), State::Running(..))
    }

    fn ready_made(&self) -> MutexGuard<'_, BTreeMap<String, Policy>> {
        let ready_made = self.ready_made.lock();
        ready_made.expect("no holder of this lock panics")
    }

    pub(crate) fn remember(&self, name: &str, policy: &Policy) {
        self.ready_made().insert(name.to_owned(), policy.clone());
    }

    pub(crate) fn is_due(&self) -> bool {
        self.is_due.load(Relaxed)
    }

    /// Takes the catalogue's word, unless this store knows better.
    pub(crate) fn learn(&self, is_due: bool) {
        if !self.is_running() {
            self.is_due.store(is_due, Relaxed);
        }
    }

    /// Refuses what must wait for a rebuild.
    pub(crate) fn admit(&self, kind: &Kind) -> Result<(), Problem> {
        let may_be_done = matches!(
            kind,
            Kind::RebuildCatalogue(_)
                | Kind::PutLocation(_)
                | Kind::ListLocations(_)
                | Kind::GetRecord(_)
        );
        if may_be_done || !self.is_due() {
            return Ok(());
        }
        let message = match self.is_running() {
            true => {
                "the catalogue is being made again of what lies at the locations: try again later"
            }
            false => {
                "the catalogue does not know all that lies at the locations: have it made again with `securecloud kv catalogue rebuild`"
            }
        };
        Err(Problem::new(Code::Unavailable, message))
    }

    fn is_at(&self, stage: &'static str, done: usize, total: usize) {
        *self.state() = State::Running(stage, done, total);
    }

    /// Begins, unless one is under way; whether it did.
    fn begin(&self) -> bool {
        let mut state = self.state();
        if matches!(*state, State::Running(..)) {
            return false;
        }
        *state = State::Running("locations", 0, 0);
        true
    }

    fn document(&self) -> Value {
        match &*self.state() {
            State::Idle => json!({ "state": if self.is_due() { "due" } else { "idle" } }),
            State::Running(stage, done, total) => {
                json!({ "state": "running", "stage": stage, "done": done, "total": total })
            }
            State::Done(rebuilt) => json!({ "state": "done", "report": rebuilt.document() }),
            State::Failed(problem) => json!({ "state": "failed", "why": problem.message }),
        }
    }
}

impl Store {
    /// A `RebuildCatalogue`.
    pub(crate) async fn rebuild_catalogue(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::RebuildCatalogue,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        if operation.start
            && let Some(store) = self.this.upgrade()
            && self.rebuilding.begin()
        {
            tokio::spawn(async move { store.run_rebuild().await });
        }
        Ok(with_document(sealed, self.rebuilding.document()))
    }

    /// Makes the catalogue again of what lies at the locations.
    ///
    /// # Errors
    /// One is under way; too few locations answer; a tenant's root is with no coder; the catalogue does not answer. What was merged stays, and
    /// the rebuild is due.
    pub async fn rebuild(self: &Arc<Self>) -> Result<Rebuilt, Problem> {
        if !self.rebuilding.begin() {
            return Err(Problem::new(Code::InUse, "a rebuild is under way already"));
        }
        self.run_rebuild().await
    }

    async fn run_rebuild(&self) -> Result<Rebuilt, Problem> {
        self.rebuilding.is_due.store(true, Relaxed);
        let result = match self.make_again().await {
            Ok(rebuilt) => self.end_rebuild().await.map(|()| rebuilt),
            Err(problem) => Err(problem),
        };
        let state = match &result {
            Ok(rebuilt) => {
                tracing::info!(
                    added = rebuilt.added,
                    known = rebuilt.known,
                    gone = rebuilt.gone,
                    "the catalogue was made again"
                );
                State::Done(Box::new(rebuilt.clone()))
            }
            Err(problem) => {
                tracing::error!(%problem, "the catalogue was not made again");
                State::Failed(problem.clone())
            }
        };
        *self.rebuilding.state() = state;
        result
    }

    /// Goes on with everything else.
    async fn end_rebuild(&self) -> Result<(), Problem> {
        self.forget_policies();
        let ready_made = self.rebuilding.ready_made().clone();
        for (name, policy) in ready_made {
            if self.catalog.policy(&name, None).await?.is_none() {
                self.catalog.put_policy(&name, &policy.definition()).await?;
            }
        }
        self.catalog.set_rebuild_due(false).await?;
        self.rebuilding.is_due.store(false, Relaxed);
        Ok(())
    }
}
