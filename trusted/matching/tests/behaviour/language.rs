//! What subscriptions mean, by the reference and by the index alike.

use sc_matching::{Index, Matches, SubscriptionId};

use crate::{publication, subscription};

/// Whether `constraints` match `attributes`, which reference and index must agree on.
fn matches(constraints: &str, attributes: &str) -> bool {
    let (subscription, publication) = (subscription(constraints), publication(attributes));
    let mut index = Index::new(7);
    index.insert(SubscriptionId(1), &subscription);
    let mut matched = Matches::new();
    index.matches_publication(&publication, &mut matched);
    let expected = subscription.matches(&publication);
    assert_eq!(
        matched.count() == 1,
        expected,
        "{constraints} on {attributes}"
    );
    expected
}

#[test]
fn every_operator_compares_numbers() {
    for (operator, below, same, above) in [
        ("=", false, true, false),
        ("!=", true, false, true),
        ("<", true, false, false),
        ("<=", true, true, false),
        (">", false, false, true),
        (">=", false, true, true),
    ] {
        let constraint = format!("i open {operator} 10");
        assert_eq!(matches(&constraint, "i open 9.5"), below, "{operator}");
        assert_eq!(matches(&constraint, "i open 10"), same, "{operator}");
        assert_eq!(matches(&constraint, "i open 10.5"), above, "{operator}");
    }
}

#[test]
fn every_operator_compares_strings_bytewise() {
    for (operator, below, same, above) in [
        ("=", false, true, false),
        ("!=", true, false, true),
        ("<", true, false, false),
        ("<=", true, true, false),
        (">", false, false, true),
        (">=", false, true, true),
    ] {
        let constraint = format!("i symbol {operator} \"IBM\"");
        assert_eq!(
            matches(&constraint, "i symbol \"GOOG\""),
            below,
            "{operator}"
        );
        assert_eq!(matches(&constraint, "i symbol \"IBM\""), same, "{operator}");
        assert_eq!(
            matches(&constraint, "i symbol \"ibm\""),
            above,
            "{operator}"
        );
    }
}

#[test]
fn fractions_count() {
    assert!(!matches("i open >= 90.75", "i open 90.10"));
    assert!(matches("i open >= 90.75", "i open 90.75"));
    assert!(!matches("i open = 90", "i open 90.10"));
}

#[test]
fn every_digit_of_an_integer_of_64_bits_counts() {
    for [below, same, above] in [
        ["9007199254740992", "9007199254740993", "9007199254740994"],
        ["9007199254740993", "9007199254740994", "9007199254740995"],
        [
            "-9007199254740994",
            "-9007199254740993",
            "-9007199254740992",
        ],
        [
            "9223372036854775805",
            "9223372036854775806",
            "9223372036854775807",
        ],
        [
            "9223372036854775806",
            "9223372036854775807",
            "9223372036854775808",
        ],
        [
            "-9223372036854777856",
            "-9223372036854775808",
            "-9223372036854775807",
        ],
    ] {
        for (operator, expected) in [
            ("=", [false, true, false]),
            ("!=", [true, false, true]),
            ("<", [true, false, false]),
            ("<=", [true, true, false]),
            (">", [false, false, true]),
            (">=", [false, true, true]),
        ] {
            let constraint = format!("i id {operator} {same}");

            let held = [below, same, above].map(|id| matches(&constraint, &format!("i id {id}")));

            assert_eq!(held, expected, "{constraint}");
        }
    }
}

#[test]
fn sets_tell_neighbouring_integers_apart() {
    let constraint = "i id in {9007199254740993, 9007199254740996, \"9007199254740994\"}";

    assert!(matches(constraint, "i id 9007199254740993"));
    assert!(matches(constraint, "i id 9007199254740996"));
    assert!(!matches(constraint, "i id 9007199254740992"));
    assert!(!matches(constraint, "i id 9007199254740994"));
    assert!(!matches(constraint, "i id 9007199254740997"));
}

#[test]
fn several_equalities_tell_neighbouring_integers_apart() {
    let constraints = "i a = 9007199254740992 i b = 9007199254740992";

    assert!(matches(
        constraints,
        "i a 9007199254740992 i b 9007199254740992"
    ));
    assert!(!matches(
        constraints,
        "i a 9007199254740993 i b 9007199254740992"
    ));
    assert!(!matches(
        constraints,
        "i a 9007199254740992 i b 9007199254740993"
    ));
}

#[test]
fn bounds_may_leave_one_integer_between_two_doubles() {
    let constraint = "i id > 9007199254740992 i id < 9007199254740994";

    assert!(matches(constraint, "i id 9007199254740993"));
    assert!(!matches(constraint, "i id 9007199254740992"));
    assert!(!matches(constraint, "i id 9007199254740994"));
}

#[test]
fn different_strings_are_different() {
    assert!(!matches(r#"i symbol = "AAPL""#, r#"i symbol "GOOG""#));
    assert!(!matches(r#"i symbol = "a""#, r#"i symbol "A""#));
}

#[test]
fn a_constraint_on_an_absent_attribute_is_false() {
    for constraint in [
        "= 1",
        "!= 1",
        "< 1",
        "<= 1",
        "> 1",
        ">= 1",
        "^= \"\"",
        "in {1, \"x\"}",
        "exists",
    ] {
        assert!(
            !matches(&format!("i high {constraint}"), "i low 0"),
            "{constraint}"
        );
    }
}

#[test]
fn a_constraint_on_a_value_of_another_type_is_false() {
    for constraint in ["= 1", "!= 1", "< 1", "<= 1", "> 1", ">= 1", "in {1}"] {
        assert!(
            !matches(&format!("i a {constraint}"), "i a \"1\""),
            "{constraint}"
        );
    }
    for constraint in [
        "= \"1\"",
        "!= \"1\"",
        "<= \"1\"",
        ">= \"1\"",
        "^= \"\"",
        "in {\"1\"}",
    ] {
        assert!(
            !matches(&format!("i a {constraint}"), "i a 1"),
            "{constraint}"
        );
    }
}

#[test]
fn a_prefix_matches_the_strings_that_begin_with_it() {
    assert!(matches(r#"i name ^= "IB""#, r#"i name "IBM""#));
    assert!(matches(r#"i name ^= """#, r#"i name """#));
    assert!(!matches(r#"i name ^= "IBM""#, r#"i name "IB""#));
}

#[test]
fn a_set_may_mix_types() {
    let constraint = r#"i a in {1, "x", 2.5}"#;

    assert!(matches(constraint, "i a 2.5"));
    assert!(matches(constraint, "i a \"x\""));
    assert!(!matches(constraint, "i a \"1\""));
    assert!(!matches(constraint, "i a 2"));
}

#[test]
fn exists_takes_any_type() {
    assert!(matches("i a exists", "i a 0"));
    assert!(matches("i a exists", "i a \"\""));
}

#[test]
fn the_empty_conjunction_matches_everything() {
    assert!(matches("", ""));
    assert!(matches("", "i a 1"));
}

#[test]
fn every_constraint_must_hold() {
    assert!(matches("i a > 1 i a < 3 i b exists", "i a 2 i b 0"));
    assert!(!matches("i a > 1 i a < 3 i b exists", "i a 3 i b 0"));
    assert!(!matches("i a > 1 i a < 3 i b exists", "i a 2"));
}

#[test]
fn contradictions_never_match() {
    for contradiction in [
        "i a = 1 i a = 2",
        "i a > 2 i a < 1",
        "i a = 1 i a = \"1\"",
        "i a >= 1 i a ^= \"1\"",
    ] {
        for attributes in ["", "i a 1", "i a 2", "i a \"1\""] {
            assert!(
                !matches(contradiction, attributes),
                "{contradiction} on {attributes}"
            );
        }
    }
}

#[test]
fn the_ends_of_the_doubles_are_reached() {
    let greatest = "1.7976931348623157e308";
    assert!(matches(
        &format!("i a >= {greatest}"),
        &format!("i a {greatest}")
    ));
    assert!(matches(
        &format!("i a <= -{greatest}"),
        &format!("i a -{greatest}")
    ));
    assert!(!matches(
        &format!("i a > {greatest}"),
        &format!("i a {greatest}")
    ));
    assert!(matches("i a > 0", "i a 5e-324"));
    assert!(matches("i a = 0", "i a -0.0"));
}
