//! `attest serve`: the owner's agent, without a gateway.

use sc_attestation::Policy;
use sc_client::kv::{KvClient, OwnerAgent};
use sc_transport::Role;

use super::cli::ServeArgs;
use super::policy::evidence_policy;
use crate::links::read_link_keys;
use crate::report::Report;
use crate::storage::Agent;
use crate::storage::OwnerFolder;
use crate::storage::{connect, endpoint};
use crate::wrong_use;

pub(crate) async fn run(arguments: ServeArgs) -> anyhow::Result<()> {
    let report = Report::new("attest", &arguments.verbosity);
    let stop = crate::scbr::stopped()?;
    let policy = evidence_policy(arguments.policy.as_deref(), arguments.allow_simulation)?;
    if arguments.allow_simulation {
        report.say(sc_enclave::SIMULATION_LINE);
    }
    names_machines(&policy)?;
    let (owner, roots) = OwnerFolder(arguments.owner.clone()).open()?;
    let credentials = OwnerFolder(arguments.owner.clone()).edge(&owner, &roots)?;
    let keys = read_link_keys(arguments.link.link_keys.as_deref())?;
    let requester = connect(&endpoint(&arguments.store)?, keys.as_ref(), Role::Client).await?;
    let client = KvClient::new(requester.clone(), credentials);
    let agent = OwnerAgent::new(requester.clone(), owner, roots, policy);
    let agent = Agent::new(agent, client, arguments.owner, report.clone());
    let agent = agent.first().await?;
    report.say(format!(
        "looking after the coders of {}; ^C ends",
        arguments.store
    ));
    report.event(&serde_json::json!({ "event": "ready" }));
    let looking_after = tokio::spawn(agent.look_after());
    stop.await;
    looking_after.abort();
    requester.close().await;
    Ok(())
}

/// Nobody watches an agent: with hardware it hands keys to machines alone that its owner has named.
fn names_machines(policy: &Policy) -> anyhow::Result<()> {
    if policy.programs.is_empty() || policy.machines.is_some() {
        return Ok(());
    }
    Err(wrong_use(
        "the policy accepts programs on any machine, and nobody watches this agent: name the machines with `machine HEX` (`securecloud attest show` tells them)",
    ))
}
