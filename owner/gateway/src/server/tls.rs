//! TLS: certificates and the acceptor.
//!
//! Invariant: the private key is wiped from the memory that this room holds it in; the library keeps its own copy.

use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use sc_crypto::hash::sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

/// The name of HTTP/2 in a handshake.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of certificates holds none, or none that is whole.
    #[error("the certificate file holds no PEM certificate")]
    Certificate,
    /// The file of the key holds none that is known.
    #[error("the key file holds no PEM private key")]
    Key,
    /// The key is not the certificate's, or of a kind that is not served.
    #[error("certificate and key do not fit: {0}")]
    Fit(tokio_rustls::rustls::Error),
    /// No certificate can be made for these names.
    #[error("no certificate can be made for these host names: {0}")]
    Names(rcgen::Error),
}

/// A certificate that vouches for itself, and its key, as the files that hold them.
pub struct SelfSigned {
    /// To be given to whoever connects, as what to trust.
    pub certificate_pem: String,
    /// To be kept by the gateway alone.
    pub key_pem: Zeroizing<String>,
}

impl SelfSigned {
    /// Makes a key, and a certificate for these host names and addresses.
    ///
    /// # Errors
    /// [`TlsError::Names`].
    pub fn generate(names: impl IntoIterator<Item = String>) -> Result<Self, TlsError> {
        let names: Vec<String> = names.into_iter().collect();
        let mut params = CertificateParams::new(names).map_err(TlsError::Names)?;
        let name = rcgen::DnType::CommonName;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(name, "SecureCloud gateway");
        let key = KeyPair::generate().map_err(TlsError::Names)?;
        let cert = params.self_signed(&key).map_err(TlsError::Names)?;
        let made = CertifiedKey {
            cert,
            signing_key: key,
        };
        Ok(Self {
            certificate_pem: made.cert.pem(),
            key_pem: Zeroizing::new(made.signing_key.serialize_pem()),
        })
    }
}

/// How a port is encrypted.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    fingerprint: [u8; 32],
}

impl Tls {
    /// TLS 1.2 and 1.3 with this chain of certificates, the gateway's own first, and its key; both in PEM.
    ///
    /// # Errors
    /// [`TlsError`]; its text shows nothing of the key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|_| TlsError::Certificate)?;
        let fingerprint = sha256(chain.first().ok_or(TlsError::Certificate)?);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Fit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Fit)?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint,
        })
    }

    /// TLS with a fresh certificate that nobody else has vouched for.
    ///
    /// # Errors
    /// [`TlsError::Names`].
    pub fn self_signed(names: impl IntoIterator<Item = String>) -> Result<Self, TlsError> {
        let made = SelfSigned::generate(names)?;
        Self::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes())
    }

    /// SHA-256 of the certificate, by which people compare it.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_certificate_is_served() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = SelfSigned::generate(names).unwrap();

        assert!(Tls::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).is_ok());
    }

    #[test]
    fn anothers_key_does_not_fit() {
        let one = SelfSigned::generate(["localhost".to_owned()]).unwrap();
        let other = SelfSigned::generate(["localhost".to_owned()]).unwrap();

        let tls = Tls::from_pem(one.certificate_pem.as_bytes(), other.key_pem.as_bytes());

        assert!(matches!(tls, Err(TlsError::Fit(_))));
    }

    #[test]
    fn files_without_pem_are_told_apart() {
        let made = SelfSigned::generate(["localhost".to_owned()]).unwrap();

        let no_certificate = Tls::from_pem(b"", made.key_pem.as_bytes());
        let no_key = Tls::from_pem(made.certificate_pem.as_bytes(), b"secret");

        assert!(matches!(no_certificate, Err(TlsError::Certificate)));
        assert!(matches!(no_key, Err(TlsError::Key)));
    }
}
