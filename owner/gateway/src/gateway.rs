//! A gateway: the store's client, and all that its answers need beside it.

use std::sync::Arc;

use sc_client::kv::KvClient;
use serde::Serialize;
use utoipa::ToSchema;

use crate::stats::Stats;
use crate::tokens::TokenMemory;
use crate::{Limits, Listen, Listening, rest};

/// What a coder said of itself, and what its owner makes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Statement {
    /// The store's name for the coder.
    #[schema(example = "coder-0")]
    pub coder: String,
    /// The line that says what protects it, or that nothing does.
    pub tee: String,
    /// The measurement of its program, in hexadecimal digits; empty where it was not appraised.
    pub measurement: String,
    /// Whether its evidence satisfied the owner's policy.
    pub is_appraised: bool,
    /// Whether it holds the tenant's root.
    pub is_provisioned: bool,
    /// Whether the store reaches it.
    pub is_reachable: bool,
}

/// Who knows what the coders have said. It is asked for each answer that tells it, so it answers from memory.
pub trait Statements: Send + Sync + 'static {
    /// The latest of each coder.
    fn statements(&self) -> Vec<Statement>;
}

impl<F: Fn() -> Vec<Statement> + Send + Sync + 'static> Statements for F {
    fn statements(&self) -> Vec<Statement> {
        self()
    }
}

/// The numbers of this process in Prometheus' text format.
pub(crate) type Numbers = Box<dyn Fn() -> String + Send + Sync>;

/// A gateway that is not open yet.
pub struct Gateway {
    client: KvClient,
    statements: Box<dyn Statements>,
    numbers: Option<Numbers>,
    are_numbers_open: bool,
    limits: Limits,
}

/// What every request can reach.
pub(crate) struct Shared {
    pub(crate) client: KvClient,
    pub(crate) statements: Box<dyn Statements>,
    pub(crate) numbers: Option<Numbers>,
    pub(crate) are_numbers_open: bool,
    pub(crate) limits: Limits,
    pub(crate) tokens: TokenMemory,
    pub(crate) stats: Arc<Stats>,
}

impl Gateway {
    /// A gateway to the store that `client` reaches. The client's certificate bounds what any token can grant.
    #[must_use]
    pub fn new(client: KvClient) -> Self {
        Self {
            client,
            statements: Box::new(Vec::new),
            numbers: None,
            are_numbers_open: false,
            limits: Limits::default(),
        }
    }

    /// Who is asked for what the coders said of themselves.
    #[must_use]
    pub fn with_statements(mut self, statements: impl Statements) -> Self {
        self.statements = Box::new(statements);
        self
    }

    /// What `/metrics` tells beside the gateway's own counters, in Prometheus' text format.
    #[must_use]
    pub fn with_numbers(mut self, numbers: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.numbers = Some(Box::new(numbers));
        self
    }

    /// Tells `/metrics` to whoever asks, without a token: for a port that only this machine reaches.
    #[must_use]
    pub fn with_open_numbers(mut self) -> Self {
        self.are_numbers_open = true;
        self
    }

    /// Bounds other than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens the port; whoever connects waits until [`Listening::serve`] is called.
    ///
    /// # Errors
    /// The operating system's, where the port is not to be had.
    pub async fn listen(self, listen: Listen) -> std::io::Result<Listening> {
        let limits = self.limits.clone();
        let stats = Arc::new(Stats::default());
        let router = rest::router(self.share(Arc::clone(&stats)));
        Listening::bind(listen, router, limits, stats).await
    }

    pub(crate) fn share(self, stats: Arc<Stats>) -> Arc<Shared> {
        Arc::new(Shared {
            client: self.client,
            statements: self.statements,
            numbers: self.numbers,
            are_numbers_open: self.are_numbers_open,
            tokens: TokenMemory::new(self.limits.token_memory),
            limits: self.limits,
            stats,
        })
    }
}
