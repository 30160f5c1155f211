//! What a client needs to use a tenant's store: the tenant, its coder key, a certificate and the key that it is about.
//!
//! Invariant: a file of credentials is text, readable by its owner alone where this room writes it.

use prost::Message as _;
use sc_coder::{Rights, coder_public_key, issue, tenant_id};
use sc_crypto::{Entropy, SealingPublicKey, Secret, SigningKey};
use sc_proto::storage;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// Why text is no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// It is not in the form that `securecloud` writes.
    #[error("not a file of credentials: {0}")]
    Form(String),
    /// A field does not decode.
    #[error("the field {0} of the credentials does not decode")]
    Field(&'static str),
}

/// A client's credentials.
pub struct Credentials {
    pub(crate) tenant: [u8; 32],
    pub(crate) coder_key: SealingPublicKey,
    pub(crate) certificate: storage::Certificate,
    pub(crate) key: SigningKey,
    seed: Secret,
}

/// The file: everything in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tenant: String,
    coder_key: String,
    certificate: String,
    client_key: String,
}

impl Drop for File {
    fn drop(&mut self) {
        self.client_key.zeroize();
    }
}

impl Credentials {
    /// Makes a client key, and the owner's certificate of it; `body` says what it may do.
    pub fn issue(
        owner: &SigningKey,
        root: &Secret,
        body: storage::CertificateBody,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let seed = Secret::random(entropy);
        let key = SigningKey::from_seed(seed.expose());
        let certificate = issue(
            owner,
            storage::CertificateBody {
                client: bytes::Bytes::copy_from_slice(key.verifying_key().as_bytes()),
                ..body
            },
        );
        Self {
            tenant: tenant_id(owner.verifying_key()),
            coder_key: coder_public_key(root),
            certificate,
            key,
            seed,
        }
    }

    /// Credentials that may do everything in every datastore, for the owner's own edge.
    pub fn issue_all(
        owner: &SigningKey,
        root: &Secret,
        label: &str,
        serial: u64,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let body = storage::CertificateBody {
            serial,
            rights: Rights::ALL.0,
            datastores: vec!["*".into()],
            label: label.into(),
            ..Default::default()
        };
        Self::issue(owner, root, body, entropy)
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> &[u8; 32] {
        &self.tenant
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`CredentialsError`]; its text shows nothing of the file.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        // The parser's own words may quote the line, which may be the key's.
        let file: File = toml::from_str(text).map_err(|_| {
            CredentialsError::Form(
                "expected the four fields tenant, coder_key, certificate, client_key".into(),
            )
        })?;
        let coder_key = SealingPublicKey::from_bytes(&field("coder_key", &file.coder_key)?)
            .map_err(|_| CredentialsError::Field("coder_key"))?;
        let certificate =
            storage::Certificate::decode(&field("certificate", &file.certificate)?[..])
                .map_err(|_| CredentialsError::Field("certificate"))?;
        let seed: [u8; 32] = field("client_key", &file.client_key)?[..]
            .try_into()
            .map_err(|_| CredentialsError::Field("client_key"))?;
        let seed = Secret::from_bytes(seed);
        Ok(Self {
            tenant: field("tenant", &file.tenant)?[..]
                .try_into()
                .map_err(|_| CredentialsError::Field("tenant"))?,
            coder_key,
            certificate,
            key: SigningKey::from_seed(seed.expose()),
            seed,
        })
    }

    /// The text of a file that holds these credentials.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let file = File {
            tenant: text(&self.tenant),
            coder_key: text(&self.coder_key.to_bytes()),
            certificate: text(&self.certificate.encode_to_vec()),
            client_key: text(self.seed.expose()),
        };
        Zeroizing::new(toml::to_string(&file).expect("four strings can be written"))
    }
}

fn text(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding as _};
    Base64::encode_string(bytes)
}

fn field(name: &'static str, text: &str) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    use base64ct::{Base64, Encoding as _};
    Base64::decode_vec(text)
        .map(Zeroizing::new)
        .map_err(|_| CredentialsError::Field(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_read_back() {
        let owner = SigningKey::from_seed(&[1; 32]);
        let root = Secret::from_bytes([2; 32]);
        let mut entropy = |bytes: &mut [u8]| bytes.fill(3);
        let made = Credentials::issue_all(&owner, &root, "test", 1, &mut entropy);

        let read = Credentials::parse(&made.to_text()).unwrap();

        assert_eq!(read.tenant, made.tenant);
        assert_eq!(read.certificate, made.certificate);
        assert_eq!(read.seed, made.seed);
        assert!(read.coder_key == made.coder_key);
    }

    #[test]
    fn an_error_shows_nothing_of_the_file() {
        let error = Credentials::parse("client_key = secret").err().unwrap();

        assert!(!error.to_string().contains("secret"));
    }
}
