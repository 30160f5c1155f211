//! Certificates: the owner's word that a client may use its tenant, and what for.
//!
//! Invariant: rights come from a body that the owner has signed, and from nowhere else.

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::{SealingPublicKey, SigningKey, Transcript, VerifyingKey};
use sc_proto::storage;

use crate::refused::{Refused, array};
use crate::tenant_id;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Right {
    /// Open objects.
    Read = 1,
    /// Make objects.
    Write = 2,
    /// Delete objects.
    Delete = 4,
    /// List what there is.
    List = 8,
    /// Make and change datastores, policies, locations and the tenant's records.
    Administer = 16,
}

/// A set of rights, as certificates carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(pub u32);

impl Rights {
    /// Every right there is.
    pub const ALL: Self = Self(31);

    /// Whether `right` is among them.
    #[must_use]
    pub fn allow(self, right: Right) -> bool {
        self.0 & right as u32 != 0
    }
}

/// The entry of a certificate over all datastores.
const ALL: &str = "*";

/// What a certificate grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) serial: u64,
    pub(crate) not_after_ms: u64,
    rights: Rights,
    datastores: Vec<String>,
}

impl Grant {
    /// Reads a body that is known to be the owner's.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Refused> {
        let body = storage::CertificateBody::decode(body)?;
        Ok(Self {
            serial: body.serial,
            not_after_ms: body.not_after_ms,
            rights: Rights(body.rights),
            datastores: body.datastores,
        })
    }

    /// Refuses unless the grant has `right`, for `datastore`; what is about none of them, but about all of the tenant, needs a grant over all.
    pub(crate) fn check(&self, right: Right, datastore: Option<&str>) -> Result<(), Refused> {
        let is_named = self.datastores.iter().any(|it| match datastore {
            Some(name) => names(it, name),
            None => it == ALL,
        });
        if is_named && self.rights.allow(right) {
            Ok(())
        } else {
            Err(Refused::RIGHT)
        }
    }

    /// Whether it still holds at `now_ms` of the owner's clock.
    pub(crate) fn is_live(&self, now_ms: u64) -> bool {
        self.not_after_ms == 0 || now_ms < self.not_after_ms
    }
}

/// Whether a certificate's entry means the datastore `name`: exactly, or by its beginning and a `*`.
fn names(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => entry == name,
    }
}

/// Signs a certificate; the owner's side.
#[must_use]
pub fn issue(owner: &SigningKey, mut body: storage::CertificateBody) -> storage::Certificate {
    body.tenant = Bytes::copy_from_slice(&tenant_id(owner.verifying_key()));
    let body = body.encode_to_vec();
    let signature = owner.sign(&signed(&body));
    storage::Certificate {
        body: body.into(),
        signature: Bytes::copy_from_slice(&signature),
    }
}

/// Checks a certificate and the client's own signature beside it, and gives what was granted and the body that says so.
pub(crate) fn verify(
    owner: VerifyingKey,
    coder_key: &SealingPublicKey,
    request: &storage::SessionRequest,
) -> Result<(Grant, Bytes), Refused> {
    let certificate = request.certificate.as_ref().ok_or(Refused::MALFORMED)?;
    owner.verify(&signed(&certificate.body), &certificate.signature)?;
    let body = storage::CertificateBody::decode(certificate.body.clone())?;
    if body.tenant[..] != tenant_id(owner) {
        return Err(Refused::RIGHT);
    }
    let client = VerifyingKey::from_bytes(array(&body.client)?);
    let transcript = session_transcript(coder_key, &request.reply_secret, &certificate.body);
    client.verify(&transcript, &request.signature)?;
    Ok((Grant::decode(&certificate.body)?, certificate.body.clone()))
}

fn signed(body: &[u8]) -> Transcript {
    Transcript::new("storage certificate").bytes(body)
}

/// What a client signs when it opens a session.
#[must_use]
pub fn session_transcript(
    coder_key: &SealingPublicKey,
    reply_secret: &[u8],
    certificate_body: &[u8],
) -> Transcript {
    Transcript::new("storage session request")
        .bytes(&coder_key.to_bytes())
        .bytes(reply_secret)
        .bytes(certificate_body)
}

/// The context under which a session request is sealed to a tenant's coder key.
#[must_use]
pub fn open_session_context(tenant: &[u8; 32]) -> Vec<u8> {
    Transcript::new("storage open session")
        .bytes(tenant)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_means_a_name_or_all_with_its_beginning() {
        assert!(names("meters", "meters"));
        assert!(names("met*", "meters"));
        assert!(names("*", "meters"));
        assert!(!names("meter", "meters"));
        assert!(!names("meters", "meter"));
        assert!(!names("", "meters"));
    }

    #[test]
    fn a_grant_lets_nothing_pass_that_it_does_not_name() {
        let grant = Grant {
            serial: 1,
            not_after_ms: 0,
            rights: Rights(Right::Read as u32),
            datastores: vec!["a".into()],
        };

        assert_eq!(grant.check(Right::Read, Some("a")), Ok(()));
        assert_eq!(grant.check(Right::Write, Some("a")), Err(Refused::RIGHT));
        assert_eq!(grant.check(Right::Read, Some("b")), Err(Refused::RIGHT));
        assert_eq!(grant.check(Right::Read, None), Err(Refused::RIGHT));
    }

    #[test]
    fn what_is_about_the_tenant_needs_a_grant_over_all_datastores() {
        let over = |entry: &str| Grant {
            serial: 1,
            not_after_ms: 0,
            rights: Rights(Right::Administer as u32),
            datastores: vec![entry.into()],
        };

        assert_eq!(over("*").check(Right::Administer, None), Ok(()));
        for entry in ["a", "a*", "", "**"] {
            let refused = over(entry).check(Right::Administer, None);
            assert_eq!(refused, Err(Refused::RIGHT), "{entry:?}");
        }
    }
}
