//! `credentials`: what an owner gives to clients that use the store themselves, and takes back.
//!
//! Invariant: every certificate that was issued is in the owner's list, under a serial number of its own; one that is revoked stays revoked.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sc_client::OsEntropy;
use sc_client::kv::Credentials;
use sc_coder::Right;
use sc_proto::storage::CertificateBody;
use serde::{Deserialize, Serialize};

use crate::keys::{ANOTHER_NAME, all_absent, beside, write_new};
use crate::report::line;
use crate::storage::cli::{CredentialsCommand, IssueArgs, RightName};
use crate::storage::files::OwnerFolder;
use crate::wrong_use;

/// The serial number of the owner's own edge, which is in no list.
const EDGE: u64 = 1;
/// Bytes of a certificate's name.
const LABEL_MAX: usize = 255;

/// The owner's list of what it has issued.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issued {
    #[serde(default, rename = "certificate")]
    certificates: Vec<Certificate>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    serial: u64,
    name: String,
    datastores: Vec<String>,
    rights: Vec<RightName>,
    /// In milliseconds since 1970; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after_ms: Option<u64>,
    #[serde(default)]
    is_revoked: bool,
}

pub(crate) fn run(command: CredentialsCommand) -> anyhow::Result<()> {
    match command {
        CredentialsCommand::Issue(arguments) => issue(&arguments),
        CredentialsCommand::RotateRoot { owner } => rotate_root(&owner),
        CredentialsCommand::Revoke { serial, owner } => revoke(serial, &owner),
        CredentialsCommand::Ls { owner } => list(&owner),
    }
}

/// The serial numbers that are void, as the owner's folder has them.
pub(crate) fn revoked(owner: &Path) -> anyhow::Result<Vec<u64>> {
    let issued = Issued::read(&path(owner))?;
    let revoked = issued.certificates.iter().filter(|it| it.is_revoked);
    Ok(revoked.map(|it| it.serial).collect())
}

fn path(owner: &Path) -> PathBuf {
    owner.join("credentials.toml")
}

impl Issued {
    /// What the file says; nothing, where there is none.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| path.display().to_string())?,
        };
        toml::from_str(&text).map_err(|error| wrong_use(format!("{}: {error}", path.display())))
    }

    /// Writes the file anew, all of it or nothing.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = toml::to_string(self).context("a list of certificates")?;
        let fresh = beside(path, ".new");
        write_new(&fresh, text.as_bytes(), 0o600, true)?;
        std::fs::rename(&fresh, path).with_context(|| path.display().to_string())
    }

    fn next_serial(&self) -> u64 {
        let serials = self.certificates.iter().map(|it| it.serial);
        serials.max().unwrap_or(EDGE) + 1
    }
}

/// Holds the list for this process alone, until it is dropped.
fn lock(owner: &Path) -> anyhow::Result<std::fs::File> {
    let path = owner.join("credentials.lock");
    let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    file.lock().with_context(|| path.display().to_string())?;
    Ok(file)
}

fn issue(arguments: &IssueArgs) -> anyhow::Result<()> {
    let (owner, roots) = OwnerFolder(arguments.owner.clone()).open()?;
    let label = label_of(&arguments.name)?;
    let file = beside(&arguments.name, ".key");
    all_absent(&[&file], ANOTHER_NAME)?;
    let _lock = lock(&arguments.owner)?;
    let list = path(&arguments.owner);
    let mut issued = Issued::read(&list)?;
    let rights = match &arguments.right[..] {
        [] => RightName::ALL.to_vec(),
        chosen => chosen.to_vec(),
    };
    let certificate = Certificate {
        serial: issued.next_serial(),
        name: label,
        datastores: arguments.datastore.clone(),
        rights,
        not_after_ms: arguments.valid.map(ends_in),
        is_revoked: false,
    };
    let body = CertificateBody {
        serial: certificate.serial,
        not_after_ms: certificate.not_after_ms.unwrap_or(0),
        rights: certificate.rights.iter().fold(0, |all, it| all | it.bit()),
        datastores: certificate.datastores.clone(),
        label: certificate.name.clone(),
        ..Default::default()
    };
    let made = Credentials::issue(owner.signing_key(), roots.current(), body, &mut OsEntropy);
    // Listed first: what is not in the list could not be revoked.
    let serial = certificate.serial;
    issued.certificates.push(certificate);
    issued.write(&list)?;
    if let Err(error) = write_new(&file, made.to_text().as_bytes(), 0o600, false) {
        // Nobody holds it, so there is nothing to revoke.
        issued.certificates.pop();
        issued.write(&list)?;
        return Err(error);
    }
    line(&format!(
        "credentials  {} (mode 0600: for the client alone)",
        file.display()
    ));
    line(&format!("serial       {serial}"));
    Ok(())
}

/// What the list calls a certificate: the path as it was typed.
fn label_of(name: &Path) -> anyhow::Result<String> {
    let refused = |why: &str| Err(wrong_use(format!("{name:?} is no name: {why}")));
    let Some(text) = name.to_str() else {
        return refused("it is not UTF-8");
    };
    if text.len() > LABEL_MAX {
        return refused("it is too long");
    }
    if text.chars().any(char::is_control) {
        return refused("it has characters that cannot be shown");
    }
    let is_folder = text.ends_with('/') || name.file_name().is_none();
    if is_folder
        || name
            .file_name()
            .is_some_and(|it| it.as_encoded_bytes().starts_with(b"-"))
    {
        return refused("NAME.key is to be a file");
    }
    Ok(text.to_owned())
}

fn ends_in(valid: Duration) -> u64 {
    let ends = SystemTime::now() + valid;
    let since = ends.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn revoke(serial: u64, owner: &Path) -> anyhow::Result<()> {
    if serial == EDGE {
        return Err(wrong_use(
            "1 is the owner's own edge: without it nothing could be read any more",
        ));
    }
    OwnerFolder(owner.to_owned()).must_exist()?;
    let _lock = lock(owner)?;
    let list = path(owner);
    let mut issued = Issued::read(&list)?;
    let certificate = issued
        .certificates
        .iter_mut()
        .find(|it| it.serial == serial);
    let certificate = certificate.ok_or_else(|| {
        wrong_use(format!(
            "no certificate has the serial number {serial}: see `securecloud credentials ls`"
        ))
    })?;
    certificate.is_revoked = true;
    issued.write(&list)?;
    line("revoked: the gateway of this folder tells the coders within seconds, or when it starts");
    Ok(())
}

/// Adds a root, which is the current one from then on; those before stay, since they open what was sealed under them.
fn rotate_root(owner: &Path) -> anyhow::Result<()> {
    let folder = OwnerFolder(owner.to_owned());
    folder.must_exist()?;
    let _lock = lock(owner)?;
    let (_, mut roots) = folder.open()?;
    if roots.count() >= sc_coder::ROOTS_MAX {
        return Err(wrong_use(format!(
            "there are {} roots already, and coders take no more",
            roots.count()
        )));
    }
    roots.rotate(&mut OsEntropy);
    folder.keep_roots(&roots)?;
    line(&format!(
        "root {} is the current one: the gateway of this folder gives it to the coders and has the keys of all datastores wrapped by it, within seconds or when it starts; back up {} again",
        roots.current_number(),
        folder.0.display()
    ));
    Ok(())
}

fn list(owner: &Path) -> anyhow::Result<()> {
    OwnerFolder(owner.to_owned()).must_exist()?;
    let mut table =
        crate::kv::Table::new(&[">serial", "name", "datastores", "rights", "until", "state"]);
    for it in Issued::read(&path(owner))?.certificates {
        let rights: Vec<&str> = it.rights.iter().map(|right| right.word()).collect();
        let until = it.not_after_ms.map(|ms| {
            let at = UNIX_EPOCH + Duration::from_millis(ms);
            humantime::format_rfc3339_seconds(at).to_string()
        });
        let is_over = it
            .not_after_ms
            .is_some_and(|ms| ms <= ends_in(Duration::ZERO));
        let state = match (it.is_revoked, is_over) {
            (true, _) => "revoked",
            (false, true) => "over",
            (false, false) => "valid",
        };
        table.row([
            it.serial.to_string(),
            it.name,
            it.datastores.join(","),
            rights.join(","),
            until.unwrap_or_else(|| "-".into()),
            state.to_owned(),
        ]);
    }
    table.print();
    Ok(())
}

impl RightName {
    const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::List,
        Self::Administer,
    ];

    fn bit(self) -> u32 {
        match self {
            Self::Read => Right::Read as u32,
            Self::Write => Right::Write as u32,
            Self::Delete => Right::Delete as u32,
            Self::List => Right::List as u32,
            Self::Administer => Right::Administer as u32,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Administer => "administer",
        }
    }
}

#[cfg(test)]
mod tests {
    use sc_coder::Rights;

    use super::*;

    #[test]
    fn the_rights_by_name_are_all_there_are() {
        let all = RightName::ALL.iter().fold(0, |all, it| all | it.bit());

        assert_eq!(Rights(all), Rights::ALL);
    }

    #[test]
    fn a_revoked_certificate_is_void_and_its_number_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let owner = folder.path().join("owner");
        OwnerFolder(owner.clone()).ensure().unwrap();
        let issue_one = |name: &str| {
            issue(&IssueArgs {
                name: folder.path().join(name),
                owner: owner.clone(),
                datastore: vec!["*".into()],
                right: vec![RightName::Read],
                valid: Some(Duration::from_secs(60)),
            })
        };
        issue_one("first").unwrap();
        issue_one("second").unwrap();
        assert!(revoked(&owner).unwrap().is_empty());

        revoke(2, &owner).unwrap();
        issue_one("third").unwrap();

        assert_eq!(revoked(&owner).unwrap(), [2]);
        let serials = Issued::read(&path(&owner)).unwrap().certificates;
        let serials: Vec<u64> = serials.iter().map(|it| it.serial).collect();
        assert_eq!(serials, [2, 3, 4]);
        assert!(revoke(9, &owner).is_err() && revoke(EDGE, &owner).is_err());
        assert!(issue_one("third").is_err(), "its file is there already");
    }

    fn issue_to(owner: &Path, name: PathBuf) -> anyhow::Result<()> {
        issue(&IssueArgs {
            name,
            owner: owner.to_owned(),
            datastore: vec!["*".into()],
            right: Vec::new(),
            valid: None,
        })
    }

    #[test]
    fn what_cannot_be_written_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let owner = folder.path().join("owner");
        OwnerFolder(owner.clone()).ensure().unwrap();

        let failed = issue_to(&owner, folder.path().join("nowhere/phone"));

        assert!(failed.is_err());
        assert_eq!(Issued::read(&path(&owner)).unwrap(), Issued::default());
    }

    #[test]
    fn odd_names_are_refused_and_no_hint_names_what_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let owner = folder.path().join("owner");
        OwnerFolder(owner.clone()).ensure().unwrap();
        let long = "n".repeat(256);

        for odd in ["", "..", "a/", "a\nb", "a/..", "-n", &long] {
            assert!(issue_to(&owner, odd.into()).is_err(), "{odd:?}");
        }
        let name = folder.path().join("phone");
        issue_to(&owner, name.clone()).unwrap();
        let told = issue_to(&owner, name).unwrap_err().to_string();

        assert!(told.ends_with("choose another name"), "{told}");
        let listed = Issued::read(&path(&owner)).unwrap().certificates;
        assert_eq!(listed.len(), 1);
    }

    #[test]
    fn no_owner_is_made_for_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let owner = folder.path().join("mistyped");

        assert!(issue_to(&owner, folder.path().join("phone")).is_err());
        assert!(revoke(2, &owner).is_err() && list(&owner).is_err());

        assert!(!owner.exists());
    }
}
