//! Targets for the decoders of `sc-matching`.
//!
//! Invariant: whatever the bytes, a decoder refuses them or yields an item that encodes and decodes
//! to itself; it never panics.

use sc_matching::ascii::Line;
use sc_matching::binary::{decode_subscription, encode_subscription};
use sc_matching::{Header, HeaderBlock, Index, Matches, SubscriptionId, ascii};

/// One of each kind, on attributes that the seeds have.
const FILTERS: [&str; 6] = [
    "0 0 S i symbol = \"IBM\" i open >= 80",
    "0 0 S i symbol in {\"IBM\", \"\u{e9}\", 29} i volume < 1e7",
    "0 0 S i symbol ^= \"I\" i open != 83.9",
    "0 0 S i open > 1 i open < 200 i volume >= 0",
    "0 0 S i id > 9007199254740992 i low != 1",
    "0 0 S i volume exists",
];

/// One ASCII line.
///
/// # Panics
/// When a line that reads does not print and read back as the same item.
pub fn ascii_line(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(item) = ascii::parse(text) {
        assert_eq!(ascii::parse(&item.to_string()), Ok(item));
    }
}

/// A text of many lines.
///
/// # Panics
/// When an item or error has no line number of the text.
pub fn ascii_lines(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let most = text.lines().count();
    for item in ascii::Lines::new(text) {
        let line = item.map_or_else(|error| error.line, |(line, _)| line);
        assert!((1..=most).contains(&line));
    }
}

/// A subscription in binary.
///
/// # Panics
/// When bytes that decode are not what the subscription encodes to.
pub fn subscription(bytes: &[u8]) {
    if let Ok(subscription) = decode_subscription(bytes) {
        assert_eq!(encode_subscription(&subscription), bytes);
        Index::new(1).insert(SubscriptionId(0), &subscription);
    }
}

/// A header block, each of whose headers is matched.
///
/// # Panics
/// When a block that reads to its end has another number of headers than it says.
pub fn header_block(bytes: &[u8]) {
    let Ok(block) = HeaderBlock::decode(bytes) else {
        return;
    };
    let mut index = Index::new(1);
    for (id, filter) in (0..).zip(FILTERS) {
        if let Ok(Line::Subscription { subscription, .. }) = ascii::parse(filter) {
            index.insert(SubscriptionId(id), &subscription);
        }
    }
    let (names, mut matched) = (index.names(&block), Matches::new());
    let (mut headers, mut header, mut count) = (block.headers(), Header::new(), 0);
    loop {
        match headers.next_header(&mut header) {
            Ok(true) => index.matches(&names, &header, &mut matched),
            Ok(false) => break assert_eq!(count, block.count()),
            Err(_) => break,
        }
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_matching::HeaderBlockWriter;

    const LINES: &str = "0 0 P i symbol \"IBM\" i open 83.9 i volume 7250000 i \"\\u{e9}\" \"\"\n\
                         0 0 P i id 9007199254740993 i low -9223372036854775807\n\
                         0 7 S i symbol in {\"IBM\", 29} i open >= 132 i s ^= \"x\" i v exists\n\
                         0 8 S i id >= 9007199254740993 i low != 9223372036854775807\n";

    /// Calls `target` with `seed`, its beginnings, and it with each byte changed in several ways.
    fn damage(seed: &[u8], target: impl Fn(&[u8])) {
        target(seed);
        for position in 0..seed.len() {
            target(&seed[..position]);
            for flip in [1, 2, 0x10, 0x7f, 0x80, 0xff] {
                let mut damaged = seed.to_vec();
                damaged[position] ^= flip;
                target(&damaged);
            }
        }
    }

    #[test]
    fn the_filters_that_headers_are_matched_against_are_some() {
        let are_filters = FILTERS.map(|filter| match ascii::parse(filter) {
            Ok(Line::Subscription { .. }) => true,
            Ok(Line::Publication(_)) | Err(_) => false,
        });

        assert_eq!(are_filters, [true; FILTERS.len()]);
    }

    #[test]
    fn damaged_lines_cause_no_panic() {
        damage(LINES.as_bytes(), ascii_lines);
        LINES
            .lines()
            .for_each(|line| damage(line.as_bytes(), ascii_line));
    }

    #[test]
    fn damaged_binary_causes_no_panic() {
        for item in ascii::Lines::new(LINES) {
            match item.unwrap().1 {
                Line::Publication(publication) => {
                    let mut writer = HeaderBlockWriter::new();
                    writer.push(&publication).unwrap();
                    damage(&writer.finish(), header_block);
                }
                Line::Subscription {
                    subscription: whole,
                    ..
                } => {
                    damage(&encode_subscription(&whole), subscription);
                }
            }
        }
    }
}
