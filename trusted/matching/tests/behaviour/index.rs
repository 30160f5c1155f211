//! The index against the reference.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sc_matching::{
    Header, HeaderBlock, HeaderBlockWriter, Index, Kernel, Matches, Publication, Snapshot,
    Subscription, SubscriptionId,
};

use crate::strategies::{few_publications, few_subscriptions};
use crate::{publication, subscription};

fn ids(matched: &Matches<'_>) -> Vec<u32> {
    let mut ids: Vec<u32> = matched.ids().map(|id| id.0).collect();
    assert_eq!(ids.len(), matched.count());
    ids.sort_unstable();
    let mut copied = Vec::new();
    matched.copy_ids(Kernel::PORTABLE, &mut copied);
    copied.sort_unstable();
    assert_eq!(copied, ids);
    ids
}

/// What `index` says of each publication, asked by way of one header block.
fn ask(index: &Index, publications: &[Publication]) -> Vec<Vec<u32>> {
    ask_snapshot(&index.snapshot(), publications)
}

fn ask_snapshot(index: &Snapshot, publications: &[Publication]) -> Vec<Vec<u32>> {
    let mut writer = HeaderBlockWriter::new();
    for publication in publications {
        writer.push(publication).expect("publications are few");
    }
    let bytes = writer.finish();
    let block = HeaderBlock::decode(&bytes).expect("own blocks decode");
    let names = index.names(&block);
    let (mut headers, mut header, mut matched) = (block.headers(), Header::new(), Matches::new());
    let mut answers = Vec::new();
    while headers
        .next_header(&mut header)
        .expect("own headers decode")
    {
        index.matches(&names, &header, &mut matched);
        answers.push(ids(&matched));
    }
    answers
}

#[test]
fn an_id_inserted_again_is_replaced() {
    let mut index = Index::new(1);
    index.insert(SubscriptionId(5), &subscription("i a = 1"));
    index.insert(SubscriptionId(5), &subscription("i a = 2"));

    assert_eq!(index.len(), 1);
    assert_eq!(
        ask(&index, &[publication("i a 1"), publication("i a 2")]),
        [vec![], vec![5]]
    );
}

#[test]
fn removing_says_whether_it_was_there() {
    let mut index = Index::new(1);
    index.insert(SubscriptionId(5), &subscription("i a > 1 i b exists"));

    assert!(!index.remove(SubscriptionId(4)));
    assert!(index.remove(SubscriptionId(5)));
    assert!(!index.remove(SubscriptionId(5)));
    assert!(index.is_empty());
    assert_eq!(ask(&index, &[publication("i a 2 i b 0")]), [vec![]]);
}

#[test]
fn a_contradiction_counts_and_goes_but_never_matches() {
    let mut index = Index::new(1);
    index.insert(SubscriptionId(1), &subscription("i a = 1 i a = 2"));

    assert_eq!(index.len(), 1);
    assert_eq!(
        ask(&index, &[publication("i a 1"), publication("i a 2")]),
        [vec![], vec![]]
    );
    assert!(index.remove(SubscriptionId(1)));
}

#[test]
fn each_match_is_reported_once() {
    let mut index = Index::new(1);
    index.insert(
        SubscriptionId(1),
        &subscription("i a in {1, 2, 2, 1} i b in {1, 2}"),
    );
    index.insert(SubscriptionId(2), &subscription(""));

    assert_eq!(
        ask(&index, &[publication("i a 2 i b 1 i c 0")]),
        [vec![1, 2]]
    );
}

#[test]
fn a_set_too_large_to_be_an_access_key_still_matches() {
    let values: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let mut index = Index::new(1);
    index.insert(
        SubscriptionId(1),
        &subscription(&format!("i a in {{{}}}", values.join(", "))),
    );

    assert_eq!(
        ask(&index, &[publication("i a 499"), publication("i a 499.5")]),
        [vec![1], vec![]]
    );
}

#[test]
fn one_matches_serves_indexes_of_any_size() {
    let mut large = Index::new(1);
    for n in 0..100 {
        large.insert(SubscriptionId(n), &subscription(&format!("i a{n} exists")));
    }
    let mut small = Index::new(2);
    small.insert(SubscriptionId(7), &subscription("i a3 exists i a4 exists"));
    let (three, four) = (publication("i a3 1"), publication("i a4 1"));
    let mut matched = Matches::new();

    for _ in 0..2 {
        large.matches_publication(&three, &mut matched);
        assert_eq!(ids(&matched), [3]);
        small.matches_publication(&four, &mut matched);
        assert_eq!(ids(&matched), []);
        small.matches_publication(&publication("i a4 1 i a3 1"), &mut matched);
        assert_eq!(ids(&matched), [7]);
    }
}

#[test]
#[should_panic(expected = "names were looked up in another index")]
fn names_of_another_index_are_refused() {
    let bytes = HeaderBlockWriter::new().finish();
    let block = HeaderBlock::decode(&bytes).unwrap();
    let (mine, other) = (Index::new(1), Index::new(1));

    mine.matches(&other.names(&block), &Header::new(), &mut Matches::new());
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut index = Index::new(1);
    index.insert(SubscriptionId(1), &subscription("i a = 1"));
    let before = index.snapshot();

    index.remove(SubscriptionId(1));
    index.insert(SubscriptionId(2), &subscription("i a = 1"));

    assert_eq!(ask_snapshot(&before, &[publication("i a 1")]), [vec![1]]);
    assert_eq!(ask(&index, &[publication("i a 1")]), [vec![2]]);
}

/// One change to an index.
#[derive(Clone, Debug)]
enum Change {
    Insert(u32, Subscription),
    Remove(u32),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Few ids, so that many inserts replace and many removes find something.
    let change = prop_oneof![
        3 => (0u32..24, few_subscriptions()).prop_map(|(id, subscription)| Change::Insert(id, subscription)),
        1 => (0u32..24).prop_map(Change::Remove),
    ];
    vec(change, 0..60)
}

proptest! {
    #[test]
    fn index_agrees_with_linear_scan(
        seed: u64,
        changes in changes(),
        publications in vec(few_publications(), 1..12),
    ) {
        let mut index = Index::new(seed);
        let mut model = BTreeMap::new();

        for change in changes {
            match change {
                Change::Insert(id, subscription) => {
                    index.insert(SubscriptionId(id), &subscription);
                    model.insert(id, subscription);
                }
                Change::Remove(id) => {
                    prop_assert_eq!(index.remove(SubscriptionId(id)), model.remove(&id).is_some());
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }

        let scan = |p: &Publication| model.iter().filter(|(_, s)| s.matches(p)).map(|(id, _)| *id).collect();
        let expected: Vec<Vec<u32>> = publications.iter().map(scan).collect();
        prop_assert_eq!(&ask(&index, &publications), &expected);
        let mut matched = Matches::new();
        for (publication, expected) in publications.iter().zip(&expected) {
            index.matches_publication(publication, &mut matched);
            prop_assert_eq!(&ids(&matched), expected);
        }
        for id in model.keys() {
            prop_assert!(index.remove(SubscriptionId(*id)));
        }
        prop_assert!(ask(&index, &publications).iter().all(Vec::is_empty));
    }
}
