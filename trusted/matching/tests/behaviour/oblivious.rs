//! The oblivious matcher against the reference.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sc_matching::{
    Header, HeaderBlock, HeaderBlockWriter, Kernel, NO_SUBSCRIPTION, Oblivious, ObliviousError,
    ObliviousMatches, Publication, Shape, Subscription, SubscriptionId,
};

use crate::strategies::{any_publication, any_subscription, few_publications, few_subscriptions};
use crate::{publication, subscription};

/// Admits whatever the strategies draw.
const WIDE: Shape = Shape {
    rows: 1 << 10,
    tests_per_row: 1 << 11,
    text_bytes: 1 << 16,
};

fn matcher(subscriptions: &[&str]) -> Oblivious {
    let mut matcher = Oblivious::new(Shape::default(), 1);
    for (id, fields) in (0..).zip(subscriptions) {
        matcher
            .insert(SubscriptionId(id), &subscription(fields))
            .expect("the shape admits them");
    }
    matcher
}

/// The sorted ids of each answer; none may be left out.
fn sorted(matched: &ObliviousMatches, bound: usize) -> Vec<Vec<u32>> {
    let ids = |padded: sc_matching::Padded<'_>| {
        assert_eq!(padded.slots.len(), bound);
        assert!(!padded.truncated());
        let mut ids: Vec<u32> = padded.ids().map(|id| id.0).collect();
        assert_eq!(ids.len(), padded.count);
        assert!(
            padded.slots[ids.len()..]
                .iter()
                .all(|id| *id == NO_SUBSCRIPTION)
        );
        ids.sort_unstable();
        ids
    };
    matched.answers().map(ids).collect()
}

/// What `matcher` says of each publication, asked by way of one header block.
fn ask(matcher: &Oblivious, publications: &[Publication]) -> Vec<Vec<u32>> {
    let mut writer = HeaderBlockWriter::new();
    for publication in publications {
        writer.push(publication).expect("publications are few");
    }
    let bytes = writer.finish();
    let block = HeaderBlock::decode(&bytes).expect("own blocks decode");
    let (mut reader, mut header, mut headers) = (block.headers(), Header::new(), Vec::new());
    while reader.next_header(&mut header).expect("own headers decode") {
        headers.push(header.clone());
    }
    let mut matched = ObliviousMatches::new();
    let bound = 80;
    matcher.matches(&matcher.names(&block), &headers, bound, &mut matched);
    sorted(&matched, bound)
}

fn ask_fields(matcher: &Oblivious, fields: &[&str]) -> Vec<Vec<u32>> {
    let publications: Vec<_> = fields.iter().map(|fields| publication(fields)).collect();
    ask(matcher, &publications)
}

#[test]
fn an_id_inserted_again_is_replaced() {
    let mut matcher = matcher(&["i a = 1"]);

    matcher
        .insert(SubscriptionId(0), &subscription("i a = 2"))
        .unwrap();

    assert_eq!(matcher.len(), 1);
    assert_eq!(ask_fields(&matcher, &["i a 1", "i a 2"]), [vec![], vec![0]]);
}

#[test]
fn removing_says_whether_it_was_there() {
    let mut matcher = matcher(&["i a > 1 i b exists", "i a exists"]);

    assert!(!matcher.remove(SubscriptionId(4)));
    assert!(!matcher.remove(NO_SUBSCRIPTION));
    assert!(matcher.remove(SubscriptionId(0)));
    assert!(!matcher.remove(SubscriptionId(0)));

    assert_eq!(ask_fields(&matcher, &["i a 2 i b 0"]), [[1]]);
}

#[test]
fn a_set_reports_each_match_once() {
    let matcher = matcher(&[r#"i a in {1, 2, "x", 2, 1} i a != 1"#, "", "i a != \"y\""]);

    let answers = ask_fields(&matcher, &["i a 2", "i a 1", "i a \"x\"", "i b 2"]);

    assert_eq!(answers, [vec![0, 1], vec![1], vec![1, 2], vec![1]]);
}

#[test]
fn integers_beyond_doubles_are_told_apart() {
    let matcher = matcher(&[
        "i a = 9007199254740993",
        "i a > 9007199254740992",
        "i a <= 9007199254740992",
        "i a < -9007199254740992",
    ]);

    let answers = ask_fields(
        &matcher,
        &[
            "i a 9007199254740992",
            "i a 9007199254740993",
            "i a -9007199254740993",
        ],
    );

    assert_eq!(answers, [vec![2], vec![0, 1], vec![2, 3]]);
}

#[test]
fn texts_longer_than_every_operand_compare_exactly() {
    let matcher = matcher(&[
        r#"i a = "abcdefgh""#,
        r#"i a ^= "abcdefgh""#,
        r#"i a > "abcdefgh""#,
        r#"i a < "abcdefgi""#,
    ]);

    let answers = ask_fields(
        &matcher,
        &[
            r#"i a "abcdefgh""#,
            r#"i a "abcdefghi""#,
            r#"i a "abcdefgz0""#,
        ],
    );

    assert_eq!(answers, [vec![0, 1, 3], vec![1, 2, 3], vec![2]]);
}

#[test]
fn sizes_are_coarse_and_the_widest_decides() {
    let mut matcher = matcher(&["i a = \"short\"", "i a > 1 i b > 1 i c > 1"]);
    assert_eq!(matcher.sizes().tests_per_row, 4);
    assert_eq!(matcher.sizes().text_bytes, 8);
    assert_eq!(matcher.sizes().rows, 64);

    for id in 60..75 {
        let fields = format!("i name ^= \"seventeen bytes {id}\"");
        matcher
            .insert(SubscriptionId(id), &subscription(&fields))
            .unwrap();
    }

    assert_eq!(matcher.sizes().text_bytes, 32);
    assert_eq!(matcher.sizes().rows, 128);
    assert_eq!(matcher.sizes().bounds, 64);
    let answers = ask_fields(
        &matcher,
        &[
            "i a \"short\"",
            "i name \"seventeen bytes 74 and more than that\"",
            "i c 2 i a 2 i b 2",
        ],
    );
    assert_eq!(answers, [[0], [74], [1]]);
}

#[test]
fn what_the_shape_does_not_admit_is_refused_and_changes_nothing() {
    let shape = Shape {
        rows: 2,
        tests_per_row: 2,
        text_bytes: 4,
    };
    let mut matcher = Oblivious::new(shape, 1);
    let mut insert = |id, fields| matcher.insert(SubscriptionId(id), &subscription(fields));
    insert(0, "i a = 1").unwrap();
    insert(1, "i a != 2").unwrap();

    let refused = [
        insert(2, "i a = 1"),
        insert(0, "i a in {1, 2, 3}"),
        insert(0, "i a ^= \"12345\""),
        insert(u32::MAX, "i a = 1"),
    ];

    assert_eq!(
        refused,
        [
            Err(ObliviousError::Id { id: 2, rows: 2 }),
            Err(ObliviousError::Tests { needed: 3, most: 2 }),
            Err(ObliviousError::TextLength { bytes: 5, most: 4 }),
            Err(ObliviousError::Id {
                id: u32::MAX,
                rows: 2
            }),
        ]
    );
    assert_eq!(insert(1, "i a = 1"), Ok(()), "replacing needs no room");
    assert_eq!(ask_fields(&matcher, &["i a 1"]), [[0, 1]]);
}

#[test]
fn more_matches_than_slots_are_counted_and_said() {
    let fields: Vec<&str> = vec!["i a > 0"; 40];
    let matcher = matcher(&fields);
    let mut matched = ObliviousMatches::new();

    for bound in [0, 1, 7, 39, 40, 100] {
        matcher.matches_publication(&publication("i a 1"), bound, &mut matched);

        let padded = matched.answers().next().expect("one header, one answer");
        assert_eq!(padded.slots.len(), bound);
        assert_eq!(padded.ids().count(), bound.min(40));
        assert_eq!((padded.count, padded.truncated()), (40, bound < 40));
    }
}

#[test]
fn an_empty_matcher_and_an_empty_block_have_empty_answers() {
    let mut matched = ObliviousMatches::new();
    Oblivious::new(Shape::default(), 1).matches_publication(&publication("i a 1"), 2, &mut matched);

    let padded = matched.answers().next().expect("one header, one answer");
    assert_eq!((padded.slots, padded.count), (&[NO_SUBSCRIPTION; 2][..], 0));
    assert_eq!(ask(&matcher(&[""]), &[]), Vec::<Vec<u32>>::new());
    assert_eq!(ask_fields(&matcher(&["", "i a exists"]), &[""]), [[0]]);
}

#[test]
#[should_panic(expected = "names were looked up in another matcher")]
fn names_of_another_matcher_are_refused() {
    let bytes = HeaderBlockWriter::new().finish();
    let block = HeaderBlock::decode(&bytes).unwrap();
    let (mine, other) = (matcher(&[]), matcher(&[]));

    mine.matches(&other.names(&block), &[], 1, &mut ObliviousMatches::new());
}

/// One change to a matcher.
#[derive(Clone, Debug)]
enum Change {
    Insert(u32, Subscription),
    Remove(u32),
}

/// The forms that this processor has.
fn kernels() -> impl Strategy<Value = Kernel> {
    let named = ["portable", "avx2", "avx512"].into_iter();
    proptest::sample::select(named.filter_map(Kernel::named).collect::<Vec<_>>())
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Few ids, so that many inserts replace and many removes find something.
    let change = prop_oneof![
        3 => (0u32..24, few_subscriptions()).prop_map(|(id, subscription)| Change::Insert(id, subscription)),
        1 => (0u32..24).prop_map(Change::Remove),
    ];
    vec(change, 0..40)
}

/// With few names ranks are looked up, with many they are all tried.
#[test]
fn many_names_and_few_are_told_apart_on_every_kernel() {
    for kernel in ["portable", "avx2", "avx512"]
        .into_iter()
        .filter_map(Kernel::named)
    {
        for names in [1, 31, 32, 33, 70] {
            let mut matcher = Oblivious::with_kernel(WIDE, 1, kernel);
            for name in 0..names {
                let fields = format!("i n{name} = {name} i n{name} exists");
                matcher
                    .insert(SubscriptionId(name), &subscription(&fields))
                    .unwrap();
            }
            let fields: Vec<_> = (0..names + 1)
                .map(|name| format!("i n{name} {name} i other 1 i n{} -1", name + 1))
                .collect();
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();

            let answers = ask_fields(&matcher, &fields);

            for (name, answer) in (0..).zip(answers) {
                let expected: &[u32] = if name < names { &[name] } else { &[] };
                assert_eq!(answer, expected, "{}, {names}", kernel.name());
            }
        }
    }
}

proptest! {
    #[test]
    fn oblivious_agrees_with_linear_scan(
        seed: u64,
        kernel in kernels(),
        changes in changes(),
        publications in vec(few_publications(), 1..12),
    ) {
        let mut matcher = Oblivious::with_kernel(WIDE, seed, kernel);
        let mut model = BTreeMap::new();

        for change in changes {
            match change {
                Change::Insert(id, subscription) => {
                    matcher.insert(SubscriptionId(id), &subscription).expect("the shape is wide");
                    model.insert(id, subscription);
                }
                Change::Remove(id) => {
                    prop_assert_eq!(matcher.remove(SubscriptionId(id)), model.remove(&id).is_some());
                }
            }
            prop_assert_eq!(matcher.len(), model.len());
        }

        let scan = |p: &Publication| model.iter().filter(|(_, s)| s.matches(p)).map(|(id, _)| *id).collect();
        let expected: Vec<Vec<u32>> = publications.iter().map(scan).collect();
        prop_assert_eq!(&ask(&matcher, &publications), &expected);
        let mut matched = ObliviousMatches::new();
        for (publication, expected) in publications.iter().zip(&expected) {
            matcher.matches_publication(publication, 24, &mut matched);
            prop_assert_eq!(&sorted(&matched, 24)[0], expected);
        }
        for id in model.keys() {
            prop_assert!(matcher.remove(SubscriptionId(*id)));
        }
        prop_assert!(ask(&matcher, &publications).iter().all(Vec::is_empty));
    }

    #[test]
    fn far_values_agree_with_the_reference(
        mut drawn in vec(any_subscription(), 1..6),
        publications in vec(any_publication(), 1..4),
        kernel in kernels(),
    ) {
        // Values that are drawn far apart seldom meet: let some subscriptions ask for what is there.
        drawn.extend(publications.iter().map(asking_for));
        let mut matcher = Oblivious::with_kernel(WIDE, 7, kernel);
        for (id, subscription) in (0..).zip(&drawn) {
            matcher.insert(SubscriptionId(id), subscription).expect("the shape is wide");
        }

        let scan = |p: &Publication| (0..).zip(&drawn).filter(|(_, s)| s.matches(p)).map(|(id, _)| id).collect();
        let expected: Vec<Vec<u32>> = publications.iter().map(scan).collect();
        prop_assert_eq!(ask(&matcher, &publications), expected);
    }
}

/// Equal to `publication` in everything.
fn asking_for(publication: &Publication) -> Subscription {
    let equal = |(name, value): &(sc_matching::Name, sc_matching::Value)| {
        sc_matching::Constraint::new(name.clone(), sc_matching::Predicate::Equal(value.clone()))
            .expect("an equality is within bounds")
    };
    let constraints: Vec<_> = publication.attributes().iter().map(equal).collect();
    Subscription::new(constraints).expect("it is no longer than the publication")
}
