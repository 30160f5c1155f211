//! The ASCII form.

use proptest::prelude::*;
use sc_matching::ascii::{Found, Line, Lines, ParseError, parse, subscription_line};
use sc_matching::bound::{ATTRIBUTES_MAX, CONSTRAINTS_MAX, IN_VALUES_MAX, LINE_BYTES_MAX};
use sc_matching::{Constraint, LimitError, Name, Predicate, Publication, Subscription, Value};

use crate::strategies::{any_publication, any_subscription};
use crate::{publication, subscription};

#[test]
fn the_publication_of_the_deliverable_reads_and_prints() {
    let line = "0 0 P i symbol 58 i date 1136764800 i high 0 i low 0 i volume 2250";

    let Line::Publication(publication) = parse(line).unwrap() else {
        panic!("a publication")
    };

    assert_eq!(publication.attributes().len(), 5);
    assert_eq!(
        publication.get("volume").map(|v| v.to_string()).as_deref(),
        Some("2250")
    );
    assert_eq!(publication.to_string(), line);
}

#[test]
fn the_subscription_of_the_deliverable_reads_and_prints() {
    let line = "0 8945 S i symbol = 29 i open >= 132 i open <= 427";

    let Line::Subscription { id, subscription } = parse(line).unwrap() else {
        panic!("a subscription")
    };

    assert_eq!(id, 8945);
    assert_eq!(subscription.constraints().len(), 3);
    assert_eq!(subscription_line(id, &subscription).to_string(), line);
}

#[test]
fn the_extensions_read_and_print() {
    let line = r#"0 1 S i symbol in {"IBM", 3} i volume exists i name ^= "x" i s != "IBM" i t < "\"\\\n\t\u{7f}é""#;

    let item = parse(line).unwrap();

    assert_eq!(item.to_string(), line);
}

#[test]
fn the_first_numbers_of_a_line_are_read_over() {
    let odd = parse("7 9 P i a 1").unwrap();
    let subscription = parse("7 18446744073709551615 S").unwrap();

    assert_eq!(odd.to_string(), "0 0 P i a 1");
    assert_eq!(subscription.to_string(), "0 18446744073709551615 S");
}

#[test]
fn white_space_matters_only_between_words() {
    let spacious = "0\t0  S   i a  in  { 1 , \"x\" } i b >= 2 ";
    let dense = "0 0 S i a in{1,\"x\"}i b>=2";

    assert_eq!(parse(spacious), parse(dense));
    assert_eq!(parse("0 0 P i a 1\r\n"), parse("0 0 P i a 1"));
}

#[test]
fn keywords_are_names_where_names_stand() {
    let publication = publication(r#"i i 1 i in 2 i exists 3 i "two words" 4 i P 5"#);

    assert_eq!(
        publication.to_string(),
        r#"0 0 P i i 1 i in 2 i exists 3 i "two words" 4 i P 5"#
    );
    assert!(subscription("i in in {2} i exists exists i i = 1").matches(&publication));
}

#[test]
fn numbers_print_short_and_exact() {
    for (given, printed) in [
        ("58", "58"),
        ("-3.250", "-3.25"),
        ("1e6", "1000000"),
        ("-0.0", "0"),
        ("0.00001", "0.00001"),
        ("0.000001", "1e-6"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "9007199254740992"),
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("9007199254740993.0", "9007199254740992"),
        ("1e18", "1000000000000000000"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9.223372036854776e18"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
    ] {
        assert_eq!(
            publication(&format!("i a {given}")).to_string(),
            format!("0 0 P i a {printed}")
        );
    }
}

fn error(line: &str) -> String {
    match parse(line) {
        Err(error) => error.to_string(),
        Ok(item) => panic!("{line} reads as {item}"),
    }
}

#[test]
fn errors_say_where_what_and_instead_of_what() {
    for (line, message) in [
        (
            "",
            "column 1: expected an integer from 0 to 18446744073709551615, found the end of the line",
        ),
        (
            "x 0 P",
            "column 1: expected an integer from 0 to 18446744073709551615, found `x`",
        ),
        (
            "0 -1 P",
            "column 3: expected an integer from 0 to 18446744073709551615, found `-1`",
        ),
        (
            "0 0",
            "column 4: expected `P` or `S`, found the end of the line",
        ),
        ("0 0 p i a 1", "column 5: expected `P` or `S`, found `p`"),
        (
            "0 0 P a 1",
            "column 7: expected `i` before the next field, or the end of the line, found `a`",
        ),
        (
            "0 0 P i 1 1",
            "column 9: expected an attribute name, found `1`",
        ),
        (
            "0 0 P i",
            "column 8: expected an attribute name, found the end of the line",
        ),
        (
            "0 0 P i \"\" 1",
            "column 9: expected an attribute name of 1 to 255 bytes, found `\"\"`",
        ),
        (
            "0 0 P i a abc",
            "column 11: expected a number or a quoted string, found `abc`",
        ),
        (
            "0 0 P i ä \"é\" i b c",
            "column 9: expected an attribute name, found `ä`",
        ),
        (
            "0 0 P i \"ä\" \"é\" i b c",
            "column 21: expected a number or a quoted string, found `c`",
        ),
        (
            "0 0 P i a 1e999",
            "column 11: expected a finite number, found `1e999`",
        ),
        (
            "0 0 P i a 9223372036854775809",
            "column 11: expected an integer of 64 bits, or one that a double holds exactly, found `9223372036854775809`",
        ),
        (
            "0 0 P i a 1 i a 2",
            "column 15: expected an attribute that the line has not named before, found `a`",
        ),
        (
            "0 0 S i a 1",
            "column 11: expected one of = != < <= > >= ^= in exists, found `1`",
        ),
        (
            "0 0 S i a =< 1",
            "column 11: expected one of = != < <= > >= ^= in exists, found `=<`",
        ),
        (
            "0 0 S i a ^= 1",
            "column 14: expected a quoted string, found `1`",
        ),
        ("0 0 S i a in 1", "column 14: expected `{`, found `1`"),
        (
            "0 0 S i a in {}",
            "column 15: expected a number or a quoted string, found `}`",
        ),
        (
            "0 0 S i a in {1 2}",
            "column 17: expected `,` or `}`, found `2`",
        ),
        (
            "0 0 S i a in {1",
            "column 16: expected `,` or `}`, found the end of the line",
        ),
        (
            "0 0 P i a \"x",
            "column 13: expected a closing quote, found the end of the line",
        ),
        (
            r#"0 0 P i a "\x""#,
            r#"column 12: expected one of \" \\ \n \t \u{hex digits}, found `\x`"#,
        ),
        (
            r#"0 0 P i a "\u{d800}""#,
            r#"column 12: expected one of \" \\ \n \t \u{hex digits}, found `\u{d800}`"#,
        ),
        (
            r#"0 0 P i a "\u{}""#,
            r#"column 12: expected one of \" \\ \n \t \u{hex digits}, found `\u`"#,
        ),
    ] {
        assert_eq!(error(line), message, "{line}");
    }
}

#[test]
fn errors_quote_no_control_characters_and_not_much() {
    let ParseError { found, .. } =
        parse(&format!("0 0 P i a \u{1b}[31m{}", "z".repeat(100))).unwrap_err();

    let Found::Text(found) = found else {
        panic!("some text")
    };
    assert!(found.starts_with("\\u{1b}[31mzzz"), "{found}");
    assert!(found.ends_with("z…"), "{found}");
    assert!(found.chars().count() < 50, "{found}");
}

#[test]
fn counts_have_bounds() {
    let fields = |count: usize, rest: &str| {
        (0..count)
            .map(|n| format!(" i a{n} {rest}"))
            .collect::<String>()
    };
    let values = |count: usize| format!("i a in {{{}}}", vec!["1"; count].join(","));

    assert!(parse(&format!("0 0 P{}", fields(ATTRIBUTES_MAX, "1"))).is_ok());
    assert!(
        error(&format!("0 0 P{}", fields(ATTRIBUTES_MAX + 1, "1")))
            .contains("at most 255 attributes")
    );
    assert!(parse(&format!("0 0 S{}", fields(CONSTRAINTS_MAX, "exists"))).is_ok());
    assert!(
        error(&format!("0 0 S{}", fields(CONSTRAINTS_MAX + 1, "exists")))
            .contains("at most 255 constraints")
    );
    assert!(parse(&format!("0 0 S {}", values(IN_VALUES_MAX))).is_ok());
    assert!(error(&format!("0 0 S {}", values(IN_VALUES_MAX + 1))).contains("1 to 1024 values"));
}

#[test]
fn lengths_have_bounds() {
    let publication =
        |name: usize, text: usize| format!("0 0 P i {} \"{}\"", "n".repeat(name), "t".repeat(text));

    assert!(parse(&publication(255, 65_535)).is_ok());
    assert!(error(&publication(256, 1)).contains("an attribute name of 1 to 255 bytes"));
    assert!(error(&publication(1, 65_536)).contains("a text of at most 65535 bytes"));
    let two = format!("i b \"{0}\" i c \"{0}\" i d \"x\"", "t".repeat(65_530));
    assert!(error(&format!("0 0 P {two}")).contains("at most 131072 bytes"));
    let line = format!("0 0 P{}", " ".repeat(LINE_BYTES_MAX));
    assert!(error(&line).contains("a line of at most 1048576 bytes"));
}

#[test]
fn the_longest_item_still_fits_a_line() {
    let worst = Value::try_from("\u{1f}".repeat(65_000).as_str()).unwrap();
    let mut publication = Publication::new();
    publication
        .push(Name::new("\u{1f}").unwrap(), worst.clone())
        .unwrap();
    publication
        .push(Name::new("\u{1e}").unwrap(), worst)
        .unwrap();
    for n in 0.. {
        let name = Name::new(&format!("\u{1}{n}")).unwrap();
        if publication.push(name, Value::try_from(-1.234_567_890_123_45e-300).unwrap())
            == Err(LimitError::ItemBytes)
        {
            break;
        }
    }

    let line = publication.to_string();

    assert_eq!(parse(&line), Ok(Line::Publication(publication)));
}

#[test]
fn sets_of_the_longest_numbers_still_fit_a_line() {
    let value = Value::try_from(-1.234_567_890_123_456_7e-300).unwrap();
    let set = Predicate::In(vec![value; IN_VALUES_MAX].into());
    let constraint = Constraint::new(Name::new("\u{1f}").unwrap(), set).unwrap();
    let subscription = Subscription::new(vec![constraint; 14]).unwrap();

    let line = subscription_line(1, &subscription).to_string();

    assert_eq!(
        parse(&line),
        Ok(Line::Subscription {
            id: 1,
            subscription
        })
    );
}

#[test]
fn a_text_yields_its_items_with_their_line_numbers() {
    let text = "\u{feff}# quotes\r\n0 0 P i a 1\r\n\r\n  \n0 3 S i a = 1\n0 0 P i a abc\n0 4 S";

    let items: Vec<_> = Lines::new(text).collect();

    let [first, second, wrong, last] = &items[..] else {
        panic!("{items:?}")
    };
    assert!(matches!(first, Ok((2, Line::Publication(_)))));
    assert!(matches!(second, Ok((5, Line::Subscription { id: 3, .. }))));
    let message = wrong.as_ref().unwrap_err().to_string();
    assert_eq!(
        message,
        "line 6, column 11: expected a number or a quoted string, found `abc`"
    );
    assert!(matches!(last, Ok((7, Line::Subscription { id: 4, .. }))));
}

proptest! {
    #[test]
    fn a_printed_publication_reads_back(publication in any_publication()) {
        let line = publication.to_string();

        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert_eq!(parse(&line), Ok(Line::Publication(publication)));
    }

    #[test]
    fn a_printed_subscription_reads_back(id: u64, subscription in any_subscription()) {
        let line = subscription_line(id, &subscription).to_string();

        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert_eq!(parse(&line), Ok(Line::Subscription { id, subscription }));
    }

    #[test]
    fn no_line_makes_the_parser_panic(line in r#"0 0 [PS]([ iax"{}=<>^!,\\0-9.eu]|in|exists| i a ){0,30}"#) {
        if let Ok(item) = parse(&line) {
            prop_assert_eq!(parse(&item.to_string()), Ok(item));
        }
    }
}
