//! What a watcher of memory sees: the same for any data of the same sizes.

use alloc::string::String;
use alloc::vec::Vec;
use std::format;

use proptest::collection::vec;
use proptest::prelude::*;

use super::trace::{Region, Trace};
use super::{Oblivious, ObliviousMatches, Shape};
use crate::ascii::{self, Line};
use crate::header::{Header, HeaderBlock, HeaderBlockWriter};
use crate::index::{Features, Kernel, SubscriptionId};
use crate::subscription::Subscription;

/// Writes down every access.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recorder(Vec<(Region, usize)>);

impl Trace for Recorder {
    fn touch(&mut self, region: Region, index: usize) {
        self.0.push((region, index));
    }
}

fn subscription(fields: &str) -> Subscription {
    match ascii::parse(&format!("0 0 S {fields}")) {
        Ok(Line::Subscription { subscription, .. }) => subscription,
        other => panic!("{fields}: {other:?}"),
    }
}

/// A matcher whose room for bounds does not depend on how many of them are distinct.
fn matcher(subscriptions: &[String]) -> Oblivious {
    let kernel = Kernel::fastest(Features::ALL);
    let mut matcher = Oblivious::with_kernel(Shape::default(), 3, kernel);
    for (id, fields) in (0..).zip(subscriptions) {
        matcher
            .insert(SubscriptionId(id), &subscription(fields))
            .expect("the shape admits them");
    }
    // Those below have at most 140.
    matcher.cuts.reserve_in_all(512);
    matcher
}

/// What is seen while `matcher` answers, and how many matched each header.
fn watch(matcher: &Oblivious, headers: &[String], bound: usize) -> (Recorder, Vec<usize>) {
    let mut writer = HeaderBlockWriter::new();
    for fields in headers {
        match ascii::parse(&format!("0 0 P {fields}")) {
            Ok(Line::Publication(publication)) => writer.push(&publication).expect("few"),
            other => panic!("{fields}: {other:?}"),
        }
    }
    let bytes = writer.finish();
    let block = HeaderBlock::decode(&bytes).expect("own blocks decode");
    let (mut reader, mut header, mut headers) = (block.headers(), Header::new(), Vec::new());
    while reader.next_header(&mut header).expect("own headers decode") {
        headers.push(header.clone());
    }
    let (mut recorder, mut matched) = (Recorder::default(), ObliviousMatches::new());
    let names = matcher.names_watched(&mut recorder, &block);
    matcher.matches_watched(&mut recorder, &names, &headers, bound, &mut matched);
    let counts = matched.answers().map(|padded| padded.count).collect();
    (recorder, counts)
}

/// Three numbers and a letter, from which something of fixed sizes is made.
type Drawn = (i32, i32, i32, char);

fn drawn() -> impl Strategy<Value = Drawn> {
    (0..9, 0..9, 0..3, proptest::char::range('a', 'c'))
}

/// As many operators and operands, of the same types and lengths, for any `drawn`.
fn fields_of_subscription(n: usize, (x, y, name, letter): Drawn) -> String {
    match n % 4 {
        0 => format!("i a{name} = {x} i text ^= \"{letter}\""),
        1 => format!("i a{name} >= {x} i b <= {y}"),
        2 => format!("i a{name} != {x} i b != {y}"),
        _ => format!("i b in {{{x}, 9, \"{letter}\"}}"),
    }
}

/// Two headers, which have two names of three in common.
fn fields_of_headers((x, y, name, letter): Drawn) -> [String; 2] {
    let other = (name + 1) % 3;
    [
        format!("i a{name} {x} i b {y} i text \"{letter}x\""),
        format!("i a{other} {y} i a{name} {x} i text \"x{letter}\""),
    ]
}

fn world(drawn: &[Drawn]) -> (Vec<String>, Vec<String>) {
    let fields = |(n, drawn): (usize, &Drawn)| fields_of_subscription(n, *drawn);
    let subscriptions = drawn.iter().enumerate().map(fields).collect();
    // The first has all names, so that the block's table always has as many.
    let mut headers = Vec::from([String::from("i a0 0 i a1 0 i a2 0 i b 0 i text \"xx\"")]);
    let some = drawn.iter().take(5);
    headers.extend(some.flat_map(|drawn| fields_of_headers(*drawn)));
    (subscriptions, headers)
}

proptest! {
    #[test]
    fn matching_looks_alike_whatever_the_data(
        one in vec(drawn(), 24),
        other in vec(drawn(), 24),
        bound in 0usize..30,
    ) {
        let [one, other] = [one, other].map(|drawn| {
            let (subscriptions, headers) = world(&drawn);
            watch(&matcher(&subscriptions), &headers, bound).0
        });

        // Not `assert_eq`, which would print both.
        prop_assert!(one == other);
    }

    #[test]
    fn inserting_and_removing_look_alike_whatever_the_data(
        one in vec(drawn(), 20),
        other in vec(drawn(), 20),
        ids in (0u32..20, 0u32..20),
        more in (drawn(), drawn()),
    ) {
        let see = |drawn: &[Drawn], id, more| {
            let mut matcher = matcher(&world(drawn).0);
            let mut recorder = Recorder::default();
            let inserted = subscription(&fields_of_subscription(2, more));
            matcher.insert_watched(&mut recorder, SubscriptionId(99), &inserted).expect("room");
            assert!(matcher.remove_watched(&mut recorder, SubscriptionId(id)));
            recorder
        };

        prop_assert!(see(&one, ids.0, more.0) == see(&other, ids.1, more.1));
    }
}

#[test]
fn all_and_none_look_alike() {
    let subscriptions: Vec<String> = (0..50).map(|n| format!("i a >= {n}")).collect();
    let matcher = matcher(&subscriptions);

    let (all, everything) = watch(&matcher, &["i a 99".into()], 10);
    let (none, nothing) = watch(&matcher, &["i b -1".into()], 10);

    assert_eq!((everything, nothing), (Vec::from([50]), Vec::from([0])));
    assert!(all == none);
    assert!(all.0.iter().any(|(region, _)| *region == Region::Matched));
}

#[test]
fn other_sizes_look_different() {
    let fields = |n: u32| (0..n).map(|n| format!("i a >= {n}")).collect::<Vec<_>>();
    let see = |rows, header: &str, bound| watch(&matcher(&fields(rows)), &[header.into()], bound).0;

    let usual = see(40, "i a 3", 1);

    assert!(usual != see(70, "i a 3", 1), "more rows");
    assert!(usual != see(40, "i a 3 i b 3", 1), "more attributes");
    assert!(usual != see(40, "i a 3", 2), "more slots");
}

/// What the comparisons above are worth: a scan that goes on with a row only while its tests hold is
/// caught by them.
#[test]
fn a_scan_that_stops_early_is_seen() {
    let subscriptions: Vec<String> = (0..50).map(|n| format!("i a >= {n} i b >= {n}")).collect();
    let matcher = matcher(&subscriptions);
    let see = |rank| {
        let mut recorder = Recorder::default();
        matcher.rows.scan_early_exit(&mut recorder, &[rank, rank]);
        recorder
    };

    let none = see(0);

    assert!((1..100).any(|rank| see(rank) != none));
}
