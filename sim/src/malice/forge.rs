//! Forgeries: what a host can make out of nothing, out of what it has seen, and under keys of its own.

use bytes::Bytes;
use sc_cbr::{Cipher, DeliveryKeys, DomainKey, MessageKind, PublisherKeys, Scope, control_cipher};
use sc_client::{Answer, Ask, Operation, Verdict};
use sc_crypto::{DomainId, OwnerSecret, Secret, VerifyingKey};
use sc_proto::Message as _;
use sc_proto::cbr::{self, call};
use sc_proto::routing::{
    self, FromSubscriber, ToPublisher, ToSubscriber, from_subscriber, refused, to_publisher,
    to_subscriber,
};
use sc_transport::{Entropy, Frame};

use super::kind::Kind;
use crate::oracle::array;
use crate::party::Party;
use crate::random::Random;

/// Makes forgeries under an identity and keys of its own.
pub(super) struct Forger {
    random: Random,
    entropy: Entropy,
    identity: OwnerSecret,
}

impl Forger {
    pub(super) fn new(mut random: Random) -> Self {
        Self {
            identity: OwnerSecret::from_seed(Secret::from_bytes(random.seed())),
            entropy: Random::new(random.draw(), "forgeries", 0).into_entropy(),
            random,
        }
    }

    /// Flips one bit somewhere in what is attached.
    pub(super) fn flip(&mut self, mut frame: Frame) -> Frame {
        let full = frame.attachments.iter_mut().filter(|part| !part.is_empty());
        let mut full: Vec<_> = full.collect();
        if full.is_empty() {
            return frame;
        }
        let place = self.random.below(full.len());
        let mut bytes = full[place].to_vec();
        let at = self.random.below(bytes.len());
        bytes[at] ^= 1 << self.random.below(8);
        *full[place] = bytes.into();
        frame
    }

    /// Random bytes of the same length.
    pub(super) fn random(&mut self, mut frame: Frame) -> Frame {
        if let Some(first) = frame.attachments.first_mut() {
            let mut bytes = vec![0; first.len()];
            self.random.fill(&mut bytes);
            *first = bytes.into();
        }
        frame
    }

    /// The mark of what is not sealed, before the same bytes.
    pub(super) fn plain(&mut self, mut frame: Frame) -> Frame {
        if let Some(first) = frame.attachments.first_mut() {
            *first = [&[0], &first[..]].concat().into();
        }
        frame
    }

    /// The same kind of message for the same peer, under the forger's own keys.
    pub(super) fn foreign(&mut self, kind: Kind, to: Party, frame: &Frame) -> Option<Frame> {
        let sealed = match kind {
            Kind::Notice => {
                let message = ToSubscriber::decode(frame.head.clone()).ok()?.frame?;
                let to_subscriber::Frame::Notice(notice) = message else {
                    return None;
                };
                let scope = self.scope(&notice.domain, notice.session, 0);
                let keys = DeliveryKeys::new(&self.secret(), &scope, false);
                seal(&keys.notice, &scope, MessageKind::Notice, notice.counter)
            }
            Kind::Receipt => {
                let message = ToPublisher::decode(frame.head.clone()).ok()?.frame?;
                let to_publisher::Frame::Receipt(receipt) = message else {
                    return None;
                };
                let scope = self.scope(&receipt.domain, receipt.session, receipt.start);
                let keys = PublisherKeys::new(&self.secret(), false);
                seal(&keys.receipt, &scope, MessageKind::Receipt, receipt.counter)
            }
            Kind::Ask => self.ask(to, frame)?,
            // The host does not know whose public key to seal to; its own shows that the owner's signature is asked for.
            _ => {
                let answer = Answer {
                    request: self.random.seed(),
                    session: self.random.draw(),
                    verdict: Verdict::Granted {
                        start: 1,
                        secret: self.secret(),
                    },
                };
                let public = self.identity.public();
                answer.seal(&self.identity, public, false, &mut self.entropy)
            }
        };
        let mut frame = frame.clone();
        *frame.attachments.first_mut()? = sealed.into();
        Some(frame)
    }

    /// A request of the forger's own identity, carried as if the asker had made it.
    fn ask(&mut self, _to: Party, frame: &Frame) -> Option<Vec<u8>> {
        let message = ToPublisher::decode(frame.head.clone()).ok()?.frame?;
        let to_publisher::Frame::Ask(_) = message else {
            return None;
        };
        let ask = Ask {
            consumer: self.identity.public().clone(),
            sequence: self.random.draw() >> 1,
            operation: Operation::Renew,
        };
        let public = self.identity.public();
        Some(ask.seal(&self.identity, public, false, &mut self.entropy).0)
    }

    /// A call like this one with a seal under the forger's own domain key.
    pub(super) fn call(&mut self, request: &Bytes) -> Option<Bytes> {
        let call = cbr::Call::decode(request.clone()).ok()?.call?;
        let (sealed, kind) = match call {
            call::Call::Control(sealed) => (sealed, MessageKind::Control),
            call::Call::Batch(sealed) => (sealed, MessageKind::Batch),
            _ => return None,
        };
        let scope = Scope {
            party: VerifyingKey::from_bytes(array(&sealed.publisher)),
            ..self.scope(&sealed.domain, sealed.session, sealed.start)
        };
        let key = DomainKey::new(self.secret());
        let cipher = match kind {
            MessageKind::Control => control_cipher(&key, &scope, false),
            _ => PublisherKeys::new(&key.publisher_secret(&scope), false).batch,
        };
        let sealed = cbr::Sealed {
            ciphertext: seal(&cipher, &scope, kind, sealed.counter).into(),
            ..sealed
        };
        let call = match kind {
            MessageKind::Control => call::Call::Control(sealed),
            _ => call::Call::Batch(sealed),
        };
        Some(cbr::Call { call: Some(call) }.encode_to_vec().into())
    }

    fn secret(&mut self) -> Secret {
        Secret::from_bytes(self.random.seed())
    }

    fn scope(&self, domain: &[u8], session: u64, start: u64) -> Scope {
        Scope {
            domain: DomainId::from_bytes(array(domain)),
            session,
            party: self.identity.signing_key().verifying_key(),
            start,
        }
    }
}

fn seal(cipher: &Cipher, scope: &Scope, kind: MessageKind, counter: u64) -> Vec<u8> {
    let mut out = Vec::new();
    cipher.seal(scope, kind, counter, b"forged", &mut out);
    out
}

/// An acknowledgement of more than was taken.
pub(super) fn ahead(frame: &Frame) -> Option<Frame> {
    match FromSubscriber::decode(frame.head.clone()).ok()?.frame? {
        from_subscriber::Frame::Ack(ack) => {
            let ack = routing::Ack {
                counter: ack.counter + 3,
                ..ack
            };
            let frame = Some(from_subscriber::Frame::Ack(ack));
            Some(Frame::new(FromSubscriber { frame }.encode_to_vec()))
        }
        _ => None,
    }
}

/// Words that something was refused; such as leave the peer's links alone.
pub(super) fn refused(to: Party) -> Option<Frame> {
    let refused = routing::Refused {
        cause: refused::Cause::Unreachable.into(),
        what: "the host says so".into(),
        domain: Bytes::new(),
        refusal: None,
    };
    Some(match to {
        Party::Consumer(_) => subscriber(to_subscriber::Frame::Refused(refused)),
        _ => publisher(to_publisher::Frame::Refused(refused)),
    })
}

/// Words that a domain is open in another session than it is.
pub(super) fn state(to: Party, frame: &Frame) -> Option<Frame> {
    let message = ToSubscriber::decode(frame.head.clone()).ok()?.frame?;
    let (Party::Consumer(_), to_subscriber::Frame::Notice(notice)) = (to, message) else {
        return None;
    };
    let state = routing::DomainState {
        domain: notice.domain,
        open: notice.counter % 2 == 0,
        session: notice.session + 1,
    };
    Some(subscriber(to_subscriber::Frame::DomainState(state)))
}

/// Words that everything up to a message just received is settled, as soon as its receipt is on its way.
pub(super) fn settled(frame: &Frame) -> Option<Frame> {
    let message = ToPublisher::decode(frame.head.clone()).ok()?.frame?;
    let to_publisher::Frame::Receipt(receipt) = message else {
        return None;
    };
    let settled = routing::Settled {
        domain: receipt.domain,
        session: receipt.session,
        start: receipt.start,
        counter: receipt.counter + 1,
    };
    Some(publisher(to_publisher::Frame::Settled(settled)))
}

/// The notice with the payloads of another.
pub(super) fn with_payloads_of(mut frame: Frame, other: &Frame) -> Frame {
    if let (Some(mine), Some(theirs)) = (frame.attachments.get_mut(1), other.attachments.get(1)) {
        *mine = theirs.clone();
    }
    frame
}

fn subscriber(frame: to_subscriber::Frame) -> Frame {
    Frame::new(ToSubscriber { frame: Some(frame) }.encode_to_vec())
}

fn publisher(frame: to_publisher::Frame) -> Frame {
    Frame::new(ToPublisher { frame: Some(frame) }.encode_to_vec())
}
