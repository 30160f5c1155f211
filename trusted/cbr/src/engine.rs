//! The engine: all domains of one program, behind its door.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prost::Message;
use sc_crypto::{DomainId, VerifyingKey};
use sc_enclave::{Attester, ClosureEntropy, Program, ProvisionError, Provisioner, Purpose};
use sc_proto::cbr::{self, call, refusal::Reason, reply};

use crate::domain::{Domain, NotTaken};
use crate::keys::MessageKind;
use crate::secrets::DomainSecrets;
use crate::workers::Processors;

/// Domains that one program serves at once.
pub const DOMAINS_MAX: usize = 1024;

/// One owner's domain. The owner key is fixed when it is first opened: no other owner reaches it.
///
/// The session stands here too, so that nothing that holds the list of tenants ever waits for one of them.
struct Tenant {
    owner: VerifyingKey,
    session: u64,
    domain: Arc<Mutex<Domain>>,
}

/// The routing program.
pub struct Engine {
    attester: Box<dyn Attester>,
    version: &'static str,
    processors: Processors,
    provisioner: Provisioner,
    tenants: Mutex<BTreeMap<DomainId, Tenant>>,
}

impl Engine {
    /// An engine without domains, on the platform that `attester` speaks for; it uses nothing of the processor that every machine has
    /// not.
    #[must_use]
    pub fn new(attester: Box<dyn Attester>) -> Self {
        Self::with_processors(attester, Processors::default())
    }

    /// As [`Self::new`], with these processors. They change how fast it answers, and what it admits: oblivious matching has bounds of its own.
    #[must_use]
    pub fn with_processors(attester: Box<dyn Attester>, processors: Processors) -> Self {
        Self {
            attester,
            processors,
            version: env!("CARGO_PKG_VERSION"),
            provisioner: Provisioner::new(Purpose::Cbr),
            tenants: Mutex::new(BTreeMap::new()),
        }
    }

    fn dispatch(
        &self,
        call: call::Call,
        entropy: &mut ClosureEntropy<'_>,
    ) -> Result<reply::Reply, cbr::Refusal> {
        match call {
            call::Call::Describe(cbr::Describe {}) => {
                Ok(reply::Reply::Description(cbr::Description {
                    program: "sc-cbr".into(),
                    version: self.version.into(),
                    tee: self.attester.tee_line().into(),
                }))
            }
            call::Call::Challenge(challenge) => {
                let offer = self
                    .provisioner
                    .challenge(&challenge, &*self.attester, entropy)
                    .map_err(refused)?;
                Ok(reply::Reply::Offer(offer))
            }
            call::Call::Secrets(secrets) => self.open(&secrets, entropy).map(reply::Reply::Opened),
            call::Call::Control(sealed) => self
                .take(MessageKind::Control, &sealed)
                .map(reply::Reply::Outcome),
            call::Call::Batch(sealed) => self
                .take(MessageKind::Batch, &sealed)
                .map(reply::Reply::Outcome),
            call::Call::Suspend(suspend) => self
                .with_consumer(&suspend.domain, &suspend.consumer, |domain, consumer| {
                    domain.suspend(suspend.session, consumer)
                })
                .map(reply::Reply::Outcome),
            call::Call::Resume(resume) => self
                .with_consumer(&resume.domain, &resume.consumer, |domain, consumer| {
                    domain.resume(resume.session, consumer)
                })
                .map(reply::Reply::Outcome),
            call::Call::Close(close) => {
                self.close(&close);
                Ok(reply::Reply::Closed(cbr::Closed {}))
            }
        }
    }

    /// Takes M3 and opens the session it provisions; only a greater session number replaces one that is open.
    fn open(
        &self,
        message: &sc_proto::provision::Secrets,
        entropy: &mut ClosureEntropy<'_>,
    ) -> Result<cbr::Opened, cbr::Refusal> {
        let provisioned = self.provisioner.secrets(message).map_err(refused)?;
        let secrets =
            DomainSecrets::decode(&provisioned.secrets).map_err(|_| refusal(Reason::Malformed))?;
        let owner = secrets
            .owner
            .authority(&secrets.certificate, provisioned.owner)
            .map_err(|_| refusal(Reason::NotAuthentic))?;
        let id = secrets.owner.domain_id();
        let mut opened = cbr::Opened {
            confirmation: None,
            domain: Bytes::copy_from_slice(id.as_bytes()),
            session: secrets.session,
            owner_key: Bytes::copy_from_slice(owner.as_bytes()),
            plain: secrets.plain,
        };
        let mut seed = [0; 8];
        (entropy.0)(&mut seed);
        let seed = u64::from_le_bytes(seed);
        let domain = Domain::new(id, owner, secrets, seed, self.processors.clone());
        self.enter(
            id,
            Tenant {
                owner,
                session: opened.session,
                domain: Arc::new(Mutex::new(domain)),
            },
        )?;
        opened.confirmation = Some(provisioned.confirm());
        Ok(opened)
    }

    fn enter(&self, id: DomainId, fresh: Tenant) -> Result<(), cbr::Refusal> {
        let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
        let full = tenants.len() >= DOMAINS_MAX;
        let before = match tenants.entry(id) {
            Entry::Occupied(mut tenant) => {
                if tenant.get().owner != fresh.owner || fresh.session <= tenant.get().session {
                    return Err(refusal(Reason::Session));
                }
                Some(tenant.insert(fresh))
            }
            Entry::Vacant(_) if full => return Err(refusal(Reason::Limit)),
            Entry::Vacant(place) => {
                place.insert(fresh);
                None
            }
        };
        drop(tenants);
        // A large domain takes a while to go: nobody waits for that.
        drop(before);
        Ok(())
    }

    fn take(&self, kind: MessageKind, sealed: &cbr::Sealed) -> Result<cbr::Outcome, cbr::Refusal> {
        self.with_domain(&sealed.domain, |domain| domain.take(kind, sealed))
    }

    fn with_consumer(
        &self,
        domain: &[u8],
        consumer: &[u8],
        act: impl FnOnce(&mut Domain, &VerifyingKey) -> Result<cbr::Outcome, NotTaken>,
    ) -> Result<cbr::Outcome, cbr::Refusal> {
        let key = consumer.try_into().map(VerifyingKey::from_bytes);
        let key = key.map_err(|_| refusal(Reason::Malformed))?;
        self.with_domain(domain, |domain| act(domain, &key))
    }

    /// Holds the lock of this domain alone while `act` runs.
    fn with_domain(
        &self,
        domain: &[u8],
        act: impl FnOnce(&mut Domain) -> Result<cbr::Outcome, NotTaken>,
    ) -> Result<cbr::Outcome, cbr::Refusal> {
        let id = domain_id(domain).ok_or_else(|| refusal(Reason::Malformed))?;
        let tenants = self.tenants.lock().expect("no holder of this lock panics");
        let tenant = tenants.get(&id).ok_or_else(|| refusal(Reason::Session))?;
        let domain = Arc::clone(&tenant.domain);
        drop(tenants);
        let mut domain = domain.lock().expect("no holder of this lock panics");
        act(&mut domain).map_err(|why| match why {
            NotTaken::Session => refusal(Reason::Session),
            NotTaken::NotAuthentic => refusal(Reason::NotAuthentic),
            NotTaken::Consumer => refusal(Reason::Consumer),
            NotTaken::Counter { expected } => cbr::Refusal {
                reason: Reason::Counter.into(),
                expected,
            },
        })
    }

    /// The host forgets a session; that is its right, and no more than switching the machine off.
    fn close(&self, close: &cbr::Close) {
        let Some(id) = domain_id(&close.domain) else {
            return;
        };
        let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
        let is_it = |tenant: &Tenant| tenant.session == close.session;
        let closed = match tenants.get(&id).is_some_and(is_it) {
            true => tenants.remove(&id),
            false => None,
        };
        drop(tenants);
        drop(closed);
    }
}

impl Program for Engine {
    fn handle(&self, request: Bytes, entropy: &mut dyn FnMut(&mut [u8])) -> Bytes {
        let reply = match cbr::Call::decode(request).ok().and_then(|call| call.call) {
            Some(call) => self.dispatch(call, &mut ClosureEntropy(entropy)),
            None => Err(refusal(Reason::Malformed)),
        };
        let reply = reply.unwrap_or_else(reply::Reply::Refusal);
        cbr::Reply { reply: Some(reply) }.encode_to_vec().into()
    }
}

fn domain_id(bytes: &[u8]) -> Option<DomainId> {
    bytes.try_into().ok().map(DomainId::from_bytes)
}

fn refusal(reason: Reason) -> cbr::Refusal {
    cbr::Refusal {
        reason: reason.into(),
        expected: 0,
    }
}

fn refused(error: ProvisionError) -> cbr::Refusal {
    refusal(match error {
        ProvisionError::NoChallenge => Reason::Pending,
        ProvisionError::NotAuthentic => Reason::NotAuthentic,
        ProvisionError::OtherOwner => Reason::Owner,
        ProvisionError::NoEvidence => Reason::Evidence,
        _ => Reason::Malformed,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use sc_crypto::{OwnerSecret, Secret};
    use sc_enclave::{SimulatedPlatform, simulation_development_key};

    use super::*;
    use crate::batch::Origin;
    use crate::control::{Control, ControlBody};
    use crate::keys::DomainKey;

    /// A domain in the unencrypted mode, so that a call needs no keys.
    fn tenant(owner: &OwnerSecret, session: u64) -> (DomainId, Tenant) {
        let id = owner.public().domain_id();
        let key = owner.signing_key().verifying_key();
        let secrets = DomainSecrets {
            key: DomainKey::new(Secret::from_bytes([2; 32])),
            session,
            start: 1,
            floor: Origin::default(),
            time_ms: 1,
            plain: true,
            owner: owner.public().clone(),
            certificate: Vec::new(),
        };
        let tenant = Tenant {
            owner: key,
            session,
            domain: Arc::new(Mutex::new(Domain::new(
                id,
                key,
                secrets,
                1,
                Processors::default(),
            ))),
        };
        (id, tenant)
    }

    fn engine() -> Engine {
        let platform = SimulatedPlatform::new(simulation_development_key(), [9; 32]);
        Engine::new(Box::new(platform))
    }

    fn tick(owner: &OwnerSecret) -> cbr::Sealed {
        let control = Control {
            time_ms: 1,
            body: ControlBody::Tick,
        };
        let key = owner.signing_key().verifying_key();
        cbr::Sealed {
            domain: Bytes::copy_from_slice(owner.public().domain_id().as_bytes()),
            session: 1,
            publisher: Bytes::copy_from_slice(key.as_bytes()),
            start: 1,
            counter: 1,
            ciphertext: control.encode().into(),
        }
    }

    #[test]
    fn a_domain_that_is_at_work_holds_up_no_other_and_not_its_own_renewal_or_end() {
        let engine = engine();
        let [busy, other] =
            [1, 2].map(|seed| OwnerSecret::from_seed(Secret::from_bytes([seed; 32])));
        let (busy_id, at_work) = tenant(&busy, 1);
        let (other_id, fresh) = tenant(&other, 1);
        let lock = Arc::clone(&at_work.domain);
        engine.enter(busy_id, at_work).unwrap();
        let held = lock.lock().unwrap();

        let (done, waits) = mpsc::channel();
        thread::scope(|scope| {
            let (engine, busy, other) = (&engine, &busy, &other);
            scope.spawn(move || {
                engine.enter(other_id, fresh).unwrap();
                engine.take(MessageKind::Control, &tick(other)).unwrap();
                engine.enter(busy_id, tenant(busy, 2).1).unwrap();
                engine.close(&cbr::Close {
                    domain: Bytes::copy_from_slice(busy_id.as_bytes()),
                    session: 2,
                });
                done.send(()).unwrap();
            });
            // Long enough for any machine; the claim is that there is nothing to wait for.
            let ended = waits.recv_timeout(Duration::from_secs(20));
            drop(held);
            assert_eq!(ended, Ok(()));
        });
        assert!(engine.take(MessageKind::Control, &tick(&busy)).is_err());
    }
}
