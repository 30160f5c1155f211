//! What every backend must do, whatever it keeps its fragments in.
//!
//! A test file brings a [`Subject`] and calls `behaves!`, which makes one test of each behaviour below. What a backend need not do, by
//! its capabilities, is not asked of it.

mod recoding;

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::Bytes;
use sc_backend::{
    Backend, BackendError, FRAGMENT_BYTES_MAX, FragmentName, LIST_MAX, Listed, Usage,
};

pub(crate) use self::recoding::{
    packets_are_combined_where_they_lie, what_cannot_be_recoded_is_refused,
};

/// Lengths around what backends may treat apart, in bytes.
const LENGTHS: [usize; 9] = [
    0,
    1,
    511,
    512,
    1100,
    64 * 1024 - 1,
    64 * 1024,
    64 * 1024 + 1,
    1024 * 1024,
];
/// One that is short and one that is long everywhere, in bytes.
const SHORT_AND_LONG: [usize; 2] = [1100, 100_000];

/// Opens a backend again where the given one was.
pub(crate) type Reopen = Box<dyn Fn(Box<dyn Backend>) -> Box<dyn Backend> + Send + Sync>;

/// A backend to be tested: fresh, empty and not used by another test.
pub(crate) struct Subject {
    pub(crate) backend: Box<dyn Backend>,
    /// Asked for only if the backend is durable.
    pub(crate) reopen: Reopen,
}

/// Makes a test of each behaviour, with a subject from `$subject` each.
#[macro_export]
macro_rules! behaves {
    ($subject:path) => {
        $crate::behaves! { $subject:
            a_stored_fragment_reads_back,
            a_long_fragment_reads_back,
            a_range_is_read_exactly,
            a_range_outside_of_the_fragment_is_refused,
            a_name_keeps_its_first_body,
            the_same_put_again_is_well,
            a_body_that_is_too_long_is_refused,
            of_many_puts_of_one_name_one_wins,
            many_calls_at_once_do_not_mix_fragments_up,
            a_deleted_fragment_is_gone,
            what_is_not_there_is_not_found,
            odd_names_are_names,
            pages_hold_every_fragment_once_and_ascending,
            a_page_begins_behind_a_name_that_need_not_exist,
            an_empty_page_ends_a_listing,
            usage_counts_what_is_there,
            packets_are_combined_where_they_lie,
            what_cannot_be_recoded_is_refused,
            what_was_acknowledged_outlasts_the_process,
            any_order_of_calls_agrees_with_a_map,
        }
    };
    ($subject:path: $($behaviour:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                suite::$behaviour($subject()).await;
            }
        )*
    };
}

/// Shorthand for a name that is known to be one.
pub(crate) fn name(text: &str) -> FragmentName {
    FragmentName::new(text).unwrap()
}

/// A body that tells by its bytes where they belong.
pub(crate) fn body(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut body = Vec::with_capacity(length + 8);
    while body.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        body.extend((state ^ (state >> 29)).to_be_bytes());
    }
    body.truncate(length);
    body.into()
}

/// Everything that is listed, in pages of `limit`.
pub(crate) async fn list_all(backend: &dyn Backend, limit: usize) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let after = all.last().map(|last| last.name.clone());
        let page = backend.list(after.as_ref(), limit).await.unwrap();
        assert!(page.len() <= limit);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn counted(backend: &dyn Backend) -> (u64, u64) {
    let Usage {
        fragments, bytes, ..
    } = backend.usage().await.unwrap();
    (fragments, bytes)
}

pub(crate) async fn a_stored_fragment_reads_back(subject: Subject) {
    let backend = subject.backend;

    for (seed, length) in LENGTHS.into_iter().enumerate() {
        let name = name(&format!("f{seed}"));
        backend.put(&name, body(seed as u64, length)).await.unwrap();
        assert_eq!(backend.get(&name).await.unwrap(), body(seed as u64, length));
    }

    for (seed, length) in LENGTHS.into_iter().enumerate() {
        let name = name(&format!("f{seed}"));
        assert_eq!(backend.get(&name).await.unwrap(), body(seed as u64, length));
    }
}

pub(crate) async fn a_long_fragment_reads_back(subject: Subject) {
    let backend = subject.backend;
    let (name, body) = (name("long"), body(1, 16 * 1024 * 1024));

    backend.put(&name, body.clone()).await.unwrap();

    assert!(backend.get(&name).await.unwrap() == body);
    let end = body.len() as u64;
    let tail = backend.read(&name, end - 1000..end).await.unwrap();
    assert_eq!(tail, body[body.len() - 1000..]);
}

pub(crate) async fn a_range_is_read_exactly(subject: Subject) {
    let backend = subject.backend;
    for length in SHORT_AND_LONG {
        let (name, body) = (name(&format!("f{length}")), body(1, length));
        backend.put(&name, body.clone()).await.unwrap();

        let end = length as u64;
        for range in [0..end, 0..0, 0..1, 7..8, 500..1001, end - 1..end, end..end] {
            let read = backend.read(&name, range.clone()).await.unwrap();

            let expected = &body[range.start as usize..range.end as usize];
            assert_eq!(read, expected, "{range:?} of {length}");
        }
    }
}

pub(crate) async fn a_range_outside_of_the_fragment_is_refused(subject: Subject) {
    let backend = subject.backend;
    for length in [0, SHORT_AND_LONG[0], SHORT_AND_LONG[1]] {
        let name = name(&format!("f{length}"));
        backend.put(&name, body(1, length)).await.unwrap();

        let end = length as u64;
        let reversed = Range { start: 1, end: 0 };
        for range in [
            0..end + 1,
            end..end + 1,
            end + 1..end + 1,
            0..u64::MAX,
            reversed,
        ] {
            let refused = backend.read(&name, range.clone()).await;

            let expected = Err(BackendError::OutOfRange { length: end });
            assert_eq!(refused, expected, "{range:?} of {length}");
        }
    }
}

pub(crate) async fn a_name_keeps_its_first_body(subject: Subject) {
    let backend = subject.backend;
    for first in [0, SHORT_AND_LONG[0], SHORT_AND_LONG[1]] {
        let name = name(&format!("f{first}"));
        backend.put(&name, body(1, first)).await.unwrap();

        // Shorter, longer, and as long but different.
        for (seed, second) in [(1, 10), (1, 2000), (1, 200_000), (2, first.max(1))] {
            let refused = backend.put(&name, body(seed, second)).await;
            assert_eq!(refused, Err(BackendError::Exists), "{first}, {second}");
        }

        assert_eq!(backend.get(&name).await.unwrap(), body(1, first));
    }
}

pub(crate) async fn the_same_put_again_is_well(subject: Subject) {
    let backend = subject.backend;
    for length in LENGTHS {
        let name = name(&format!("f{length}"));
        for _ in 0..3 {
            backend.put(&name, body(1, length)).await.unwrap();
        }
    }

    let bytes = LENGTHS.into_iter().sum::<usize>() as u64;
    assert_eq!(counted(&*backend).await, (LENGTHS.len() as u64, bytes));
}

pub(crate) async fn a_body_that_is_too_long_is_refused(subject: Subject) {
    let backend = subject.backend;
    let bytes = FRAGMENT_BYTES_MAX + 1;

    let refused = backend
        .put(&name("f"), Bytes::from(vec![0; bytes as usize]))
        .await;

    assert_eq!(refused, Err(BackendError::TooLarge { bytes }));
    assert_eq!(backend.get(&name("f")).await, Err(BackendError::NotFound));
}

pub(crate) async fn of_many_puts_of_one_name_one_wins(subject: Subject) {
    let backend: Arc<dyn Backend> = subject.backend.into();
    for round in 0..8 {
        let name = name(&format!("f{round}"));
        // Half of them short and half of them long.
        let bodies: Vec<_> = (0..16)
            .map(|seed| body(seed, SHORT_AND_LONG[seed as usize % 2]))
            .collect();

        let mut puts = tokio::task::JoinSet::new();
        for body in bodies {
            let (backend, name) = (backend.clone(), name.clone());
            puts.spawn(async move { (backend.put(&name, body.clone()).await, body) });
        }
        let mut won = Vec::new();
        for (put, body) in puts.join_all().await {
            match put {
                Ok(()) => won.push(body),
                Err(error) => assert_eq!(error, BackendError::Exists),
            }
        }

        assert_eq!(won, [backend.get(&name).await.unwrap()]);
    }
}

pub(crate) async fn many_calls_at_once_do_not_mix_fragments_up(subject: Subject) {
    let backend: Arc<dyn Backend> = subject.backend.into();

    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32_u64 {
        let backend = backend.clone();
        tasks.spawn(async move {
            for round in 0..10 {
                let seed = task * 100 + round;
                let (name, body) = (name(&format!("f{seed}")), body(seed, seed as usize * 37));
                backend.put(&name, body.clone()).await.unwrap();
                assert_eq!(backend.get(&name).await.unwrap(), body);
                if round % 3 == 0 {
                    assert!(backend.delete(&name).await.unwrap());
                }
            }
        });
    }
    tasks.join_all().await;

    assert_eq!(list_all(&*backend, 1000).await.len(), 32 * 6);
}

pub(crate) async fn a_deleted_fragment_is_gone(subject: Subject) {
    let backend = subject.backend;
    for length in [0, SHORT_AND_LONG[0], SHORT_AND_LONG[1]] {
        let name = name(&format!("f{length}"));
        backend.put(&name, body(1, length)).await.unwrap();

        assert!(backend.delete(&name).await.unwrap());

        assert_eq!(backend.get(&name).await, Err(BackendError::NotFound));
        assert_eq!(backend.read(&name, 0..0).await, Err(BackendError::NotFound));
        assert!(!backend.delete(&name).await.unwrap());
        assert_eq!(list_all(&*backend, 10).await, []);
        assert_eq!(counted(&*backend).await, (0, 0));
    }
}

pub(crate) async fn what_is_not_there_is_not_found(subject: Subject) {
    let backend = subject.backend;
    backend.put(&name("abcd1"), body(1, 10)).await.unwrap();

    for absent in ["a", "abcd", "abcd11", "zzzz"].map(name) {
        assert_eq!(backend.get(&absent).await, Err(BackendError::NotFound));
        let read = backend.read(&absent, 0..1).await;
        assert_eq!(read, Err(BackendError::NotFound));
        assert!(!backend.delete(&absent).await.unwrap());
    }
}

pub(crate) async fn odd_names_are_names(subject: Subject) {
    let backend = subject.backend;
    let longest = "z".repeat(100);
    let names = [
        "0", "a", "a-", "a.", "a..", "a...", "ab", "ab..", "ab....", "ab-", "abc", "abc.", "abcd",
        "abcd.", "abcd..", "abcde", "b", "con", "con.txt", "tmp", "z", &longest,
    ]
    .map(name);
    for length in SHORT_AND_LONG {
        for (seed, name) in names.iter().enumerate() {
            backend.put(name, body(seed as u64, length)).await.unwrap();
        }

        for (seed, name) in names.iter().enumerate() {
            assert_eq!(backend.get(name).await.unwrap(), body(seed as u64, length));
        }
        let mut expected = names.to_vec();
        expected.sort_unstable();
        let listed = list_all(&*backend, 3).await;
        assert!(listed.iter().map(|one| &one.name).eq(&expected));

        for name in &names {
            assert!(backend.delete(name).await.unwrap());
        }
    }
}

pub(crate) async fn pages_hold_every_fragment_once_and_ascending(subject: Subject) {
    let backend = subject.backend;
    let mut expected = BTreeMap::new();
    for seed in 0..60_u64 {
        // Scattered over the names, short and long ones in turn.
        let text = format!("{:08x}", (seed as u32).wrapping_mul(2_654_435_761));
        let length = SHORT_AND_LONG[seed as usize % 2] + seed as usize;
        backend.put(&name(&text), body(seed, length)).await.unwrap();
        expected.insert(name(&text), length as u64);
    }
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, bytes)| Listed { name, bytes })
        .collect();

    for limit in [1, 7, 60, 1000, usize::MAX] {
        assert_eq!(list_all(&*backend, limit).await, expected, "{limit}");
    }
}

pub(crate) async fn a_page_begins_behind_a_name_that_need_not_exist(subject: Subject) {
    let backend = subject.backend;
    for (text, length) in [
        ("b", 1),
        ("bb", 100_000),
        ("d0d0d0", 1),
        ("d0d1d0", 100_000),
    ] {
        backend.put(&name(text), body(1, length)).await.unwrap();
    }

    for (after, first) in [
        ("a", "b"),
        ("b", "bb"),
        ("ba", "bb"),
        ("bb", "d0d0d0"),
        ("c", "d0d0d0"),
        ("d0d0", "d0d0d0"),
        ("d0d0d0", "d0d1d0"),
        ("d0d0zz", "d0d1d0"),
    ] {
        let page = backend.list(Some(&name(after)), 1).await.unwrap();
        assert_eq!(page[0].name.as_str(), first, "after {after}");
    }
}

pub(crate) async fn an_empty_page_ends_a_listing(subject: Subject) {
    let backend = subject.backend;
    assert_eq!(backend.list(None, LIST_MAX).await.unwrap(), []);

    backend.put(&name("f"), body(1, 1)).await.unwrap();

    assert_eq!(backend.list(None, 0).await.unwrap(), []);
    assert_eq!(backend.list(Some(&name("f")), 10).await.unwrap(), []);
}

pub(crate) async fn usage_counts_what_is_there(subject: Subject) {
    let backend = subject.backend;
    assert_eq!(counted(&*backend).await, (0, 0));

    for (seed, length) in SHORT_AND_LONG.into_iter().enumerate() {
        let name = name(&format!("f{seed}"));
        backend.put(&name, body(1, length)).await.unwrap();
    }
    assert_eq!(counted(&*backend).await, (2, 101_100));

    backend.delete(&name("f0")).await.unwrap();
    backend.delete(&name("f0")).await.unwrap();
    assert_eq!(counted(&*backend).await, (1, 100_000));
}

pub(crate) async fn what_was_acknowledged_outlasts_the_process(subject: Subject) {
    let mut backend = subject.backend;
    if !backend.describe().await.unwrap().durable {
        return;
    }
    let description = backend.describe().await.unwrap();
    for (seed, length) in LENGTHS.into_iter().enumerate() {
        for text in [format!("kept{seed}"), format!("gone{seed}")] {
            backend
                .put(&name(&text), body(seed as u64, length))
                .await
                .unwrap();
        }
    }
    for seed in 0..LENGTHS.len() {
        backend.delete(&name(&format!("gone{seed}"))).await.unwrap();
    }

    for _ in 0..2 {
        backend = (subject.reopen)(backend);

        assert_eq!(backend.describe().await.unwrap(), description);
        let bytes = LENGTHS.into_iter().sum::<usize>() as u64;
        assert_eq!(counted(&*backend).await, (LENGTHS.len() as u64, bytes));
        for (seed, length) in LENGTHS.into_iter().enumerate() {
            let (kept, gone) = (name(&format!("kept{seed}")), name(&format!("gone{seed}")));
            assert_eq!(backend.get(&kept).await.unwrap(), body(seed as u64, length));
            assert_eq!(backend.get(&gone).await, Err(BackendError::NotFound));
        }
    }
}

pub(crate) async fn any_order_of_calls_agrees_with_a_map(subject: Subject) {
    let mut backend = subject.backend;
    let mut model: BTreeMap<FragmentName, Bytes> = BTreeMap::new();
    let is_durable = backend.describe().await.unwrap().durable;
    let mut draws = body(7, 4 * 600).into_iter();
    let mut draw = |below: usize| draws.next().map(|byte| byte as usize % below);

    while let (Some(call), Some(at), Some(size)) = (draw(12), draw(10), draw(6)) {
        let name = name(&format!("{at}{at}{at}.{at}"));
        match call {
            0..=3 => {
                let body = body(size as u64, [0, 3, 600, 5000, 65_536, 70_000][size]);
                let expected = match model.get(&name) {
                    Some(there) if *there == body => Ok(()),
                    Some(_) => Err(BackendError::Exists),
                    None => Ok(()),
                };
                if expected.is_ok() {
                    model.insert(name.clone(), body.clone());
                }
                assert_eq!(backend.put(&name, body).await, expected);
            }
            4..=6 => {
                let expected = model.get(&name).cloned().ok_or(BackendError::NotFound);
                assert_eq!(backend.get(&name).await, expected);
            }
            7..=9 => {
                let expected = model.remove(&name).is_some();
                assert_eq!(backend.delete(&name).await, Ok(expected));
            }
            10 if at == 0 && is_durable => {
                backend = (subject.reopen)(backend);
            }
            _ => {
                let listed = backend.list(Some(&name), size).await.unwrap();
                let above = model.range((Bound::Excluded(name), Bound::Unbounded));
                let expected = above.take(size).map(|(name, body)| Listed {
                    name: name.clone(),
                    bytes: body.len() as u64,
                });
                assert!(listed.into_iter().eq(expected));
            }
        }
        let bytes = model.values().map(|body| body.len() as u64).sum();
        assert_eq!(counted(&*backend).await, (model.len() as u64, bytes));
    }
}
