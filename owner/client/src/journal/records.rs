//! The bytes of a journal: a head, then records.
//!
//! Invariant: each record is told from damage by a check of its length alone and a digest of its length and content, so that a length that
//! reaches beyond the end is a record cut short, and never a damaged one.

use sc_crypto::hash::sha256;

/// The longest record.
pub(crate) const RECORD_MAX: usize = 1 << 24;
const VERSION: u8 = 2;
/// How a journal begins. Read as the length in an entry of version 1, which had no head, it is beyond the bound.
pub(super) const HEAD: [u8; 8] = *b"scjourn\x02";
const LENGTH_BYTES: usize = 4;
const CHECK_BYTES: usize = 4;
const DIGEST_BYTES: usize = 8;
const ENTRY_HEAD_BYTES: usize = LENGTH_BYTES + CHECK_BYTES + DIGEST_BYTES;

/// What the bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Whole records, and how many bytes they take; what follows was cut short.
    Records { records: Vec<Vec<u8>>, used: usize },
    /// The records of a journal of version 1.
    Earlier { records: Vec<Vec<u8>> },
    /// Something that no crash explains begins here.
    Damage { at: usize },
    /// A journal of a later version.
    Unknown { version: u8 },
}

/// A record as it stands in the file.
pub(super) fn encode(record: &[u8]) -> Vec<u8> {
    assert!(
        record.len() <= RECORD_MAX,
        "records are far smaller than the bound"
    );
    let length = (record.len() as u32).to_le_bytes();
    let mut bytes = Vec::with_capacity(ENTRY_HEAD_BYTES + record.len());
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&check(length));
    bytes.extend_from_slice(&[0; DIGEST_BYTES]);
    bytes.extend_from_slice(record);
    let digest = digest(&bytes);
    bytes[LENGTH_BYTES + CHECK_BYTES..ENTRY_HEAD_BYTES].copy_from_slice(&digest);
    bytes
}

fn check(length: [u8; LENGTH_BYTES]) -> [u8; CHECK_BYTES] {
    let hash = sha256(&length);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The digest of an entry in which zeros stand for it.
fn digest(entry: &[u8]) -> [u8; DIGEST_BYTES] {
    let hash = sha256(entry);
    hash[..DIGEST_BYTES]
        .try_into()
        .expect("a hash is longer than a digest")
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Found {
    let (head, version) = HEAD.split_at(HEAD.len() - 1);
    debug_assert_eq!(version, [VERSION]);
    match bytes.split_at_checked(head.len()) {
        Some((found, [VERSION, ..])) if found == head => read_records(bytes, HEAD.len()),
        Some((found, [version, ..])) if found == head => Found::Unknown { version: *version },
        // A new journal whose head was cut short, or whose bytes never came.
        _ if HEAD.starts_with(bytes) || is_blank(bytes) => Found::Records {
            records: Vec::new(),
            used: 0,
        },
        _ => read_earlier(bytes),
    }
}

/// The file system has made room for bytes that never came.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn read_records(bytes: &[u8], mut used: usize) -> Found {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes[used..].split_at_checked(ENTRY_HEAD_BYTES) {
        let (length, sums) = head
            .split_first_chunk::<LENGTH_BYTES>()
            .expect("a head is longer than a length");
        if sums[..CHECK_BYTES] != check(*length) {
            // A crash leaves a head half written only where nothing follows it.
            if is_blank(rest) {
                break;
            }
            return Found::Damage { at: used };
        }
        let length = u32::from_le_bytes(*length) as usize;
        if length > RECORD_MAX {
            return Found::Damage { at: used };
        }
        let Some(record) = rest.get(..length) else {
            break;
        };
        if encode(record)[..ENTRY_HEAD_BYTES] != *head {
            if is_blank(&rest[length..]) {
                break;
            }
            return Found::Damage { at: used };
        }
        records.push(record.to_vec());
        used += ENTRY_HEAD_BYTES + length;
    }
    Found::Records { records, used }
}

/// Version 1: no head; each record with its length (4) and the first 8 bytes of its SHA-256. A damaged length that reaches beyond the end
/// could not be told from a record cut short.
fn read_earlier(bytes: &[u8]) -> Found {
    let mut records = Vec::new();
    let mut used = 0;
    while let Some((head, rest)) = bytes[used..].split_at_checked(LENGTH_BYTES + DIGEST_BYTES) {
        let (length, digest) = head
            .split_first_chunk::<LENGTH_BYTES>()
            .expect("a head is longer than a length");
        let length = u32::from_le_bytes(*length) as usize;
        if is_blank(&bytes[used..]) {
            break;
        }
        if length > RECORD_MAX {
            return Found::Damage { at: used };
        }
        let Some(record) = rest.get(..length) else {
            break;
        };
        if sha256(record)[..DIGEST_BYTES] != *digest {
            if rest.len() == length {
                break;
            }
            return Found::Damage { at: used };
        }
        records.push(record.to_vec());
        used += LENGTH_BYTES + DIGEST_BYTES + length;
    }
    Found::Earlier { records }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        for record in records {
            bytes.extend(encode(record));
        }
        bytes
    }

    fn whole(records: &[&[u8]], bytes: &[u8]) -> Found {
        Found::Records {
            records: records.iter().map(|record| record.to_vec()).collect(),
            used: bytes.len(),
        }
    }

    #[test]
    fn records_are_read_back_in_order() {
        let records: [&[u8]; 3] = [b"one", b"", b"three"];
        let bytes = journal(&records);

        assert_eq!(read(&bytes), whole(&records, &bytes));
    }

    #[test]
    fn a_record_cut_short_is_dropped_wherever_the_cut_is() {
        let kept = journal(&[b"kept"]);
        let bytes = journal(&[b"kept", b"cut"]);

        for length in kept.len()..bytes.len() {
            assert_eq!(
                read(&bytes[..length]),
                whole(&[b"kept"], &kept),
                "cut at {length}"
            );
        }
    }

    #[test]
    fn a_record_of_which_only_the_beginning_came_is_dropped() {
        let kept = journal(&[b"kept"]);
        let bytes = journal(&[b"kept", b"never came"]);

        for length in kept.len()..bytes.len() {
            for zeros in [0, 1, ENTRY_HEAD_BYTES, 5000] {
                let mut torn = bytes.clone();
                torn[length..].fill(0);
                torn.resize(torn.len() + zeros, 0);
                assert_eq!(
                    read(&torn),
                    whole(&[b"kept"], &kept),
                    "{length}, {zeros} zeros"
                );
            }
        }
    }

    #[test]
    fn a_head_cut_short_is_an_empty_journal() {
        for length in 0..HEAD.len() {
            assert_eq!(read(&HEAD[..length]), whole(&[], &[]));
        }
        assert_eq!(read(&[0; 100]), whole(&[], &[]));
        assert_eq!(read(&HEAD), whole(&[], &HEAD));
    }

    #[test]
    fn every_damage_before_the_last_record_is_found_where_it_is() {
        let first = journal(&[]).len();
        let second = journal(&[b"first"]).len();
        let bytes = journal(&[b"first", b"second", b"third"]);
        let third = journal(&[b"first", b"second"]).len();

        for bit in first * 8..third * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);

            let at = if bit / 8 < second { first } else { second };
            assert_eq!(read(&damaged), Found::Damage { at }, "bit {bit}");
        }
    }

    #[test]
    fn a_damaged_head_is_never_taken_for_an_empty_journal() {
        let bytes = journal(&[b"first"]);
        for bit in 0..HEAD.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);

            let is_refused = matches!(
                read(&damaged),
                Found::Damage { at: 0 } | Found::Unknown { .. }
            );
            assert!(is_refused, "bit {bit}");
        }
    }

    #[test]
    fn a_length_that_no_record_has_is_damage() {
        let mut bytes = journal(&[b"kept"]);
        let at = bytes.len();
        let length = (RECORD_MAX as u32 + 1).to_le_bytes();
        bytes.extend(length);
        bytes.extend(check(length));
        bytes.extend([7; 100]);

        assert_eq!(read(&bytes), Found::Damage { at });
    }

    #[test]
    fn version_1_is_read_as_it_was_written() {
        let entry = |record: &[u8]| {
            let length = (record.len() as u32).to_le_bytes();
            [&length, &sha256(record)[..8], record].concat()
        };
        let bytes = [entry(b"one"), entry(b"two")].concat();
        let records = [b"one".to_vec(), b"two".to_vec()];
        let earlier = |count: usize| Found::Earlier {
            records: records[..count].to_vec(),
        };

        assert_eq!(read(&bytes), earlier(2));
        assert_eq!(read(&bytes[..bytes.len() - 1]), earlier(1));
        assert_eq!(read(&[&bytes[..], &[0; 40]].concat()), earlier(2));
        let mut damaged = bytes.clone();
        damaged[12] ^= 1;
        assert_eq!(read(&damaged), Found::Damage { at: 0 });
        damaged[3] = 0xff;
        assert_eq!(read(&damaged), Found::Damage { at: 0 });
    }
}
