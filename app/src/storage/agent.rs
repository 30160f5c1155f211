//! The owner's agent: provisions the coders of a store, again when they were started anew, and has a new root taken up.
//!
//! Invariant: roots leave only to coders whose evidence satisfied the owner's policy.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_client::kv::{CoderState, KvClient, OwnerAgent};
use sc_gateway::Statement;
use sc_proto::store::problem::Code;
use sc_transport::Requester;

use crate::attest::hex;
use crate::report::Report;
use crate::storage::credentials;
use crate::storage::files::OwnerFolder;

/// How often the agent looks after the coders.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// How often coders are told the time.
const TELL_TIME: Duration = Duration::from_secs(60);
/// How long the first coder may take to be provisioned.
const FIRST_PATIENCE: Duration = Duration::from_secs(15);

/// The owner's agent: coders that lack the roots get them, and all are told the time.
pub(crate) struct Agent {
    agent: OwnerAgent<Requester>,
    client: KvClient,
    /// Coders that have the roots as they are now.
    given: BTreeSet<String>,
    /// Whether all datastores' keys are wrapped by the current root.
    is_rewrapped: bool,
    statements: Arc<Mutex<Vec<Statement>>>,
    report: Report,
    /// The folder of the owner's keys.
    owner: PathBuf,
    /// When the coders were last told the time, and which certificates are void.
    told: Option<(tokio::time::Instant, Vec<u64>)>,
    complained: bool,
}

impl Agent {
    /// An agent that keeps what it learns to itself; `owner` is the folder of the owner's keys.
    pub(crate) fn new(
        agent: OwnerAgent<Requester>,
        client: KvClient,
        owner: PathBuf,
        report: Report,
    ) -> Self {
        Self {
            agent,
            client,
            given: BTreeSet::new(),
            is_rewrapped: false,
            statements: Arc::default(),
            report,
            owner,
            told: None,
            complained: false,
        }
    }

    /// The same, telling there what the coders have said.
    pub(crate) fn telling(self, statements: Arc<Mutex<Vec<Statement>>>) -> Self {
        Self { statements, ..self }
    }

    /// Waits for the first coder to be provisioned.
    pub(crate) async fn first(mut self) -> anyhow::Result<Self> {
        let looking = async {
            loop {
                match self.look().await {
                    Ok(0) => tokio::time::sleep(Duration::from_millis(50)).await,
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        if let Some(sc_client::kv::AgentError::Provisioning(_)) =
                            error.downcast_ref()
                        {
                            return Err(error);
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        match tokio::time::timeout(FIRST_PATIENCE, looking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => self
                .report
                .say("no store has answered yet: is one running there? Trying on"),
        }
        Ok(self)
    }

    /// Looks after the coders until it is dropped.
    pub(crate) async fn look_after(mut self) {
        loop {
            tokio::time::sleep(LOOK_AFTER).await;
            match self.look().await {
                Ok(_) => self.complained = false,
                Err(error) if !self.complained => {
                    self.report
                        .say(format!("coders cannot be looked after: {error:#}"));
                    self.complained = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Looks at every coder once, also behind one that it fails with; how many hold the roots then.
    async fn look(&mut self) -> anyhow::Result<usize> {
        let revoked = credentials::revoked(&self.owner)?;
        self.take_rotation()?;
        let is_told = self
            .told
            .as_ref()
            .is_some_and(|(at, told)| at.elapsed() < TELL_TIME && *told == revoked);
        let mut holding = 0;
        let mut result = Ok(());
        let coders = self.agent.coders().await?;
        let names: BTreeSet<String> = coders.iter().map(|it| it.name.clone()).collect();
        for coder in coders {
            match self.look_at(coder, is_told, &revoked).await {
                Ok(holds) => holding += usize::from(holds),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result?;
        if !self.is_rewrapped && self.given.is_superset(&names) {
            self.rewrap().await?;
        }
        if !is_told && holding > 0 {
            self.told = Some((tokio::time::Instant::now(), revoked));
        }
        Ok(holding)
    }

    /// Looks at one coder; whether it holds the roots then.
    async fn look_at(
        &mut self,
        coder: CoderState,
        is_told: bool,
        revoked: &[u64],
    ) -> anyhow::Result<bool> {
        let mut statement = Statement {
            coder: coder.name.clone(),
            tee: coder.tee.clone(),
            is_reachable: coder.is_reachable,
            ..Statement::default()
        };
        let has_roots = coder.is_provisioned && self.given.contains(&coder.name);
        if coder.is_reachable && !has_roots {
            let appraisal = self.agent.provision(&coder.name).await?;
            self.given.insert(coder.name.clone());
            self.report
                .detail(format!("{} holds the tenant's root now", coder.name));
            statement.tee = appraisal.tee_line.to_owned();
            statement.measurement = hex(appraisal.measurement());
            statement.is_appraised = true;
        } else if let Some(known) = self.known(&coder.name) {
            statement.measurement = known.measurement;
            statement.is_appraised = known.is_appraised;
        }
        statement.is_provisioned = coder.is_reachable;
        // A coder that has just got the roots knows of no certificate that is void.
        if coder.is_reachable && !(is_told && has_roots) {
            self.agent.advance(&coder.name, revoked.to_vec()).await?;
        }
        self.keep(statement);
        Ok(coder.is_reachable)
    }

    /// Takes over a root that the owner has added since.
    fn take_rotation(&mut self) -> anyhow::Result<()> {
        let (_, roots) = OwnerFolder(self.owner.clone()).open()?;
        if roots.current_number() > self.agent.current_root() {
            self.agent.take_roots(roots);
            self.given.clear();
            self.is_rewrapped = false;
        }
        Ok(())
    }

    /// Has the keys of all datastores wrapped by the current root, which all coders have by now.
    async fn rewrap(&mut self) -> anyhow::Result<()> {
        let told = match self.client.rewrap_datastores().await {
            Ok(told) => told,
            // It waits for a rebuild.
            Err(error) if error.code() == Some(Code::Unavailable) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let root = self.agent.current_root();
        self.is_rewrapped = true;
        let rewrapped = told["rewrapped"].as_u64().unwrap_or(0);
        if rewrapped > 0 {
            self.report.say(format!(
                "root {root} wraps the keys of all datastores now, of {rewrapped} since this moment"
            ));
        }
        Ok(())
    }

    fn known(&self, coder: &str) -> Option<Statement> {
        let statements = self.statements.lock();
        let statements = statements.expect("no holder of this lock panics");
        statements.iter().find(|it| it.coder == coder).cloned()
    }

    fn keep(&self, statement: Statement) {
        let statements = self.statements.lock();
        let mut statements = statements.expect("no holder of this lock panics");
        statements.retain(|it| it.coder != statement.coder);
        statements.push(statement);
    }
}
