//! `source` as the owner of its domain: policy, admission, and what an owner's publisher reports.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sc_attestation::Policy;
use sc_cbr::{SlowPolicy, Status};
use sc_client::{
    Admission, GrantList, Journal, OsEntropy, Publisher, PublisherEvent, PublisherSettings, Roll,
};
use sc_crypto::OwnerSecret;
use serde_json::json;

use super::{Core, Progress, batch_bounds, publication_bytes, read_text};
use crate::attest::read_policy;
use crate::cli::{Slow, SourceArgs};
use crate::keys::beside;
use crate::report::Report;
use crate::wrong_use;

/// The owner's publisher and its journal.
pub(super) fn open(
    arguments: &SourceArgs,
    secret: Arc<OwnerSecret>,
    report: &Report,
) -> anyhow::Result<(Publisher, Journal)> {
    let settings = settings(arguments, report)?;
    let (mut journal, records) = Journal::open(&beside(&arguments.key, ".journal"))?;
    let roll = Roll::replay(&records)
        .map_err(|place| anyhow::anyhow!("record {place} of the journal is of a later version"))?;
    journal.replace(roll.records())?;
    report.say(format!(
        "domain {} ({})",
        secret.public().domain_id(),
        secret.public().fingerprint()
    ));
    let publisher = Publisher::new(secret, settings, roll, Box::new(OsEntropy));
    Ok((publisher, journal))
}

fn settings(arguments: &SourceArgs, report: &Report) -> anyhow::Result<PublisherSettings> {
    Ok(PublisherSettings {
        policy: policy(arguments, report)?,
        admission: admission(arguments.admit.as_deref(), report)?,
        quota: arguments.quota,
        lease: Duration::from_secs(arguments.lease),
        slow: match arguments.slow {
            Slow::Spill => SlowPolicy::Spill,
            Slow::Block => SlowPolicy::Block,
            Slow::Disconnect => SlowPolicy::Disconnect,
        },
        grants: match &arguments.grant {
            Some(path) => read_grants(path)?,
            None => GrantList::default(),
        },
        retention_max: arguments.retention_max,
        batch: batch_bounds(arguments),
        publication_bytes: publication_bytes(arguments),
        plain: arguments.link.plain,
        ..PublisherSettings::default()
    })
}

/// The policy to appraise with. Without a file, D4.2's bare form: the development simulation is accepted, on this machine alone.
fn policy(arguments: &SourceArgs, report: &Report) -> anyhow::Result<Policy> {
    if arguments.link.plain {
        report.say("PLAIN: headers, subscriptions and payloads travel unencrypted, and the router reads them. For measurement only");
    }
    let Some(path) = &arguments.policy else {
        if arguments.link.link_keys.is_some() {
            return Err(wrong_use(
                "a router beyond this machine needs --policy: which trusted programs may have the keys",
            ));
        }
        report.say("no --policy: the keys go to any program that runs in the development simulation, on this machine alone");
        return Ok(Policy::development());
    };
    Ok(Policy {
        allow_simulation: arguments.allow_simulation,
        ..read_policy(path)?
    })
}

fn admission(admit: Option<&str>, report: &Report) -> anyhow::Result<Admission> {
    match admit {
        None | Some("all") => {
            report.say("admission is open: whoever asks may subscribe; name a list of fingerprints with --admit");
            Ok(Admission::Open)
        }
        Some(path) => read_admission(path),
    }
}

fn read_admission(path: &str) -> anyhow::Result<Admission> {
    Admission::parse(&read_text(Path::new(path))?).map_err(|line| no_fingerprint(&path, line))
}

fn read_grants(path: &Path) -> anyhow::Result<GrantList> {
    GrantList::parse(&read_text(path)?).map_err(|line| no_fingerprint(&path.display(), line))
}

fn no_fingerprint(path: &dyn std::fmt::Display, line: usize) -> anyhow::Error {
    wrong_use(format!(
        "{path}: line {line}: expected a fingerprint, SHA256: and 43 characters, as `consumer` and `source --domain` print it"
    ))
}

impl Core for Publisher {
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

    fn has_audience(&self, consumers: usize) -> bool {
        self.complete_consumers() >= consumers
    }

    /// Whoever a list names no longer is revoked or dismissed at once.
    fn read_lists_again(&mut self, arguments: &SourceArgs, report: &Report) {
        if let Some(path) = arguments.admit.as_deref().filter(|path| *path != "all") {
            match read_admission(path) {
                Ok(admission) => {
                    self.set_admission(admission);
                    report.say(format!("{path} was read again"));
                }
                Err(error) => report.say(format!("{error:#}; the list in force stays")),
            }
        }
        if let Some(path) = &arguments.grant {
            match read_grants(path) {
                Ok(grants) => {
                    self.set_grants(grants);
                    report.say(format!("{} was read again", path.display()));
                }
                Err(error) => report.say(format!("{error:#}; the list in force stays")),
            }
        }
    }

    fn on_event(
        event: PublisherEvent,
        progress: &mut Progress,
        report: &Report,
    ) -> anyhow::Result<()> {
        match event {
            PublisherEvent::Opened {
                session,
                tee_line,
                measurement,
            } => {
                let measurement: String = measurement
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                report.say(tee_line);
                report.say(format!(
                    "session {session} is open in a trusted program of measurement {measurement}"
                ));
                report.event(&json!({ "event": "opened", "session": session, "tee": tee_line, "measurement": measurement }));
                if !progress.has_audience {
                    report.say(format!(
                        "waiting until the files of {} consumer(s) are admitted",
                        progress.awaited
                    ));
                }
            }
            PublisherEvent::Admitted {
                fingerprint,
                subscriptions,
            } => {
                report.say(format!(
                    "admitted {fingerprint}: {subscriptions} subscriptions"
                ));
                report.event(&json!({ "event": "admitted", "consumer": fingerprint, "subscriptions": subscriptions }));
            }
            PublisherEvent::RefusedConsumer {
                fingerprint,
                refusal,
            } => {
                report.say(format!("refused {fingerprint}: {refusal}"));
                report.event(&json!({ "event": "refused", "consumer": fingerprint, "reason": refusal.to_string() }));
            }
            PublisherEvent::UnreadableAsk => {
                progress.unreadable += 1;
                // Anyone who reaches the router may send such things, as many as they like.
                if progress.unreadable.is_power_of_two() {
                    report.say(format!(
                        "{} request(s) did not open: made for another key, or with --plain where this source runs without it",
                        progress.unreadable
                    ));
                }
            }
            PublisherEvent::Published {
                publications,
                matched,
                deliveries,
            } => progress.on_published(publications, matched, deliveries),
            PublisherEvent::Granted { fingerprint, start } => {
                report.say(format!("{fingerprint} publishes, start {start}"));
                report.event(
                    &json!({ "event": "granted", "publisher": fingerprint, "start": start }),
                );
            }
            PublisherEvent::RefusedPublisher {
                fingerprint,
                refusal,
            } => {
                report.say(format!("did not let {fingerprint} publish: {refusal}"));
                report.event(&json!({ "event": "refused_publisher", "publisher": fingerprint, "reason": refusal.to_string() }));
            }
            PublisherEvent::Dismissed { fingerprint } => {
                report.say(format!("{fingerprint} publishes no more"));
                report.event(&json!({ "event": "dismissed", "publisher": fingerprint }));
            }
            PublisherEvent::NotCarriedOut(status @ (Status::Limit | Status::Malformed)) => {
                let why = if status == Status::Limit {
                    "a bound of the trusted program is reached: lower --quota or --batch; or a filter is wider than a router with --oblivious matches"
                } else {
                    "the trusted program cannot read it"
                };
                report.say(format!("a message was not carried out: {why}"));
                report.event(&json!({ "event": "not_carried_out", "reason": why }));
            }
            PublisherEvent::NotProvisioned(error) => {
                return Err(wrong_use(format!(
                    "the router was not given the keys: {error}"
                )));
            }
            PublisherEvent::RouterRefused {
                what,
                lasting: true,
            } => return Err(wrong_use(format!("the router refused: {what}"))),
            PublisherEvent::RouterRefused { what, .. } => {
                report.say(format!("the router refused: {what}"))
            }
            PublisherEvent::ReceiptNotAuthentic => {
                report.say("a receipt was forged, withheld or reordered; leaving this session")
            }
            PublisherEvent::ReceiptsOverdue => super::tell_overdue(report),
            other => report.detail(format!("{other:?}")),
        }
        Ok(())
    }
}
