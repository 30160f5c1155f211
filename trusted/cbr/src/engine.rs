//! The engine: all domains of one program, behind its door.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prost::Message;
use sc_crypto::{DomainId, VerifyingKey};
use sc_enclave::{Attester, ClosureEntropy, Program, ProvisionError, Provisioner, Purpose};
use sc_proto::cbr::{self, call, refusal::Reason, reply};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::domain::{Domain, NotTaken};
use crate::keys::MessageKind;
use crate::secrets::DomainSecrets;

/// Domains that one program serves at once.
pub const DOMAINS_MAX: usize = 1024;

/// One owner's domain. The owner key is fixed when it is first opened: no other owner reaches it.
struct Tenant {
    owner: VerifyingKey,
    domain: Arc<Mutex<Domain>>,
}

/// The routing program.
pub struct Engine {
    attester: Box<dyn Attester>,
    version: &'static str,
    provisioner: Provisioner,
    tenants: Mutex<BTreeMap<DomainId, Tenant>>,
}

impl Engine {
    /// An engine without domains, on the platform that `attester` speaks for.
    #[must_use]
    pub fn new(attester: Box<dyn Attester>) -> Self {
        Self {
            attester,
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
            call::Call::Suspend(_) | call::Call::Resume(_) => Err(refusal(Reason::Consumer)),
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
        let mut seed = [0; 8];
        (entropy.0)(&mut seed);
        let fresh = || {
            Arc::new(Mutex::new(Domain::new(
                id,
                owner,
                &secrets,
                u64::from_le_bytes(seed),
            )))
        };

        let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
        let full = tenants.len() >= DOMAINS_MAX;
        match tenants.entry(id) {
            Entry::Occupied(mut tenant) => {
                let open = tenant
                    .get()
                    .domain
                    .lock()
                    .expect("no holder of this lock panics")
                    .session();
                if tenant.get().owner != owner || secrets.session <= open {
                    return Err(refusal(Reason::Session));
                }
                tenant.get_mut().domain = fresh();
            }
            Entry::Vacant(_) if full => return Err(refusal(Reason::Limit)),
            Entry::Vacant(place) => {
                place.insert(Tenant {
                    owner,
                    domain: fresh(),
                });
            }
        }
        Ok(cbr::Opened {
            confirmation: Some(provisioned.confirm()),
            domain: Bytes::copy_from_slice(id.as_bytes()),
            session: secrets.session,
            owner_key: Bytes::copy_from_slice(owner.as_bytes()),
            plain: secrets.plain,
        })
    }

    fn take(&self, kind: MessageKind, sealed: &cbr::Sealed) -> Result<cbr::Outcome, cbr::Refusal> {
        let id = domain_id(&sealed.domain).ok_or_else(|| refusal(Reason::Malformed))?;
        let domain = {
            let tenants = self.tenants.lock().expect("no holder of this lock panics");
            Arc::clone(
                &tenants
                    .get(&id)
                    .ok_or_else(|| refusal(Reason::Session))?
                    .domain,
            )
        };
        let mut domain = domain.lock().expect("no holder of this lock panics");
        domain.take(kind, sealed).map_err(|why| match why {
            NotTaken::Session => refusal(Reason::Session),
            NotTaken::NotAuthentic => refusal(Reason::NotAuthentic),
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
        if let Entry::Occupied(tenant) = tenants.entry(id) {
            let session = tenant
                .get()
                .domain
                .lock()
                .expect("no holder of this lock panics")
                .session();
            if session == close.session {
                tenant.remove();
            }
        }
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
        _ => Reason::Malformed,
    })
}
