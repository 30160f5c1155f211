//! Arbitrary items of the language.
//!
//! `any_*` reach far into the space of names and values, for codecs. `few_*` draw from small pools,
//! so that subscriptions and publications meet often, for matchers.

use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use sc_matching::{Constraint, Name, Number, Predicate, Publication, Subscription, Text, Value};

fn name(name: &str) -> Name {
    Name::new(name).expect("strategies draw names within bounds")
}

fn text(text: &str) -> Text {
    Text::new(text).expect("strategies draw texts within bounds")
}

/// Any name, bare or not.
fn any_name() -> impl Strategy<Value = Name> {
    prop_oneof![
        "[A-Za-z_][A-Za-z0-9_.-]{0,12}",
        "\\PC{1,20}",
        any::<char>().prop_map(String::from)
    ]
    .prop_map(|drawn| name(&drawn))
}

fn any_text() -> impl Strategy<Value = Text> {
    prop_oneof![
        any::<String>(),
        "[\"\\\\\n\r\t\u{0}-\u{1f}\u{7f}-\u{9f}a-c]{0,9}",
        "x{250,260}"
    ]
    .prop_map(|drawn| text(&drawn))
}

/// Any number; integers beyond 2^53 as often as doubles.
pub(crate) fn any_number() -> impl Strategy<Value = Number> {
    prop_oneof![any_double(), any_integer().prop_map(Number::from)]
}

/// Any integer; often one near a power of two, where the forms of numbers change.
pub(crate) fn any_integer() -> impl Strategy<Value = i64> {
    let near_a_power = (0u32..=63, -3i64..=3, any::<bool>());
    prop_oneof![
        any::<i64>(),
        near_a_power.prop_map(|(power, beside, negative)| {
            let power = 1i64.checked_shl(power).expect("a power below 64");
            let near = power.wrapping_add(beside);
            if negative { near.wrapping_neg() } else { near }
        }),
    ]
}

fn any_double() -> impl Strategy<Value = Number> {
    let edges = [
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        9_007_199_254_740_992.0,
        -9_007_199_254_740_994.0,
        9_223_372_036_854_775_808.0,
        -9_223_372_036_854_775_808.0,
        9_223_372_036_854_774_784.0,
        2_147_483_647.0,
        -2_147_483_648.0,
        2_147_483_648.0,
        127.0,
        128.0,
        -129.0,
        32_767.0,
        32_768.0,
        1e-5,
        9.9e-6,
    ];
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<i32>().prop_map(f64::from),
        (-40_000i32..40_000).prop_map(f64::from),
        (-1_000i32..1_000).prop_map(|n| f64::from(n) / 8.0),
        select(edges.to_vec()),
    ]
    .prop_filter_map("not finite", Number::new)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any_number().prop_map(Value::Number),
        any_text().prop_map(Value::Text)
    ]
}

fn predicate(
    value: impl Strategy<Value = Value> + Clone + 'static,
    prefix: impl Strategy<Value = Text> + 'static,
) -> impl Strategy<Value = Predicate> {
    let operators = [
        Predicate::Equal,
        Predicate::NotEqual,
        Predicate::Less,
        Predicate::LessOrEqual,
        Predicate::Greater,
        Predicate::GreaterOrEqual,
    ];
    let compared = (select(operators.to_vec()), value.clone());
    prop_oneof![
        6 => compared.prop_map(|(operator, operand)| operator(operand)),
        1 => prefix.prop_map(Predicate::Prefix),
        1 => vec(value, 1..6).prop_map(|values| Predicate::In(values.into())),
        1 => Just(Predicate::Exists),
    ]
}

fn publication(
    names: impl Strategy<Value = Vec<Name>>,
    value: impl Strategy<Value = Value> + Clone,
) -> impl Strategy<Value = Publication> {
    let attributes = names.prop_flat_map(move |names| {
        let count = names.len();
        (Just(names), vec(value.clone(), count))
    });
    attributes.prop_map(|(names, values)| {
        let mut publication = Publication::new();
        for (name, value) in names.into_iter().zip(values) {
            publication
                .push(name, value)
                .expect("names are drawn once and are few");
        }
        publication
    })
}

fn subscription(
    name: impl Strategy<Value = Name>,
    predicate: impl Strategy<Value = Predicate>,
    most: usize,
) -> impl Strategy<Value = Subscription> {
    let constraint = (name, predicate).prop_map(|(name, predicate)| {
        Constraint::new(name, predicate).expect("sets are drawn within bounds")
    });
    vec(constraint, 0..=most)
        .prop_map(|constraints| Subscription::new(constraints).expect("constraints are few"))
}

pub(crate) fn any_publication() -> impl Strategy<Value = Publication> {
    let names = hash_set(any_name(), 0..8).prop_map(Vec::from_iter);
    publication(names, any_value().boxed())
}

pub(crate) fn any_subscription() -> impl Strategy<Value = Subscription> {
    subscription(any_name(), predicate(any_value().boxed(), any_text()), 6)
}

const FEW_NAMES: [&str; 4] = ["a", "b", "c", "größe"];
const FEW_TEXTS: [&str; 5] = ["", "a", "ab", "b", "1"];

/// Neighbours: doubles and the integers between them that no double is.
const FEW_INTEGERS: [i64; 4] = [-(1 << 53) - 2, -(1 << 53) - 1, 1 << 53, (1 << 53) + 1];

fn few_values() -> impl Strategy<Value = Value> + Clone {
    let doubles = [-1.5, -1.0, 0.0, 0.5, 1.0, 2.0].map(|n| Value::try_from(n).expect("finite"));
    let integers = FEW_INTEGERS.map(Value::from);
    let texts = FEW_TEXTS.map(|t| Value::Text(text(t)));
    let all = doubles.into_iter().chain(integers).chain(texts);
    select(all.collect::<Vec<_>>())
}

pub(crate) fn few_publications() -> impl Strategy<Value = Publication> {
    let names = proptest::sample::subsequence(FEW_NAMES.to_vec(), 0..=FEW_NAMES.len());
    let names = names
        .prop_map(|names| names.into_iter().map(name).collect::<Vec<_>>())
        .prop_shuffle();
    publication(names, few_values())
}

pub(crate) fn few_subscriptions() -> impl Strategy<Value = Subscription> {
    let name = select(FEW_NAMES.to_vec()).prop_map(name);
    let prefix = select(FEW_TEXTS.to_vec()).prop_map(text);
    subscription(name, predicate(few_values(), prefix), 4)
}
