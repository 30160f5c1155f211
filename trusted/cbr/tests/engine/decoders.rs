//! The decoders of what is sealed: they read what was written, nothing shorter, nothing longer, and no count beyond the message.

use sc_cbr::{
    Batch, BatchWriter, Control, ControlBody, DomainSecrets, Notice, NoticeKind, Origin, Reader,
    Receipt, SlowPolicy, Status,
};
use sc_crypto::Secret;

use crate::consumer::Consumer;
use crate::owner::{Entropy, Wish, domain_secrets, identity, publication, resized, subscription};

fn controls() -> Vec<Vec<u8>> {
    let consumer = Consumer::new(1).key;
    let bodies = [
        ControlBody::Admit {
            retention_ms: 0,
            consumer,
            delivery_key: Secret::from_bytes([3; 32]),
            lease_until_ms: 4,
            slow: SlowPolicy::Disconnect,
            replace: true,
            subscriptions: vec![
                (u64::MAX, subscription("i a = 1 i b ^= \"x\"")),
                (0, subscription("i c in {1, 2}")),
            ],
        },
        ControlBody::Withdraw {
            consumer,
            ids: vec![1, u64::MAX],
        },
        ControlBody::Renew {
            consumer,
            lease_until_ms: u64::MAX,
        },
        ControlBody::Revoke { consumer },
        ControlBody::Tick,
        ControlBody::Register {
            publisher: consumer,
            start: u64::MAX,
            floor: Origin {
                start: 2,
                number: u64::MAX,
            },
        },
        ControlBody::Dismiss {
            publisher: consumer,
        },
    ];
    bodies
        .map(|body| Control { time_ms: 5, body }.encode())
        .into()
}

fn batch() -> Vec<u8> {
    let mut writer = BatchWriter::default();
    for text in ["i a 1", "i b \"x\" i a 2"] {
        writer.push(&publication(text), Some(&[7; 32])).unwrap();
    }
    assert_eq!(writer.len(), 2);
    let announced = writer.encoded_len();
    let origin = Origin {
        start: 1,
        number: 2,
    };
    let bytes = writer.finish(origin, 9);
    assert_eq!(bytes.len(), announced);
    bytes
}

#[test]
fn a_control_message_reads_back_as_it_was_written() {
    for bytes in controls() {
        let control = Control::decode(&bytes).unwrap();

        assert_eq!(control.time_ms, 5);
        assert_eq!(control.encode(), bytes);
    }
}

#[test]
fn a_control_message_of_any_other_length_is_refused() {
    for bytes in controls() {
        for changed in resized(&bytes) {
            assert!(
                Control::decode(&changed).is_err(),
                "{} bytes",
                changed.len()
            );
        }
    }
}

#[test]
fn unknown_versions_kinds_flags_and_policies_are_refused() {
    let [admit, withdraw, ..] = &controls()[..] else {
        unreachable!("seven kinds");
    };
    let slow_at = 1 + 8 + 1 + 32 + 32 + 8;
    for (bytes, at, bad) in [
        (admit, 0, 0),
        (admit, 0, 2),
        (admit, 9, 0),
        (admit, 9, 8),
        (admit, slow_at, 0),
        (admit, slow_at, 4),
        (admit, slow_at + 9, 2),
        (withdraw, 0, 0xff),
    ] {
        let mut changed = bytes.clone();
        changed[at] = bad;
        assert!(Control::decode(&changed).is_err(), "byte {at} as {bad}");
    }
}

#[test]
fn counts_and_lengths_beyond_the_message_are_refused_everywhere() {
    let [admit, withdraw, ..] = &controls()[..] else {
        unreachable!("seven kinds");
    };
    let head = 1 + 8 + 1 + 32;
    let count_at = head + 32 + 8 + 1 + 8 + 1;
    for (bytes, at) in [
        (admit, count_at),
        (admit, count_at + 4 + 8),
        (withdraw, head),
    ] {
        for count in [u32::MAX, 1 << 31, bytes.len() as u32, 3] {
            let mut changed = bytes.clone();
            changed[at..at + 4].copy_from_slice(&count.to_le_bytes());
            assert!(Control::decode(&changed).is_err(), "{count} at {at}");
        }
    }
    let mut changed = batch();
    changed[25..29].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Batch::decode(&changed, false).is_err());
}

#[test]
fn a_reader_believes_no_count_that_the_rest_cannot_hold() {
    let four_items = |item_bytes: usize, rest: usize| {
        let bytes = [&4_u32.to_le_bytes()[..], &vec![0; rest]].concat();
        Reader::new(&bytes).count(item_bytes)
    };

    assert_eq!(four_items(3, 12), Ok(4));
    assert!(four_items(3, 11).is_err());
    assert_eq!(four_items(0, 4), Ok(4));
    assert!(four_items(0, 3).is_err());
    assert!(Reader::new(&[5, 0, 0, 0, 1]).bytes().is_err());
    assert!(Reader::new(&[5, 0, 0]).bytes().is_err());
    assert!(Reader::new(&[1, 2]).end().is_err());
    assert!(Reader::new(&[]).u8().is_err());
}

#[test]
fn a_batch_of_any_other_length_is_refused_or_fails_at_its_headers() {
    let bytes = batch();
    let whole = Batch::decode(&bytes, false).unwrap();
    assert_eq!(whole.payload_hash(1), Some(&[7; 32]));
    assert_eq!(whole.payload_hash(2), None);

    for changed in resized(&bytes) {
        assert!(Batch::decode(&changed, false).is_err());
    }
    assert!(Batch::decode(&bytes, true).is_err());
}

#[test]
fn a_receipt_reads_back_and_nothing_else_does() {
    for status in [
        Status::Taken,
        Status::Malformed,
        Status::Limit,
        Status::UnknownConsumer,
    ] {
        let receipt = Receipt {
            counter: u64::MAX,
            status,
            matched: 3,
            deliveries: 1 << 40,
        };
        let bytes = receipt.encode();

        assert_eq!(Receipt::decode(&bytes), Ok(receipt));
        for changed in resized(&bytes) {
            assert!(Receipt::decode(&changed).is_err());
        }
    }
    let mut unknown = Receipt {
        counter: 1,
        status: Status::Taken,
        matched: 0,
        deliveries: 0,
    }
    .encode();
    unknown[9] = 4;
    assert!(Receipt::decode(&unknown).is_err());
}

#[test]
fn domain_secrets_read_back_as_they_were_written() {
    let mut entropy = Entropy::new(1);
    let wish = Wish {
        session: u64::MAX,
        start: 7,
        plain: true,
    };
    let secrets = domain_secrets(&identity(1), &wish, &mut entropy);
    let bytes = secrets.encode();

    let read = DomainSecrets::decode(&bytes).unwrap();

    assert_eq!(*read.encode(), *bytes);
    assert_eq!((read.session, read.start, read.plain), (u64::MAX, 7, true));
    assert_eq!(read.owner, *identity(1).public());
}

/// A notice of the given entries, written by hand: kind expired, so that only the entries matter.
fn notice(count: u32, entries: &[u8], plain: bool) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&6_u64.to_le_bytes());
    bytes.extend_from_slice(&[2, u8::from(plain)]);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(entries);
    bytes
}

fn read(bytes: &[u8]) -> Result<usize, sc_cbr::Malformed> {
    let mut notice = Notice::decode(bytes)?;
    let (mut entries, mut ids) = (0, Vec::new());
    while notice.next_entry(&mut ids)?.is_some() {
        entries += 1;
    }
    Ok(entries)
}

#[test]
fn a_notice_with_a_count_or_index_that_cannot_be_is_refused() {
    let two = [0, 1, 9, 5, 0];
    assert_eq!(read(&notice(2, &two, true)), Ok(2));

    // More entries than bytes, fewer entries than bytes, more ids than bytes.
    assert!(read(&notice(u32::MAX, &two, true)).is_err());
    assert!(read(&notice(3, &two, true)).is_err());
    assert!(read(&notice(1, &two, true)).is_err());
    assert!(read(&notice(1, &[0, 0xff, 0xff, 0xff, 0x7f, 1], true)).is_err());
    // An index beyond 32 bits, alone or by addition.
    assert!(read(&notice(1, &[0xff, 0xff, 0xff, 0xff, 0x1f, 0], true)).is_err());
    let largest = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(read(&notice(1, &largest, true)), Ok(1));
    assert!(read(&notice(2, &[&largest[..], &[1, 0]].concat(), true)).is_err());
    // A key cut short.
    let sealed = [&[0, 0][..], &[7; 64]].concat();
    assert_eq!(read(&notice(1, &sealed, false)), Ok(1));
    assert!(read(&notice(1, &sealed[..65], false)).is_err());
}

#[test]
fn a_notice_of_unknown_version_kind_or_mode_is_refused() {
    let good = notice(0, &[], true);
    for (at, bad) in [(0, 0), (0, 2), (9, 6), (10, 2)] {
        let mut changed = good.clone();
        changed[at] = bad;
        assert!(read(&changed).is_err(), "byte {at} as {bad}");
    }
    for length in 0..good.len() {
        assert!(read(&good[..length]).is_err());
    }
}

#[test]
fn a_heartbeat_with_more_publishers_than_bytes_is_refused() {
    let heartbeat = |count: u32, publishers: usize| {
        let mut bytes = vec![1];
        bytes.extend_from_slice(&6_u64.to_le_bytes());
        bytes.push(1);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend(vec![7; publishers * 64]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0]);
        bytes
    };

    let whole = heartbeat(2, 2);
    let NoticeKind::Heartbeat { publishers } = Notice::decode(&whole).unwrap().kind else {
        panic!("no heartbeat");
    };
    assert_eq!(publishers.len(), 2);
    assert_eq!(publishers[1].taken.number, u64::from_le_bytes([7; 8]));
    for (count, there) in [(u32::MAX, 2), (3, 2), (1, 0)] {
        assert!(Notice::decode(&heartbeat(count, there)).is_err());
    }
    for length in 0..whole.len() {
        assert!(Notice::decode(&whole[..length]).is_err());
    }
}

#[test]
fn what_a_consumer_missed_is_read_whole_or_not_at_all() {
    let mut bytes = notice(0, &[], true);
    bytes[9] = 5;
    bytes.splice(10..10, [[1; 8], [2; 8]].concat());

    let missed = NoticeKind::Missed {
        batches: u64::from_le_bytes([1; 8]),
        publications: u64::from_le_bytes([2; 8]),
    };
    assert_eq!(Notice::decode(&bytes).unwrap().kind, missed);
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err());
    }
}
