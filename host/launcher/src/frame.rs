//! Frames on the stream to a trusted program: length of the body, u32; token, u64; body. Little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length in bytes of a frame's header.
pub const HEADER_BYTES: usize = 12;
/// The longest body that either side accepts.
pub const FRAME_MAX: usize = 256 << 20;

/// Room made at once for a body that was announced: a length is a claim, and room that nothing is written to costs nothing.
pub(crate) const RESERVE_MAX: usize = 16 << 20;

/// A frame announced more than [`FRAME_MAX`] bytes: the other side is not a trusted program of this version.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// Appends a frame to `buffer`.
///
/// # Panics
/// For a body of 4 GiB: calls are far shorter.
pub fn push(buffer: &mut BytesMut, token: u64, body: &[u8]) {
    buffer.reserve(HEADER_BYTES + body.len());
    push_header(buffer, token, body.len());
    buffer.put_slice(body);
}

/// Appends the header of a frame, which a body of so many bytes follows.
///
/// # Panics
/// As [`push`].
pub(crate) fn push_header(buffer: &mut BytesMut, token: u64, body_bytes: usize) {
    buffer.put_u32_le(u32::try_from(body_bytes).expect("calls are shorter than FRAME_MAX"));
    buffer.put_u64_le(token);
}

/// Takes the first whole frame out of `buffer`, if there is one yet.
///
/// # Errors
/// [`TooLong`]: the stream is of no use any more.
pub fn pop(buffer: &mut BytesMut) -> Result<Option<(u64, Bytes)>, TooLong> {
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if length > FRAME_MAX {
        return Err(TooLong);
    }
    if buffer.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    buffer.advance(4);
    let token = buffer.get_u64_le();
    Ok(Some((token, buffer.split_to(length).freeze())))
}

/// Takes the beginning of a frame out of `buffer`, which holds no whole one, if its body has at least `large` bytes: token, what is there of
/// the body, and how many bytes of it are missing.
pub(crate) fn pop_begun(buffer: &mut BytesMut, large: usize) -> Option<(u64, BytesMut, usize)> {
    let length = u32::from_le_bytes(*buffer.first_chunk::<4>()?) as usize;
    if length < large || buffer.len() < HEADER_BYTES {
        return None;
    }
    buffer.advance(4);
    let token = buffer.get_u64_le();
    let missing = length.saturating_sub(buffer.len());
    let mut body = BytesMut::with_capacity(length.min(RESERVE_MAX));
    body.put_slice(buffer);
    buffer.clear();
    Some((token, body, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_that_has_begun_is_taken_out() {
        let mut buffer = BytesMut::new();
        push(&mut buffer, 7, &[1; 100]);
        buffer.truncate(HEADER_BYTES + 40);

        assert_eq!(pop_begun(&mut buffer, 101), None);
        let (token, body, missing) = pop_begun(&mut buffer, 100).unwrap();

        assert_eq!((token, &body[..], missing), (7, &[1; 40][..], 60));
        assert!(buffer.is_empty());
        buffer.put_slice(&200_u32.to_le_bytes());
        assert_eq!(pop_begun(&mut buffer, 100), None, "the token is missing");
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let mut stream = BytesMut::new();
        push(&mut stream, 1, b"first");
        push(&mut stream, 2, b"");
        push(&mut stream, u64::MAX, &[7; 1000]);

        let mut buffer = BytesMut::new();
        let mut out = Vec::new();
        for byte in stream {
            buffer.put_u8(byte);
            while let Some((token, body)) = pop(&mut buffer).unwrap() {
                out.push((token, body.len()));
            }
        }

        assert_eq!(out, [(1, 5), (2, 0), (u64::MAX, 1000)]);
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_is_reserved() {
        let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);

        assert_eq!(pop(&mut buffer), Err(TooLong));
    }
}
