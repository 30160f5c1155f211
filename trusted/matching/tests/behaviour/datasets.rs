//! Whole files: the quotes that ship with the project, and the original router's sample where it is
//! at hand.

use std::path::{Path, PathBuf};

use sc_matching::ascii::{Line, Lines};
use sc_matching::{
    Header, HeaderBlock, HeaderBlockWriter, Index, Matches, Publication, Subscription,
    SubscriptionId,
};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).expect("the file is there");
    Lines::new(&text)
        .map(|line| {
            line.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                .1
        })
        .collect()
}

fn publications(path: &Path) -> Vec<Publication> {
    let publication = |line| match line {
        Line::Publication(publication) => publication,
        Line::Subscription { .. } => panic!("{} holds publications", path.display()),
    };
    lines(path).into_iter().map(publication).collect()
}

fn subscriptions(path: &Path) -> Vec<(u64, Subscription)> {
    let subscription = |line| match line {
        Line::Subscription { id, subscription } => (id, subscription),
        Line::Publication(_) => panic!("{} holds subscriptions", path.display()),
    };
    lines(path).into_iter().map(subscription).collect()
}

/// How many publications each subscription matches, by the index and a header block.
fn counts(subscriptions: &[(u64, Subscription)], publications: &[Publication]) -> Vec<usize> {
    let mut index = Index::new(3);
    for (position, (_, subscription)) in subscriptions.iter().enumerate() {
        index.insert(
            SubscriptionId(u32::try_from(position).expect("few")),
            subscription,
        );
    }
    let mut writer = HeaderBlockWriter::new();
    publications
        .iter()
        .for_each(|publication| writer.push(publication).expect("they fit a block"));
    let bytes = writer.finish();
    let block = HeaderBlock::decode(&bytes).expect("own blocks decode");
    let names = index.names(&block);
    let (mut headers, mut header, mut matched) = (block.headers(), Header::new(), Matches::new());
    let mut counts = vec![0; subscriptions.len()];
    while headers
        .next_header(&mut header)
        .expect("own headers decode")
    {
        index.matches(&names, &header, &mut matched);
        matched.ids().for_each(|id| counts[id.0 as usize] += 1);
    }
    counts
}

/// The same, by the reference.
fn scanned_counts(
    subscriptions: &[(u64, Subscription)],
    publications: &[Publication],
) -> Vec<usize> {
    let count = |(_, subscription): &(u64, Subscription)| {
        publications
            .iter()
            .filter(|publication| subscription.matches(publication))
            .count()
    };
    subscriptions.iter().map(count).collect()
}

#[test]
fn the_sample_of_the_original_router_matches_17517_times() {
    let datasets = workspace().join("../shared/datasets");
    if !datasets.exists() {
        return;
    }
    let publications = publications(&datasets.join("p10k"));
    let subscriptions = subscriptions(&datasets.join("s1k"));

    let counts = counts(&subscriptions, &publications);

    assert_eq!((publications.len(), subscriptions.len()), (10_000, 1_000));
    assert_eq!(counts.iter().sum::<usize>(), 17_517);
    // The reference takes its time: every tenth subscription.
    let tenth: Vec<_> = subscriptions.iter().step_by(10).cloned().collect();
    let expected: Vec<_> = counts.iter().copied().step_by(10).collect();
    assert_eq!(scanned_counts(&tenth, &publications), expected);
}

#[test]
fn the_shipped_quotes_match_as_their_readme_says() {
    let data = workspace().join("app/data");
    let publications = publications(&data.join("quotes.pubs"));
    let subscriptions = subscriptions(&data.join("quotes.subs"));

    let counts = counts(&subscriptions, &publications);

    assert_eq!(counts, [269, 19, 40, 21, 112, 8, 24, 54, 20, 61]);
    assert_eq!(counts, scanned_counts(&subscriptions, &publications));
}

#[test]
fn the_shipped_quotes_are_canonical_and_in_order_of_date() {
    let path = workspace().join("app/data/quotes.pubs");
    let text = std::fs::read_to_string(&path).expect("the file is there");

    let publications = publications(&path);

    assert_eq!(publications.len(), 1_000);
    let printed: String = publications
        .iter()
        .map(|publication| format!("{publication}\n"))
        .collect();
    assert!(printed == text, "some line does not print as it reads");
    let dates: Vec<_> = publications
        .iter()
        .filter_map(|publication| publication.get("date"))
        .collect();
    assert!(dates.is_sorted_by(|a, b| a.compare(*b).is_some_and(std::cmp::Ordering::is_le)));
}
