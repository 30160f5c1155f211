//! Textual blocks between `-----BEGIN` and `-----END`.
//!
//! Invariant: decoded bytes are wiped when they are dropped, and decoding takes time that depends on lengths alone.
//! Source: RFC 7468; base64 RFC 4648 section 4, padded, with no character beyond its alphabet and line ends.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::KeyError;

/// Characters of a line of base64 that is written, as RFC 7468 asks.
const LINE: usize = 64;
/// Longest label that is accepted.
const LABEL_MAX: usize = 40;

const DASHES: &str = "-----";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// One block of a file.
pub(crate) struct Block<'a> {
    /// What stands after `BEGIN`.
    pub(crate) label: &'a str,
    /// The decoded bytes; empty if the block is protected by a passphrase.
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// Whether headers of the old OpenSSL format announce a passphrase.
    pub(crate) encrypted: bool,
}

/// Reads every block of `text`, in order. Text outside of blocks is ignored.
pub(crate) fn parse(text: &str) -> Result<Vec<Block<'_>>, KeyError> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim_end).enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(rest) = line.strip_prefix(BEGIN) {
            blocks.push(parse_block(label(rest, number)?, &mut lines, text.len())?);
        } else if line.starts_with(DASHES) {
            return Err(problem(number, "a block ends that never began"));
        }
    }
    Ok(blocks)
}

/// Writes one block.
pub(crate) fn print(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(Base64::encode_string(der));
    let lines = base64.len().div_ceil(LINE);
    let mut text = String::with_capacity(
        base64.len() + lines + 2 * (END.len() + label.len() + DASHES.len() + 4),
    );
    text.extend([BEGIN, label, DASHES, "\n"]);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend([END, label, DASHES, "\n"]);
    Zeroizing::new(text)
}

fn parse_block<'a>(
    label_begun: &'a str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    text_length: usize,
) -> Result<Block<'a>, KeyError> {
    let mut base64 = Zeroizing::new(String::with_capacity(text_length));
    let mut encrypted = false;
    let mut last = 0;
    for (number, line) in lines {
        last = number;
        if let Some(rest) = line.strip_prefix(END) {
            if label(rest, number)? != label_begun {
                return Err(problem(
                    number,
                    "the block ends under another name than it began",
                ));
            }
            let der = if encrypted {
                Zeroizing::default()
            } else {
                decode(&base64, number)?
            };
            return Ok(Block {
                label: label_begun,
                der,
                encrypted,
            });
        }
        // Headers come first and have a colon: the old format's `Proc-Type: 4,ENCRYPTED` and `DEK-Info`.
        if base64.is_empty() && line.contains(':') {
            encrypted |= line.contains("ENCRYPTED");
        } else if line.starts_with(DASHES) {
            return Err(problem(number, "a block begins inside another"));
        } else {
            base64.push_str(line);
        }
    }
    Err(problem(last, "the block has no END line"))
}

fn label(after_prefix: &str, number: usize) -> Result<&str, KeyError> {
    let label = after_prefix
        .strip_suffix(DASHES)
        .ok_or_else(|| problem(number, "the line lacks its last dashes"))?;
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    if label.is_empty() || label.len() > LABEL_MAX || !label.bytes().all(plain) {
        return Err(problem(number, "the block's name is not a label"));
    }
    Ok(label)
}

fn decode(base64: &str, number: usize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut der = Zeroizing::new(vec![0; base64.len() / 4 * 3]);
    let length = Base64::decode(base64, &mut der)
        .map_err(|_| problem(number, "the block that ends here is not base64"))?
        .len();
    der.truncate(length);
    Ok(der)
}

/// `number` counts from 0, people count from 1.
fn problem(number: usize, problem: &'static str) -> KeyError {
    KeyError::Pem {
        line: number + 1,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn only(text: &str) -> Result<Vec<u8>, KeyError> {
        parse(text).map(|blocks| match blocks.as_slice() {
            [block] => block.der.to_vec(),
            _ => panic!("{} blocks", blocks.len()),
        })
    }

    fn block(base64: &str) -> String {
        format!("-----BEGIN KEY-----\n{base64}\n-----END KEY-----\n")
    }

    #[test]
    fn a_block_is_printed_in_lines_of_64_characters() {
        let text = print("KEY", &[0xff; 50]);

        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "-----BEGIN KEY-----");
        assert_eq!((lines[1].len(), lines[2].len()), (64, 4));
        assert_eq!(lines[3], "-----END KEY-----");
        assert!(text.ends_with("-----\n"));
    }

    #[test]
    fn text_around_blocks_and_the_width_of_lines_do_not_matter() {
        let text = [
            "explanation: of the key\n",
            &block("AA\nEC\n\nAw=="),
            "\ntext\n",
            &block("BA=="),
        ]
        .concat();

        let blocks = parse(&text).unwrap();

        assert_eq!(blocks.len(), 2);
        assert_eq!(
            (blocks[0].der.as_slice(), blocks[1].der.as_slice()),
            (&[0, 1, 2, 3][..], &[4][..])
        );
    }

    #[test]
    fn base64_that_is_not_the_one_encoding_is_refused() {
        // Unused bits set, padding absent, surplus or inside, foreign characters, spaces, the alphabet for addresses.
        for base64 in [
            "AB==",
            "AA=",
            "AA",
            "AA===",
            "AA==AA==",
            "A\u{e9}==",
            " AAA",
            "A AA",
            "AA:=",
            "-_AA",
            "=",
        ] {
            let headerless = format!("AAAA\n{base64}");
            assert!(only(&block(&headerless)).is_err(), "{base64}");
        }
        assert_eq!(only(&block("AAAA\nAA==")), Ok(vec![0; 4]));
    }

    #[test]
    fn a_header_is_read_only_before_the_base64() {
        let announced = parse(&block("Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA"))
            .map(|blocks| blocks[0].encrypted);

        assert_eq!(announced, Ok(true));
        assert!(only(&block("AAAA\nProc-Type: 4,ENCRYPTED")).is_err());
        assert_eq!(only(&block("Comment: x\n\nAAAA")), Ok(vec![0; 3]));
    }

    #[test]
    fn a_label_that_is_long_or_not_in_capitals_is_refused() {
        let of_length = |length: usize| print(&"A".repeat(length), b"key");

        assert!(parse(&of_length(LABEL_MAX)).is_ok());
        assert!(parse(&of_length(LABEL_MAX + 1)).is_err());
        assert!(parse(&print("key", b"key")).is_err());
        assert!(parse(&print("K\u{c9}Y", b"key")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(der in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(only(&print("KEY", &der)), Ok(der));
        }
    }
}
