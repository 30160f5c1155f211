//! Targets for what consumers and owners say to each other.

use sc_cbr::push_bytes;
use sc_client::{Answer, Ask};
use sc_crypto::{OwnerSecret, Transcript};

use crate::cores::{consumer, owner};

/// The mode byte of a message that is signed and not sealed.
const PLAIN: u8 = 0;

fn no_entropy(_: &mut [u8]) {}

/// A request as it comes, sealed or plain.
///
/// # Panics
/// When one is taken that names no identity.
pub fn ask(bytes: &[u8]) {
    let owner = owner();
    for plain in [false, true] {
        if let Ok(ask) = Ask::open(bytes, &owner, plain) {
            assert!(ask.identity().is_ok());
        }
    }
}

/// The part of a request behind its sender's key: signed here, so that only the decoder stands in its way.
///
/// # Panics
/// When bytes that are taken are not what the request is sealed to.
pub fn ask_body(bytes: &[u8]) {
    let (owner, consumer) = (owner(), consumer());
    let mut body = vec![1];
    push_bytes(&mut body, &consumer.public().to_bytes());
    body.extend_from_slice(bytes);
    let transcript = Transcript::new("ask")
        .bytes(owner.public().domain_id().as_bytes())
        .bytes(&owner.public().to_bytes())
        .bytes(&body);
    let signed = signed(&body, &consumer, &transcript);
    if let Ok(ask) = Ask::open(&signed, &owner, true) {
        let (again, _) = ask.seal(&consumer, owner.public(), true, &mut no_entropy);
        assert_eq!(again, signed);
    }
}

/// An answer as it comes, sealed or plain.
pub fn answer(bytes: &[u8]) {
    let (owner, consumer) = (owner(), consumer());
    for plain in [false, true] {
        let _ = Answer::open(bytes, owner.public(), &consumer, plain);
    }
}

/// The part of an answer behind its owner's key: signed here, so that only the decoder stands in its way.
///
/// # Panics
/// When bytes that are taken are not what the answer is sealed to.
pub fn answer_body(bytes: &[u8]) {
    let (owner, consumer) = (owner(), consumer());
    let mut body = vec![1];
    body.extend_from_slice(owner.signing_key().verifying_key().as_bytes());
    push_bytes(&mut body, &[]);
    body.extend_from_slice(bytes);
    let transcript = Transcript::new("answer")
        .bytes(owner.public().domain_id().as_bytes())
        .bytes(&consumer.public().to_bytes())
        .bytes(&body);
    let signed = signed(&body, &owner, &transcript);
    if let Ok(answer) = Answer::open(&signed, owner.public(), &consumer, true) {
        let again = answer.seal(&owner, consumer.public(), true, &mut no_entropy);
        assert_eq!(again, signed);
    }
}

fn signed(body: &[u8], signer: &OwnerSecret, transcript: &Transcript) -> Vec<u8> {
    let signature = signer.signing_key().sign(transcript);
    [&[PLAIN], body, &signature].concat()
}
