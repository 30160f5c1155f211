//! `provisioning`: how long M1 to M4 take, through the door of a trusted program in a process of its own.
//!
//! Invariant: every run ends with a confirmation that its owner has verified.

use std::time::Instant;

use anyhow::Context;
use sc_attestation::Policy;
use sc_cbr::{DomainKey, DomainSecrets, Origin};
use sc_client::Challenged;
use sc_coder::CoderRoots;
use sc_crypto::{OwnerSecret, Secret};
use sc_enclave::Purpose;
use sc_launcher::{Caller, Platform, find_program};
use sc_program::entropy;
use sc_proto::provision::{Challenge, Confirmation, Offer, Secrets};
use sc_proto::{Message, cbr, coder};

use crate::cli::ProvisioningArgs;
use crate::machine;
use crate::median::Sorted;
use crate::report::{line, table};

pub(crate) fn run(arguments: &ProvisioningArgs) -> anyhow::Result<()> {
    line(&machine::describe());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(arguments.runs))
}

async fn measure(runs: u32) -> anyhow::Result<()> {
    let mut lines = vec![
        ["program", "ms, median", "ms, p99", "of it the owner's"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (purpose, name) in [(Purpose::Cbr, "sc-cbr"), (Purpose::Coder, "sc-coder")] {
        let platform = Platform::Process {
            binary: find_program(name)?,
            arguments: Vec::new(),
        };
        let program = Trusted {
            caller: Caller::start(platform)?,
            purpose,
        };
        // The first one waits for the program to start.
        program.provision(1).await?;
        let mut whole = Vec::new();
        let mut own = Vec::new();
        for number in 2..=runs + 1 {
            let (all, owners) = program.provision(number).await?;
            whole.push(all);
            own.push(owners);
        }
        let (whole, own) = (Sorted::new(whole), Sorted::new(own));
        lines.push(vec![
            name.to_owned(),
            format!("{:.3}", whole.median()),
            format!("{:.3}", whole.p99()),
            format!("{:.3}", own.median()),
        ]);
    }
    table(&lines);
    Ok(())
}

/// A trusted program behind its door.
struct Trusted {
    caller: Caller,
    purpose: Purpose,
}

impl Trusted {
    /// The provisioning of this number, from 1 on; milliseconds of all of it, and of what its owner computes.
    async fn provision(&self, number: u32) -> anyhow::Result<(f64, f64)> {
        let owner = OwnerSecret::from_seed(Secret::from_bytes([7; 32]));
        let policy = Policy::development();
        let mut draw = entropy;
        let began = Instant::now();
        let (challenged, challenge) = Challenged::begin(&owner, self.purpose, &mut draw);
        let challenged_at = began.elapsed();
        let offer = self.challenge(challenge).await?;
        let offered_at = began.elapsed();
        let secrets = self.secrets_of(&owner, number);
        let (entrusted, _, message) =
            challenged.entrust(&owner, &policy, &offer, &secrets, 0, &mut draw)?;
        let entrusted_at = began.elapsed();
        let confirmation = self.entrust(message).await?;
        entrusted.confirm(confirmation.as_ref())?;
        let own = challenged_at + (entrusted_at - offered_at);
        Ok((began.elapsed().as_secs_f64() * 1e3, own.as_secs_f64() * 1e3))
    }

    async fn challenge(&self, challenge: Challenge) -> anyhow::Result<Offer> {
        match self.purpose {
            Purpose::Cbr => match self.cbr(cbr::call::Call::Challenge(challenge)).await? {
                cbr::reply::Reply::Offer(offer) => Ok(offer),
                other => anyhow::bail!("no offer: {other:?}"),
            },
            _ => match self.coder(coder::call::Call::Challenge(challenge)).await? {
                coder::reply::Reply::Offer(offer) => Ok(offer),
                other => anyhow::bail!("no offer: {other:?}"),
            },
        }
    }

    async fn entrust(&self, secrets: Secrets) -> anyhow::Result<Option<Confirmation>> {
        match self.purpose {
            Purpose::Cbr => match self.cbr(cbr::call::Call::Secrets(secrets)).await? {
                cbr::reply::Reply::Opened(opened) => Ok(opened.confirmation),
                other => anyhow::bail!("not opened: {other:?}"),
            },
            _ => match self.coder(coder::call::Call::Secrets(secrets)).await? {
                coder::reply::Reply::Provisioned(it) => Ok(it.confirmation),
                other => anyhow::bail!("not provisioned: {other:?}"),
            },
        }
    }

    async fn cbr(&self, call: cbr::call::Call) -> anyhow::Result<cbr::reply::Reply> {
        let request = cbr::Call { call: Some(call) }.encode_to_vec();
        let reply = self.caller.call(bytes::Bytes::from(request)).await?;
        cbr::Reply::decode(reply)?.reply.context("an empty reply")
    }

    async fn coder(&self, call: coder::call::Call) -> anyhow::Result<coder::reply::Reply> {
        let mut request = Vec::new();
        sc_coder::join(
            &mut request,
            &coder::Call { call: Some(call) }.encode_to_vec(),
        );
        let reply = self.caller.call(bytes::Bytes::from(request)).await?;
        let (_, head) = sc_coder::split(reply).context("a reply without a head")?;
        coder::Reply::decode(head)?.reply.context("an empty reply")
    }

    /// What the owner entrusts to it.
    fn secrets_of(&self, owner: &OwnerSecret, number: u32) -> Vec<u8> {
        let secrets = match self.purpose {
            Purpose::Cbr => DomainSecrets {
                key: DomainKey::new(Secret::from_bytes([5; 32])),
                session: number.into(),
                start: 1,
                floor: Origin::default(),
                time_ms: number.into(),
                plain: false,
                owner: owner.public().clone(),
                certificate: owner.certificate(),
            }
            .encode(),
            _ => CoderRoots::new(number.into(), 1, vec![(1, Secret::from_bytes([6; 32]))])
                .expect("one root, which is the current one")
                .encode(),
        };
        secrets.to_vec()
    }
}
