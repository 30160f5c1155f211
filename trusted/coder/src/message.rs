//! Messages at the door: bulk bytes, then the encoded call or reply, then the length of that, u32, little-endian.
//!
//! The bulk comes first so that a program writes megabytes where they stay, and what is to be said of them behind.

use bytes::Bytes;

const LENGTH_BYTES: usize = 4;

/// Room behind the bulk in which most heads fit, so that what is large is not moved for what is small.
pub(crate) const HEAD_ROOM: usize = 16 << 10;

/// Puts `head` behind the bulk.
///
/// # Panics
/// For a head of 4 GiB.
pub fn join(bulk: &mut Vec<u8>, head: &[u8]) {
    let length = u32::try_from(head.len()).expect("a head is far shorter than 4 GiB");
    bulk.reserve(head.len() + LENGTH_BYTES);
    bulk.extend_from_slice(head);
    bulk.extend_from_slice(&length.to_le_bytes());
}

/// The bulk and the head of a message; `None` for what is none.
#[must_use]
pub fn split(mut message: Bytes) -> Option<(Bytes, Bytes)> {
    let length = u32::from_le_bytes(*message.last_chunk::<LENGTH_BYTES>()?);
    message.truncate(message.len() - LENGTH_BYTES);
    let bulk = message.len().checked_sub(usize::try_from(length).ok()?)?;
    let head = message.split_off(bulk);
    Some((message, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_apart_as_it_was_joined() {
        let mut message = b"bulk".to_vec();

        join(&mut message, b"head");

        let (bulk, head) = split(message.into()).unwrap();
        assert_eq!((&bulk[..], &head[..]), (&b"bulk"[..], &b"head"[..]));
    }

    #[test]
    fn what_announces_more_than_there_is_is_no_message() {
        assert_eq!(split(Bytes::from_static(b"abc")), None);
        assert_eq!(split(Bytes::from_static(b"ab\x03\0\0\0")), None);
    }
}
