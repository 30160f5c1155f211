//! The binary form of subscriptions.

use proptest::prelude::*;
use sc_matching::binary::{decode_subscription, encode_subscription};
use sc_matching::{DecodeError, LimitError};

use crate::strategies::any_subscription;
use crate::subscription;

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn the_documented_example_encodes_byte_by_byte() {
    let subscription =
        subscription(r#"i symbol in {"IBM", 29} i open >= 132 i low < 0.5 i volume exists"#);

    let encoded = encode_subscription(&subscription);

    let expected = bytes(&[
        &[1, 4],
        &[6],
        b"symbol",
        &[7, 2, 0],
        &[4, 3],
        b"IBM",
        &[1, 29],
        &[4],
        b"open",
        &[5, 2, 132, 0],
        &[3],
        b"low",
        &[2, 0],
        &0.5f64.to_le_bytes(),
        &[6],
        b"volume",
        &[8],
    ]);
    assert_eq!(encoded, expected);
    assert_eq!(decode_subscription(&expected), Ok(subscription));
}

#[test]
fn the_documented_numbers_encode_byte_by_byte() {
    for (literal, number) in [
        ("29", &[1, 0x1d][..]),
        ("2147483647", &[3, 0xff, 0xff, 0xff, 0x7f]),
        ("2147483648", &[0, 0, 0, 0, 0, 0, 0, 0xe0, 0x41]),
        ("9007199254740992", &[0, 0, 0, 0, 0, 0, 0, 0x40, 0x43]),
        ("9007199254740993", &[6, 1, 0, 0, 0, 0, 0, 0x20, 0]),
        (
            "-9007199254740993",
            &[6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xdf, 0xff],
        ),
        (
            "9223372036854775807",
            &[6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ),
        ("-9223372036854775808", &[0, 0, 0, 0, 0, 0, 0, 0xe0, 0xc3]),
    ] {
        let subscription = subscription(&format!("i a = {literal}"));

        let encoded = encode_subscription(&subscription);

        let expected = bytes(&[&[1, 1, 1, b'a', 0], number]);
        assert_eq!(encoded, expected, "{literal}");
        assert_eq!(decode_subscription(&expected), Ok(subscription));
    }
}

#[test]
fn a_wide_tag_before_an_integer_that_a_double_is_is_refused() {
    for integer in [
        0,
        -1,
        300,
        i64::from(i32::MAX) + 1,
        1 << 53,
        (1 << 53) + 2,
        -(1 << 60),
        i64::MAX - 1023,
        i64::MIN,
    ] {
        let encoded = bytes(&[&[1, 1, 1, b'a', 0, 6], &integer.to_le_bytes()]);

        assert_eq!(
            decode_subscription(&encoded),
            Err(DecodeError::NotShortest),
            "{integer}"
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    let encoded = encode_subscription(&subscription(
        r#"i symbol in {"IBM", 29} i open >= 70000 i low < 0.5 i id != 9007199254740993"#,
    ));

    for length in 0..encoded.len() {
        assert_eq!(
            decode_subscription(&encoded[..length]),
            Err(DecodeError::Truncated),
            "{length}"
        );
    }
}

#[test]
fn whatever_is_not_canonical_is_refused() {
    let nan = bytes(&[&[1, 1, 1, b'a', 0, 0], &f64::NAN.to_le_bytes()]);
    let infinite = bytes(&[&[1, 1, 1, b'a', 0, 0], &f64::INFINITY.to_le_bytes()]);
    let minus_zero = bytes(&[&[1, 1, 1, b'a', 0, 0], &(-0.0f64).to_le_bytes()]);
    let double_one = bytes(&[&[1, 1, 1, b'a', 0, 0], &1f64.to_le_bytes()]);
    let no_values = [1, 1, 1, b'a', 7, 0, 0];
    let many_values = [1, 1, 1, b'a', 7, 1, 4];
    let long_name_claimed = [1, 1, 200, b'a'];
    for (bytes, error) in [
        (&[][..], DecodeError::Truncated),
        (&[2, 0], DecodeError::Version { found: 2 }),
        (&[1, 0, 0, 0], DecodeError::Trailing { count: 2 }),
        (&[1, 255], DecodeError::Truncated),
        (&long_name_claimed, DecodeError::Truncated),
        (&[1, 1, 0, 8], LimitError::NameLength { bytes: 0 }.into()),
        (&[1, 1, 1, 0xff, 8], DecodeError::NotUtf8),
        (&[1, 1, 1, b'a', 0, 4, 1, 0xc3], DecodeError::NotUtf8),
        (&[1, 1, 1, b'a', 9], DecodeError::Operator { code: 9 }),
        (&[1, 1, 1, b'a', 0, 7], DecodeError::Tag { tag: 7 }),
        (&[1, 1, 1, b'a', 6, 1, 5], DecodeError::Tag { tag: 1 }),
        (&[1, 1, 1, b'a', 0, 2, 127, 0], DecodeError::NotShortest),
        (
            &[1, 1, 1, b'a', 0, 3, 0, 128, 0, 0][..8],
            DecodeError::Truncated,
        ),
        (
            &[1, 1, 1, b'a', 0, 3, 0xff, 0x7f, 0, 0],
            DecodeError::NotShortest,
        ),
        (&[1, 1, 1, b'a', 0, 5, 1, 0, b'x'], DecodeError::NotShortest),
        (&nan, LimitError::NotFinite.into()),
        (&infinite, LimitError::NotFinite.into()),
        (&minus_zero, DecodeError::NotShortest),
        (&double_one, DecodeError::NotShortest),
        (&no_values, LimitError::InValues { count: 0 }.into()),
        (&many_values, LimitError::InValues { count: 1025 }.into()),
    ] {
        assert_eq!(decode_subscription(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn a_subscription_longer_than_the_bound_is_refused() {
    let text = bytes(&[&[5, 0xff, 0xff], &[b'x'; 65_535]]);
    let constraint = bytes(&[&[1, b'a', 0], &text]);
    let three = bytes(&[&[1, 3], &constraint, &constraint, &constraint]);

    assert_eq!(
        decode_subscription(&three),
        Err(LimitError::ItemBytes.into())
    );
}

proptest! {
    #[test]
    fn an_encoded_subscription_decodes_to_itself(subscription in any_subscription()) {
        let encoded = encode_subscription(&subscription);

        prop_assert_eq!(decode_subscription(&encoded), Ok(subscription));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        subscription in any_subscription(),
        position: prop::sample::Index,
        byte: u8,
    ) {
        let mut damaged = encode_subscription(&subscription);
        let position = position.index(damaged.len());
        damaged[position] = byte;

        if let Ok(decoded) = decode_subscription(&damaged) {
            prop_assert_eq!(encode_subscription(&decoded), damaged);
        }
    }
}
