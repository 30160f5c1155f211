//! `attest show` and `attest verify`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use sc_attestation::{AmdTcb, Policy, ProgramIdentity, Statement, Tcb, appraise, read};
use sc_client::kv::OwnerAgent;
use sc_crypto::VerifyingKey;
use sc_enclave::tee_line;
use sc_proto::Message;
use sc_proto::provision::{Evidence, evidence::Kind};
use sc_transport::Role;
use serde_json::{Value, json};

use super::cli::EvidenceArgs;
use super::hex;
use super::policy::{evidence_policy, read_policy};
use crate::links::read_link_keys;
use crate::report::line;
use crate::storage::OwnerFolder;
use crate::storage::{connect, endpoint};
use crate::wrong_use;

/// A file of evidence is at most so long.
const EVIDENCE_MAX: u64 = 256 << 10;

/// Evidence, and where it is from.
struct Found {
    name: String,
    evidence: Option<Evidence>,
    /// What it has to vouch for; `None` for a file, which vouches for whatever it says.
    data: Option<[u8; 64]>,
}

pub(crate) async fn show(arguments: &EvidenceArgs) -> anyhow::Result<()> {
    let policy = arguments.policy.as_deref().map(read_policy).transpose()?;
    let policy = policy.unwrap_or_default();
    let now = seconds(arguments.at)?;
    let (found, _) = find(arguments).await?;
    let mut unread = 0;
    for it in &found {
        match read(&policy, it.evidence.as_ref(), now) {
            Ok(statement) => tell(arguments, it, &statement, None),
            Err(error) => {
                unread += 1;
                tell_failure(arguments, it, "cannot be verified", &error.to_string());
            }
        }
    }
    anyhow::ensure!(
        unread == 0,
        "{unread} of {} pieces of evidence cannot be verified",
        found.len()
    );
    Ok(())
}

pub(crate) async fn verify(arguments: &EvidenceArgs) -> anyhow::Result<()> {
    let policy = evidence_policy(arguments.policy.as_deref(), arguments.allow_simulation)?;
    let now = seconds(arguments.at)?;
    let (found, owner) = find(arguments).await?;
    let mut refused = 0;
    for it in &found {
        match judged(&policy, owner, it, now) {
            Ok(statement) => tell(arguments, it, &statement, Some("accepted")),
            Err(error) => {
                refused += 1;
                tell_failure(arguments, it, "refused", &error.to_string());
            }
        }
    }
    anyhow::ensure!(
        refused == 0,
        "{refused} of {} pieces of evidence are refused",
        found.len()
    );
    Ok(())
}

fn judged(
    policy: &Policy,
    owner: VerifyingKey,
    found: &Found,
    now: u64,
) -> Result<Statement, sc_attestation::Refused> {
    let evidence = found.evidence.as_ref();
    if let Some(data) = &found.data {
        return appraise(policy, owner, evidence, data, now).map(|it| it.statement);
    }
    let statement = read(policy, evidence, now)?;
    policy.judge(&statement, owner)?;
    Ok(statement)
}

/// The evidence that the arguments ask for, and the owner that it is for; for a file without one, nobody.
async fn find(arguments: &EvidenceArgs) -> anyhow::Result<(Vec<Found>, VerifyingKey)> {
    let owner = arguments.owner.clone().map(OwnerFolder);
    let owner = owner.map(|folder| folder.open()).transpose()?;
    let key = owner
        .as_ref()
        .map(|(owner, _)| owner.signing_key().verifying_key());
    if let Some(path) = &arguments.evidence {
        let found = Found {
            name: path.display().to_string(),
            evidence: Some(read_file(path)?),
            data: None,
        };
        return Ok((
            vec![found],
            key.unwrap_or(VerifyingKey::from_bytes([0; 32])),
        ));
    }
    let (owner, roots) = owner.context("--owner names the folder of the owner's keys")?;
    let key = owner.signing_key().verifying_key();
    let keys = read_link_keys(arguments.link.link_keys.as_deref())?;
    let requester = connect(&endpoint(&arguments.store)?, keys.as_ref(), Role::Client).await?;
    let agent = OwnerAgent::new(requester.clone(), owner, roots, Policy::default());
    let mut found = Vec::new();
    for coder in agent.coders().await? {
        if arguments.coder.as_ref().is_some_and(|it| *it != coder.name) {
            continue;
        }
        let (evidence, data) = agent
            .examine(&coder.name)
            .await
            .with_context(|| format!("{} cannot be asked", coder.name))?;
        if let (Some(folder), Some(evidence)) = (&arguments.save, &evidence) {
            save(folder, &coder.name, evidence)?;
        }
        found.push(Found {
            name: coder.name,
            evidence,
            data: Some(data),
        });
    }
    requester.close().await;
    if found.is_empty() {
        return Err(match &arguments.coder {
            Some(name) => wrong_use(format!("the store knows no coder {name}")),
            None => anyhow::anyhow!("the store knows no coder"),
        });
    }
    Ok((found, key))
}

fn save(folder: &Path, name: &str, evidence: &Evidence) -> anyhow::Result<()> {
    // The name is the store's word.
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    let name: String = name
        .chars()
        .map(|it| if is_plain(it) { it } else { '_' })
        .collect();
    let path = folder.join(format!("{name}.evidence"));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, evidence.encode_to_vec()))
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))
}

/// Evidence in a file: as a platform makes it, or as `--save` wrote it.
fn read_file(path: &Path) -> anyhow::Result<Evidence> {
    let failed = |error: &dyn std::fmt::Display| wrong_use(format!("{}: {error}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if length.len() > EVIDENCE_MAX {
        return Err(failed(&"is too long for evidence"));
    }
    let bytes = Bytes::from(std::fs::read(path).map_err(|error| failed(&error))?);
    kind_of(&bytes)
        .map(|kind| Evidence { kind: Some(kind) })
        .or_else(|| {
            let saved = Evidence::decode(bytes).ok()?;
            saved.kind.is_some().then_some(saved)
        })
        .ok_or_else(|| {
            failed(&"no evidence: expected a quote of SGX (version 3) or TDX (4 or 5), a report of SEV-SNP, or what `attest show --save` wrote")
        })
}

/// By version and kind at its beginning: quotes have both, reports a version of four bytes and their length.
fn kind_of(bytes: &Bytes) -> Option<Kind> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let version = number(0)? & 0xffff;
    match (version, number(4)?) {
        (3, 0) if number(0)? >> 16 != 0 => Some(Kind::SgxQuote(bytes.clone())),
        (4 | 5, 0x81) => Some(Kind::TdxQuote(bytes.clone())),
        _ if (2..=5).contains(&number(0)?) && bytes.len() >= 0x4a0 => {
            Some(Kind::SnpReport(bytes.clone()))
        }
        _ => None,
    }
}

fn tell(arguments: &EvidenceArgs, found: &Found, statement: &Statement, verdict: Option<&str>) {
    let fields = fields(statement);
    if arguments.json {
        let mut object: serde_json::Map<String, Value> = fields
            .into_iter()
            .map(|(name, value)| (name.replace(' ', "_"), value.into()))
            .collect();
        object.insert("name".into(), found.name.clone().into());
        object.insert("verdict".into(), verdict.into());
        return line(&Value::Object(object).to_string());
    }
    line(&found.name);
    line(&format!("  {}", tee_line(statement.platform)));
    for (name, value) in fields {
        line(&format!("  {name:<13} {value}"));
    }
    if let Some(verdict) = verdict {
        line(&format!("  {verdict}"));
    }
}

fn tell_failure(arguments: &EvidenceArgs, found: &Found, verdict: &str, why: &str) {
    if arguments.json {
        return line(&json!({ "name": found.name, "verdict": verdict, "why": why }).to_string());
    }
    line(&found.name);
    line(&format!("  {verdict}: {why}"));
}

/// What people compare, by name.
fn fields(statement: &Statement) -> Vec<(&'static str, String)> {
    let mut fields = vec![("platform", statement.platform.to_owned())];
    match &statement.program {
        ProgramIdentity::Sgx {
            enclave,
            signer,
            product,
            svn,
        } => fields.extend([
            ("measurement", hex(enclave)),
            ("signer", hex(signer)),
            ("product", product.to_string()),
            ("svn", svn.to_string()),
        ]),
        ProgramIdentity::Tdx { machine, runtime } => {
            fields.push(("measurement", hex(machine)));
            let names = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"];
            fields.extend(names.into_iter().zip(runtime.iter().map(|it| hex(it))));
        }
        ProgramIdentity::Snp { measurement, svn } => {
            fields.extend([("measurement", hex(measurement)), ("svn", svn.to_string())]);
        }
        other => fields.push(("measurement", hex(other.measurement()))),
    }
    fields.push(("machine", hex(&statement.machine)));
    if let Some(owner) = &statement.owner {
        fields.push(("owner", hex(owner)));
    }
    match &statement.tcb {
        Tcb::Intel {
            status,
            advisories,
            evaluation,
        } => fields.extend([
            ("status", status.clone()),
            ("advisories", advisories.join(" ")),
            ("evaluation", evaluation.to_string()),
        ]),
        Tcb::Amd(versions) => fields.push(("tcb", versions_of(versions))),
        _ => {}
    }
    if statement.is_debug {
        fields.push(("debug", "yes: nothing is protected".to_owned()));
    }
    fields.push(("report data", hex(&statement.report_data)));
    fields
}

/// As a policy's rule says it.
fn versions_of(tcb: &AmdTcb) -> String {
    let parts = tcb
        .parts()
        .map(|(name, version)| format!("{name} {version}"));
    parts.join(" ")
}

fn seconds(at: Option<SystemTime>) -> anyhow::Result<u64> {
    let since = at
        .unwrap_or_else(SystemTime::now)
        .duration_since(UNIX_EPOCH);
    Ok(since.context("a time before 1970")?.as_secs())
}
