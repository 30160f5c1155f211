//! Datagrams: how packets of the link layer lie in the parts of a ZeroMQ message.
//!
//! Invariant: a [`Packet`] is well-formed; whether it is *true* (signatures, credit, sequence) is decided elsewhere.
//! Source: `proto/securecloud/link.proto`; docs/FORMATS.md, "Links".

use bytes::Bytes;
use sc_proto::Message as _;
use sc_proto::link::{self, link_header::Kind};

use crate::event::{CloseCode, Role};
use crate::frame::{Frame, FrameClass};
use crate::identity::{KEY_LEN, PeerKey, SIGNATURE_LEN};
use crate::settings::Terms;
use crate::transcript::{NONCE_LEN, Offer, TAG_LEN, Tag};

/// The version of this layer.
pub(crate) const VERSION: u32 = 1;
/// Largest link header, in bytes; a hello reply with CURVE has about 300.
pub(crate) const HEADER_MAX: usize = 1024;
/// Longest reason of a close, in bytes; longer ones are cut.
pub const REASON_MAX: usize = 256;

/// What is said of terms that leave no room for a frame.
pub(crate) const UNUSABLE: &str = "a window or the largest frame leaves no room for any frame";

/// One ZeroMQ message without its routing id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The link header; and for a frame its head and attachments.
    pub parts: Vec<Bytes>,
}

/// Acknowledgement and credit of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AckBody {
    pub(crate) received: u64,
    pub(crate) limits: [u64; 2],
    pub(crate) ask: u64,
    pub(crate) answer: u64,
    pub(crate) gap: bool,
}

/// One well-formed datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Hello(Offer),
    HelloReply {
        offer: Offer,
        hello_nonce: [u8; NONCE_LEN],
        signature: [u8; SIGNATURE_LEN],
    },
    HelloProof {
        tag: Tag,
        signature: [u8; SIGNATURE_LEN],
    },
    Carry {
        tag: Tag,
        sequence: u64,
        class: FrameClass,
        ack: Option<AckBody>,
        frame: Frame,
    },
    Ack {
        tag: Tag,
        ack: AckBody,
    },
    Reset {
        tag: Tag,
    },
    /// Without a tag it refuses the hello with this nonce.
    Close {
        tag: Option<Tag>,
        hello_nonce: Option<[u8; NONCE_LEN]>,
        code: CloseCode,
        reason: String,
    },
    /// A hello of another version, of an unknown role, or with unusable terms: to be refused.
    Unacceptable {
        hello_nonce: [u8; NONCE_LEN],
        why: &'static str,
    },
}

/// A datagram that is not a packet: it is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Packet {
    pub(crate) fn parse(datagram: Datagram) -> Result<Self, Malformed> {
        let mut parts = datagram.parts.into_iter();
        let header = parts.next().ok_or(Malformed)?;
        if header.len() > HEADER_MAX {
            return Err(Malformed);
        }
        let header = link::LinkHeader::decode(header).map_err(|_| Malformed)?;
        let kind = header.kind.ok_or(Malformed)?;
        if header.version != VERSION {
            return match kind {
                Kind::Hello(hello) => {
                    unacceptable(&hello.nonce, "another version of the link layer")
                }
                _ => Err(Malformed),
            };
        }
        if let Kind::Carry(carry) = kind {
            let head = parts.next().ok_or(Malformed)?;
            return parse_carry(
                carry,
                Frame {
                    head,
                    attachments: parts.collect(),
                },
            );
        }
        if parts.next().is_some() {
            return Err(Malformed);
        }
        parse_control(kind)
    }
}

fn parse_carry(carry: link::Carry, frame: Frame) -> Result<Packet, Malformed> {
    Ok(Packet::Carry {
        tag: tag(&carry.link_id)?,
        class: match carry.class() {
            link::FrameClass::Control => FrameClass::Control,
            link::FrameClass::Data => FrameClass::Data,
            link::FrameClass::Unspecified => return Err(Malformed),
        },
        sequence: if carry.sequence == 0 {
            return Err(Malformed);
        } else {
            carry.sequence
        },
        ack: carry.ack.as_ref().map(parse_ack),
        frame,
    })
}

fn parse_control(kind: Kind) -> Result<Packet, Malformed> {
    match kind {
        Kind::Hello(hello) => {
            let Some(role) = parse_role(hello.role) else {
                return unacceptable(&hello.nonce, "an unknown role");
            };
            let terms = parse_terms(hello.control_window, hello.data_window, hello.max_frame);
            if !terms.are_usable() {
                return unacceptable(&hello.nonce, UNUSABLE);
            }
            Ok(Packet::Hello(parse_offer(
                role,
                &hello.key,
                &hello.nonce,
                &hello.curve_key,
                terms,
            )?))
        }
        Kind::HelloReply(reply) => {
            let role = parse_role(reply.role).ok_or(Malformed)?;
            let terms = parse_terms(reply.control_window, reply.data_window, reply.max_frame);
            Ok(Packet::HelloReply {
                offer: parse_offer(role, &reply.key, &reply.nonce, &reply.curve_key, terms)?,
                hello_nonce: array::<NONCE_LEN>(&reply.hello_nonce)?,
                signature: array::<SIGNATURE_LEN>(&reply.signature)?,
            })
        }
        Kind::HelloProof(proof) => Ok(Packet::HelloProof {
            tag: tag(&proof.link_id)?,
            signature: array::<SIGNATURE_LEN>(&proof.signature)?,
        }),
        Kind::Ack(ack) => Ok(Packet::Ack {
            tag: tag(&ack.link_id)?,
            ack: parse_ack(&ack),
        }),
        Kind::Reset(reset) => Ok(Packet::Reset {
            tag: tag(&reset.link_id)?,
        }),
        Kind::Close(close) => parse_close(close),
        Kind::Carry(_) => Err(Malformed),
    }
}

fn parse_close(close: link::Close) -> Result<Packet, Malformed> {
    Ok(Packet::Close {
        tag: if close.link_id.is_empty() {
            None
        } else {
            Some(tag(&close.link_id)?)
        },
        hello_nonce: if close.hello_nonce.is_empty() {
            None
        } else {
            Some(array::<NONCE_LEN>(&close.hello_nonce)?)
        },
        code: match close.code() {
            link::CloseCode::Done => CloseCode::Done,
            link::CloseCode::Replaced => CloseCode::Replaced,
            link::CloseCode::Violation => CloseCode::Violation,
            link::CloseCode::Idle => CloseCode::Idle,
            link::CloseCode::Refused => CloseCode::Refused,
            link::CloseCode::Full => CloseCode::Full,
            link::CloseCode::Unspecified => CloseCode::Unknown,
        },
        reason: printable(close.reason),
    })
}

fn parse_role(number: i32) -> Option<Role> {
    match link::Role::try_from(number).ok()? {
        link::Role::Router => Some(Role::Router),
        link::Role::Publisher => Some(Role::Publisher),
        link::Role::Subscriber => Some(Role::Subscriber),
        link::Role::Client => Some(Role::Client),
        link::Role::Store => Some(Role::Store),
        link::Role::Coder => Some(Role::Coder),
        link::Role::Backend => Some(Role::Backend),
        link::Role::Unspecified => None,
    }
}

fn parse_terms(control_window: u64, data_window: u64, max_frame: u64) -> Terms {
    Terms {
        control_window,
        data_window,
        max_frame,
    }
}

fn parse_offer(
    role: Role,
    key: &[u8],
    nonce: &[u8],
    curve_key: &[u8],
    terms: Terms,
) -> Result<Offer, Malformed> {
    Ok(Offer {
        role,
        key: PeerKey(array::<KEY_LEN>(key)?),
        nonce: array::<NONCE_LEN>(nonce)?,
        curve_key: if curve_key.is_empty() {
            None
        } else {
            Some(array::<32>(curve_key)?)
        },
        terms,
    })
}

fn parse_ack(ack: &link::Ack) -> AckBody {
    AckBody {
        received: ack.received,
        limits: [ack.control_limit, ack.data_limit],
        ask: ack.ask,
        answer: ack.answer,
        gap: ack.gap,
    }
}

fn unacceptable(nonce: &[u8], why: &'static str) -> Result<Packet, Malformed> {
    Ok(Packet::Unacceptable {
        hello_nonce: array::<NONCE_LEN>(nonce)?,
        why,
    })
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed)
}

fn tag(bytes: &[u8]) -> Result<Tag, Malformed> {
    array::<TAG_LEN>(bytes).map(Tag)
}

/// The peer's words, cut to [`REASON_MAX`] and without control characters, so that they can be shown.
fn printable(reason: String) -> String {
    let mut cut = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(cut) {
        cut -= 1;
    }
    reason[..cut]
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

impl Datagram {
    pub(crate) fn hello(offer: &Offer) -> Self {
        Self::header(Kind::Hello(link::Hello {
            role: role_number(offer.role),
            key: copy(&offer.key.0),
            nonce: copy(&offer.nonce),
            curve_key: offer
                .curve_key
                .as_ref()
                .map_or_else(Bytes::new, |key| copy(key)),
            control_window: offer.terms.control_window,
            data_window: offer.terms.data_window,
            max_frame: offer.terms.max_frame,
        }))
    }

    pub(crate) fn hello_reply(offer: &Offer, hello_nonce: &[u8], signature: &[u8]) -> Self {
        Self::header(Kind::HelloReply(link::HelloReply {
            role: role_number(offer.role),
            key: copy(&offer.key.0),
            nonce: copy(&offer.nonce),
            curve_key: offer
                .curve_key
                .as_ref()
                .map_or_else(Bytes::new, |key| copy(key)),
            control_window: offer.terms.control_window,
            data_window: offer.terms.data_window,
            max_frame: offer.terms.max_frame,
            signature: copy(signature),
            hello_nonce: copy(hello_nonce),
        }))
    }

    pub(crate) fn hello_proof(tag: Tag, signature: &[u8]) -> Self {
        Self::header(Kind::HelloProof(link::HelloProof {
            link_id: copy(&tag.0),
            signature: copy(signature),
        }))
    }

    pub(crate) fn carry(
        tag: &Bytes,
        sequence: u64,
        class: FrameClass,
        ack: Option<AckBody>,
        frame: &Frame,
    ) -> Self {
        let class = match class {
            FrameClass::Control => link::FrameClass::Control,
            FrameClass::Data => link::FrameClass::Data,
        };
        let ack = ack.map(|ack| ack_message(Bytes::new(), ack));
        let kind = Kind::Carry(link::Carry {
            link_id: tag.clone(),
            sequence,
            class: class.into(),
            ack,
        });
        let mut parts = Vec::with_capacity(2 + frame.attachments.len());
        parts.push(encode(kind));
        parts.push(frame.head.clone());
        parts.extend(frame.attachments.iter().cloned());
        Self { parts }
    }

    pub(crate) fn ack(tag: &Bytes, ack: AckBody) -> Self {
        Self::header(Kind::Ack(ack_message(tag.clone(), ack)))
    }

    pub(crate) fn reset(tag: Tag) -> Self {
        Self::header(Kind::Reset(link::Reset {
            link_id: copy(&tag.0),
        }))
    }

    pub(crate) fn close(tag: Tag, code: link::CloseCode, reason: String) -> Self {
        let reason = printable(reason);
        Self::header(Kind::Close(link::Close {
            link_id: copy(&tag.0),
            reason,
            code: code.into(),
            ..Default::default()
        }))
    }

    pub(crate) fn refuse(hello_nonce: &[u8], code: link::CloseCode, reason: &str) -> Self {
        Self::header(Kind::Close(link::Close {
            reason: reason.to_owned(),
            code: code.into(),
            hello_nonce: copy(hello_nonce),
            ..Default::default()
        }))
    }

    fn header(kind: Kind) -> Self {
        Self {
            parts: vec![encode(kind)],
        }
    }
}

fn encode(kind: Kind) -> Bytes {
    link::LinkHeader {
        version: VERSION,
        kind: Some(kind),
    }
    .encode_to_vec()
    .into()
}

fn ack_message(link_id: Bytes, ack: AckBody) -> link::Ack {
    let [control_limit, data_limit] = ack.limits;
    link::Ack {
        link_id,
        received: ack.received,
        control_limit,
        data_limit,
        ask: ack.ask,
        answer: ack.answer,
        gap: ack.gap,
    }
}

fn role_number(role: Role) -> i32 {
    match role {
        Role::Router => link::Role::Router,
        Role::Publisher => link::Role::Publisher,
        Role::Subscriber => link::Role::Subscriber,
        Role::Client => link::Role::Client,
        Role::Store => link::Role::Store,
        Role::Coder => link::Role::Coder,
        Role::Backend => link::Role::Backend,
    }
    .into()
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
