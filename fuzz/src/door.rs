//! Targets for the door of the routing program: whatever a host hands in, it answers.

use bytes::Bytes;
use sc_cbr::Engine;
use sc_crypto::SealingPublicKey;
use sc_enclave::{Attester, ConfirmationKey, Program, Purpose, SecretsMessage, Transcript};
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::{Message, provision};

use crate::cores::{Entropy, domain_secrets, owner, platform};
use crate::pieces::Pieces;

const NONCE: [u8; 32] = [7; 32];

fn handle(engine: &Engine, request: impl Into<Bytes>) -> Reply {
    let mut entropy = Entropy::new(1);
    let reply = engine.handle(request.into(), &mut |bytes| entropy.fill(bytes));
    cbr::Reply::decode(reply)
        .ok()
        .and_then(|reply| reply.reply)
        .expect("a program answers every call with a reply")
}

fn call_engine(engine: &Engine, call: Call) -> Reply {
    handle(engine, cbr::Call { call: Some(call) }.encode_to_vec())
}

/// A call of arbitrary bytes, to a program without sessions.
///
/// # Panics
/// When it is answered by anything but what such a program can say.
pub fn call(bytes: &[u8]) {
    let engine = Engine::new(Box::new(platform()));
    let reply = handle(&engine, bytes.to_vec());
    assert!(matches!(
        reply,
        Reply::Description(_) | Reply::Offer(_) | Reply::Refusal(_) | Reply::Closed(_)
    ));
}

/// A program with one open session in the unencrypted mode, so that nothing stands between the bytes and the decoders behind the seal.
fn opened() -> Engine {
    let engine = Engine::new(Box::new(platform()));
    let owner = owner();
    let signer = owner.signing_key();
    let challenge = provision::Challenge {
        nonce: NONCE.to_vec().into(),
        owner_key: signer.verifying_key().as_bytes().to_vec().into(),
        purpose: "cbr".into(),
    };
    let Reply::Offer(offer) = call_engine(&engine, Call::Challenge(challenge)) else {
        unreachable!("a good challenge is answered");
    };
    let key = SealingPublicKey::from_bytes(&offer.kem_key).expect("an offer holds a key");
    let transcript = Transcript::new(
        &NONCE,
        signer.verifying_key(),
        Purpose::Cbr,
        platform().platform(),
        &key,
    );
    let confirmation = ConfirmationKey::random(&mut Entropy::new(2));
    let secrets = domain_secrets(true).encode();
    let message = SecretsMessage::seal(
        &transcript,
        &NONCE,
        &key,
        signer,
        &confirmation,
        &secrets,
        &mut Entropy::new(3),
    );
    let reply = call_engine(&engine, Call::Secrets(message));
    assert!(matches!(reply, Reply::Opened(_)));
    engine
}

/// Control messages and batches of arbitrary plaintext, one after another in an open session.
///
/// # Panics
/// When one is not answered by a receipt for its counter, or a replay is taken.
pub fn session(bytes: &[u8]) {
    let engine = opened();
    let mut pieces = Pieces::new(bytes);
    let mut counter = 0;
    while let (Some(kind), Some(plaintext)) = (pieces.byte(), pieces.piece()) {
        counter += 1;
        let sealed = cbr::Sealed {
            domain: owner().public().domain_id().as_bytes().to_vec().into(),
            session: 1,
            publisher: owner()
                .signing_key()
                .verifying_key()
                .as_bytes()
                .to_vec()
                .into(),
            start: 1,
            counter,
            ciphertext: plaintext.to_vec().into(),
        };
        let call = if kind % 2 == 0 {
            Call::Control(sealed)
        } else {
            Call::Batch(sealed)
        };
        let Reply::Outcome(outcome) = call_engine(&engine, call.clone()) else {
            panic!("an authentic message in order was not taken");
        };
        let receipt = sc_cbr::Receipt::decode(&outcome.receipt).expect("plain receipts decode");
        assert_eq!(receipt.counter, counter);
        assert!(matches!(call_engine(&engine, call), Reply::Refusal(_)));
    }
}
