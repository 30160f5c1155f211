//! The engine: all tenants of one program, behind its door.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::Entropy;
use sc_enclave::{Attester, ClosureEntropy, Program, Provisioner, Purpose};
use sc_erasure::Kernel;
use sc_proto::coder::refusal::Reason;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::operation::Operation as Kind;

use crate::datastore::Datastore;
use crate::message::{join, split};
use crate::plan::Plans;
use crate::refused::{Refused, array};
use crate::request::{Request, named_tenant};
use crate::roots::CoderRoots;
use crate::segment::Codes;
use crate::tenant::Tenant;
use crate::{combine, convert, manifest, object, plan, repair, segment, vault, verify};

/// Tenants that one program serves at once.
pub const TENANTS_MAX: usize = 1024;

/// Lengths of replies whose memory is used again: fresh memory for megabytes costs more than what is written to it.
const SPARE_BYTES: Range<usize> = 1 << 20..32 << 20;
/// Replies whose memory is kept.
const SPARE_MAX: usize = 4;

/// The coding program.
pub struct Engine {
    attester: Box<dyn Attester>,
    provisioner: Provisioner,
    codes: Codes,
    plans: Plans,
    tenants: RwLock<BTreeMap<[u8; 32], Arc<Tenant>>>,
    /// Memory of replies that the host has: ciphertext, and no secret.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Engine {
    /// An engine without tenants, on the platform that `attester` speaks for; `kernel` does the arithmetic.
    #[must_use]
    pub fn new(attester: Box<dyn Attester>, kernel: Kernel) -> Self {
        Self {
            attester,
            provisioner: Provisioner::new(Purpose::Coder),
            codes: Codes::new(kernel),
            plans: Plans::default(),
            tenants: RwLock::default(),
            spare: Mutex::default(),
        }
    }

    /// Memory for a large reply, with what an earlier one has left in it.
    fn spare(&self) -> Vec<u8> {
        let mut spare = self.spare.lock().expect("no holder of this lock panics");
        spare.pop().unwrap_or_default()
    }

    fn dispatch(
        &self,
        call: Call,
        data: &Bytes,
        bulk: &mut Vec<u8>,
        entropy: &mut dyn Entropy,
    ) -> Result<Reply, Refused> {
        match call {
            Call::Describe(coder::Describe {}) => Ok(Reply::Description(coder::Description {
                program: "sc-coder".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                tee: self.attester.tee_line().into(),
            })),
            Call::Challenge(challenge) => {
                let offer = self
                    .provisioner
                    .challenge(&challenge, &*self.attester, entropy)?;
                Ok(Reply::Offer(offer))
            }
            Call::Secrets(secrets) => self.provision(&secrets).map(Reply::Provisioned),
            Call::Advance(advance) => {
                let body = coder::AdvanceBody::decode(advance.body.clone())?;
                let time_ms = self.tenant(&body.tenant)?.advance(&advance)?;
                Ok(Reply::Advanced(coder::Advanced { time_ms }))
            }
            Call::OpenSession(call) => {
                let tenant = self.tenant(&call.tenant)?;
                tenant.open_session(&call, entropy).map(Reply::Sealed)
            }
            Call::Rewrap(call) => {
                let tenant = self.tenant(&call.tenant)?;
                let name = call.datastore.as_ref().map_or("", |it| &it.name);
                let datastore = Datastore::open(&tenant, call.datastore.as_ref(), name)?;
                Ok(Reply::Rewrapped(coder::Rewrapped {
                    datastore: Some(datastore.wrap(&tenant.roots, name, entropy)),
                }))
            }
            Call::SealSegment(call) => {
                let (tenant, request) = self.request(call.request.as_ref())?;
                if data.len() >= SPARE_BYTES.start {
                    *bulk = self.spare();
                }
                segment::seal(&tenant, &request, &call, data, &self.codes, bulk, entropy)
                    .map(Reply::SegmentSealed)
            }
            Call::OpenObject(call) => {
                let (tenant, request) = self.request(call.request.as_ref())?;
                if data.len() >= SPARE_BYTES.start {
                    *bulk = self.spare();
                    bulk.clear();
                }
                object::open(&tenant, &request, &call, data, &self.codes, bulk, entropy)
                    .map(Reply::ObjectOpened)
            }
            Call::RepairSegment(call) => {
                let tenant = self.tenant(&call.tenant)?;
                if data.len() >= SPARE_BYTES.start {
                    *bulk = self.spare();
                    bulk.clear();
                }
                repair::repair(&tenant, &call, data, &self.codes, bulk).map(Reply::SegmentRepaired)
            }
            Call::ConvertSegment(call) => {
                let tenant = self.tenant(&call.tenant)?;
                if data.len() >= SPARE_BYTES.start {
                    *bulk = self.spare();
                }
                convert::convert(&tenant, &call, data, &self.codes, bulk, entropy)
                    .map(Reply::SegmentSealed)
            }
            Call::MoveManifest(call) => {
                let tenant = self.tenant(&call.tenant)?;
                convert::move_manifest(&tenant, &call, entropy).map(Reply::ManifestMoved)
            }
            Call::PlanRepair(call) => {
                let tenant = self.tenant(&call.tenant)?;
                plan::plan(&tenant, &call, &self.plans).map(Reply::RepairPlanned)
            }
            Call::CombinePackets(coder::CombinePackets { plan: Some(call) }) => {
                let tenant = self.tenant(&call.tenant)?;
                if data.len() >= SPARE_BYTES.start {
                    *bulk = self.spare();
                    bulk.clear();
                }
                combine::combine(&tenant, &call, data, (&self.codes, &self.plans), bulk)
                    .map(Reply::PacketsCombined)
            }
            Call::VerifyManifests(call) => {
                let tenant = self.tenant(&call.tenant)?;
                verify::manifests(&tenant, &call).map(Reply::ManifestsVerified)
            }
            Call::VerifyRemovals(call) => {
                let tenant = self.tenant(&call.tenant)?;
                verify::removals(&tenant, &call).map(Reply::Verified)
            }
            Call::VerifyHeaders(call) => {
                let tenant = self.tenant(&call.tenant)?;
                verify::headers(&tenant, &call).map(Reply::HeadersVerified)
            }
            Call::VerifyRecords(call) => {
                let tenant = self.tenant(&call.tenant)?;
                verify::records(&tenant, &call).map(Reply::Verified)
            }
            other => self.small(other, entropy),
        }
    }

    /// Calls for a client's request that bring and return no bulk.
    fn small(&self, call: Call, entropy: &mut dyn Entropy) -> Result<Reply, Refused> {
        let request = match &call {
            Call::Authorize(it) => &it.request,
            Call::MakeDatastore(it) => &it.request,
            Call::SealManifest(it) => &it.request,
            Call::OpenHeads(it) => &it.request,
            Call::SealMarker(it) => &it.request,
            Call::SealRecord(it) => &it.request,
            Call::OpenRecords(it) => &it.request,
            Call::BlindTag(it) => &it.request,
            Call::SealPart(it) => &it.request,
            Call::SealUpload(it) => &it.request,
            Call::SealRemoval(it) => &it.request,
            _ => return Err(Refused::MALFORMED),
        };
        let (tenant, request) = self.request(request.as_ref())?;
        let (tenant, request) = (&*tenant, &request);
        Ok(match call {
            Call::Authorize(_) => Reply::Sealed(request.acknowledge(entropy)),
            Call::MakeDatastore(_) => {
                Reply::DatastoreMade(make_datastore(tenant, request, entropy)?)
            }
            Call::SealManifest(call) => {
                Reply::ManifestSealed(manifest::seal(tenant, request, &call, entropy)?)
            }
            Call::OpenHeads(call) => {
                Reply::Sealed(manifest::open_heads(tenant, request, &call, entropy)?)
            }
            Call::SealMarker(call) => {
                Reply::MarkerSealed(manifest::seal_marker(tenant, request, &call, entropy)?)
            }
            Call::SealRecord(_) => Reply::RecordSealed(vault::seal(tenant, request, entropy)?),
            Call::OpenRecords(call) => Reply::Sealed(vault::open(tenant, request, &call, entropy)?),
            Call::BlindTag(call) => Reply::TagBlinded(blind_tag(tenant, request, &call)?),
            Call::SealPart(call) => {
                Reply::PartSealed(manifest::seal_part(tenant, request, &call, entropy)?)
            }
            Call::SealUpload(call) => {
                Reply::UploadSealed(manifest::seal_upload(tenant, request, &call, entropy)?)
            }
            Call::SealRemoval(call) => {
                Reply::RemovalSealed(manifest::seal_removal(tenant, request, &call, entropy)?)
            }
            _ => return Err(Refused::MALFORMED),
        })
    }

    fn request(&self, request: Option<&coder::Request>) -> Result<(Arc<Tenant>, Request), Refused> {
        let request = request.ok_or(Refused::MALFORMED)?;
        let operation = named_tenant(request)?;
        let tenant = self.tenant(&operation.tenant)?;
        let request = Request::open(&tenant, request, operation)?;
        Ok((tenant, request))
    }

    fn tenant(&self, id: &[u8]) -> Result<Arc<Tenant>, Refused> {
        let id: [u8; 32] = array(id)?;
        let tenants = self.tenants.read().expect("no holder of this lock panics");
        let tenant = tenants.get(&id).ok_or(Refused(Reason::Tenant))?;
        Ok(Arc::clone(tenant))
    }

    /// Takes M3: an owner's roots, unless it has said something newer.
    fn provision(
        &self,
        message: &sc_proto::provision::Secrets,
    ) -> Result<coder::Provisioned, Refused> {
        let provisioned = self.provisioner.secrets(message)?;
        let roots = CoderRoots::decode(&provisioned.secrets).map_err(|_| Refused::MALFORMED)?;
        let fresh = Tenant::new(provisioned.owner, roots);
        let mut tenants = self.tenants.write().expect("no holder of this lock panics");
        match tenants.get(&fresh.id) {
            Some(held) if held.roots.current_number() > fresh.roots.current_number() => {
                return Err(Refused(Reason::Stale));
            }
            Some(held) => fresh.remember(held),
            None if tenants.len() >= TENANTS_MAX => return Err(Refused::LIMIT),
            None => {}
        }
        let reply = coder::Provisioned {
            confirmation: Some(provisioned.confirm()),
            tenant: Bytes::copy_from_slice(&fresh.id),
            root_number: fresh.roots.current_number(),
        };
        tenants.insert(fresh.id, Arc::new(fresh));
        Ok(reply)
    }
}

fn make_datastore(
    tenant: &Tenant,
    request: &Request,
    entropy: &mut dyn Entropy,
) -> Result<coder::DatastoreMade, Refused> {
    let Kind::CreateDatastore(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    let secret = request.secret()?;
    let made = Datastore::make(tenant, &operation.datastore, secret, entropy)?;
    Ok(coder::DatastoreMade {
        datastore: Some(made),
        sealed: Some(request.acknowledge(entropy)),
    })
}

fn blind_tag(
    tenant: &Tenant,
    request: &Request,
    call: &coder::BlindTag,
) -> Result<coder::TagBlinded, Refused> {
    let Kind::SearchObjects(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), &operation.datastore)?;
    let tag = datastore.blind(&request.secret()?);
    let tag = tag.ok_or(Refused::MALFORMED)?;
    Ok(coder::TagBlinded {
        tag: Bytes::copy_from_slice(&tag),
    })
}

impl Program for Engine {
    fn handle(&self, request: Bytes, entropy: &mut dyn FnMut(&mut [u8])) -> Bytes {
        let mut entropy = ClosureEntropy(entropy);
        let mut message = Vec::new();
        let reply = split(request)
            .ok_or(Refused::MALFORMED)
            .and_then(|(data, head)| {
                let call = coder::Call::decode(head)?;
                let call = call.call.ok_or(Refused::MALFORMED)?;
                self.dispatch(call, &data, &mut message, &mut entropy)
            })
            .unwrap_or_else(|Refused(reason)| {
                message.clear();
                Reply::Refusal(coder::Refusal {
                    reason: reason.into(),
                })
            });
        let reply = coder::Reply { reply: Some(reply) };
        join(&mut message, &reply.encode_to_vec());
        message.into()
    }

    fn recycle(&self, reply: Bytes) {
        if !SPARE_BYTES.contains(&reply.len()) {
            return;
        }
        let mut spare = self.spare.lock().expect("no holder of this lock panics");
        if spare.len() < SPARE_MAX {
            spare.push(reply.into());
        }
    }
}
