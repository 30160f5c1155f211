//! The client's side of the NATS protocol: core NATS, without headers, queues and streams.
//!
//! Source: docs.nats.io, "Client Protocol".

use std::fmt::Write;

use super::protocol::{FRAME_BYTES_MAX, Frame, WireError};

pub(super) const PING: &[u8] = b"PING\r\n";
pub(super) const PONG: &[u8] = b"PONG\r\n";

const END: &[u8] = b"\r\n";
/// A line of control is no longer than this, INFO with all that it tells included.
const LINE_BYTES_MAX: usize = 64 << 10;

pub(super) fn hello(name: &str, out: &mut Vec<u8>) {
    let options = serde_json::json!({
        "verbose": false, "pedantic": false, "tls_required": false, "echo": false, "name": name, "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"), "protocol": 1,
    });
    out.extend_from_slice(format!("CONNECT {options}\r\n").as_bytes());
}

pub(super) fn subscribe(topics: &[Vec<u8>], out: &mut Vec<u8>) {
    for (id, topic) in (1_u64..).zip(topics) {
        out.extend_from_slice(b"SUB ");
        out.extend_from_slice(topic);
        out.extend_from_slice(format!(" {id}\r\n").as_bytes());
    }
}

pub(super) fn publish(topic: &[u8], body: [&[u8]; 2], out: &mut Vec<u8>) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(topic);
    out.push(b' ');
    put_number(body[0].len() + body[1].len(), out);
    out.extend_from_slice(END);
    out.extend_from_slice(body[0]);
    out.extend_from_slice(body[1]);
    out.extend_from_slice(END);
}

/// Decimal digits, without allocating.
fn put_number(mut number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, WireError> {
    let Some(end) = line_end(bytes)? else {
        return Ok(None);
    };
    let line = &bytes[..end];
    let after = end + END.len();
    if let Some(rest) = line.strip_prefix(b"MSG ") {
        return message(rest, bytes, after).map_err(|()| malformed(line));
    }
    let frame = match line {
        b"PING" => Frame::Ping,
        b"PONG" => Frame::Pong,
        b"+OK" => Frame::Other,
        _ if line.starts_with(b"INFO ") => Frame::Other,
        _ if line.starts_with(b"-ERR") => return Err(WireError::Refused(shown(line))),
        _ => return Err(malformed(line)),
    };
    Ok(Some((frame, after)))
}

/// Where the first line ends.
fn line_end(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let mut from = 0;
    while let Some(found) = window[from..].iter().position(|byte| *byte == b'\r') {
        let end = from + found;
        match bytes.get(end + 1) {
            Some(b'\n') => return Ok(Some(end)),
            Some(_) => from = end + 1,
            None => return Ok(None),
        }
    }
    if bytes.len() >= LINE_BYTES_MAX {
        return Err(malformed(&bytes[..64]));
    }
    Ok(None)
}

/// `topic sid [reply] length`, and the body from `begin` on.
fn message<'a>(
    line: &'a [u8],
    bytes: &'a [u8],
    begin: usize,
) -> Result<Option<(Frame<'a>, usize)>, ()> {
    let mut words = line.split(|byte| *byte == b' ');
    let topic = words.next().ok_or(())?;
    let length = words.next_back().ok_or(())?;
    if !(1..=2).contains(&words.count()) {
        return Err(());
    }
    let length: usize = str::from_utf8(length)
        .ok()
        .and_then(|length| length.parse().ok())
        .filter(|length| *length <= FRAME_BYTES_MAX)
        .ok_or(())?;
    let Some(rest) = bytes.get(begin..begin + length + END.len()) else {
        return Ok(None);
    };
    let (body, end) = rest.split_at(length);
    if end != END {
        return Err(());
    }
    let frame = Frame::Message { topic, body };
    Ok(Some((frame, begin + rest.len())))
}

fn malformed(line: &[u8]) -> WireError {
    WireError::Malformed(shown(line))
}

fn shown(line: &[u8]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{}", line.escape_ascii());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_its_topic_its_length_and_its_body() {
        let mut out = Vec::new();

        publish(b"quotes.7", [b"head", b"payload"], &mut out);

        assert_eq!(out, b"PUB quotes.7 11\r\nheadpayload\r\n");
    }

    #[test]
    fn each_topic_has_a_subscription_of_its_own_number() {
        let mut out = Vec::new();

        subscribe(&[b"a.1".to_vec(), b"a.2".to_vec()], &mut out);

        assert_eq!(out, b"SUB a.1 1\r\nSUB a.2 2\r\n");
    }

    #[test]
    fn a_message_is_found_with_and_without_a_reply_and_whatever_its_body_holds() {
        for line in [
            "MSG q.1 9 4\r\n\r\n\r\n\r\n",
            "MSG q.1 9 back 4\r\n\r\n\r\n\r\n",
        ] {
            let bytes = [line.as_bytes(), b"PING\r\n"].concat();

            let (frame, length) = parse(&bytes).unwrap().unwrap();

            let body = b"\r\n\r\n".as_slice();
            assert_eq!(
                frame,
                Frame::Message {
                    topic: b"q.1",
                    body
                }
            );
            assert_eq!(&bytes[length..], b"PING\r\n");
        }
    }

    #[test]
    fn half_a_frame_is_waited_for() {
        let whole = b"MSG q.1 9 4\r\nbody\r\n";

        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
        }
    }

    #[test]
    fn an_error_of_the_server_is_an_error() {
        let refused = parse(b"-ERR 'Slow Consumer'\r\n");

        assert_eq!(
            refused,
            Err(WireError::Refused("-ERR \\'Slow Consumer\\'".into()))
        );
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let long = vec![b'x'; LINE_BYTES_MAX];
        let huge = format!("MSG q.1 9 {}\r\n", FRAME_BYTES_MAX + 1);
        for bytes in [
            b"HELLO\r\n".as_slice(),
            b"MSG q.1\r\n",
            b"MSG q.1 9 a b 4\r\nbody\r\n",
            b"MSG q.1 9 four\r\nbody\r\n",
            b"MSG q.1 9 4\r\nbody!!",
            huge.as_bytes(),
            &long,
        ] {
            assert!(parse(bytes).is_err(), "{}", shown(bytes));
        }
    }
}
