//! `source` in another owner's domain, under that owner's grant.

use std::path::Path;
use std::sync::Arc;

use sc_client::{
    Grantee, GranteeEvent, GranteeMemory, GranteeSettings, Journal, OsEntropy, Refusal,
};
use sc_crypto::OwnerSecret;
use serde_json::json;

use super::{Core, Progress, batch_bounds, publication_bytes, tell_overdue};
use crate::cli::SourceArgs;
use crate::keys::{beside, read_public};
use crate::report::Report;
use crate::wrong_use;

/// Letters of the domain's name in the name of the journal: one key may publish in several domains.
const DOMAIN_LETTERS: usize = 16;

/// A publisher in the domain of the owner whose public key is in `domain`, and its journal.
pub(super) fn open(
    arguments: &SourceArgs,
    domain: &Path,
    identity: Arc<OwnerSecret>,
    report: &Report,
) -> anyhow::Result<(Grantee, Journal)> {
    if identity.public().identity_key().is_none() {
        return Err(wrong_use(format!(
            "{}: an RSA key owns domains and does not publish in others': make one with `securecloud keygen`",
            arguments.key.display()
        )));
    }
    let owner = read_public(domain)?;
    let name = owner.domain_id().to_string();
    let name = &name[..DOMAIN_LETTERS.min(name.len())];
    let (mut journal, records) =
        Journal::open(&beside(&arguments.key, &format!(".in-{name}.journal")))?;
    let memory = GranteeMemory::replay(&records)
        .map_err(|place| anyhow::anyhow!("record {place} of the journal is of a later version"))?;
    journal.replace(memory.records().into_iter())?;
    report.say(format!(
        "publishing in domain {} as {}",
        owner.domain_id(),
        identity.public().fingerprint()
    ));
    report.event(&json!({ "event": "identity", "fingerprint": identity.public().fingerprint() }));
    let settings = GranteeSettings {
        batch: batch_bounds(arguments),
        publication_bytes: publication_bytes(arguments),
        plain: arguments.link.plain,
        ..GranteeSettings::default()
    };
    let grantee = Grantee::new(owner, identity, settings, memory, Box::new(OsEntropy));
    Ok((grantee, journal))
}

impl Core for Grantee {
    fn is_open(&self) -> bool {
        self.is_open()
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn finish(&mut self) {
        self.finish();
    }

    fn resumed_publications(&self) -> u64 {
        self.resumed_publications()
    }

    /// Consumers are the owner's business.
    fn has_audience(&self, _: usize) -> bool {
        true
    }

    /// It has none.
    fn read_lists_again(&mut self, _: &SourceArgs, _: &Report) {}

    fn on_event(
        event: GranteeEvent,
        progress: &mut Progress,
        report: &Report,
    ) -> anyhow::Result<()> {
        match event {
            GranteeEvent::Waiting => {
                report
                    .say("the owner has not opened this domain at the router yet; waiting for it");
            }
            GranteeEvent::Granted { session, start } => {
                report.say(format!(
                    "the owner lets this source publish in session {session}"
                ));
                report.event(&json!({ "event": "granted", "session": session, "start": start }));
            }
            GranteeEvent::Refused(refusal @ (Refusal::NotGranted | Refusal::Full)) => {
                report.say(format!("{refusal}; asking again"));
                report.event(&json!({ "event": "refused", "reason": refusal.to_string() }));
            }
            GranteeEvent::Refused(refusal) => anyhow::bail!("not let publish: {refusal}"),
            GranteeEvent::Unanswered => {
                report.say("the owner does not answer: is --domain its present public key, and do both or neither run with --plain? Asking again");
                report.event(&json!({ "event": "unanswered" }));
            }
            GranteeEvent::Published {
                publications,
                matched,
                deliveries,
            } => progress.on_published(publications, matched, deliveries),
            GranteeEvent::NotCarriedOut(status) => {
                report.say(format!("a batch was not carried out: {status:?}"));
                report
                    .event(&json!({ "event": "not_carried_out", "reason": format!("{status:?}") }));
            }
            GranteeEvent::RouterRefused(what) => report.say(format!("the router refused: {what}")),
            GranteeEvent::ReceiptNotAuthentic => {
                report.say("a receipt was forged, withheld or reordered; asking for a new start");
            }
            GranteeEvent::ReceiptsOverdue => tell_overdue(report),
            other => report.detail(format!("{other:?}")),
        }
        Ok(())
    }
}
