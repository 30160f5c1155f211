//! What an owner provisions to the routing program: a domain's key and session number.

use sc_crypto::{OwnerPublic, Secret};
use zeroize::Zeroizing;

use crate::Malformed;
use crate::batch::Origin;
use crate::bytes::Reader;
use crate::keys::DomainKey;

const VERSION: u8 = 1;

/// The plaintext of M3, after the confirmation key.
pub struct DomainSecrets {
    /// The fresh domain key.
    pub key: DomainKey,
    /// Greater than every session number used before in this domain.
    pub session: u64,
    /// The owner's start number, greater at every start of its process.
    pub start: u64,
    /// What the owner had settled before this session: nothing up to here comes again.
    pub floor: Origin,
    /// The owner's clock, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// D4.2's unencrypted mode, the owner's choice.
    pub plain: bool,
    /// The public key that names the domain.
    pub owner: OwnerPublic,
    /// Proves that the owner's Ed25519 key speaks for `owner`; empty where it is the same key.
    pub certificate: Vec<u8>,
}

impl DomainSecrets {
    /// Encodes for [`sc_enclave::SecretsMessage`].
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let owner = self.owner.to_bytes();
        let mut out = Zeroizing::new(Vec::with_capacity(
            128 + owner.len() + self.certificate.len(),
        ));
        out.push(VERSION);
        out.extend_from_slice(self.key.secret().expose());
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.start.to_le_bytes());
        self.floor.encode(&mut out);
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.push(u8::from(self.plain));
        out.extend_from_slice(&(owner.len() as u32).to_le_bytes());
        out.extend_from_slice(&owner);
        out.extend_from_slice(&self.certificate);
        out
    }

    /// Reads what [`DomainSecrets::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let key = DomainKey::new(Secret::from_bytes(reader.array()?));
        let session = reader.u64()?;
        let start = reader.u64()?;
        let floor = Origin::read(&mut reader)?;
        let time_ms = reader.u64()?;
        let plain = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("its mode is unknown")),
        };
        let owner_bytes = reader.count(1)?;
        let owner = OwnerPublic::from_bytes(reader.take(owner_bytes)?)
            .map_err(|_| Malformed("its owner key does not parse"))?;
        Ok(Self {
            key,
            session,
            start,
            floor,
            time_ms,
            plain,
            owner,
            certificate: reader.rest().to_vec(),
        })
    }
}
