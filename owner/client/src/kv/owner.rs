//! The owner of a tenant: its numbered roots, and the agent that brings them to coders.
//!
//! Invariant: roots leave only sealed to a program whose evidence satisfied the owner's policy.

use std::time::{SystemTime, UNIX_EPOCH};

use sc_attestation::{Appraisal, Policy};
use sc_coder::{CoderRoots, signed_advance, tenant_id};
use sc_crypto::{Entropy, OwnerSecret, Secret};
use sc_enclave::Purpose;
use sc_proto::provision::{Evidence, Offer};
use sc_proto::store as message;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::session::exchange;
use super::{EntropySource, KvError, StoreLink, from_system};
use crate::{Challenged, ProvisioningError};

/// A challenge is good for so many milliseconds: evidence that comes later may be of a program that is gone.
const CHALLENGE_MS: u64 = 60_000;

/// Why text is no file of roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a file of roots: expected current = N and [[root]] with number and secret")]
pub struct RootsFileError;

/// A tenant's roots, as the owner keeps them. Whoever has lost them has lost the tenant's data.
pub struct Roots {
    current: u32,
    roots: Vec<(u32, Secret)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    current: u32,
    root: Vec<FileRoot>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRoot {
    number: u32,
    secret: String,
}

impl Drop for FileRoot {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Roots {
    /// The first root of a new tenant.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self {
            current: 1,
            roots: vec![(1, Secret::random(entropy))],
        }
    }

    /// One root, which is made elsewhere.
    #[must_use]
    pub fn of(number: u32, root: Secret) -> Self {
        Self {
            current: number,
            roots: vec![(number, root)],
        }
    }

    /// Adds a root, and makes it the one that wraps from now on.
    pub fn rotate(&mut self, entropy: &mut dyn Entropy) {
        self.current = self.roots.last().map_or(0, |root| root.0) + 1;
        self.roots.push((self.current, Secret::random(entropy)));
    }

    /// The number of the current root.
    #[must_use]
    pub fn current_number(&self) -> u32 {
        self.current
    }

    /// How many roots there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.roots.len()
    }

    /// The current root.
    #[must_use]
    pub fn current(&self) -> &Secret {
        let current = self.roots.iter().find(|root| root.0 == self.current);
        &current.expect("the current root is among them").1
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`RootsFileError`]; it shows nothing of the text.
    pub fn parse(text: &str) -> Result<Self, RootsFileError> {
        use base64ct::{Base64, Encoding as _};
        let file: File = toml::from_str(text).map_err(|_| RootsFileError)?;
        let mut roots = Vec::with_capacity(file.root.len());
        for root in &file.root {
            let mut secret = Zeroizing::new([0; 32]);
            let read = Base64::decode(&root.secret, secret.as_mut()).map_err(|_| RootsFileError)?;
            if read.len() != 32 {
                return Err(RootsFileError);
            }
            roots.push((root.number, Secret::from_bytes(*secret)));
        }
        let made = Self {
            current: file.current,
            roots,
        };
        made.for_coder(0).map(|_| made).ok_or(RootsFileError)
    }

    /// The text of a file that holds these roots.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        use base64ct::{Base64, Encoding as _};
        let root = self.roots.iter().map(|(number, secret)| FileRoot {
            number: *number,
            secret: Base64::encode_string(secret.expose()),
        });
        let file = File {
            current: self.current,
            root: root.collect(),
        };
        Zeroizing::new(toml::to_string(&file).expect("numbers and strings can be written"))
    }

    fn for_coder(&self, time_ms: u64) -> Option<CoderRoots> {
        let roots = self.roots.iter();
        let roots = roots.map(|(number, root)| (*number, root.duplicate()));
        CoderRoots::new(time_ms, self.current, roots.collect()).ok()
    }
}

/// A coder, as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoderState {
    /// The store's name for it.
    pub name: String,
    /// The line that says what protects it; the store's word until it is appraised.
    pub tee: String,
    /// Whether it has the tenant's roots, as far as the store knows.
    pub is_provisioned: bool,
    /// Whether the store reaches it.
    pub is_reachable: bool,
}

/// Brings an owner's roots to the coders of a store, and tells them the time.
pub struct OwnerAgent<L> {
    link: L,
    owner: OwnerSecret,
    roots: Roots,
    policy: Policy,
    entropy: EntropySource,
    clock: fn() -> u64,
}

impl<L: StoreLink> OwnerAgent<L> {
    /// An agent that reaches the store over `link` and entrusts the roots to what satisfies `policy`.
    pub fn new(link: L, owner: OwnerSecret, roots: Roots, policy: Policy) -> Self {
        Self {
            link,
            owner,
            roots,
            policy,
            entropy: from_system,
            clock: now_ms,
        }
    }

    /// The same, with random bytes and the time, in milliseconds since 1970, from elsewhere than the operating system: for simulations
    /// alone.
    #[must_use]
    pub fn with_surroundings(self, entropy: EntropySource, clock: fn() -> u64) -> Self {
        Self {
            entropy,
            clock,
            ..self
        }
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> [u8; 32] {
        tenant_id(self.owner.signing_key().verifying_key())
    }

    /// Takes other roots, which the owner has now; coders have them when they are provisioned again.
    pub fn take_roots(&mut self, roots: Roots) {
        self.roots = roots;
    }

    /// The number of the current root.
    #[must_use]
    pub fn current_root(&self) -> u32 {
        self.roots.current_number()
    }

    /// The coders that the store knows.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn coders(&self) -> Result<Vec<CoderState>, KvError> {
        let tenant = bytes::Bytes::copy_from_slice(&self.tenant());
        let request = message::request::Request::Describe(message::Describe { tenant });
        let (reply, _) = exchange(&self.link, request, Vec::new()).await?;
        let message::reply::Reply::Described(described) = reply else {
            return Err(KvError::Malformed("no list of coders"));
        };
        let coders = described.coders.into_iter().map(|it| CoderState {
            name: it.name,
            tee: it.tee,
            is_provisioned: it.provisioned,
            is_reachable: it.reachable,
        });
        Ok(coders.collect())
    }

    /// Asks a coder for evidence and goes no further: what it answered, and what that has to vouch for.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn examine(&self, coder: &str) -> Result<(Option<Evidence>, [u8; 64]), AgentError> {
        let (challenged, offer) = self.challenge(coder).await?;
        let transcript = challenged.transcript(&self.owner, &offer)?;
        Ok((offer.evidence, *transcript.as_bytes()))
    }

    /// Appraises a coder and entrusts the roots to it.
    ///
    /// # Errors
    /// [`AgentError`]; nothing secret has left unless the evidence satisfied the policy.
    pub async fn provision(&self, coder: &str) -> Result<Appraisal, AgentError> {
        use message::{provision::Step, provisioning::Step as Answer};
        let mut entropy = self.entropy;
        let (challenged, offer) = self.challenge(coder).await?;
        let roots = self.roots.for_coder((self.clock)());
        let roots = roots
            .expect("roots are checked when they are made")
            .encode();
        let (entrusted, appraisal, secrets) = challenged.entrust(
            &self.owner,
            &self.policy,
            &offer,
            &roots,
            (self.clock)(),
            &mut entropy,
        )?;
        let Answer::Provisioned(provisioned) = self.step(coder, Step::Secrets(secrets)).await?
        else {
            return Err(KvError::Malformed("no confirmation").into());
        };
        entrusted
            .confirm(provisioned.confirmation.as_ref())
            .map_err(ProvisioningError::from)?;
        Ok(appraisal)
    }

    /// M1 and M2.
    async fn challenge(&self, coder: &str) -> Result<(Challenged, Offer), AgentError> {
        use message::{provision::Step, provisioning::Step as Answer};
        let mut entropy = self.entropy;
        let (challenged, challenge) = Challenged::begin(&self.owner, Purpose::Coder, &mut entropy);
        let begun = (self.clock)();
        let Answer::Offer(offer) = self.step(coder, Step::Challenge(challenge)).await? else {
            return Err(KvError::Malformed("no offer").into());
        };
        if (self.clock)().abs_diff(begun) > CHALLENGE_MS {
            return Err(AgentError::Late);
        }
        Ok((challenged, offer))
    }

    /// Tells a coder the time, and which certificates are void: all of them, each time.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn advance(&self, coder: &str, revoked: Vec<u64>) -> Result<(), AgentError> {
        let advance = signed_advance(self.owner.signing_key(), (self.clock)(), revoked);
        self.step(coder, message::provision::Step::Advance(advance))
            .await?;
        Ok(())
    }

    async fn step(
        &self,
        coder: &str,
        step: message::provision::Step,
    ) -> Result<message::provisioning::Step, KvError> {
        let request = message::request::Request::Provision(message::Provision {
            coder: coder.to_owned(),
            step: Some(step),
        });
        let (reply, _) = exchange(&self.link, request, Vec::new()).await?;
        let message::reply::Reply::Provisioning(provisioning) = reply else {
            return Err(KvError::Malformed("no step of provisioning"));
        };
        provisioning
            .step
            .ok_or(KvError::Malformed("an empty step of provisioning"))
    }
}

/// Why a coder was not provisioned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The store did not carry a message, or the coder refused it.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The evidence does not satisfy the policy, or the confirmation is not the program's.
    #[error(transparent)]
    Provisioning(#[from] ProvisioningError),
    /// The evidence came too late to be of this challenge.
    #[error("the coder's evidence took longer than a minute: try again")]
    Late,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
