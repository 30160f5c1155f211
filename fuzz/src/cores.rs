//! The parties that several targets need: an owner, a consumer, a platform, a generator.

use std::sync::{Arc, LazyLock};

use sc_cbr::{DomainKey, DomainSecrets};
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerSecret, Secret};
use sc_enclave::{SimulatedPlatform, simulation_development_key};

/// Bytes that differ at each call and are the same in each run.
pub struct Entropy(u64);

impl Entropy {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed << 32)
    }

    /// Overwrites `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            chunk.copy_from_slice(&sha256(&self.0.to_le_bytes())[..chunk.len()]);
        }
    }
}

impl sc_crypto::Entropy for Entropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        Self::fill(self, bytes);
    }
}

/// The identity of a seed of equal bytes, derived once: that costs more than most inputs.
fn identity(byte: u8) -> Arc<OwnerSecret> {
    Arc::new(OwnerSecret::from_seed(Secret::from_bytes([byte; 32])))
}

static OWNER: LazyLock<Arc<OwnerSecret>> = LazyLock::new(|| identity(1));
static CONSUMER: LazyLock<Arc<OwnerSecret>> = LazyLock::new(|| identity(2));

/// The owner of the domain that the targets are about.
#[must_use]
pub fn owner() -> Arc<OwnerSecret> {
    Arc::clone(&OWNER)
}

/// A consumer.
#[must_use]
pub fn consumer() -> Arc<OwnerSecret> {
    Arc::clone(&CONSUMER)
}

/// The platform that the trusted program runs on.
#[must_use]
pub fn platform() -> SimulatedPlatform {
    SimulatedPlatform::new(simulation_development_key(), [9; 32])
}

/// What the owner provisions.
#[must_use]
pub fn domain_secrets(plain: bool) -> DomainSecrets {
    DomainSecrets {
        floor: sc_cbr::Origin::default(),
        key: DomainKey::new(Secret::from_bytes([3; 32])),
        session: 1,
        start: 1,
        time_ms: 1000,
        plain,
        owner: owner().public().clone(),
        certificate: Vec::new(),
    }
}
