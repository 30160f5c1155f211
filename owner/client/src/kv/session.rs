//! The client's session: opened at first use, opened anew when the store says that it is void; and requests under it.
//!
//! Invariant: a request number is used once in its session; what is sealed anew, for another try, is sealed under another number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sc_coder::{SessionKeys, grant_key, open_session_context, session_transcript};
use sc_crypto::{Plaintext, Secret};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::{self, problem::Code};
use sc_proto::{coder, store as message};
use sc_transport::{Frame, RpcError};
use tokio::sync::Mutex;

use super::objects::Block;
use super::{Answer, Credentials, DEADLINE, EntropySource, KvClient, KvError, StoreLink};

/// How often a request that may be repeated is sent at most.
pub(super) const TRIES: u32 = 6;
/// Before the second try; each further pause is twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// One session.
pub(crate) struct Session {
    ticket: Bytes,
    keys: SessionKeys,
    next: AtomicU64,
}

/// The sessions of one client, of which one is current.
pub(crate) struct Sessions {
    credentials: Credentials,
    entropy: EntropySource,
    current: Mutex<Option<Arc<Session>>>,
}

impl Sessions {
    pub(crate) fn new(credentials: Credentials, entropy: EntropySource) -> Self {
        Self {
            credentials,
            entropy,
            current: Mutex::default(),
        }
    }

    pub(crate) fn tenant(&self) -> [u8; 32] {
        self.credentials.tenant
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        (self.entropy)(bytes);
    }

    /// The session, opened if there is none. Whoever comes while it is being opened waits.
    pub(crate) async fn current(&self, link: &dyn StoreLink) -> Result<Arc<Session>, KvError> {
        let mut current = self.current.lock().await;
        if let Some(session) = &*current {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.open(link).await?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Forgets `void`, unless another has come in its place.
    async fn forget(&self, void: &Arc<Session>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|it| Arc::ptr_eq(it, void)) {
            *current = None;
        }
    }

    async fn open(&self, link: &dyn StoreLink) -> Result<Session, KvError> {
        let it = &self.credentials;
        let mut entropy = self.entropy;
        let reply_secret = Secret::random(&mut entropy);
        let transcript =
            session_transcript(&it.coder_key, reply_secret.expose(), &it.certificate.body);
        let request = storage::SessionRequest {
            certificate: Some(it.certificate.clone()),
            reply_secret: Bytes::copy_from_slice(reply_secret.expose()),
            signature: Bytes::copy_from_slice(&it.key.sign(&transcript)),
        };
        let plain = Plaintext::new(request.encode_to_vec());
        let context = open_session_context(&it.tenant);
        let sealed = it.coder_key.seal(&context, &[], &plain, &mut entropy);
        let request = message::request::Request::OpenSession(message::OpenSession {
            session: Some(coder::OpenSession {
                tenant: Bytes::copy_from_slice(&it.tenant),
                encapsulated: sealed.encapsulated.into(),
                ciphertext: sealed.ciphertext.into(),
            }),
        });
        let reply = exchange(link, request, Vec::new()).await?;
        let message::reply::Reply::Session(sealed) = reply.0 else {
            return Err(KvError::Malformed("no session where one was asked for"));
        };
        let opened = grant_key(&reply_secret, &sealed.salt).open_head(&sealed.ciphertext)?;
        let grant = storage::SessionGrant::decode(&opened[..])
            .map_err(|_| KvError::Malformed("a session's grant"))?;
        let key: [u8; 32] = grant.session_key[..]
            .try_into()
            .map_err(|_| KvError::Malformed("a session's key"))?;
        Ok(Session {
            ticket: grant.ticket,
            keys: SessionKeys::new(&Secret::from_bytes(key)),
            next: AtomicU64::new(1),
        })
    }
}

/// Sends one message to the store and takes its reply apart; what the store calls a problem is an error.
pub(crate) async fn exchange(
    link: &dyn StoreLink,
    request: message::request::Request,
    attachments: Vec<Bytes>,
) -> Result<(message::reply::Reply, Vec<Bytes>), KvError> {
    let request = message::Request {
        request: Some(request),
    };
    let mut frame = Frame::new(request.encode_to_vec());
    frame.attachments = attachments;
    let frame = link.call(frame, DEADLINE).await?;
    let reply = message::Reply::decode(frame.head)
        .ok()
        .and_then(|reply| reply.reply)
        .ok_or(KvError::Malformed("its message does not decode"))?;
    match reply {
        message::reply::Reply::Problem(problem) => Err(KvError::Problem {
            code: problem.code(),
            message: problem.message,
        }),
        reply => Ok((reply, frame.attachments)),
    }
}

impl KvClient {
    /// Makes a request, and makes it again where that is known to be right: nothing was begun, or whoever asks says that doing it twice is
    /// doing it once.
    pub(crate) async fn ask(
        &self,
        operation: Kind,
        secret: &[u8],
        blocks: &[Block],
        may_repeat: bool,
    ) -> Result<Answer, KvError> {
        let operation = storage::Operation {
            tenant: Bytes::copy_from_slice(&self.tenant()),
            operation: Some(operation),
        };
        let operation = Bytes::from(operation.encode_to_vec());
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.try_once(&operation, secret, blocks).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if tries == TRIES || !is_worth_another(&error, may_repeat) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn try_once(
        &self,
        operation: &Bytes,
        secret: &[u8],
        blocks: &[Block],
    ) -> Result<Answer, KvError> {
        let session = self.sessions.current(&*self.link).await?;
        let number = session.next.fetch_add(1, Relaxed);
        let request = coder::Request {
            operation: operation.clone(),
            ticket: session.ticket.clone(),
            number,
            sealed: session.keys.seal_request(number, operation, secret).into(),
        };
        let blocks = session.seal_blocks(number, blocks);
        let request = message::request::Request::Operation(request);
        let answer = exchange(&*self.link, request, blocks).await;
        if let Err(error) = &answer
            && error.code() == Some(Code::Session)
        {
            self.sessions.forget(&session).await;
        }
        let (reply, attachments) = answer?;
        let message::reply::Reply::Done(done) = reply else {
            return Err(KvError::Malformed("another kind of answer was asked for"));
        };
        session.open_answer(number, done, &attachments)
    }
}

/// Whether asking again may help, and can do no harm.
fn is_worth_another(error: &KvError, may_repeat: bool) -> bool {
    match error {
        KvError::Problem { code, .. } => match code {
            Code::Session | Code::NotProvisioned => true,
            Code::Unavailable => may_repeat,
            _ => false,
        },
        KvError::Link(RpcError::NotSent | RpcError::Overloaded) => true,
        KvError::Link(RpcError::Disconnected | RpcError::Failed) => may_repeat,
        _ => false,
    }
}

impl Session {
    /// The blocks of a body, sealed: each gathered into one piece of memory, and sealed there.
    fn seal_blocks(&self, number: u64, blocks: &[Block]) -> Vec<Bytes> {
        let sealed = (0..).zip(blocks).map(|(index, block)| {
            let mut sealed = Vec::with_capacity(block.len() + sc_crypto::TAG_BYTES);
            for piece in block.pieces() {
                sealed.extend_from_slice(piece);
            }
            self.keys.seal_block(number, index, &mut sealed);
            sealed.into()
        });
        sealed.collect()
    }

    fn open_answer(
        &self,
        number: u64,
        done: store::Done,
        attachments: &[Bytes],
    ) -> Result<Answer, KvError> {
        // What no coder has sealed is the host's word alone, also where it says that there is nothing.
        let sealed = done.sealed.as_ref().ok_or(KvError::NotAuthentic)?;
        let reply = self.keys.reply(number, &sealed.salt);
        let opened = reply.open_head(&sealed.ciphertext)?;
        if attachments.len() != done.chunks.len() {
            return Err(KvError::Malformed("chunks and their list do not agree"));
        }
        let mut chunks = Vec::with_capacity(attachments.len());
        for (index, (chunk, sealed)) in done.chunks.iter().zip(attachments).enumerate() {
            let index = u32::try_from(index).expect("an answer has few chunks");
            let mut plain = Vec::new();
            reply.open_chunk(index, chunk.offset, sealed, &mut plain)?;
            if plain.len() != chunk.bytes as usize {
                return Err(KvError::Malformed("a chunk's length"));
            }
            chunks.push((chunk.offset, Bytes::from(plain)));
        }
        Ok(Answer {
            done,
            sealed: opened,
            chunks,
        })
    }
}
