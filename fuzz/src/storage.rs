//! Targets for the storage system: the doors of the coder and of the store, and what the host keeps for them.
//!
//! Invariant: an input that cannot change the system runs against one that the thread keeps; any other against one of its own.

use bytes::Bytes;
use sc_client::kv::{DatastoreOptions, PutOptions};
use sc_proto::Message as _;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store as message;
use sc_sim::storage::{Session, World, WorldSettings};
use sc_transport::Frame;
use tokio::runtime::Runtime;

use crate::pieces::Pieces;

/// Pieces of one input that are looked at, at most.
const PIECES_MAX: usize = 8;
/// What an answer to small inputs may carry.
const BULK_MAX: usize = 64 << 20;
/// The content of the one object.
const CONTENT: &[u8] = b"what is stored";
const VERSION: [u8; 16] = [7; 16];

/// A system with a datastore, and a session opened by hand.
struct System {
    runtime: Runtime,
    world: World,
    session: Session,
    datastore: coder::Datastore,
}

impl System {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without threads and sockets starts");
        let (world, datastore) = runtime.block_on(async {
            let world = World::new(WorldSettings::default()).await;
            let options = DatastoreOptions {
                policy: "cold".into(),
                indexed_tags: vec!["kind".into()],
                ..DatastoreOptions::default()
            };
            let made = world.client.create_datastore("data", &options).await;
            made.expect("a new system takes a datastore");
            let content = Bytes::from_static(CONTENT);
            let put = PutOptions::default();
            let put = world.client.put_bytes("data", b"k", &put, content).await;
            put.expect("and an object");
            let datastore = world.datastore("data").await;
            (world, datastore.expect("the datastore was made"))
        });
        Self {
            session: world.session(),
            runtime,
            world,
            datastore,
        }
    }
}

thread_local! {
    static KEPT: System = System::new();
    static STORED: Stored = KEPT.with(Stored::new);
}

/// Bytes at the coder's door.
///
/// # Panics
/// When they are not answered by a reply.
pub fn coder_call(bytes: &[u8]) {
    KEPT.with(|system| {
        let bytes = Bytes::copy_from_slice(bytes);
        let answer = system.world.program().handle(bytes, &mut |it| it.fill(7));
        let (bulk, head) = sc_coder::split(answer).expect("a coder answers with messages");
        let reply = coder::Reply::decode(head).ok().and_then(|it| it.reply);
        assert!(reply.is_some() && bulk.is_empty());
    });
}

/// A certified client's request of any operation and sealed part, handed to any call, with anything that the host may keep.
///
/// # Panics
/// When it is not answered by a reply, or by one of great length.
pub fn coder_request(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    let (Some(kind), Some(operation), Some(secret)) =
        (pieces.byte(), pieces.piece(), pieces.piece())
    else {
        return;
    };
    let more = std::iter::from_fn(|| pieces.piece()).take(PIECES_MAX);
    let more: Vec<Bytes> = more.map(Bytes::copy_from_slice).collect();
    KEPT.with(|system| {
        let operation = Bytes::copy_from_slice(operation);
        let (request, number) = system.session.request_of(operation, secret);
        let call = host_call(kind, request, system.datastore.clone(), &more);
        let bulk = match kind & 0x80 {
            0 => more.first().map(|it| it.to_vec()).unwrap_or_default(),
            _ => system
                .session
                .blocks(number, more.first().map_or(&[], |it| &it[..])),
        };
        let (_, bulk) = system.world.door(call, &bulk);
        assert!(bulk.len() <= BULK_MAX);
    });
}

/// A call that carries a client's request.
fn host_call(
    kind: u8,
    request: coder::Request,
    datastore: coder::Datastore,
    more: &[Bytes],
) -> Call {
    let piece = |at: usize| more.get(at).cloned().unwrap_or_default();
    let (request, datastore) = (Some(request), Some(datastore));
    match kind & 0x0f {
        0 => Call::Authorize(coder::Authorize { request }),
        1 => Call::MakeDatastore(coder::MakeDatastore { request }),
        2 => Call::SealSegment(coder::SealSegment {
            request,
            datastore,
            redundancy: Some(coder::Redundancy {
                code: 2,
                data: 4,
                total: 6,
                subpackets: 1,
            }),
        }),
        3 => Call::SealManifest(coder::SealManifest {
            request,
            datastore,
            number: 1,
            records: more.to_vec(),
            upload: piece(0),
            parts: more.to_vec(),
            ..coder::SealManifest::default()
        }),
        4 => Call::OpenObject(coder::OpenObject {
            request,
            datastore,
            version: piece(1),
            head: piece(2),
            body: piece(3),
            segments: coder::OpenObject::decode(piece(4))
                .map(|call| call.segments)
                .unwrap_or_default(),
        }),
        5 => Call::OpenHeads(coder::OpenHeads {
            request,
            datastore,
            heads: vec![coder::StoredHead {
                key: piece(1),
                version: piece(2),
                head: piece(3),
            }],
        }),
        6 => Call::SealMarker(coder::SealMarker {
            request,
            datastore,
            number: 1,
            created_ms: 1,
        }),
        7 => Call::SealRecord(coder::SealRecord { request }),
        8 => Call::OpenRecords(coder::OpenRecords {
            request,
            records: vec![coder::StoredRecord {
                id: String::from_utf8_lossy(&piece(1)).into_owned(),
                record: piece(2),
            }],
        }),
        9 => Call::BlindTag(coder::BlindTag { request, datastore }),
        10 => Call::SealPart(coder::SealPart {
            request,
            datastore,
            records: more.to_vec(),
        }),
        11 => Call::SealUpload(coder::SealUpload {
            request,
            datastore,
            created_ms: 1,
        }),
        _ => Call::SealRemoval(coder::SealRemoval {
            request,
            datastore,
            number: 1,
        }),
    }
}

/// What the host keeps of one object, as it was made.
#[derive(Clone)]
struct Stored {
    datastore: coder::Datastore,
    head: Bytes,
    body: Bytes,
    fragments: Vec<u8>,
    header_bytes: u32,
    fragment_bytes: u32,
}

impl Stored {
    fn new(system: &System) -> Self {
        let put = Kind::PutObject(storage::PutObject {
            datastore: "data".into(),
            key: Bytes::from_static(b"k"),
            version: Bytes::from_static(&VERSION),
            bytes: u32::try_from(CONTENT.len()).expect("the content is short"),
            ..storage::PutObject::default()
        });
        let (request, number) = system.session.request(put, &[]);
        let seal = coder::SealSegment {
            request: Some(request.clone()),
            datastore: Some(system.datastore.clone()),
            redundancy: Some(coder::Redundancy {
                code: 2,
                data: 2,
                total: 3,
                subpackets: 1,
            }),
        };
        let blocks = system.session.blocks(number, CONTENT);
        let (reply, fragments) = system.world.door(Call::SealSegment(seal), &blocks);
        let Reply::SegmentSealed(segment) = reply else {
            unreachable!("a good request is carried out");
        };
        let seal = coder::SealManifest {
            request: Some(request),
            datastore: Some(system.datastore.clone()),
            number: 1,
            records: vec![segment.record],
            ..coder::SealManifest::default()
        };
        let Reply::ManifestSealed(manifest) = system.world.door(Call::SealManifest(seal), &[]).0
        else {
            unreachable!("a good request is carried out");
        };
        let fragment_bytes = segment.fragment_bytes as usize;
        Self {
            datastore: system.datastore.clone(),
            head: manifest.head,
            body: manifest.body,
            fragments: fragments[..2 * fragment_bytes].to_vec(),
            header_bytes: segment.header_bytes,
            fragment_bytes: segment.fragment_bytes,
        }
    }

    /// What a read of the object gives; nothing where it is refused.
    fn read(&self, system: &System) -> Option<Vec<u8>> {
        let get = Kind::GetObject(storage::GetObject {
            datastore: "data".into(),
            key: Bytes::from_static(b"k"),
            version: Bytes::from_static(&VERSION),
            offset: 0,
            length: 1000,
        });
        let (request, number) = system.session.request(get, &[]);
        let fragments = (0..2).map(|index| coder::FragmentPieces {
            index,
            header_bytes: self.header_bytes,
            piece_bytes: self.fragment_bytes - self.header_bytes,
        });
        let call = coder::OpenObject {
            request: Some(request),
            datastore: Some(self.datastore.clone()),
            version: Bytes::from_static(&VERSION),
            head: self.head.clone(),
            body: self.body.clone(),
            segments: vec![coder::SegmentPieces {
                position: 0,
                first_block: 0,
                blocks: 1,
                fragments: fragments.collect(),
            }],
        };
        let (reply, bulk) = system.world.door(Call::OpenObject(call), &self.fragments);
        let Reply::ObjectOpened(opened) = reply else {
            return None;
        };
        let sealed = opened.sealed.filter(|_| opened.bad.is_empty())?;
        let key = system.session.reply(number, &sealed);
        let mut plain = Vec::new();
        let opened = key.open_chunk(0, 0, &bulk, &mut plain);
        opened.expect("a coder seals what it opens for whoever asked");
        Some(plain)
    }
}

/// What the host keeps of an object, altered in any way: datastore, head, body and fragments, bytes changed or replaced.
///
/// # Panics
/// When a read of it gives anything but what was stored, or is refused though nothing was altered.
pub fn stored_object(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    KEPT.with(|system| {
        let good = STORED.with(Stored::clone);
        let mut altered = good.clone();
        while let (Some(field), Some(piece)) = (pieces.byte(), pieces.piece()) {
            match field % 4 {
                0 => alter(&mut altered.datastore.wrapped_key, field, piece),
                1 => alter(&mut altered.head, field, piece),
                2 => alter(&mut altered.body, field, piece),
                _ => {
                    let mut fragments = Bytes::from(std::mem::take(&mut altered.fragments));
                    alter(&mut fragments, field, piece);
                    altered.fragments = fragments.to_vec();
                }
            }
        }
        let is_as_it_was = altered.datastore == good.datastore
            && (&altered.head, &altered.body) == (&good.head, &good.body)
            && altered.fragments == good.fragments;
        let read = altered.read(system);
        assert_eq!(read.is_some(), is_as_it_was);
        assert!(read.is_none_or(|read| read == CONTENT));
    });
}

/// Replaces a field, or changes bytes of it: the piece is where, and what is laid over them.
fn alter(field: &mut Bytes, how: u8, piece: &[u8]) {
    if how & 0x80 != 0 {
        *field = Bytes::copy_from_slice(piece);
        return;
    }
    let Some((at, over)) = piece.split_first_chunk::<2>() else {
        return;
    };
    let mut bytes = field.to_vec();
    let at = usize::from(u16::from_le_bytes(*at)) % bytes.len().max(1);
    for (byte, over) in bytes[at..].iter_mut().zip(over) {
        *byte ^= over;
    }
    *field = bytes.into();
}

fn answer(system: &System, head: Bytes, attachments: Vec<Bytes>) -> message::reply::Reply {
    let frame = Frame { head, attachments };
    let reply = system.runtime.block_on(system.world.store.answer(frame));
    let decoded = message::Reply::decode(reply.head).ok();
    let said = decoded.and_then(|reply| reply.reply);
    said.expect("a store answers every request")
}

/// A frame from anybody, with its attachments.
///
/// # Panics
/// When the store does not answer, or does what no certified client has asked for.
pub fn store_frame(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    let head = pieces.piece().unwrap_or_default();
    let attachments = std::iter::from_fn(|| pieces.piece()).take(PIECES_MAX);
    let attachments = attachments.map(Bytes::copy_from_slice).collect();
    KEPT.with(|system| {
        let said = answer(system, Bytes::copy_from_slice(head), attachments);
        assert!(!matches!(said, message::reply::Reply::Done(_)), "{said:?}");
    });
}

/// An operation of a certified client, of any content, with any sealed part and blocks.
///
/// # Panics
/// When the store does not answer, or has lost what was stored before.
pub fn store_operation(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    let (Some(operation), Some(secret)) = (pieces.piece(), pieces.piece()) else {
        return;
    };
    let content = pieces.piece().unwrap_or_default();
    let system = System::new();
    let operation = Bytes::copy_from_slice(operation);
    let may_remove = may_remove(&operation);
    let (request, number) = system.session.request_of(operation, secret);
    let blocks = match content.is_empty() {
        true => Vec::new(),
        false => vec![system.session.blocks(number, content).into()],
    };
    let request = message::Request {
        request: Some(message::request::Request::Operation(request)),
    };
    answer(&system, request.encode_to_vec().into(), blocks);
    let head = system.world.client.head("data", b"k", None);
    let head = system.runtime.block_on(head);
    assert!(may_remove || head.is_ok(), "{head:?}");
}

/// Whether an operation may take away or replace the object that is there.
fn may_remove(operation: &Bytes) -> bool {
    let decoded = storage::Operation::decode(operation.clone());
    let kind = decoded.ok().and_then(|it| it.operation);
    matches!(
        kind,
        Some(Kind::DeleteObject(_) | Kind::PutObject(_) | Kind::PutLocation(_))
    )
}
