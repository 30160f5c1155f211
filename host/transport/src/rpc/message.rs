//! What requester and responder say to each other, in frames.
//!
//! Invariant: whatever bytes a peer sends, parsing gives a message or says that they are none.
//! Source: docs/FORMATS.md, "Requests and replies".

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::frame::{Frame, FrameClass};

use super::{RpcError, SMALL_COST_MAX};

/// What is put before the head of a request or reply: its kind (1 byte) and the request's number (8 bytes).
pub const MESSAGE_HEADER_LEN: usize = 9;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const CANCEL: u8 = 3;
const REFUSAL: u8 = 4;

/// Why a request gets no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Not begun: too many requests.
    Overloaded,
    /// Carried out; there is no room for the reply beside those that were not taken.
    NoRoom,
    /// Carried out; the reply is larger than the requester accepts.
    ReplyTooLarge,
    /// Not begun: the responder is ending.
    Ending,
    /// The handler broke down.
    Failed,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request(u64, Frame),
    Reply(u64, Frame),
    /// The requester does not wait any more.
    Cancel(u64),
    Refusal(u64, Refusal),
}

/// A frame that is no message: its sender breaks the rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

impl Message {
    pub(super) fn parse(frame: Frame) -> Result<Self, Garbled> {
        let Frame { head, attachments } = frame;
        let header = head.first_chunk::<MESSAGE_HEADER_LEN>().ok_or(Garbled)?;
        let [kind, id @ ..] = *header;
        let id = u64::from_le_bytes(id);
        let body = Frame {
            head: head.slice(MESSAGE_HEADER_LEN..),
            attachments,
        };
        match kind {
            REQUEST => Ok(Self::Request(id, body)),
            REPLY => Ok(Self::Reply(id, body)),
            _ if !body.attachments.is_empty() => Err(Garbled),
            CANCEL if body.head.is_empty() => Ok(Self::Cancel(id)),
            REFUSAL => match body.head[..] {
                [code] => Ok(Self::Refusal(id, Refusal::of(code)?)),
                _ => Err(Garbled),
            },
            _ => Err(Garbled),
        }
    }

    pub(super) fn into_frame(self) -> Frame {
        match self {
            Self::Request(id, body) => headed(REQUEST, id, body),
            Self::Reply(id, body) => headed(REPLY, id, body),
            Self::Cancel(id) => headed(CANCEL, id, Frame::default()),
            Self::Refusal(id, refusal) => headed(REFUSAL, id, Frame::new(vec![refusal.code()])),
        }
    }
}

/// The body with the header before its head; attachments stay where they are.
fn headed(kind: u8, id: u64, body: Frame) -> Frame {
    let mut head = BytesMut::with_capacity(MESSAGE_HEADER_LEN + body.head.len());
    head.put_u8(kind);
    head.put_u64_le(id);
    head.extend_from_slice(&body.head);
    Frame {
        head: Bytes::from(head),
        attachments: body.attachments,
    }
}

/// The credit that a message is charged to. A cancel goes with its request, so that it does not overtake it.
pub(super) fn class_of(frame: &Frame) -> FrameClass {
    if frame.cost() <= SMALL_COST_MAX {
        FrameClass::Control
    } else {
        FrameClass::Data
    }
}

impl Refusal {
    fn code(self) -> u8 {
        match self {
            Self::Overloaded => 1,
            Self::NoRoom => 2,
            Self::ReplyTooLarge => 3,
            Self::Ending => 4,
            Self::Failed => 5,
        }
    }

    fn of(code: u8) -> Result<Self, Garbled> {
        [
            Self::Overloaded,
            Self::NoRoom,
            Self::ReplyTooLarge,
            Self::Ending,
            Self::Failed,
        ]
        .into_iter()
        .find(|refusal| refusal.code() == code)
        .ok_or(Garbled)
    }

    /// What the caller is told, whose side accepts frames of up to `max` bytes.
    pub(super) fn error(self, max: u64) -> RpcError {
        match self {
            Self::Overloaded => RpcError::Overloaded,
            Self::NoRoom => RpcError::NoRoom,
            Self::ReplyTooLarge => RpcError::TooLarge { size: 0, max },
            Self::Ending => RpcError::NotSent,
            Self::Failed => RpcError::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        let body = || Frame::new("head").with("one").with("");
        let messages = || {
            [
                Message::Request(1, body()),
                Message::Reply(u64::MAX, body()),
                Message::Cancel(7),
                Message::Refusal(8, Refusal::NoRoom),
            ]
        };

        for (written, expected) in messages().into_iter().zip(messages()) {
            assert_eq!(Message::parse(written.into_frame()), Ok(expected));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let request = Message::Request(0x0102, Frame::new("x").with("y")).into_frame();

        assert_eq!(request.head[..], *b"\x01\x02\x01\0\0\0\0\0\0x");
        assert_eq!(request.attachments, ["y"]);
        let refusal = Message::Refusal(3, Refusal::Ending).into_frame();
        assert_eq!(refusal.head[..], *b"\x04\x03\0\0\0\0\0\0\0\x04");
    }

    #[test]
    fn what_is_no_message_is_garbled() {
        let id = [0; 8];
        for (kind, rest) in [
            (0, &b""[..]),
            (5, b""),
            (3, b"x"),
            (4, b""),
            (4, b"\x01\x01"),
        ] {
            let head = [&[kind], &id[..], rest].concat();
            assert_eq!(Message::parse(Frame::new(head)), Err(Garbled));
        }
        for code in [0, 6, 255] {
            let head = [&[REFUSAL], &id[..], &[code]].concat();
            assert_eq!(Message::parse(Frame::new(head)), Err(Garbled));
        }
        assert_eq!(Message::parse(Frame::default()), Err(Garbled));
        assert_eq!(Message::parse(Frame::new(vec![1; 8])), Err(Garbled));
        let cancel = Message::Cancel(1).into_frame().with("attachment");
        assert_eq!(Message::parse(cancel), Err(Garbled));
    }
}
