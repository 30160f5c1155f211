//! Replies on their way to the client: of other requests, altered, shortened, reordered, or the host's own.

use std::sync::Arc;

use bytes::Bytes;
use sc_client::kv::{
    Condition, DatastoreOptions, KvClient, KvError, ListOptions, Metadata, PutOptions,
};
use sc_proto::store::{self, reply::Reply};
use sc_proto::{Message as _, coder};
use sc_sim::storage::{Direct, Tap, World};
use sc_transport::Frame;

use crate::requests::request_of;
use crate::{content, put, read, world};

/// Content of two blocks.
const LARGE: usize = (3 << 19) + 5;

fn is_not_authentic<T>(result: Result<T, KvError>) -> bool {
    matches!(result, Err(KvError::NotAuthentic))
}

fn is_malformed<T>(result: Result<T, KvError>) -> bool {
    matches!(result, Err(KvError::Malformed(_)))
}

/// The frame with another answer in it, if it carries one.
fn altered(frame: Frame, change: impl FnOnce(&mut store::Done, &mut Vec<Bytes>)) -> Frame {
    let reply = store::Reply::decode(frame.head.clone()).unwrap();
    let Some(Reply::Done(mut done)) = reply.reply else {
        return frame;
    };
    let mut attachments = frame.attachments;
    change(&mut done, &mut attachments);
    let reply = store::Reply {
        reply: Some(Reply::Done(done)),
    };
    Frame {
        head: reply.encode_to_vec().into(),
        attachments,
    }
}

/// A world with one large object, and a client whose replies pass somebody.
async fn tapped() -> (World, Tap, KvClient) {
    let world = world().await;
    put(&world.client, ("data", "k"), "cold", content(1, LARGE)).await;
    put(&world.client, ("data", "l"), "cold", content(2, LARGE)).await;
    let tap = Tap::new(Direct(world.store.clone()));
    let client = world.client_over(tap.clone());
    (world, tap, client)
}

async fn get(client: &KvClient) -> Result<Bytes, KvError> {
    read(client, ("data", "k"), None).await
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    let (_world, tap, client) = tapped().await;
    get(&client).await.unwrap();
    let (_, earlier) = tap.last();
    read(&client, ("data", "l"), None).await.unwrap();
    let (_, other) = tap.last();

    for stale in [earlier, other] {
        tap.alter_replies(move |_, _| stale.clone());
        assert!(is_not_authentic(get(&client).await));
        assert!(is_not_authentic(client.head("data", b"k", None).await));
        let options = PutOptions::default();
        let put = client.put_bytes("data", b"n", &options, content(3, 10));
        assert!(is_not_authentic(put.await));
        let deleted = client.delete("data", b"none", None, Condition::None);
        assert!(is_not_authentic(deleted.await));
    }
    tap.leave_alone();
    assert!(get(&client).await.unwrap() == content(1, LARGE));
}

#[tokio::test]
async fn what_no_coder_has_sealed_is_not_believed_even_where_it_says_nothing() {
    let (world, tap, client) = tapped().await;
    world
        .client
        .put_record("token", "one", b"content", false)
        .await
        .unwrap();
    let list = ListOptions {
        limit: 10,
        ..ListOptions::default()
    };
    assert_eq!(client.list("data", &list).await.unwrap().heads.len(), 2);

    tap.alter_replies(|_, frame| {
        altered(frame, |done, attachments| {
            *done = store::Done::default();
            attachments.clear();
        })
    });

    assert!(is_not_authentic(client.list("data", &list).await));
    assert!(is_not_authentic(client.record("token", "one").await));
    assert!(is_not_authentic(client.head("data", b"k", None).await));
    assert!(is_not_authentic(get(&client).await));
    let deleted = client.delete("data", b"none", None, Condition::None);
    assert!(is_not_authentic(deleted.await));
    assert!(is_not_authentic(
        client.delete_record("token", "none").await
    ));
}

#[tokio::test]
async fn chunks_in_another_order_are_refused() {
    let (_world, tap, client) = tapped().await;
    tap.alter_replies(|_, frame| altered(frame, |_, attachments| attachments.reverse()));
    assert!(is_not_authentic(get(&client).await));
    tap.alter_replies(|_, frame| {
        altered(frame, |done, attachments| {
            attachments.reverse();
            done.chunks.reverse();
        })
    });
    assert!(is_not_authentic(get(&client).await));

    tap.leave_alone();
    assert!(get(&client).await.unwrap() == content(1, LARGE));
}

#[tokio::test]
async fn a_chunk_in_another_place_is_refused() {
    let (_world, tap, client) = tapped().await;
    for change in [1, 1 << 20, u64::MAX] {
        tap.alter_replies(move |_, frame| {
            altered(frame, |done, _| {
                if let Some(chunk) = done.chunks.last_mut() {
                    chunk.offset = chunk.offset.wrapping_add(change);
                }
            })
        });
        assert!(is_not_authentic(get(&client).await));
    }
    tap.alter_replies(|_, frame| {
        altered(frame, |done, _| {
            if let Some(chunk) = done.chunks.last_mut() {
                chunk.bytes -= 1;
            }
        })
    });
    assert!(is_malformed(get(&client).await));
}

#[tokio::test]
async fn an_altered_chunk_or_head_is_refused() {
    let (_world, tap, client) = tapped().await;
    for at in [0, 100, 1 << 20] {
        tap.alter_replies(move |_, frame| {
            altered(frame, |_, attachments| {
                if let Some(chunk) = attachments.first() {
                    let mut altered = chunk.to_vec();
                    altered[at] ^= 1;
                    attachments[0] = altered.into();
                }
            })
        });
        assert!(is_not_authentic(get(&client).await));
    }
    for of_salt in [true, false] {
        tap.alter_replies(move |_, frame| {
            altered(frame, |done, _| {
                let sealed = done.sealed.as_mut().unwrap();
                let field = match of_salt {
                    true => &mut sealed.salt,
                    false => &mut sealed.ciphertext,
                };
                let mut altered = field.to_vec();
                altered[7] ^= 1;
                *field = altered.into();
            })
        });
        assert!(is_not_authentic(client.head("data", b"k", None).await));
    }
}

#[tokio::test]
async fn content_that_is_cut_short_is_asked_for_again_or_missed() {
    let (_world, tap, client) = tapped().await;
    let cut = |done: &mut store::Done, attachments: &mut Vec<Bytes>| {
        done.chunks.pop();
        attachments.pop();
    };
    let mut is_first = true;
    tap.alter_replies(move |_, frame| match std::mem::take(&mut is_first) {
        true => altered(frame, cut),
        false => frame,
    });
    assert!(get(&client).await.unwrap() == content(1, LARGE));

    tap.alter_replies(move |_, frame| altered(frame, cut));
    assert!(is_malformed(get(&client).await));
}

#[tokio::test]
async fn what_the_host_says_of_a_segments_end_changes_nothing() {
    let (world, tap, client) = tapped().await;
    let large = content(3, (9 << 20) + 1);
    put(&world.client, ("data", "k"), "cold", large.clone()).await;
    for end in [0, 1, 1 << 19, u64::MAX] {
        tap.alter_replies(move |_, frame| altered(frame, |done, _| done.segment_bytes = end));

        assert!(get(&client).await.unwrap() == large, "{end}");
    }
}

/// A host that hands the coder something else than was asked for; what comes back is what the coder makes of it.
async fn answers_with(
    world: &World,
    tap: &Tap,
    client: &KvClient,
    change: impl Fn(&mut coder::OpenObject),
) -> Result<coder::ObjectOpened, coder::refusal::Reason> {
    client.head("data", b"k", None).await.unwrap();
    let request = request_of(&tap.last().0).unwrap();
    let datastore = named(client, world, "data").await;
    let key = Bytes::from_static(b"k");
    let current = world.catalog.current(datastore_id(&datastore), &key);
    let current = current.await.unwrap().unwrap();
    let mut call = coder::OpenObject {
        request: Some(request),
        datastore: Some(datastore),
        version: Bytes::copy_from_slice(&current.id.0),
        head: current.head,
        body: Bytes::new(),
        segments: Vec::new(),
    };
    change(&mut call);
    match world.door(coder::call::Call::OpenObject(call), &[]).0 {
        coder::reply::Reply::ObjectOpened(opened) => Ok(opened),
        coder::reply::Reply::Refusal(refusal) => Err(refusal.reason()),
        other => panic!("another reply: {other:?}"),
    }
}

#[tokio::test]
async fn a_host_cannot_have_another_object_opened_than_was_asked_for() {
    use coder::refusal::Reason;
    let (world, tap, client) = tapped().await;
    let datastore = datastore_id(&named(&client, &world, "data").await);
    let key = Bytes::from_static(b"l");
    let other = world.catalog.current(datastore, &key).await;
    let other = other.unwrap().unwrap();

    assert!(answers_with(&world, &tap, &client, |_| ()).await.is_ok());
    let its_head = |call: &mut coder::OpenObject| call.head = other.head.clone();
    assert_eq!(
        answers_with(&world, &tap, &client, its_head).await,
        Err(Reason::Stored)
    );
    let all_of_it = |call: &mut coder::OpenObject| {
        call.head = other.head.clone();
        call.version = Bytes::copy_from_slice(&other.id.0);
    };
    assert_eq!(
        answers_with(&world, &tap, &client, all_of_it).await,
        Err(Reason::Stored)
    );
    let elsewhere = |call: &mut coder::OpenObject| {
        call.datastore.as_mut().unwrap().name = "more".into();
    };
    assert_eq!(
        answers_with(&world, &tap, &client, elsewhere).await,
        Err(Reason::Stored)
    );
}

#[tokio::test]
async fn a_page_holds_what_was_asked_for_alone() {
    let (world, tap, client) = tapped().await;
    let datastore = named(&client, &world, "data").await;
    let world = Arc::new(world);
    let version = client.head("data", b"l", None).await.unwrap().version;
    let id = sc_metadata::VersionId(version[..].try_into().unwrap());
    let key = Bytes::from_static(b"l");
    let found = world.catalog.version(datastore_id(&datastore), &key, id);
    let other = coder::StoredHead {
        key: key.clone(),
        version,
        head: found.await.unwrap().unwrap().head,
    };
    let list = ListOptions {
        prefix: b"k".to_vec(),
        limit: 10,
        ..ListOptions::default()
    };
    assert_eq!(client.list("data", &list).await.unwrap().heads.len(), 1);
    assert!(client.stat("data", b"k", None).await.is_ok());

    let forger = Arc::clone(&world);
    tap.alter_replies(move |request, _| {
        let call = coder::OpenHeads {
            request: request_of(request),
            datastore: Some(datastore.clone()),
            heads: vec![other.clone()],
        };
        answer(&forger, call)
    });

    assert!(is_malformed(client.list("data", &list).await));
    assert!(is_malformed(client.stat("data", b"k", None).await));
    assert!(client.stat("data", b"l", None).await.is_ok());
}

#[tokio::test]
async fn a_search_finds_what_carries_the_tag_alone() {
    let world = world().await;
    let options = DatastoreOptions {
        policy: "cold".into(),
        indexed_tags: vec!["kind".into()],
        ..DatastoreOptions::default()
    };
    world
        .client
        .create_datastore("tagged", &options)
        .await
        .unwrap();
    let under = |value: &str| PutOptions {
        metadata: Metadata {
            tags: vec![("kind".into(), value.into())],
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    for (key, value) in [("a", "letter"), ("b", "bill")] {
        let (key, options) = (key.as_bytes(), under(value));
        let put = world
            .client
            .put_bytes("tagged", key, &options, content(1, 10));
        put.await.unwrap();
    }
    let tap = Tap::new(Direct(world.store.clone()));
    let client = world.client_over(tap.clone());
    let found = client.search("tagged", ("kind", "letter"), &[], 10).await;
    assert_eq!(found.unwrap().heads.len(), 1);

    // The host looks for the other tag instead.
    let host = world.client_over(Direct(world.store.clone()));
    let bills = host.search("tagged", ("kind", "bill"), &[], 10).await;
    let bill = bills.unwrap().heads.remove(0);
    let datastore = named(&client, &world, "tagged").await;
    let id = sc_metadata::VersionId(bill.version[..].try_into().unwrap());
    let found = world
        .catalog
        .version(datastore_id(&datastore), &bill.key, id);
    let stored = coder::StoredHead {
        key: bill.key.clone(),
        version: bill.version.clone(),
        head: found.await.unwrap().unwrap().head,
    };
    let forger = Arc::new(world);
    tap.alter_replies(move |request, _| {
        let call = coder::OpenHeads {
            request: request_of(request),
            datastore: Some(datastore.clone()),
            heads: vec![stored.clone()],
        };
        answer(&forger, call)
    });
    let refused = client.search("tagged", ("kind", "letter"), &[], 10).await;
    assert!(is_malformed(refused));
}

/// A host's answer with a page of its own choice.
fn answer(world: &World, call: coder::OpenHeads) -> Frame {
    let reply = world.door(coder::call::Call::OpenHeads(call), &[]).0;
    let coder::reply::Reply::Sealed(sealed) = reply else {
        panic!("the heads do not open: {reply:?}");
    };
    let done = store::Done {
        sealed: Some(sealed),
        ..Default::default()
    };
    let reply = store::Reply {
        reply: Some(Reply::Done(done)),
    };
    Frame::new(reply.encode_to_vec())
}

/// A datastore, as the coder takes it.
async fn named(client: &KvClient, world: &World, name: &str) -> coder::Datastore {
    let tenant = sc_metadata::TenantId(client.tenant());
    let found = world.catalog.datastore(tenant, name).await.unwrap();
    let found = found.unwrap();
    coder::Datastore {
        id: Bytes::copy_from_slice(&found.id.0),
        name: found.name,
        root_number: found.root_number,
        wrapped_key: found.wrapped_key,
    }
}

fn datastore_id(datastore: &coder::Datastore) -> sc_metadata::DatastoreId {
    sc_metadata::DatastoreId(datastore.id[..].try_into().unwrap())
}
