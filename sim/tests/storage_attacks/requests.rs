//! Requests on their way to the coder: altered, replayed, under other sessions.

use bytes::Bytes;
use sc_client::kv::{Condition, ListOptions, PutOptions};
use sc_proto::Message as _;
use sc_proto::coder;
use sc_proto::storage::operation::Operation as Kind;
use sc_proto::storage::{self, condition};
use sc_proto::store::problem::Code;
use sc_proto::store::{self, reply::Reply, request::Request};
use sc_sim::storage::{Direct, Tap, World};
use sc_transport::Frame;

use crate::{SMALL, code, content, make, put, read, world};

/// The coder's request in a frame.
pub(crate) fn request_of(frame: &Frame) -> Option<coder::Request> {
    match store::Request::decode(frame.head.clone()).ok()?.request? {
        Request::Operation(request) => Some(request),
        _ => None,
    }
}

/// What a frame asks for.
pub(crate) fn operation_of(frame: &Frame) -> Option<Kind> {
    let request = request_of(frame)?;
    storage::Operation::decode(request.operation)
        .ok()?
        .operation
}

/// The frame with another request in it.
fn with(frame: &Frame, change: impl FnOnce(&mut coder::Request)) -> Frame {
    let mut request = request_of(frame).unwrap();
    change(&mut request);
    let request = store::Request {
        request: Some(Request::Operation(request)),
    };
    Frame {
        head: request.encode_to_vec().into(),
        attachments: frame.attachments.clone(),
    }
}

/// The frame with another clear operation in it.
fn altered(frame: &Frame, change: impl FnOnce(&mut storage::Operation)) -> Frame {
    with(frame, |request| {
        let mut operation = storage::Operation::decode(request.operation.clone()).unwrap();
        change(&mut operation);
        request.operation = operation.encode_to_vec().into();
    })
}

/// Hands a frame to the store, as nobody's client.
async fn submit(world: &World, frame: Frame) -> Result<store::Done, Code> {
    let reply = world.store.answer(frame).await;
    match store::Reply::decode(reply.head).unwrap().reply.unwrap() {
        Reply::Done(done) => Ok(done),
        Reply::Problem(problem) => Err(problem.code()),
        other => panic!("another kind of answer: {other:?}"),
    }
}

fn when(condition: condition::Condition) -> Option<storage::Condition> {
    Some(storage::Condition {
        condition: Some(condition),
    })
}

/// A world with two objects in each of two datastores, and a client whose requests are seen.
async fn tapped() -> (World, Tap, sc_client::kv::KvClient) {
    let world = world().await;
    make(&world.client, "more", false).await;
    for (seed, datastore) in [(1, "data"), (2, "more")] {
        for (more, key) in [(0, "k"), (8, "l")] {
            let content = content(seed + more, SMALL);
            put(&world.client, (datastore, key), "cold", content).await;
        }
    }
    let tap = Tap::new(Direct(world.store.clone()));
    let client = world.client_over(tap.clone());
    (world, tap, client)
}

/// One way to change an operation.
type Change = fn(&mut Kind);

/// Each of the changes makes the request worthless, which is good as it is.
async fn no_change_is_taken(world: &World, frame: &Frame, changes: &[(&str, Change)]) {
    for (what, change) in changes {
        let changed = altered(frame, |operation| {
            let kind = operation.operation.as_mut().unwrap();
            let before = kind.clone();
            change(kind);
            assert_ne!(before, *kind, "{what}");
        });
        assert_eq!(
            submit(world, changed).await,
            Err(Code::NotAuthentic),
            "{what}"
        );
    }
}

/// A change of one field of one kind of operation.
macro_rules! change {
    ($kind:ident . $field:ident = $value:expr) => {
        (
            concat!(stringify!($kind), ".", stringify!($field)),
            (|kind| match kind {
                Kind::$kind(it) => it.$field = $value,
                other => panic!("another operation: {other:?}"),
            }) as Change,
        )
    };
}

#[tokio::test]
async fn what_a_get_asks_for_cannot_be_changed() {
    let (world, tap, client) = tapped().await;
    assert!(read(&client, ("data", "k"), None).await.unwrap() == content(1, SMALL));
    let (frame, _) = tap.last();
    let version = client.head("data", b"k", None).await.unwrap().version;
    let version = version[..].try_into().ok();
    read(&client, ("data", "k"), version).await.unwrap();
    let (of_version, _) = tap.last();

    no_change_is_taken(
        &world,
        &frame,
        &[
            change!(GetObject.datastore = "more".into()),
            change!(GetObject.key = Bytes::from_static(b"l")),
            change!(GetObject.offset = 10),
            change!(GetObject.length = 10),
        ],
    )
    .await;
    no_change_is_taken(
        &world,
        &of_version,
        &[change!(GetObject.version = Bytes::new())],
    )
    .await;
    assert!(submit(&world, frame).await.is_ok());
    assert!(submit(&world, of_version).await.is_ok());
}

#[tokio::test]
async fn what_a_put_asks_for_cannot_be_changed() {
    let (world, tap, client) = tapped().await;
    let condition = PutOptions {
        condition: Condition::Exists,
        policy: "hot".into(),
        ..PutOptions::default()
    };
    let stored = content(5, SMALL);
    client
        .put_bytes("data", b"k", &condition, stored)
        .await
        .unwrap();
    let (frame, _) = tap.last();

    no_change_is_taken(
        &world,
        &frame,
        &[
            change!(PutObject.version = Bytes::from_static(&[9; 16])),
            change!(PutObject.datastore = "more".into()),
            change!(PutObject.key = Bytes::from_static(b"new")),
            change!(PutObject.bytes = 4000),
            change!(PutObject.policy = "coded".into()),
            change!(PutObject.condition = None),
            change!(PutObject.condition = when(condition::Condition::Absent(true))),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_deletion_asks_for_cannot_be_changed() {
    let (world, tap, client) = tapped().await;
    let nothing = client.delete("data", b"none", None, Condition::None).await;
    assert_eq!(nothing.unwrap().version, None);
    let (frame, _) = tap.last();

    no_change_is_taken(
        &world,
        &frame,
        &[
            change!(DeleteObject.datastore = "more".into()),
            change!(DeleteObject.key = Bytes::from_static(b"k")),
            change!(DeleteObject.version = Bytes::from_static(&[9; 16])),
            change!(DeleteObject.marker = Bytes::from_static(&[9; 16])),
            change!(DeleteObject.condition = when(condition::Condition::Absent(true))),
        ],
    )
    .await;
    assert!(client.head("data", b"k", None).await.is_ok());
}

#[tokio::test]
async fn what_a_listing_asks_for_cannot_be_changed() {
    let (world, tap, client) = tapped().await;
    let options = ListOptions {
        prefix: b"k".to_vec(),
        limit: 10,
        ..ListOptions::default()
    };
    client.list("data", &options).await.unwrap();
    let (frame, _) = tap.last();

    no_change_is_taken(
        &world,
        &frame,
        &[
            change!(ListObjects.datastore = "more".into()),
            change!(ListObjects.prefix = Bytes::new()),
            change!(ListObjects.limit = 1),
            change!(ListObjects.versions = true),
        ],
    )
    .await;
    assert!(submit(&world, frame).await.is_ok());
}

#[tokio::test]
async fn the_blocks_of_a_put_are_those_that_were_sealed_for_it() {
    let (world, tap, client) = tapped().await;
    let options = PutOptions::default();
    let stored = content(5, (2 << 20) + 5);
    tap.alter_requests(|mut frame| {
        if matches!(operation_of(&frame), Some(Kind::PutObject(_))) {
            frame.attachments.swap(0, 1);
        }
        frame
    });
    let swapped = client.put_bytes("data", b"n", &options, stored.clone());
    assert_eq!(code(swapped.await), Some(Code::NotAuthentic));
    tap.alter_requests(|mut frame| {
        if matches!(operation_of(&frame), Some(Kind::PutObject(_))) {
            let mut block = frame.attachments[1].to_vec();
            block[100] ^= 1;
            frame.attachments[1] = block.into();
        }
        frame
    });
    let altered = client.put_bytes("data", b"n", &options, stored.clone());
    assert_eq!(code(altered.await), Some(Code::NotAuthentic));
    tap.alter_requests(|mut frame| {
        frame.attachments.pop();
        frame
    });
    let cut = client.put_bytes("data", b"n", &options, stored.clone());
    assert_eq!(code(cut.await), Some(Code::Malformed));

    assert_eq!(
        code(world.client.head("data", b"n", None).await),
        Some(Code::NotFound)
    );
    tap.leave_alone();
    client
        .put_bytes("data", b"n", &options, stored)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_put_that_is_replayed_names_a_version_that_exists_or_is_gone() {
    let (world, tap, client) = tapped().await;
    put(&client, ("data", "n"), "cold", content(5, SMALL)).await;
    let (frame, _) = tap.last();

    assert_eq!(submit(&world, frame.clone()).await, Err(Code::Exists));
    put(&client, ("data", "n"), "cold", content(6, SMALL)).await;
    assert_eq!(submit(&world, frame.clone()).await, Err(Code::Exists));
    assert!(read(&client, ("data", "n"), None).await.unwrap() == content(6, SMALL));
    client
        .delete("data", b"n", None, Condition::None)
        .await
        .unwrap();
    assert_eq!(submit(&world, frame).await, Err(Code::Exists));
    assert_eq!(
        code(client.head("data", b"n", None).await),
        Some(Code::NotFound)
    );
}

#[tokio::test]
async fn a_commit_that_is_replayed_makes_nothing() {
    let (world, tap, client) = tapped().await;
    put(&client, ("data", "n"), "cold", content(5, (8 << 20) + 5)).await;
    let (frame, _) = tap.last();
    assert!(matches!(operation_of(&frame), Some(Kind::CommitObject(_))));

    assert_eq!(submit(&world, frame.clone()).await, Err(Code::Exists));
    client
        .delete("data", b"n", None, Condition::None)
        .await
        .unwrap();
    assert!(submit(&world, frame).await.is_err());
    assert_eq!(
        code(client.head("data", b"n", None).await),
        Some(Code::NotFound)
    );
}

#[tokio::test]
async fn a_deletion_that_is_replayed_deletes_nothing_that_came_after_it() {
    for versioning in [false, true] {
        let (world, tap, client) = tapped().await;
        make(&client, "own", versioning).await;
        put(&client, ("own", "n"), "cold", content(5, SMALL)).await;
        client
            .delete("own", b"n", None, Condition::None)
            .await
            .unwrap();
        let (frame, _) = tap.last();
        assert_eq!(
            code(client.head("own", b"n", None).await),
            Some(Code::NotFound)
        );
        put(&client, ("own", "n"), "cold", content(6, SMALL)).await;

        let _ = submit(&world, frame).await;

        assert!(read(&client, ("own", "n"), None).await.unwrap() == content(6, SMALL));
    }
}

#[tokio::test]
async fn a_request_is_good_in_its_own_session_alone() {
    let (world, tap, client) = tapped().await;
    client.head("data", b"k", None).await.unwrap();
    let (frame, _) = tap.last();
    let other = world.client_over(tap.clone());
    other.head("data", b"k", None).await.unwrap();
    let ticket = request_of(&tap.last().0).unwrap().ticket;

    let moved = with(&frame, |request| request.ticket = ticket);
    assert_eq!(submit(&world, moved).await, Err(Code::NotAuthentic));
    let renumbered = with(&frame, |request| request.number += 1);
    assert_eq!(submit(&world, renumbered).await, Err(Code::NotAuthentic));
    assert!(submit(&world, frame).await.is_ok());
}

#[tokio::test]
async fn a_ticket_is_good_with_its_own_tenant_alone() {
    let (world, tap, client) = tapped().await;
    let tenant = world.another_tenant(7).await;
    make(&tenant.client, "data", false).await;
    put(&tenant.client, ("data", "k"), "cold", content(3, SMALL)).await;
    client.head("data", b"k", None).await.unwrap();
    let (frame, _) = tap.last();

    let of_other = altered(&frame, |operation| {
        operation.tenant = Bytes::copy_from_slice(&tenant.client.tenant());
    });
    assert_eq!(submit(&world, of_other).await, Err(Code::Session));
    assert!(submit(&world, frame).await.is_ok());
}

#[tokio::test]
async fn a_forged_ticket_opens_no_session() {
    let (world, tap, client) = tapped().await;
    client.head("data", b"k", None).await.unwrap();
    let (frame, _) = tap.last();
    let ticket = request_of(&frame).unwrap().ticket;

    for at in 0..ticket.len() {
        let mut forged = ticket.to_vec();
        forged[at] ^= 1;
        let forged = with(&frame, |request| request.ticket = forged.into());
        assert_eq!(
            submit(&world, forged).await,
            Err(Code::Session),
            "byte {at}"
        );
        let cut = with(&frame, |request| request.ticket = ticket.slice(..at));
        assert_eq!(submit(&world, cut).await, Err(Code::Session), "{at} bytes");
    }
    assert!(submit(&world, frame).await.is_ok());
}
