//! Keys of objects: their length, their order, and the bounds of what begins with a prefix.

use bytes::Bytes;

use crate::CatalogError;

/// The name of an object: bytes of no meaning to the host, compared bytewise; 1 to [`KEY_BYTES_MAX`] of them.
pub type Key = Bytes;

/// Bytes that a key may have.
pub const KEY_BYTES_MAX: usize = 1024;

/// Refuses a key that no object can have.
pub(crate) fn check(key: &[u8]) -> Result<(), CatalogError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(CatalogError::Invalid("a key has 1 to 1024 bytes"));
    }
    Ok(())
}

/// The least key above `key`.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The least bytes above all keys that begin with `prefix`; above all keys, if there is nothing else above these.
pub(crate) fn end(prefix: &[u8]) -> Vec<u8> {
    match prefix.iter().rposition(|&byte| byte != 0xff) {
        Some(at) => {
            let mut end = prefix[..=at].to_vec();
            end[at] += 1;
            end
        }
        None => vec![0xff; KEY_BYTES_MAX + 1],
    }
}

/// What `key`, which begins with `prefix`, has up to and with the first `delimiter` after that.
pub(crate) fn common_prefix<'a>(
    key: &'a [u8],
    prefix: &[u8],
    delimiter: &[u8],
) -> Option<&'a [u8]> {
    let mut windows = key[prefix.len()..].windows(delimiter.len());
    let at = windows.position(|window| window == delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_prefix_lies_below_its_end() {
        for (prefix, expected) in [
            (&b"a/"[..], &b"a0"[..]),
            (b"a\xff", b"b"),
            (b"\xfe\xff\xff", b"\xff"),
        ] {
            assert_eq!(end(prefix), expected);
            assert!([prefix, &[0xff; 3]].concat() < end(prefix));
        }
    }

    #[test]
    fn a_prefix_of_greatest_bytes_ends_above_all_keys() {
        for prefix in [&b""[..], b"\xff", b"\xff\xff"] {
            assert!(vec![0xff; KEY_BYTES_MAX] < end(prefix));
        }
    }

    #[test]
    fn a_common_prefix_ends_with_the_first_delimiter_after_the_prefix() {
        assert_eq!(common_prefix(b"a/b/c", b"", b"/"), Some(&b"a/"[..]));
        assert_eq!(common_prefix(b"a/b/c", b"a/", b"/"), Some(&b"a/b/"[..]));
        assert_eq!(common_prefix(b"a/b", b"a/", b"/"), None);
        assert_eq!(common_prefix(b"a::b", b"a", b"::"), Some(&b"a::"[..]));
    }

    #[test]
    fn nothing_lies_between_a_key_and_the_one_after_it() {
        assert_eq!(after(b"a"), b"a\0");
    }
}
