//! The coder's door: whatever is handed in is answered, in bounded time and memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sc_proto::Message as _;
use sc_proto::coder::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_sim::Random;
use sc_sim::storage::{Session, World};

use crate::{content, world};

/// What a call may take; in a debug build, on a machine that does other things as well.
const TIME_MAX: Duration = Duration::from_secs(20);
/// What a reply may carry.
const BULK_MAX: usize = 200 << 20;

/// The version of what is sealed by hand.
pub(crate) const VERSION: [u8; 16] = [7; 16];

fn put_of(bytes: u32) -> Kind {
    Kind::PutObject(storage::PutObject {
        datastore: "data".into(),
        key: Bytes::from_static(b"k"),
        version: Bytes::from_static(&VERSION),
        bytes,
        ..storage::PutObject::default()
    })
}

/// What is made of a call and its bulk before a host hands them in.
type Change<'t> = dyn Fn(&mut coder::OpenObject, &mut Vec<u8>) + 't;

/// A segment sealed by hand, and what was said of it.
pub(crate) struct Sealed {
    request: coder::Request,
    pub(crate) reply: Reply,
    pub(crate) bulk: Bytes,
}

pub(crate) fn seal(
    world: &World,
    session: &Session,
    datastore: &coder::Datastore,
    content: &[u8],
    (code, data, total, subpackets): (u32, u32, u32, u32),
) -> Sealed {
    let length = u32::try_from(content.len()).unwrap();
    let (request, number) = session.request(put_of(length), &[]);
    let call = coder::SealSegment {
        request: Some(request.clone()),
        datastore: Some(datastore.clone()),
        redundancy: Some(coder::Redundancy {
            code,
            data,
            total,
            subpackets,
        }),
    };
    let blocks = session.blocks(number, content);
    let (reply, bulk) = world.door(Call::SealSegment(call), &blocks);
    Sealed {
        request,
        reply,
        bulk,
    }
}

#[tokio::test]
async fn any_redundancy_is_carried_out_or_refused_in_bounded_time_and_memory() {
    let world = world().await;
    let session = world.session();
    let datastore = world.datastore("data").await.unwrap();
    let large = content(1, 8 << 20);
    let small = content(1, 100);
    let mut sealed = 0;
    for redundancy in [
        (1, 1, 255, 1),
        (2, 1, 255, 1),
        (2, 128, 255, 1),
        (2, 254, 255, 1),
        (3, 15, 16, 16),
        (3, 2, 141, 1),
        (4, 2, 141, 1),
        (4, 5, 16, 16),
        (4, 6, 15, 16),
        (4, 10, 14, 16),
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (2, 0, 1, 1),
        (2, 200, 100, 1),
        (4, 255, 255, 16),
        (9, 1, 1, 1),
        (u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        (2, 256, 512, 1),
    ] {
        for content in [&small, &large] {
            let began = Instant::now();
            let made = seal(&world, &session, &datastore, content, redundancy);
            assert!(
                began.elapsed() < TIME_MAX,
                "{redundancy:?}: {:?}",
                began.elapsed()
            );
            assert!(made.bulk.len() <= BULK_MAX, "{redundancy:?}");
            match made.reply {
                Reply::SegmentSealed(_) => sealed += 1,
                Reply::Refusal(refusal) => assert!(
                    matches!(refusal.reason(), Reason::Malformed | Reason::Limit),
                    "{redundancy:?}: {refusal:?}"
                ),
                other => panic!("{redundancy:?}: {other:?}"),
            }
        }
    }
    assert!(sealed > 5);
}

#[tokio::test]
async fn a_length_that_its_blocks_do_not_have_is_refused() {
    let world = world().await;
    let session = world.session();
    let datastore = world.datastore("data").await.unwrap();
    for bytes in [0, 99, 101, 8 << 20, (8 << 20) + 1, u32::MAX] {
        let (request, number) = session.request(put_of(bytes), &[]);
        let call = coder::SealSegment {
            request: Some(request),
            datastore: Some(datastore.clone()),
            redundancy: Some(coder::Redundancy {
                code: 2,
                data: 4,
                total: 6,
                subpackets: 1,
            }),
        };
        let blocks = session.blocks(number, &content(1, 100));
        let reply = world.door(Call::SealSegment(call), &blocks).0;
        assert!(matches!(reply, Reply::Refusal(_)), "{bytes}: {reply:?}");
    }
}

#[tokio::test]
async fn an_opening_takes_no_more_than_it_is_handed() {
    let world = world().await;
    let session = world.session();
    let datastore = world.datastore("data").await.unwrap();
    let stored = content(1, 5000);
    let made = seal(&world, &session, &datastore, &stored, (2, 4, 6, 1));
    let Reply::SegmentSealed(segment) = made.reply else {
        panic!("a segment was refused: {:?}", made.reply);
    };
    let manifest = coder::SealManifest {
        request: Some(made.request),
        datastore: Some(datastore.clone()),
        number: 1,
        records: vec![segment.record.clone()],
        ..coder::SealManifest::default()
    };
    let Reply::ManifestSealed(manifest) = world.door(Call::SealManifest(manifest), &[]).0 else {
        panic!("a manifest was refused");
    };
    let get = Kind::GetObject(storage::GetObject {
        datastore: "data".into(),
        key: Bytes::from_static(b"k"),
        version: Bytes::new(),
        offset: 0,
        length: u64::MAX,
    });
    let (header, fragment) = (
        segment.header_bytes as usize,
        segment.fragment_bytes as usize,
    );
    let open = |change: &Change<'_>| {
        let (request, _) = session.request(get.clone(), &[]);
        let mut bulk = made.bulk[..4 * fragment].to_vec();
        let fragments = (0..4).map(|index| coder::FragmentPieces {
            index,
            header_bytes: header as u32,
            piece_bytes: (fragment - header) as u32,
        });
        let mut call = coder::OpenObject {
            request: Some(request),
            datastore: Some(datastore.clone()),
            version: Bytes::from_static(&[7; 16]),
            head: manifest.head.clone(),
            body: manifest.body.clone(),
            segments: vec![coder::SegmentPieces {
                position: 0,
                first_block: 0,
                blocks: 1,
                fragments: fragments.collect(),
            }],
        };
        change(&mut call, &mut bulk);
        let began = Instant::now();
        let (reply, bulk) = world.door(Call::OpenObject(call), &bulk);
        assert!(began.elapsed() < TIME_MAX);
        assert!(bulk.len() < 10_000);
        match reply {
            Reply::ObjectOpened(opened) if opened.bad.is_empty() => opened.chunks.len(),
            Reply::ObjectOpened(_) | Reply::Refusal(_) => 0,
            other => panic!("another reply: {other:?}"),
        }
    };

    assert_eq!(open(&|_, _| ()), 1);
    // More than are needed.
    let six: &Change<'_> = &|call, bulk| {
        *bulk = made.bulk.to_vec();
        let fragments = &mut call.segments[0].fragments;
        let other = fragments[0];
        fragments.extend([4, 5].map(|index| coder::FragmentPieces { index, ..other }));
    };
    assert_eq!(open(six), 1);
    let refused: [&Change<'_>; 14] = [
        &|call, _| call.segments[0].blocks = 0,
        &|call, _| call.segments[0].blocks = 2,
        &|call, _| call.segments[0].blocks = u32::MAX,
        &|call, _| call.segments[0].first_block = u32::MAX,
        &|call, _| call.segments[0].position = u32::MAX,
        &|call, _| call.segments[0].fragments[0].header_bytes = u32::MAX,
        &|call, _| call.segments[0].fragments[0].piece_bytes = u32::MAX,
        &|call, _| call.segments[0].fragments[0].index = 5,
        &|call, _| call.segments[0].fragments[0].index = u32::MAX,
        &|call, _| call.segments = vec![call.segments[0].clone(); 65],
        &|_, bulk| bulk.push(0),
        &|_, bulk| bulk.truncate(bulk.len() - 1),
        // The same fragment four times.
        &|call, bulk| {
            let one = bulk[..fragment].repeat(4);
            *bulk = one;
            let first = call.segments[0].fragments[0];
            call.segments[0].fragments.fill(first);
        },
        // Three of the four that are needed.
        &|call, bulk| {
            call.segments[0].fragments.pop();
            bulk.truncate(3 * fragment);
        },
    ];
    for (number, change) in refused.into_iter().enumerate() {
        assert_eq!(open(change), 0, "change {number}");
    }
}

/// Calls that a coder takes, and that a host may hand in altered.
async fn good_calls(world: &World) -> Vec<Vec<u8>> {
    let session = world.session();
    let datastore = Some(world.datastore("data").await.unwrap());
    let request = |kind: Kind| Some(session.request(kind, &[]).0);
    let list = Kind::ListObjects(storage::ListObjects {
        datastore: "data".into(),
        limit: 1,
        ..storage::ListObjects::default()
    });
    let record = Kind::PutRecord(storage::PutRecord {
        kind: "token".into(),
        id: "a".into(),
        only_if_absent: false,
    });
    let delete = Kind::DeleteObject(storage::DeleteObject {
        datastore: "data".into(),
        key: Bytes::from_static(b"k"),
        marker: Bytes::from_static(&[5; 16]),
        ..storage::DeleteObject::default()
    });
    let calls = [
        Call::Describe(coder::Describe {}),
        Call::Authorize(coder::Authorize {
            request: request(list.clone()),
        }),
        Call::OpenHeads(coder::OpenHeads {
            request: request(list),
            datastore: datastore.clone(),
            heads: Vec::new(),
        }),
        Call::SealRecord(coder::SealRecord {
            request: request(record),
        }),
        Call::SealMarker(coder::SealMarker {
            request: request(delete.clone()),
            datastore: datastore.clone(),
            number: 3,
            created_ms: 4,
        }),
        Call::SealRemoval(coder::SealRemoval {
            request: request(delete),
            datastore: datastore.clone(),
            number: 3,
        }),
        Call::SealManifest(coder::SealManifest {
            request: request(put_of(0)),
            datastore: datastore.clone(),
            number: 1,
            ..coder::SealManifest::default()
        }),
        Call::Rewrap(coder::Rewrap {
            tenant: Bytes::copy_from_slice(&world.client.tenant()),
            datastore,
        }),
    ];
    let messages = calls.into_iter().map(|call| {
        let mut message = Vec::new();
        let call = coder::Call { call: Some(call) };
        sc_coder::join(&mut message, &call.encode_to_vec());
        message
    });
    messages.collect()
}

fn answers(world: &World, message: Vec<u8>) -> Reply {
    let answer = world
        .program()
        .handle(message.into(), &mut |bytes| bytes.fill(7));
    let (_, head) = sc_coder::split(answer).expect("a coder answers with messages");
    let reply = coder::Reply::decode(head).expect("that decode");
    reply.reply.expect("and say something")
}

#[tokio::test]
async fn random_bytes_are_answered() {
    let world = world().await;
    let mut random = Random::new(1, "bytes at the door", 0);
    for _ in 0..4000 {
        let mut bytes = vec![0; random.below(400)];
        random.fill(&mut bytes);
        answers(&world, bytes.clone());
        // As the head of a message.
        let mut message = Vec::new();
        sc_coder::join(&mut message, &bytes);
        answers(&world, message);
    }
}

#[tokio::test]
async fn good_calls_that_were_altered_are_answered() {
    let world = world().await;
    let calls = good_calls(&world).await;
    for call in &calls {
        let reply = answers(&world, call.clone());
        assert!(!matches!(reply, Reply::Refusal(_)), "{reply:?}");
    }
    let mut random = Random::new(2, "bytes at the door", 0);
    for _ in 0..8000 {
        let mut message = random.pick(&calls).clone();
        for _ in 0..random.within(1..4) {
            let at = random.below(message.len());
            message[at] = random.draw() as u8;
        }
        if random.chance(200) {
            message.truncate(random.below(message.len()));
        }
        answers(&world, message);
    }
}
