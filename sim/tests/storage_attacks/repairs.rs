//! Repairs at the coder's door: what is lost comes back as it was, and nothing is made of what is not authentic.

use bytes::Bytes;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_sim::storage::World;

use crate::door::{VERSION, seal};
use crate::{content, world};

/// A sealed segment: its record, and its fragments in the order of their indexes.
pub(crate) struct Stored {
    pub(crate) datastore: coder::Datastore,
    pub(crate) record: Bytes,
    pub(crate) header_bytes: usize,
    pub(crate) fragments: Vec<Bytes>,
}

impl Stored {
    pub(crate) async fn new(world: &World, content: &[u8], code: (u32, u32, u32, u32)) -> Self {
        let datastore = world.datastore("data").await.unwrap();
        let sealed = seal(world, &world.session(), &datastore, content, code);
        let Reply::SegmentSealed(made) = sealed.reply else {
            panic!("{:?}", sealed.reply);
        };
        let (header, whole) = (made.header_bytes as usize, made.fragment_bytes as usize);
        let total = code.2 as usize;
        let fragments = (0..total).map(|index| match code.0 {
            // Copies have their pieces once.
            1 => {
                let own = &sealed.bulk[index * header..(index + 1) * header];
                [own, &sealed.bulk[total * header..]].concat().into()
            }
            _ => sealed.bulk.slice(index * whole..(index + 1) * whole),
        });
        Self {
            datastore,
            record: made.record,
            header_bytes: header,
            fragments: fragments.collect(),
        }
    }

    pub(crate) fn call(
        &self,
        world: &World,
        of: &[usize],
        missing: &[usize],
    ) -> (coder::RepairSegment, Bytes) {
        let number = |it: usize| u32::try_from(it).unwrap();
        let each = of.iter().map(|&index| coder::FragmentPieces {
            index: number(index),
            header_bytes: number(self.header_bytes),
            piece_bytes: number(self.fragments[index].len() - self.header_bytes),
        });
        let call = coder::RepairSegment {
            tenant: Bytes::copy_from_slice(&world.client.tenant()),
            datastore: Some(self.datastore.clone()),
            version: Bytes::from_static(&VERSION),
            record: self.record.clone(),
            fragments: each.collect(),
            missing: missing.iter().copied().map(number).collect(),
            others: Vec::new(),
        };
        let bulk: Vec<&[u8]> = of.iter().map(|&index| &self.fragments[index][..]).collect();
        (call, bulk.concat().into())
    }
}

/// Hands a call in; what was made, or the indexes that are bad.
pub(crate) fn repair(
    world: &World,
    call: coder::RepairSegment,
    bulk: &[u8],
) -> Result<Bytes, Vec<u32>> {
    match world.door(Call::RepairSegment(call), bulk) {
        (Reply::SegmentRepaired(repaired), made) if repaired.bad.is_empty() => Ok(made),
        (Reply::SegmentRepaired(repaired), made) => {
            assert!(made.is_empty());
            Err(repaired.bad)
        }
        (other, _) => panic!("{other:?}"),
    }
}

/// A code's number, k, n and sub-packets.
const CODES: [(u32, u32, u32, u32); 7] = [
    (1, 1, 3, 1),
    (2, 4, 6, 1),
    (2, 1, 4, 1),
    (3, 4, 6, 3),
    (4, 4, 6, 3),
    (3, 4, 6, 1),
    (4, 4, 5, 2),
];

#[tokio::test]
async fn whatever_a_code_may_lose_is_made_again_byte_for_byte() {
    let world = world().await;
    for code in CODES {
        for bytes in [1, 100, (1 << 20) + 1, 3 << 20] {
            let stored = Stored::new(&world, &content(1, bytes), code).await;
            let (data, total) = (code.1 as usize, code.2 as usize);
            for first in 0..total {
                // k in a row from `first` on, around the end.
                let mut left: Vec<usize> = (first..first + data).map(|it| it % total).collect();
                let lost: Vec<usize> = (0..total).filter(|it| !left.contains(it)).collect();
                left.reverse();

                let (call, bulk) = stored.call(&world, &left, &lost);
                let made = repair(&world, call, &bulk).unwrap();

                let expected: Vec<&[u8]> =
                    lost.iter().map(|&it| &stored.fragments[it][..]).collect();
                assert!(
                    made == expected.concat(),
                    "{code:?}, {bytes} bytes: {lost:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_fragment_with_any_bit_changed_is_named_and_nothing_is_made() {
    let world = world().await;
    let mut stored = Stored::new(&world, &content(1, 3000), (2, 4, 6, 1)).await;
    let whole = stored.fragments[1].clone();
    for at in 0..whole.len() {
        let mut changed = whole.to_vec();
        changed[at] ^= 1 << (at % 8);
        stored.fragments[1] = changed.into();

        let (call, bulk) = stored.call(&world, &[0, 1, 2, 3], &[4]);

        assert_eq!(repair(&world, call, &bulk), Err(vec![1]), "byte {at}");
    }
}

#[tokio::test]
async fn a_fragment_of_another_segment_or_index_is_named() {
    let world = world().await;
    let mut stored = Stored::new(&world, &content(1, 3000), (2, 4, 6, 1)).await;
    let other = Stored::new(&world, &content(2, 3000), (2, 4, 6, 1)).await;
    let (call, bulk) = stored.call(&world, &[0, 1, 2, 3], &[]);
    assert!(repair(&world, call, &bulk).unwrap().is_empty());

    let own = std::mem::replace(&mut stored.fragments[2], other.fragments[2].clone());
    let (call, bulk) = stored.call(&world, &[0, 1, 2, 3], &[4, 5]);
    assert_eq!(repair(&world, call, &bulk), Err(vec![2]));

    stored.fragments[2] = own;
    stored.fragments.swap(3, 4);
    let (call, bulk) = stored.call(&world, &[0, 1, 2, 3], &[5]);
    assert_eq!(repair(&world, call, &bulk), Err(vec![3]));
}

#[tokio::test]
async fn more_than_a_reply_can_carry_is_refused() {
    let world = world().await;
    let stored = Stored::new(&world, &content(1, 8 << 20), (1, 1, 30, 1)).await;
    let lost: Vec<usize> = (1..30).collect();

    let (call, bulk) = stored.call(&world, &[0], &lost[..20]);
    assert!(repair(&world, call, &bulk).is_ok());
    let (call, bulk) = stored.call(&world, &[0], &lost);
    let reply = world.door(Call::RepairSegment(call), &bulk).0;

    assert!(matches!(reply, Reply::Refusal(_)), "{reply:?}");
}

#[tokio::test]
async fn what_cannot_be_repaired_or_is_asked_for_wrongly_is_refused() {
    let world = world().await;
    let stored = Stored::new(&world, &content(1, 3000), (2, 4, 6, 1)).await;
    let other = Stored::new(&world, &content(2, 3000), (2, 4, 6, 1)).await;
    type Change<'c> = &'c dyn Fn(&mut coder::RepairSegment);
    let changes: [(&str, Change<'_>); 9] = [
        ("another version", &|call| {
            call.version = Bytes::from_static(&[8; 16])
        }),
        ("no version", &|call| call.version = Bytes::new()),
        ("another record", &|call| call.record = other.record.clone()),
        ("a record cut short", &|call| {
            call.record = call.record.slice(1..)
        }),
        ("another tenant", &|call| {
            call.tenant = Bytes::from_static(&[1; 32])
        }),
        ("no datastore", &|call| call.datastore = None),
        ("an index beyond", &|call| call.missing = vec![6]),
        ("one index twice", &|call| call.missing = vec![4, 4]),
        ("a length beyond", &|call| {
            call.fragments[3].piece_bytes = u32::MAX
        }),
    ];
    for (what, change) in changes {
        let (mut call, bulk) = stored.call(&world, &[0, 1, 2, 3], &[4]);
        change(&mut call);
        match world.door(Call::RepairSegment(call), &bulk) {
            (Reply::Refusal(_), made) => assert!(made.is_empty()),
            // Fragments are not of the segment that the record is of.
            (Reply::SegmentRepaired(repaired), made) => {
                assert_eq!((what, repaired.bad.len()), ("another record", 4));
                assert!(made.is_empty());
            }
            (reply, _) => panic!("{what}: {reply:?}"),
        }
    }
    // More than are needed are no harm, and more than there are none.
    let (call, bulk) = stored.call(&world, &[5, 0, 1, 2, 3], &[4]);
    assert!(repair(&world, call, &bulk).unwrap() == stored.fragments[4]);
    let (call, bulk) = stored.call(&world, &[0, 1, 2, 3, 5, 5, 5], &[4]);
    let reply = world.door(Call::RepairSegment(call), &bulk).0;
    assert!(matches!(reply, Reply::Refusal(_)), "{reply:?}");
    let (call, bulk) = stored.call(&world, &[0, 1, 2], &[4]);
    let reply = world.door(Call::RepairSegment(call), &bulk).0;
    assert!(matches!(reply, Reply::Refusal(_)), "{reply:?}");
}

/// What a host brings of a segment to have its headers judged.
fn held(stored: &Stored) -> coder::HeldHeaders {
    let headers = (0..).zip(&stored.fragments);
    coder::HeldHeaders {
        version: Bytes::from_static(&VERSION),
        record: stored.record.clone(),
        headers: headers
            .map(|(index, fragment)| coder::HeldHeader {
                index,
                header: fragment.slice(..stored.header_bytes),
            })
            .collect(),
    }
}

/// For each segment the indexes that are bad; none where its record is refused.
fn judge(
    world: &World,
    stored: &Stored,
    segments: Vec<coder::HeldHeaders>,
) -> Vec<Option<Vec<u32>>> {
    let call = coder::VerifyHeaders {
        tenant: Bytes::copy_from_slice(&world.client.tenant()),
        datastore: Some(stored.datastore.clone()),
        segments,
    };
    match world.door(Call::VerifyHeaders(call), &[]).0 {
        Reply::HeadersVerified(verified) => verified
            .segments
            .into_iter()
            .map(|it| (!it.refused).then_some(it.bad))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn headers_of_many_segments_are_judged_each_by_its_own_record() {
    let world = world().await;
    let first = Stored::new(&world, &content(1, 3000), (2, 4, 6, 1)).await;
    let other = Stored::new(&world, &content(2, 3000), (2, 4, 6, 1)).await;
    let coded = Stored::new(&world, &content(3, 90_000), (4, 4, 6, 2)).await;
    let whole = vec![held(&first), held(&other), held(&coded)];
    let good = vec![Some(vec![]); 3];
    assert_eq!(judge(&world, &first, whole.clone()), good);

    let mut mixed = whole.clone();
    // One of another segment, and one under another index.
    mixed[0].headers[2].header = other.fragments[2].slice(..other.header_bytes);
    mixed[2].headers[4].header = coded.fragments[5].slice(..coded.header_bytes);
    let judged = judge(&world, &first, mixed);
    assert_eq!(judged, [Some(vec![2]), Some(vec![]), Some(vec![4])]);

    // What is refused of one segment says nothing of the others.
    type Change<'c> = &'c dyn Fn(&mut coder::HeldHeaders);
    let changes: [Change<'_>; 6] = [
        &|held| held.version = Bytes::from_static(&[8; 16]),
        &|held| held.version = Bytes::new(),
        &|held| held.record = held.record.slice(1..),
        &|held| held.headers.reverse(),
        &|held| held.headers[5].index = 6,
        &|held| held.headers[1].index = 0,
    ];
    for change in changes {
        let mut altered = whole.clone();
        change(&mut altered[1]);
        let judged = judge(&world, &first, altered);
        assert_eq!(judged, [Some(vec![]), None, Some(vec![])]);
    }
    assert_eq!(judge(&world, &first, Vec::new()), []);
}

#[tokio::test]
async fn a_header_with_any_bit_changed_is_no_coders() {
    let world = world().await;
    let stored = Stored::new(&world, &content(1, 3000), (4, 4, 6, 2)).await;
    for bit in 0..8 * stored.header_bytes {
        let mut segment = held(&stored);
        let mut altered = segment.headers[3].header.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        segment.headers[3].header = altered.into();

        assert_eq!(
            judge(&world, &stored, vec![segment]),
            [Some(vec![3])],
            "bit {bit}"
        );
    }
}
