//! A datastore's key, wrapped by the tenant's root.
//!
//! Invariant: a wrapped key opens under the tenant, id and name that it was made for, and no others.

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::{Entropy, Nonce, Plaintext, Secret, Transcript};
use sc_proto::{coder, storage};
use zeroize::Zeroizing;

use crate::keys;
use crate::refused::{Refused, array};
use crate::roots::CoderRoots;
use crate::tenant::Tenant;

const SALT_BYTES: usize = 32;
/// Tags of one datastore that can be searched for.
const INDEXED_MAX: usize = 64;

/// An opened datastore.
pub(crate) struct Datastore {
    pub(crate) tenant: [u8; 32],
    pub(crate) id: [u8; 16],
    pub(crate) key: Secret,
    indexed_tags: Vec<String>,
}

impl Datastore {
    /// A new datastore with a fresh key and id.
    pub(crate) fn make(
        tenant: &Tenant,
        name: &str,
        secret: storage::DatastoreSecret,
        entropy: &mut dyn Entropy,
    ) -> Result<coder::Datastore, Refused> {
        if secret.indexed_tags.len() > INDEXED_MAX {
            return Err(Refused::LIMIT);
        }
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let made = Self {
            tenant: tenant.id,
            id,
            key: Secret::random(entropy),
            indexed_tags: secret.indexed_tags,
        };
        Ok(made.wrap(&tenant.roots, name, entropy))
    }

    /// Opens what the catalogue has; `name` is the one that the client asked for.
    pub(crate) fn open(
        tenant: &Tenant,
        stored: Option<&coder::Datastore>,
        name: &str,
    ) -> Result<Self, Refused> {
        let stored = stored.ok_or(Refused::MALFORMED)?;
        if stored.name != name {
            return Err(Refused::STORED);
        }
        let id = array(&stored.id)?;
        let root = tenant
            .roots
            .numbered(stored.root_number)
            .ok_or(Refused::STORED)?;
        let (salt, sealed) = stored
            .wrapped_key
            .split_first_chunk::<SALT_BYTES>()
            .ok_or(Refused::STORED)?;
        let opened = keys::datastore(root, salt)
            .open(Nonce::ONCE, &context(&tenant.id, &id, name), sealed)
            .map(Plaintext::new)
            .map_err(|_| Refused::STORED)?;
        let (key, rest) = opened.split_first_chunk::<32>().ok_or(Refused::STORED)?;
        let secret = storage::DatastoreSecret::decode(rest)?;
        Ok(Self {
            tenant: tenant.id,
            id,
            key: Secret::from_bytes(*key),
            indexed_tags: secret.indexed_tags,
        })
    }

    /// Wraps the key by the current root.
    pub(crate) fn wrap(
        &self,
        roots: &CoderRoots,
        name: &str,
        entropy: &mut dyn Entropy,
    ) -> coder::Datastore {
        let mut wrapped = vec![0; SALT_BYTES];
        entropy.fill(&mut wrapped);
        let secret = storage::DatastoreSecret {
            indexed_tags: self.indexed_tags.clone(),
        };
        let mut plain = Zeroizing::new(Vec::with_capacity(32 + secret.encoded_len()));
        plain.extend_from_slice(self.key.expose());
        plain.extend_from_slice(&secret.encode_to_vec());
        let context = context(&self.tenant, &self.id, name);
        keys::datastore(roots.current(), &wrapped).seal(
            Nonce::ONCE,
            &context,
            &plain,
            &mut wrapped,
        );
        coder::Datastore {
            id: Bytes::copy_from_slice(&self.id),
            name: name.to_owned(),
            root_number: roots.current_number(),
            wrapped_key: wrapped.into(),
        }
    }

    /// The blind index value of a tag, if its name is indexed: HMAC-SHA256, the first 16 bytes.
    pub(crate) fn blind(&self, tag: &storage::Pair) -> Option<[u8; 16]> {
        if !self.indexed_tags.contains(&tag.name) {
            return None;
        }
        let message = Transcript::new("storage tag")
            .bytes(tag.name.as_bytes())
            .bytes(tag.value.as_bytes());
        let value = sc_crypto::kdf::mac(&keys::tags(&self.key), message.as_bytes());
        value.first_chunk().copied()
    }

    /// What sealed metadata of a version is bound to.
    pub(crate) fn context(&self, what: &str, key: &[u8], version: &[u8]) -> Vec<u8> {
        Transcript::new("storage metadata")
            .bytes(what.as_bytes())
            .bytes(&self.tenant)
            .bytes(&self.id)
            .bytes(key)
            .bytes(version)
            .finish()
    }

    /// Seals metadata of a version: 32 random bytes, and what is sealed under the key that is made of them.
    pub(crate) fn seal(
        &self,
        what: &str,
        key: &[u8],
        version: &[u8],
        plain: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Bytes {
        let mut sealed = vec![0; SALT_BYTES];
        entropy.fill(&mut sealed);
        let context = self.context(what, key, version);
        keys::manifest(&self.key, what, &sealed).seal(Nonce::ONCE, &context, plain, &mut sealed);
        sealed.into()
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn unseal(
        &self,
        what: &str,
        key: &[u8],
        version: &[u8],
        sealed: &[u8],
    ) -> Result<Plaintext, Refused> {
        let (salt, sealed) = sealed
            .split_first_chunk::<SALT_BYTES>()
            .ok_or(Refused::STORED)?;
        let context = self.context(what, key, version);
        keys::manifest(&self.key, what, salt)
            .open(Nonce::ONCE, &context, sealed)
            .map(Plaintext::new)
            .map_err(|_| Refused::STORED)
    }
}

fn context(tenant: &[u8; 32], id: &[u8; 16], name: &str) -> Vec<u8> {
    Transcript::new("storage datastore")
        .bytes(tenant)
        .bytes(id)
        .bytes(name.as_bytes())
        .finish()
}
