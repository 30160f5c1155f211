//! Operations drawn at random, as often as they are interesting.

use proptest::collection::vec;
use proptest::prelude::*;

/// Keys, versions and attempts are numbers, few enough that operations meet.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Begin {
        key: u8,
        version: u8,
        is_upload: bool,
        lease: u64,
    },
    Add {
        version: u8,
        part: u32,
        index: u32,
        attempt: u8,
    },
    Renew {
        version: u8,
        lease: u64,
    },
    PutPart {
        version: u8,
        part: u32,
        segments: Vec<(u32, u8)>,
    },
    Commit {
        version: u8,
        condition: Wish,
        size: u64,
        parts: Option<Vec<u32>>,
        tags: Vec<u8>,
    },
    Abandon {
        version: u8,
    },
    Expire {
        version: u8,
    },
    DeleteCurrent {
        key: u8,
        condition: Wish,
        marker: Option<u8>,
    },
    DeleteVersion {
        key: u8,
        version: u8,
    },
    SetFragments {
        version: u8,
        part: u32,
        index: u32,
        attempt: u8,
        count: usize,
    },
    Forget,
    Settle {
        version: u8,
    },
    Keep {
        versioning: bool,
    },
    Quota {
        bytes: Option<u64>,
    },
    Wait {
        ms: u64,
    },
}

/// A condition, with versions as numbers.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    None,
    IfAbsent,
    IfExists,
    IfCurrent(u8),
}

pub(crate) const KEYS: u8 = 3;
pub(crate) const VERSIONS: u8 = 10;
pub(crate) const TAGS: u8 = 2;

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        6 => Just(Wish::None),
        1 => Just(Wish::IfAbsent),
        1 => Just(Wish::IfExists),
        1 => (0..VERSIONS).prop_map(Wish::IfCurrent),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = 0..KEYS;
    let version = || 0..VERSIONS;
    let part = || 0..3_u32;
    let index = || 0..3_u32;
    let attempt = || 0..3_u8;
    prop_oneof![
        8 => (key.clone(), version(), any::<bool>(), 5..60_u64)
            .prop_map(|(key, version, is_upload, lease)| Operation::Begin { key, version, is_upload, lease }),
        8 => (version(), part(), index(), attempt())
            .prop_map(|(version, part, index, attempt)| Operation::Add { version, part, index, attempt }),
        1 => (version(), 1..60_u64).prop_map(|(version, lease)| Operation::Renew { version, lease }),
        5 => (version(), part(), vec((index(), attempt()), 0..3))
            .prop_map(|(version, part, mut segments)| {
                segments.dedup();
                Operation::PutPart { version, part, segments }
            }),
        10 => (version(), wish(), 0..200_u64, proptest::option::weighted(0.4, vec(1..3_u32, 0..3)), vec(0..TAGS, 0..2))
            .prop_map(|(version, condition, size, parts, tags)| {
                Operation::Commit { version, condition, size, parts, tags }
            }),
        1 => version().prop_map(|version| Operation::Abandon { version }),
        2 => version().prop_map(|version| Operation::Expire { version }),
        4 => (key.clone(), wish(), proptest::option::weighted(0.8, version()))
            .prop_map(|(key, condition, marker)| Operation::DeleteCurrent { key, condition, marker }),
        3 => (key, 0..2 * VERSIONS)
            .prop_map(|(key, version)| Operation::DeleteVersion { key, version }),
        2 => (version(), part(), index(), attempt(), 0..4_usize)
            .prop_map(|(version, part, index, attempt, count)| {
                Operation::SetFragments { version, part, index, attempt, count }
            }),
        1 => Just(Operation::Forget),
        1 => version().prop_map(|version| Operation::Settle { version }),
        1 => any::<bool>().prop_map(|versioning| Operation::Keep { versioning }),
        1 => proptest::option::of(0..600_u64).prop_map(|bytes| Operation::Quota { bytes }),
        3 => (1..20_u64).prop_map(|ms| Operation::Wait { ms }),
    ]
}

/// Operations that belong together, so that whole objects come to be, or a single one that may be in their way.
fn script() -> impl Strategy<Value = Vec<Operation>> {
    prop_oneof![
        6 => operation().prop_map(|operation| vec![operation]),
        2 => put(),
        2 => upload(),
    ]
}

/// What a run does, from a datastore's creation on.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(script(), 1..25).prop_map(|scripts| scripts.concat())
}

fn put() -> impl Strategy<Value = Vec<Operation>> {
    let segments = vec((0..3_u32, 0..3_u8), 1..5);
    (
        0..KEYS,
        0..VERSIONS,
        segments,
        wish(),
        0..200_u64,
        0..4_usize,
    )
        .prop_map(|(key, version, segments, condition, size, count)| {
            let (index, attempt) = segments[0];
            let begun = Operation::Begin {
                key,
                version,
                is_upload: false,
                lease: 30,
            };
            let added = segments.into_iter().map(|(index, attempt)| Operation::Add {
                version,
                part: 0,
                index,
                attempt,
            });
            let changed = Operation::SetFragments {
                version,
                part: 0,
                index,
                attempt,
                count,
            };
            let committed = Operation::Commit {
                version,
                condition,
                size,
                parts: None,
                tags: vec![version % TAGS],
            };
            let mut script = vec![begun];
            script.extend(added);
            script.extend([committed, changed]);
            script
        })
}

fn upload() -> impl Strategy<Value = Vec<Operation>> {
    let segments = vec((1..4_u32, 0..3_u32, 0..3_u8), 1..8);
    let chosen = proptest::sample::subsequence(vec![1, 2, 3], 1..=3);
    (0..KEYS, 0..VERSIONS, segments, chosen).prop_map(|(key, version, segments, chosen)| {
        let begun = Operation::Begin {
            key,
            version,
            is_upload: true,
            lease: 30,
        };
        let added = segments
            .iter()
            .map(|&(part, index, attempt)| Operation::Add {
                version,
                part,
                index,
                attempt,
            });
        // Every other segment is left out of its part.
        let put = (1..4).map(|part| Operation::PutPart {
            version,
            part,
            segments: segments
                .iter()
                .filter(|(of, index, attempt)| {
                    *of == part && (index + u32::from(*attempt)) % 2 == 0
                })
                .map(|&(_, index, attempt)| (index, attempt))
                .collect(),
        });
        let committed = Operation::Commit {
            version,
            condition: Wish::None,
            size: 0,
            parts: Some(chosen),
            tags: Vec::new(),
        };
        let mut script = vec![begun];
        script.extend(added);
        script.extend(put);
        script.push(committed);
        script
    })
}
