//! What is altered between the parts of an object and its commit.

use bytes::Bytes;
use rusqlite::types::Value;
use sc_client::kv::{Condition, KvError, Metadata, PutOptions, Receipt, Upload};
use sc_proto::Message as _;
use sc_proto::storage::operation::Operation as Kind;
use sc_proto::store::problem::Code;
use sc_sim::storage::{Direct, Tap, World};

use crate::requests::operation_of;
use crate::{Forger, SMALL, code, content, open_world, read};

const REFUSED: Option<Code> = Some(Code::NotAuthentic);

/// Two parts, the first of three segments.
async fn parts(world: &World) -> (Upload, Vec<(u32, String)>) {
    let client = &world.client;
    let upload = client
        .create_upload("data", b"big", "cold", &Metadata::default())
        .await
        .unwrap();
    let mut parts = Vec::new();
    for (part, bytes) in [(1, (8 << 20) + 5), (2, SMALL)] {
        let body = futures_util::stream::iter([Ok(content(part as u8, bytes))]);
        let receipt = client.put_part(&upload, part, "", Box::pin(body)).await;
        parts.push((part, receipt.unwrap().etag));
    }
    (upload, parts)
}

async fn complete(
    world: &World,
    upload: &Upload,
    parts: &[(u32, String)],
) -> Result<Receipt, KvError> {
    world
        .client
        .complete_upload(upload, parts, "", &Condition::None)
        .await
}

fn whole() -> Vec<u8> {
    [content(1, (8 << 20) + 5), content(2, SMALL)].concat()
}

/// Meddles with an upload's rows before its completion, which must be refused; and completes it when all is as it was.
async fn a_completion_is_refused(meddle: impl Fn(&Forger, &Upload)) {
    let (_folder, world, forger) = open_world().await;
    let (upload, parts) = parts(&world).await;
    let tables = ["segment", "part", "intent"];
    for table in tables {
        forger.run(&format!(
            "CREATE TABLE old_{table} AS SELECT * FROM {table}"
        ));
    }

    meddle(&forger, &upload);

    assert_eq!(code(complete(&world, &upload, &parts).await), REFUSED);
    for table in tables {
        forger.run(&format!(
            "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old_{table}"
        ));
    }
    complete(&world, &upload, &parts).await.unwrap();
    assert!(read(&world.client, ("data", "big"), None).await.unwrap() == whole());
}

/// The ids of an upload's segments, in order.
fn segments(forger: &Forger) -> Vec<Vec<u8>> {
    let sql = "SELECT id FROM segment WHERE position IS NOT NULL ORDER BY position";
    let mut statement = forger.0.prepare(sql).unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn segments_in_another_order_are_no_object() {
    a_completion_is_refused(|forger, _| {
        let ids = segments(forger);
        forger.swap(("segment", "position"), "id", &ids[0], &ids[1]);
    })
    .await;
}

#[tokio::test]
async fn records_of_other_segments_are_no_object() {
    a_completion_is_refused(|forger, _| {
        let ids = segments(forger);
        forger.swap(("segment", "record"), "id", &ids[0], &ids[1]);
    })
    .await;
}

#[tokio::test]
async fn a_segment_that_is_left_out_is_missed() {
    a_completion_is_refused(|forger, _| {
        let ids = segments(forger);
        forger
            .0
            .execute("DELETE FROM segment WHERE id = ?1", [&ids[1]])
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_record_that_was_cut_or_altered_is_no_segment() {
    for at in [0, 33, 41, 45, 60, 95] {
        a_completion_is_refused(|forger, _| {
            let ids = segments(forger);
            let place = ("segment", "record");
            let Value::Blob(mut record) = forger.value(place, "id", &ids[0]) else {
                panic!("a record is bytes");
            };
            if at == 60 {
                record.truncate(at);
            } else {
                record[at] ^= 1;
            }
            forger.set(place, "id", &ids[0], &Value::Blob(record));
        })
        .await;
    }
}

#[tokio::test]
async fn parts_in_another_order_are_no_object() {
    a_completion_is_refused(|forger, _| {
        forger.swap(("part", "record"), "number", &1, &2);
    })
    .await;
}

#[tokio::test]
async fn the_beginning_of_another_upload_is_refused() {
    let (_folder, world, forger) = open_world().await;
    let (upload, parts) = parts(&world).await;
    let other = world
        .client
        .create_upload("data", b"other", "cold", &Metadata::default())
        .await
        .unwrap();

    forger.swap(
        ("intent", "upload"),
        "version",
        &upload.version,
        &other.version,
    );

    assert_eq!(code(complete(&world, &upload, &parts).await), REFUSED);
}

/// Meddles with the rows of a large object after its segments were stored and before they are committed.
async fn a_commit_is_refused(meddle: impl Fn(&Forger) + Send + 'static) {
    let (folder, world, _) = open_world().await;
    let path = folder.path().join("catalogue");
    let tap = Tap::new(Direct(world.store.clone()));
    tap.alter_requests(move |frame| {
        if matches!(operation_of(&frame), Some(Kind::CommitObject(_))) {
            meddle(&Forger(rusqlite::Connection::open(&path).unwrap()));
        }
        frame
    });
    let client = world.client_over(tap.clone());
    let stored = content(1, (8 << 20) + 5);
    let options = PutOptions::default();

    let refused = client.put_bytes("data", b"k", &options, stored.clone());
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::UploadGone));
    // The coder's word, and none of the store's own.
    assert!(
        refused
            .to_string()
            .contains("are not those that were answered"),
        "{refused}"
    );

    let missing = world.client.head("data", b"k", None).await;
    assert_eq!(code(missing), Some(Code::NotFound));
    tap.leave_alone();
    let put = client.put_bytes("data", b"k", &options, stored.clone());
    put.await.unwrap();
    assert!(read(&client, ("data", "k"), None).await.unwrap() == stored);
}

#[tokio::test]
async fn an_object_is_committed_with_its_segments_in_order() {
    a_commit_is_refused(|forger| {
        let ids = segments(forger);
        forger.swap(("segment", "position"), "id", &ids[1], &ids[2]);
    })
    .await;
}

#[tokio::test]
async fn an_object_is_committed_with_all_its_segments() {
    a_commit_is_refused(|forger| {
        let ids = segments(forger);
        forger
            .0
            .execute("DELETE FROM segment WHERE id = ?1", [&ids[2]])
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_segment_of_another_object_is_not_committed() {
    let (_folder, world, _forger) = open_world().await;
    let tap = Tap::new(Direct(world.store.clone()));
    let client = world.client_over(tap.clone());
    let options = PutOptions::default();
    client
        .put_bytes("data", b"a", &options, content(1, SMALL))
        .await
        .unwrap();
    let (request, _) = tap.last();
    let Some(Kind::PutObject(put)) = operation_of(&request) else {
        panic!("a small object is put at once");
    };
    let request = sc_proto::store::Request::decode(request.head).unwrap();
    let Some(sc_proto::store::request::Request::Operation(request)) = request.request else {
        panic!("a put is an operation");
    };
    let datastore = world
        .catalog
        .datastore(sc_metadata::TenantId(world.client.tenant()), "data")
        .await
        .unwrap()
        .unwrap();
    client
        .put_bytes("data", b"b", &options, content(2, SMALL))
        .await
        .unwrap();
    let record = |version: &Bytes| {
        let version = sc_metadata::VersionId(version[..].try_into().unwrap());
        let catalog = world.catalog.clone();
        async move {
            catalog
                .segments(version, 0..1)
                .await
                .unwrap()
                .remove(0)
                .record
        }
    };
    let other = client.head("data", b"b", None).await.unwrap().version;
    let (own, foreign) = (record(&put.version).await, record(&other).await);
    let seal = |record: Bytes| {
        let call = sc_proto::coder::SealManifest {
            request: Some(request.clone()),
            datastore: Some(sc_proto::coder::Datastore {
                id: Bytes::copy_from_slice(&datastore.id.0),
                name: datastore.name.clone(),
                root_number: datastore.root_number,
                wrapped_key: datastore.wrapped_key.clone(),
            }),
            number: 1,
            records: vec![record],
            ..Default::default()
        };
        let call = sc_proto::coder::call::Call::SealManifest(call);
        world.door(call, &[]).0
    };

    assert!(matches!(
        seal(own),
        sc_proto::coder::reply::Reply::ManifestSealed(_)
    ));
    let sc_proto::coder::reply::Reply::Refusal(refusal) = seal(foreign) else {
        panic!("a foreign segment was committed");
    };
    assert_eq!(refusal.reason(), sc_proto::coder::refusal::Reason::Stored);
}
