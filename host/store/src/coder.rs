//! The coders that a store uses: trusted programs beside it or elsewhere, any of which can serve any request.
//!
//! Invariant: coders that are believed to hold a tenant's root are asked first; a call that a coder did not answer is made again with another,
//! which does no harm, because coders keep nothing.
//! Messages at the door are bulk bytes, then the head, then its length: docs/FORMATS.md, "Storage: the coder's door".

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use sc_launcher::Caller;
use sc_metadata::TenantId;
use sc_proto::coder::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::store;
use sc_proto::store::problem::Code;
use sc_transport::{Frame, Requester};

use crate::error::Problem;

/// How long a call to a coder elsewhere may take.
const DEADLINE: Duration = Duration::from_secs(30);
const LENGTH_BYTES: usize = 4;

/// The way to one coder.
pub enum CoderWay {
    /// A program that this process started.
    Local(Caller),
    /// A `securecloud coder` elsewhere.
    Remote(Requester),
}

/// One coder.
struct Coder {
    name: String,
    way: CoderWay,
    /// Tenants that it is believed to hold, and the start of the program that this was learnt of.
    tenants: Mutex<(u64, BTreeSet<[u8; 32]>)>,
    /// What it said of itself.
    description: Mutex<Option<coder::Description>>,
}

/// All coders of a store.
pub struct Coders {
    all: Vec<Coder>,
    turn: AtomicUsize,
}

/// A coder's reply and the bulk that came with it.
pub(crate) type Answer = (Reply, Bytes);

impl Coders {
    /// These coders, by name.
    #[must_use]
    pub fn new(ways: Vec<(String, CoderWay)>) -> Self {
        let all = ways.into_iter().map(|(name, way)| Coder {
            name,
            way,
            tenants: Mutex::default(),
            description: Mutex::default(),
        });
        Self {
            all: all.collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Makes a call that concerns `tenant` with whichever coder answers. `bulk` travels in front of it.
    ///
    /// # Errors
    /// What the coder refused; `UNAVAILABLE` where none answers, `NOT_PROVISIONED` where none holds the tenant's root.
    pub(crate) async fn call(
        &self,
        tenant: TenantId,
        call: Call,
        bulk: &[Bytes],
    ) -> Result<Answer, Problem> {
        let head = encode(call);
        let start = self.turn.fetch_add(1, Relaxed);
        let mut lacking = false;
        let rounds = [true, false];
        for knows in rounds {
            for offset in 0..self.all.len() {
                let coder = &self.all[(start + offset) % self.all.len()];
                if coder.holds(tenant) != knows {
                    continue;
                }
                match coder.exchange(&head, bulk).await {
                    Ok((Reply::Refusal(refusal), _)) if refusal.reason() == Reason::Tenant => {
                        coder.lacks(tenant);
                        lacking = true;
                    }
                    Ok((Reply::Refusal(refusal), _)) => {
                        return Err(Problem::refused(refusal.reason()));
                    }
                    Ok(answer) => {
                        coder.has(tenant);
                        return Ok(answer);
                    }
                    Err(error) => tracing::warn!(coder = coder.name, error, "a coder failed"),
                }
            }
        }
        if lacking {
            return Err(Problem::refused(Reason::Tenant));
        }
        Err(Problem::new(Code::Unavailable, "no coder answers"))
    }

    /// Makes a call with the coder of this name alone.
    pub(crate) async fn call_named(&self, name: &str, call: Call) -> Result<Reply, Problem> {
        let coder = self.all.iter().find(|coder| coder.name == name);
        let coder = coder
            .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no coder {name:?}")))?;
        match coder.exchange(&encode(call), &[]).await {
            Ok((Reply::Refusal(refusal), _)) => Err(Problem::refused(refusal.reason())),
            Ok((Reply::Provisioned(provisioned), _)) => {
                if let Ok(tenant) = provisioned.tenant[..].try_into() {
                    coder.has(TenantId(tenant));
                }
                Ok(Reply::Provisioned(provisioned))
            }
            Ok((reply, _)) => Ok(reply),
            Err(error) => Err(Problem::new(Code::Unavailable, error)),
        }
    }

    /// What is known of each coder, asked for anew.
    pub(crate) async fn describe(&self, tenant: TenantId) -> Vec<store::Coder> {
        let mut described = Vec::with_capacity(self.all.len());
        for coder in &self.all {
            let head = encode(Call::Describe(coder::Describe {}));
            let reachable = match coder.exchange(&head, &[]).await {
                Ok((Reply::Description(description), _)) => {
                    *coder.description() = Some(description);
                    true
                }
                _ => false,
            };
            let description = coder.description().clone().unwrap_or_default();
            described.push(store::Coder {
                name: coder.name.clone(),
                program: description.program,
                version: description.version,
                tee: description.tee,
                provisioned: coder.holds(tenant),
                reachable,
            });
        }
        described
    }
}

impl Coder {
    fn starts(&self) -> u64 {
        match &self.way {
            CoderWay::Local(caller) => caller.starts(),
            // What is elsewhere tells by refusing.
            CoderWay::Remote(_) => 1,
        }
    }

    fn tenants(&self) -> MutexGuard<'_, (u64, BTreeSet<[u8; 32]>)> {
        let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
        let starts = self.starts();
        if tenants.0 != starts {
            *tenants = (starts, BTreeSet::new());
        }
        tenants
    }

    fn holds(&self, tenant: TenantId) -> bool {
        self.tenants().1.contains(&tenant.0)
    }

    fn has(&self, tenant: TenantId) {
        self.tenants().1.insert(tenant.0);
    }

    fn lacks(&self, tenant: TenantId) {
        self.tenants().1.remove(&tenant.0);
    }

    fn description(&self) -> MutexGuard<'_, Option<coder::Description>> {
        self.description
            .lock()
            .expect("no holder of this lock panics")
    }

    async fn exchange(&self, head: &[u8], bulk: &[Bytes]) -> Result<Answer, String> {
        let result = match &self.way {
            CoderWay::Local(caller) => caller
                .call(pieces(bulk, head))
                .await
                .map_err(|error| error.to_string())
                .and_then(|reply| split(reply).ok_or_else(|| "a reply is malformed".into())),
            CoderWay::Remote(requester) => {
                let mut frame = Frame::new(Bytes::copy_from_slice(head));
                frame.attachments = bulk.to_vec();
                let reply = requester.call(frame, DEADLINE).await;
                reply
                    .map(|mut frame| {
                        let bulk = frame.attachments.pop().unwrap_or_default();
                        (bulk, frame.head)
                    })
                    .map_err(|error| error.to_string())
            }
        };
        result.and_then(|(bulk, head)| {
            let reply = coder::Reply::decode(head).map_err(|error| error.to_string())?;
            let reply = reply.reply.ok_or("an empty reply")?;
            Ok((reply, bulk))
        })
    }
}

fn encode(call: Call) -> Vec<u8> {
    coder::Call { call: Some(call) }.encode_to_vec()
}

/// A message at the door, in pieces.
#[must_use]
pub fn pieces(bulk: &[Bytes], head: &[u8]) -> Vec<Bytes> {
    let mut last = BytesMut::with_capacity(head.len() + LENGTH_BYTES);
    last.put_slice(head);
    last.put_u32_le(u32::try_from(head.len()).expect("a head is far shorter than 4 GiB"));
    let mut pieces = Vec::with_capacity(bulk.len() + 1);
    pieces.extend_from_slice(bulk);
    pieces.push(last.freeze());
    pieces
}

/// Bulk and head of a message at the door; `None` for what is none.
#[must_use]
pub fn split(mut message: Bytes) -> Option<(Bytes, Bytes)> {
    let length = u32::from_le_bytes(*message.last_chunk::<LENGTH_BYTES>()?);
    message.truncate(message.len() - LENGTH_BYTES);
    let bulk = message.len().checked_sub(usize::try_from(length).ok()?)?;
    let head = message.split_off(bulk);
    Some((message, head))
}
