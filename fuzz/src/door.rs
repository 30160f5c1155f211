//! Targets for the door of the routing program: whatever a host hands in, it answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use sc_cbr::{Engine, Notice, NoticeKind};
use sc_crypto::{OwnerSecret, SealingPublicKey};
use sc_enclave::{Attester, ConfirmationKey, Program, Purpose, SecretsMessage, Transcript};
use sc_proto::cbr::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::{Message, provision};

use crate::cores::{Entropy, consumer, domain_secrets, owner, platform};
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

/// An open session, and what the target knows of it.
struct Session {
    engine: Engine,
    /// Messages taken from the owner, and from the publisher that it may have registered.
    taken: [u64; 2],
    /// For each consumer the counter of its last notice, and whether it is suspended.
    consumers: BTreeMap<Bytes, (u64, bool)>,
}

fn named(key: &OwnerSecret) -> Bytes {
    Bytes::copy_from_slice(key.signing_key().verifying_key().as_bytes())
}

impl Session {
    fn sealed(&self, publisher: &OwnerSecret, counter: u64, plaintext: &[u8]) -> cbr::Sealed {
        cbr::Sealed {
            domain: Bytes::copy_from_slice(owner().public().domain_id().as_bytes()),
            session: 1,
            publisher: named(publisher),
            start: 1,
            counter,
            ciphertext: Bytes::copy_from_slice(plaintext),
        }
    }

    /// The owner's next message.
    fn of_owner(&mut self, message: fn(cbr::Sealed) -> Call, plaintext: &[u8]) {
        self.taken[0] += 1;
        let call = message(self.sealed(&owner(), self.taken[0], plaintext));
        let Reply::Outcome(outcome) = call_engine(&self.engine, call.clone()) else {
            panic!("an authentic message in order was not taken");
        };
        self.check(&outcome, Some(self.taken[0]));
        assert!(matches!(call_engine(&self.engine, call), Reply::Refusal(_)));
    }

    /// The next batch of the other publisher, which is taken if that is registered at start 1.
    fn of_other(&mut self, plaintext: &[u8]) {
        let counter = self.taken[1] + 1;
        let call = Call::Batch(self.sealed(&consumer(), counter, plaintext));
        match call_engine(&self.engine, call) {
            Reply::Outcome(outcome) => {
                self.taken[1] = counter;
                self.check(&outcome, Some(counter));
            }
            Reply::Refusal(refusal) => assert_eq!(refusal.reason(), Reason::Session),
            other => panic!("neither taken nor refused: {other:?}"),
        }
    }

    /// Suspends or resumes the consumer, which the program does if it is not so already.
    fn serve(&mut self, suspends: bool) {
        let (domain, session, name) = (
            Bytes::copy_from_slice(owner().public().domain_id().as_bytes()),
            1,
            named(&consumer()),
        );
        let known = self.consumers.get(&name).map(|(_, suspended)| *suspended);
        let call = if suspends {
            Call::Suspend(cbr::Suspend {
                domain,
                session,
                consumer: name.clone(),
            })
        } else {
            Call::Resume(cbr::Resume {
                domain,
                session,
                consumer: name.clone(),
            })
        };
        match call_engine(&self.engine, call) {
            Reply::Outcome(outcome) => {
                assert_eq!(outcome.notices.len(), 1);
                assert_ne!(known, Some(suspends));
                self.check(&outcome, None);
                self.consumers.entry(name).or_default().1 = suspends;
            }
            Reply::Refusal(refusal) => {
                assert_eq!(refusal.reason(), Reason::Consumer);
                assert_ne!(known, Some(!suspends));
            }
            other => panic!("neither done nor refused: {other:?}"),
        }
    }

    /// The receipt is for `counter`, notices have no gaps, and who is suspended hears of no batch.
    fn check(&mut self, outcome: &cbr::Outcome, counter: Option<u64>) {
        let receipt = sc_cbr::Receipt::decode(&outcome.receipt);
        assert_eq!(receipt.ok().map(|receipt| receipt.counter), counter);
        for notice in &outcome.notices {
            let (last, suspended) = self.consumers.entry(notice.consumer.clone()).or_default();
            *last += 1;
            assert_eq!(notice.counter, *last);
            let kind = Notice::decode(&notice.ciphertext)
                .expect("plain notices decode")
                .kind;
            let is_of_a_batch = matches!(
                kind,
                NoticeKind::Matches { .. } | NoticeKind::Heartbeat { .. }
            );
            assert!(!(*suspended && is_of_a_batch));
        }
    }
}

/// What a host may hand in, one after another in an open session: control messages and batches of arbitrary plaintext, of the owner and
/// of another publisher; a consumer suspended and resumed.
///
/// # Panics
/// When an authentic message is not answered by a receipt for its counter, a replay is taken, a consumer's notices have a gap, or one
/// that is suspended is told of a batch.
pub fn session(bytes: &[u8]) {
    let mut session = Session {
        engine: opened(),
        taken: [0; 2],
        consumers: BTreeMap::new(),
    };
    let mut pieces = Pieces::new(bytes);
    while let (Some(kind), Some(plaintext)) = (pieces.byte(), pieces.piece()) {
        match kind % 5 {
            0 => session.of_owner(Call::Control, plaintext),
            1 => session.of_owner(Call::Batch, plaintext),
            2 => session.of_other(plaintext),
            kind => session.serve(kind == 3),
        }
    }
}
