//! The client's side of MQTT 3.1.1, messages at most once (QoS 0) alone.
//!
//! Source: OASIS, "MQTT Version 3.1.1", sections 2 and 3.

use super::protocol::{FRAME_BYTES_MAX, Frame, WireError};

pub(super) const PING: &[u8] = &[0xc0, 0];
pub(super) const PONG: &[u8] = &[0xd0, 0];

const CONNECT: u8 = 0x10;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
/// Level 4 of the protocol, which is 3.1.1; a clean session; no time after which silence ends it.
const VARIABLE_HEADER: &[u8] = &[0, 4, b'M', b'Q', b'T', b'T', 4, 0b10, 0, 0];
/// Bytes of a length, at most.
const LENGTH_BYTES_MAX: usize = 4;

pub(super) fn hello(name: &str, out: &mut Vec<u8>) {
    out.push(CONNECT);
    put_length(VARIABLE_HEADER.len() + 2 + name.len(), out);
    out.extend_from_slice(VARIABLE_HEADER);
    put_text(name.as_bytes(), out);
}

pub(super) fn subscribe(topics: &[Vec<u8>], out: &mut Vec<u8>) {
    let mut body = vec![0, 1];
    for topic in topics {
        put_text(topic, &mut body);
        body.push(0);
    }
    out.push(SUBSCRIBE);
    put_length(body.len(), out);
    out.extend_from_slice(&body);
}

pub(super) fn publish(topic: &[u8], body: [&[u8]; 2], out: &mut Vec<u8>) {
    out.push(PUBLISH);
    put_length(2 + topic.len() + body[0].len() + body[1].len(), out);
    put_text(topic, out);
    out.extend_from_slice(body[0]);
    out.extend_from_slice(body[1]);
}

/// Seven bits a byte, the lowest first.
fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// # Panics
/// When the text is longer than 65,535 bytes: topics and names of this program are short.
fn put_text(text: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("topics and names are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
}

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, WireError> {
    let Some((kind, begin, length)) = head(bytes)? else {
        return Ok(None);
    };
    let Some(body) = bytes.get(begin..begin + length) else {
        return Ok(None);
    };
    Ok(Some((frame(kind, body)?, begin + length)))
}

/// The first byte, where the rest begins, and how long it is.
fn head(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, WireError> {
    let Some((kind, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut length = 0;
    for (place, byte) in rest.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            if length > FRAME_BYTES_MAX {
                return Err(malformed(format!("a packet of {length} bytes")));
            }
            return Ok(Some((*kind, 2 + place, length)));
        }
    }
    if rest.len() >= LENGTH_BYTES_MAX {
        return Err(malformed("a length of more than four bytes".into()));
    }
    Ok(None)
}

fn frame(kind: u8, body: &[u8]) -> Result<Frame<'_>, WireError> {
    match (kind, body) {
        (0x30, _) => message(body),
        (0x20, [_, 0]) => Ok(Frame::Other),
        (0x20, [_, code]) => Err(WireError::Refused(format!("connection, code {code}"))),
        (0x90, [_, _, codes @ ..]) if codes.iter().all(|code| *code == 0) => Ok(Frame::Other),
        (0x90, _) => Err(WireError::Refused("subscription".into())),
        (0xd0, []) => Ok(Frame::Pong),
        _ => Err(malformed(format!(
            "a packet of kind {kind:#04x} with {} bytes",
            body.len()
        ))),
    }
}

fn message(body: &[u8]) -> Result<Frame<'_>, WireError> {
    let split = body
        .split_first_chunk()
        .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
    match split {
        Some((topic, body)) => Ok(Frame::Message { topic, body }),
        None => Err(malformed("a message that ends within its topic".into())),
    }
}

fn malformed(what: String) -> WireError {
    WireError::Malformed(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_are_those_of_the_standard() {
        let mut out = Vec::new();

        hello("ab", &mut out);

        assert_eq!(out, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab");
    }

    #[test]
    fn topics_are_subscribed_to_in_one_packet() {
        let mut out = Vec::new();

        subscribe(&[b"q/1".to_vec(), b"q/22".to_vec()], &mut out);

        assert_eq!(out, b"\x82\x0f\x00\x01\x00\x03q/1\x00\x00\x04q/22\x00");
    }

    #[test]
    fn what_is_published_is_read_back_as_the_message_that_a_server_sends() {
        for payload_bytes in [0, 1, 100, 130, 20_000, 3 << 20] {
            let payload = vec![b'.'; payload_bytes];
            let mut bytes = Vec::new();
            publish(b"q/1", [b"head", &payload], &mut bytes);
            bytes.extend_from_slice(PONG);

            let (frame, length) = parse(&bytes).unwrap().unwrap();

            let body = [b"head", &payload[..]].concat();
            let message = Frame::Message {
                topic: b"q/1",
                body: &body,
            };
            assert_eq!(frame, message);
            assert_eq!(parse(&bytes[length..]), Ok(Some((Frame::Pong, 2))));
        }
    }

    #[test]
    fn half_a_packet_is_waited_for() {
        let mut whole = Vec::new();
        publish(b"q/1", [b"", &[0; 200]], &mut whole);

        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
        }
    }

    #[test]
    fn a_refused_connection_or_subscription_is_an_error() {
        assert_eq!(parse(&[0x20, 2, 0, 0]), Ok(Some((Frame::Other, 4))));
        assert_eq!(parse(&[0x90, 4, 0, 1, 0, 0]), Ok(Some((Frame::Other, 6))));

        for bytes in [&[0x20, 2, 0, 5][..], &[0x90, 4, 0, 1, 0, 0x80]] {
            assert!(matches!(parse(bytes), Err(WireError::Refused(_))));
        }
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for bytes in [
            &[0x30, 3, 0, 5, b'q'][..],
            &[0x30, 1, 0],
            &[0x30, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            &[0x32, 2, 0, 0],
            &[0xe0, 0],
        ] {
            assert!(
                matches!(parse(bytes), Err(WireError::Malformed(_))),
                "{bytes:?}"
            );
        }
    }
}
