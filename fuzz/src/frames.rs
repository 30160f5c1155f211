//! A target for both ends of the stream between a host and its trusted program.

use std::io;

use bytes::{Bytes, BytesMut};
use sc_enclave::Program;
use sc_launcher::{FRAME_MAX, HEADER_BYTES, pop_frame};
use sc_program::serve;

/// Answers a call with the call.
struct Echo;

impl Program for Echo {
    fn handle(&self, request: Bytes, _: &mut dyn FnMut(&mut [u8])) -> Bytes {
        request
    }
}

/// The frames in front of `stream`, read in the plainest way, and whether bytes are left over.
fn plainly(mut stream: &[u8]) -> (Vec<(u64, Vec<u8>)>, bool) {
    let mut frames = Vec::new();
    while let Some((header, rest)) = stream.split_at_checked(HEADER_BYTES) {
        let (length, token) = header.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("split at 4")) as usize;
        let token = u64::from_le_bytes(token.try_into().expect("the other 8"));
        let Some(body) = rest.get(..length).filter(|_| length <= FRAME_MAX) else {
            break;
        };
        frames.push((token, body.to_vec()));
        stream = &rest[length..];
    }
    (frames, !stream.is_empty())
}

/// An arbitrary stream: to a program as calls, and to a host as replies.
///
/// # Panics
/// When either end sees other frames in it than stand there, or a program takes a broken stream for a whole one.
pub fn frames(bytes: &[u8]) {
    let (expected, is_broken) = plainly(bytes);
    let mut replies = Vec::new();
    let served: io::Result<()> = serve(&Echo, &mut |_| {}, bytes, &mut replies);
    assert_eq!(served.is_err(), is_broken);
    assert_eq!(plainly(&replies), (expected.clone(), false));

    let mut buffer = BytesMut::from(bytes);
    let mut popped = Vec::new();
    while let Ok(Some((token, body))) = pop_frame(&mut buffer) {
        popped.push((token, body.to_vec()));
    }
    assert_eq!(popped, expected);
}
