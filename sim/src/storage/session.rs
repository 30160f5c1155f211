//! A session opened at the coder's door, for whoever seals requests by hand.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use sc_coder::{
    ReplyKey, SessionKeys, coder_public_key, grant_key, issue, open_session_context,
    session_transcript,
};
use sc_crypto::{Secret, SigningKey};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::{DecodeError, Message as _};

use super::World;

/// A session of a client that may do everything.
pub struct Session {
    tenant: [u8; 32],
    ticket: Bytes,
    keys: SessionKeys,
    next: AtomicU64,
}

impl Session {
    /// Opens it.
    ///
    /// # Panics
    /// Where the coder does not open one, which is a fault of this program.
    pub(crate) fn open(world: &World, owner: &SigningKey, root: &Secret) -> Self {
        let tenant = world.client.tenant();
        let client = SigningKey::from_seed(&[6; 32]);
        let body = storage::CertificateBody {
            client: Bytes::copy_from_slice(client.verifying_key().as_bytes()),
            serial: 77,
            rights: sc_coder::Rights::ALL.0,
            datastores: vec!["*".into()],
            ..storage::CertificateBody::default()
        };
        let certificate = issue(owner, body);
        let coder_key = coder_public_key(root);
        let reply_secret = Secret::from_bytes([8; 32]);
        let transcript = session_transcript(&coder_key, reply_secret.expose(), &certificate.body);
        let request = storage::SessionRequest {
            certificate: Some(certificate),
            reply_secret: Bytes::copy_from_slice(reply_secret.expose()),
            signature: Bytes::copy_from_slice(&client.sign(&transcript)),
        };
        let sealed = coder_key.seal(
            &open_session_context(&tenant),
            &[],
            &request.encode_to_vec(),
            &mut sc_client::OsEntropy,
        );
        let call = coder::OpenSession {
            tenant: Bytes::copy_from_slice(&tenant),
            encapsulated: sealed.encapsulated.into(),
            ciphertext: sealed.ciphertext.into(),
        };
        let Reply::Sealed(sealed) = world.door(Call::OpenSession(call), &[]).0 else {
            unreachable!("a session with a good certificate is opened");
        };
        let grant = grant_key(&reply_secret, &sealed.salt).open_head(&sealed.ciphertext);
        let grant = grant
            .map_err(|_| ())
            .and_then(|it| grant_of(&it).map_err(|_| ()));
        let (ticket, key) = grant.expect("the coder seals grants for whoever asked");
        Self {
            tenant,
            ticket,
            keys: SessionKeys::new(&Secret::from_bytes(key)),
            next: AtomicU64::new(1),
        }
    }

    /// A request for `operation`, with `secret` sealed in it; and its number.
    #[must_use]
    pub fn request(&self, operation: Kind, secret: &[u8]) -> (coder::Request, u64) {
        let operation = storage::Operation {
            tenant: Bytes::copy_from_slice(&self.tenant),
            operation: Some(operation),
        };
        self.request_of(operation.encode_to_vec().into(), secret)
    }

    /// The same for an operation that is encoded already, whatever that is.
    #[must_use]
    pub fn request_of(&self, operation: Bytes, secret: &[u8]) -> (coder::Request, u64) {
        let number = self.next.fetch_add(1, Relaxed);
        let sealed = self.keys.seal_request(number, &operation, secret);
        let request = coder::Request {
            operation,
            ticket: self.ticket.clone(),
            number,
            sealed: sealed.into(),
        };
        (request, number)
    }

    /// Content as the blocks of request `number`, sealed, one after another.
    #[must_use]
    pub fn blocks(&self, number: u64, content: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        for (index, block) in (0..).zip(content.chunks(sc_coder::BLOCK_BYTES)) {
            let mut block = block.to_vec();
            self.keys.seal_block(number, index, &mut block);
            sealed.append(&mut block);
        }
        sealed
    }

    /// The key of the reply to request `number`.
    #[must_use]
    pub fn reply(&self, number: u64, sealed: &coder::Sealed) -> ReplyKey {
        self.keys.reply(number, &sealed.salt)
    }
}

fn grant_of(plain: &[u8]) -> Result<(Bytes, [u8; 32]), DecodeError> {
    let grant = storage::SessionGrant::decode(plain)?;
    let key = grant.session_key[..].try_into().unwrap_or_default();
    Ok((grant.ticket, key))
}
