//! Header blocks.

use proptest::collection::vec;
use proptest::prelude::*;
use sc_matching::bound::{BLOCK_HEADERS_MAX, BLOCK_NAMES_MAX};
use sc_matching::{
    BlockFull, DecodeError, Header, HeaderBlock, HeaderBlockWriter, LimitError, Name, NameIndex,
    Publication, Text, Value, ValueRef,
};

use crate::publication;
use crate::strategies::any_publication;

fn block(publications: &[Publication]) -> Vec<u8> {
    let mut writer = HeaderBlockWriter::new();
    for publication in publications {
        writer.push(publication).expect("publications are few");
    }
    writer.finish()
}

/// Reads every header back as a publication.
fn read(bytes: &[u8]) -> Result<Vec<Publication>, DecodeError> {
    let block = HeaderBlock::decode(bytes)?;
    let mut headers = block.headers();
    let mut header = Header::new();
    let mut publications = Vec::new();
    while headers.next_header(&mut header)? {
        let mut publication = Publication::new();
        for (index, value) in header.attributes() {
            let name = block.name(*index).expect("the index is within the table");
            let value = match value {
                ValueRef::Number(number) => Value::Number(*number),
                ValueRef::Text(text) => Value::Text(Text::new(text)?),
            };
            publication.push(Name::new(name)?, value)?;
        }
        publications.push(publication);
    }
    assert_eq!(publications.len(), block.count());
    Ok(publications)
}

#[test]
fn the_documented_example_encodes_byte_by_byte() {
    let first = publication(r#"i symbol "IBM" i open 83.9"#);
    let second = publication("i open 84 i volume 7250000");

    let encoded = block(&[first.clone(), second.clone()]);

    let expected = [
        &[1, 3, 0][..],
        &[6],
        b"symbol",
        &[4],
        b"open",
        &[6],
        b"volume",
        &[2, 0, 0, 0],
        &[2, 0, 4, 3],
        b"IBM",
        &[1, 0],
        &83.9f64.to_le_bytes(),
        &[2, 1, 1, 84],
        &[2, 3],
        &7_250_000i32.to_le_bytes(),
    ]
    .concat();
    assert_eq!(encoded, expected);
    assert_eq!(read(&encoded), Ok(vec![first, second]));
}

#[test]
fn the_length_is_known_before_the_end() {
    let mut writer = HeaderBlockWriter::new();
    assert_eq!(writer.encoded_len(), writer.clone().finish().len());
    for fields in ["", "i a 1", "i b \"x\" i a 0.5", "i a 300 i c 70000"] {
        writer.push(&publication(fields)).unwrap();
        assert_eq!(
            writer.encoded_len(),
            writer.clone().finish().len(),
            "{fields}"
        );
    }
    assert_eq!(writer.count(), 4);
}

#[test]
fn a_finished_writer_begins_anew() {
    let mut writer = HeaderBlockWriter::new();
    writer.push(&publication("i a 1")).unwrap();
    let first = writer.finish();
    assert_eq!(writer.count(), 0);

    writer.push(&publication("i a 1")).unwrap();

    assert_eq!(writer.finish(), first);
}

#[test]
fn a_block_of_no_headers_is_a_block() {
    assert_eq!(read(&[1, 0, 0, 0, 0, 0, 0]), Ok(vec![]));
}

#[test]
fn the_table_may_hold_names_beyond_one_byte_of_index() {
    let many: Vec<_> = (0..1000)
        .map(|n| publication(&format!("i a{n} 1 i a{} 2", n / 2 + 2000)))
        .collect();

    let encoded = block(&many);

    assert_eq!(HeaderBlock::decode(&encoded).unwrap().names().len(), 1500);
    assert_eq!(read(&encoded), Ok(many));
}

#[test]
fn a_full_block_refuses_and_stays_as_it_was() {
    let mut writer = HeaderBlockWriter::new();
    let empty = Publication::new();
    for _ in 0..BLOCK_HEADERS_MAX {
        writer.push(&empty).unwrap();
    }
    let length = writer.encoded_len();

    assert_eq!(writer.push(&empty), Err(BlockFull));

    assert_eq!(writer.encoded_len(), length);
    assert_eq!(
        read(&writer.finish()).map(|read| read.len()),
        Ok(BLOCK_HEADERS_MAX)
    );
    assert_eq!(writer.push(&empty), Ok(()));
}

#[test]
fn a_block_full_of_names_refuses_more() {
    let mut writer = HeaderBlockWriter::new();
    let named = |n: usize| {
        let mut publication = Publication::new();
        publication
            .push(Name::new(&n.to_string()).unwrap(), 1.into())
            .unwrap();
        publication
    };
    for n in 0..BLOCK_NAMES_MAX {
        writer.push(&named(n)).unwrap();
    }

    assert_eq!(writer.push(&named(BLOCK_NAMES_MAX)), Err(BlockFull));

    let encoded = writer.finish();
    assert_eq!(
        HeaderBlock::decode(&encoded).unwrap().names().len(),
        BLOCK_NAMES_MAX
    );
    assert_eq!(read(&encoded).map(|read| read.len()), Ok(BLOCK_NAMES_MAX));
}

#[test]
fn every_truncation_is_refused() {
    let encoded = block(&[
        publication(r#"i symbol "IBM" i open 83.9"#),
        publication("i volume 7250000"),
    ]);

    for length in 0..encoded.len() {
        assert_eq!(
            read(&encoded[..length]),
            Err(DecodeError::Truncated),
            "{length}"
        );
    }
}

#[test]
fn damaged_tables_are_refused() {
    for (bytes, error) in [
        (&[0, 0, 0][..], DecodeError::Version { found: 0 }),
        (
            &[1, 2, 0, 1, b'a', 1, b'a', 0, 0, 0, 0],
            DecodeError::NameInTableTwice,
        ),
        (
            &[1, 1, 0, 0, 0, 0, 0, 0],
            LimitError::NameLength { bytes: 0 }.into(),
        ),
        (&[1, 1, 0, 1, 0xff, 0, 0, 0, 0], DecodeError::NotUtf8),
        (
            &[1, 0xff, 0xff, 1, b'a'],
            DecodeError::BlockNames { count: 65_535 },
        ),
        (&[1, 0xff, 0x7f, 1, b'a'], DecodeError::Truncated),
        (
            &[1, 0, 0, 1, 0, 1, 0],
            DecodeError::BlockHeaders { count: 65_537 },
        ),
        (
            &[1, 0, 0, 0, 0, 0, 0, 9],
            DecodeError::Trailing { count: 1 },
        ),
    ] {
        assert_eq!(read(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn damaged_headers_are_refused() {
    let table = [1, 2, 0, 1, b'a', 1, b'b', 1, 0, 0, 0];
    for (header, error) in [
        (&[1, 2, 1, 5][..], DecodeError::NameIndex { index: 2 }),
        (&[2, 1, 1, 5, 1, 1, 5], LimitError::NameTwice.into()),
        (&[1, 0x80, 0, 1, 5], DecodeError::NotShortest),
        (&[1, 0x80, 1, 1, 5], DecodeError::NameIndex { index: 128 }),
        (&[1, 0, 7, 5], DecodeError::Tag { tag: 7 }),
        (&[0, 0], DecodeError::Trailing { count: 1 }),
    ] {
        assert_eq!(
            read(&[&table[..], header].concat()),
            Err(error),
            "{header:?}"
        );
    }
}

#[test]
fn a_header_longer_than_a_publication_may_be_is_refused() {
    let table = [1, 3, 0, 1, b'a', 1, b'b', 1, b'c', 1, 0, 0, 0];
    let text = [&[5, 0xff, 0xff][..], &[b'x'; 65_535]].concat();
    let two = [&table[..], &[2, 0], &text, &[1, 1, 5]].concat();
    let three = [&table[..], &[3, 0], &text, &[1], &text, &[2, 1, 5]].concat();

    assert_eq!(read(&two).map(|read| read.len()), Ok(1));
    assert_eq!(read(&three), Err(LimitError::ItemBytes.into()));
}

#[test]
fn a_cursor_that_failed_fails_again() {
    let bytes = [1, 0, 0, 2, 0, 0, 0, 0, 1];
    let block = HeaderBlock::decode(&bytes).unwrap();
    let (mut headers, mut header) = (block.headers(), Header::new());
    assert_eq!(headers.next_header(&mut header), Ok(true));

    let failure = headers.next_header(&mut header);

    assert_eq!(failure, Err(DecodeError::Truncated));
    assert_eq!(headers.next_header(&mut header), failure);
}

#[test]
fn one_name_may_stand_in_every_header() {
    let block_bytes = block(&[publication("i a 1"), publication("i a 2")]);
    let block = HeaderBlock::decode(&block_bytes).unwrap();
    let (mut headers, mut header) = (block.headers(), Header::new());

    for expected in [1, 2] {
        assert_eq!(headers.next_header(&mut header), Ok(true));
        assert_eq!(
            header.attributes(),
            [(NameIndex(0), ValueRef::Number(expected.into()))]
        );
    }
    assert_eq!(headers.next_header(&mut header), Ok(false));
}

proptest! {
    #[test]
    fn a_block_reads_back_as_what_was_pushed(publications in vec(any_publication(), 0..8)) {
        prop_assert_eq!(read(&block(&publications)), Ok(publications));
    }

    #[test]
    fn what_reads_writes_to_the_same_headers(
        publications in vec(any_publication(), 1..4),
        position: prop::sample::Index,
        byte: u8,
    ) {
        let mut damaged = block(&publications);
        let position = position.index(damaged.len());
        damaged[position] = byte;

        if let Ok(publications) = read(&damaged) {
            prop_assert_eq!(read(&block(&publications)), Ok(publications));
        }
    }
}
