//! The storage journeys, through a real client, store, coder and catalogue.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sc_client::kv::{
    Condition, DatastoreOptions, KvClient, ListOptions, Metadata, PutOptions, RANGE_WHOLE,
};
use sc_proto::store::problem::Code;
use sc_sim::storage::{World, WorldSettings};
use sc_store::StoreSettings;

const POLICIES: [&str; 3] = ["hot", "cold", "coded"];

async fn world() -> World {
    let world = World::new(WorldSettings::default()).await;
    make(&world.client, "data", false).await;
    world
}

async fn make(client: &KvClient, name: &str, versioning: bool) {
    let options = DatastoreOptions {
        policy: "cold".into(),
        versioning,
        quota_bytes: None,
        indexed_tags: vec!["kind".into()],
    };
    client.create_datastore(name, &options).await.unwrap();
}

fn content(bytes: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes as u64;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out.into()
}

async fn read(client: &KvClient, key: &str) -> Bytes {
    let reader = client
        .get("data", key.as_bytes(), None, RANGE_WHOLE)
        .await
        .unwrap();
    reader.read_all().await.unwrap()
}

fn under(policy: &str) -> PutOptions {
    PutOptions {
        policy: policy.into(),
        ..PutOptions::default()
    }
}

#[tokio::test]
async fn what_is_put_is_read_under_every_policy_and_size() {
    let world = world().await;

    for policy in POLICIES {
        for bytes in [0, 1, 4096, (1 << 20) + 1, 4 << 20, (9 << 20) + 17] {
            let key = format!("{policy}/{bytes}");
            let stored = content(bytes);
            let receipt = world
                .client
                .put_bytes("data", key.as_bytes(), &under(policy), stored.clone())
                .await
                .unwrap();

            assert_eq!(receipt.head.bytes, bytes as u64);
            assert!(read(&world.client, &key).await == stored, "{key}");
        }
    }
}

#[tokio::test]
async fn ranges_are_read_wherever_they_begin_and_end() {
    let world = world().await;
    let stored = content((9 << 20) + 17);
    world
        .client
        .put_bytes("data", b"k", &under("coded"), stored.clone())
        .await
        .unwrap();

    let mib = 1_u64 << 20;
    let end = stored.len() as u64;
    for range in [
        0..1,
        1..2,
        mib - 1..mib + 1,
        4 * mib - 3..4 * mib + 3,
        3 * mib..9 * mib,
        end - 1..end,
        8 * mib..end + 1000,
    ] {
        let reader = world
            .client
            .get("data", b"k", None, range.clone())
            .await
            .unwrap();
        let got = reader.read_all().await.unwrap();

        let wanted = range.start as usize..range.end.min(end) as usize;
        assert!(got == stored.slice(wanted), "{range:?}");
    }
    let beyond = world.client.get("data", b"k", None, end..end + 1).await;
    assert_eq!(beyond.err().unwrap().code(), Some(Code::Range));
}

#[tokio::test]
async fn with_two_of_six_locations_down_everything_reads_back_and_writes_go_on() {
    let world = world().await;
    let stored = content(5 << 20);
    for policy in POLICIES {
        let key = policy.as_bytes();
        world
            .client
            .put_bytes("data", key, &under(policy), stored.clone())
            .await
            .unwrap();
    }

    world.sites[1].faults.set_down(true);
    world.sites[4].faults.set_down(true);

    for policy in POLICIES {
        assert!(read(&world.client, policy).await == stored, "{policy}");
        let key = format!("{policy}/later");
        world
            .client
            .put_bytes("data", key.as_bytes(), &under(policy), stored.clone())
            .await
            .unwrap();
        assert!(read(&world.client, &key).await == stored, "{key}");
    }
    let (_, document) = world
        .client
        .stat("data", b"cold/later", None)
        .await
        .unwrap();
    assert!(document.contains(r#""state":"owed""#), "{document}");
}

#[tokio::test]
async fn while_a_required_location_takes_nothing_nothing_is_stored() {
    let world = world().await;
    let policy = r#"{"redundancy":{"kind":"rs","data":3,"parity":2},"placement":{"required_locations":["site4"]}}"#;
    world
        .client
        .put_policy("held", policy, false)
        .await
        .unwrap();
    let put = async |key: &str| {
        let options = under("held");
        let put = world
            .client
            .put_bytes("data", key.as_bytes(), &options, content(100));
        put.await.map(|_| ())
    };
    put("before").await.unwrap();
    world.sites[0].faults.set_down(true);
    put("without another").await.unwrap();
    world.sites[4].faults.set_down(true);

    let refused = put("without it").await.unwrap_err();

    assert_eq!(refused.code(), Some(Code::Unavailable));
    assert!(refused.to_string().contains("site4"), "{refused}");
    assert!(read(&world.client, "before").await == content(100));
    world.sites[4].faults.set_down(false);
    put("with it again").await.unwrap();
    let (_, document) = world
        .client
        .stat("data", b"with it again", None)
        .await
        .unwrap();
    assert!(document.contains("site4"), "{document}");
}

#[tokio::test]
async fn a_slow_location_that_has_failed_once_holds_fragments_again() {
    let world = world().await;
    let put = async |key: &str| {
        let options = under("cold");
        let put = world
            .client
            .put_bytes("data", key.as_bytes(), &options, content(100));
        put.await.unwrap();
        let (_, document) = world
            .client
            .stat("data", key.as_bytes(), None)
            .await
            .unwrap();
        document.contains(r#""state":"owed""#)
    };
    // Slower than what is waited for where a location was not well, and quicker than where it was.
    world.sites[2].faults.set_delay(Duration::from_millis(75));
    world.sites[2].faults.set_down(true);
    assert!(put("while it is down").await);
    world.sites[2].faults.set_down(false);

    let until = std::time::Instant::now() + Duration::from_secs(60);
    while put("afterwards").await {
        assert!(
            std::time::Instant::now() < until,
            "it is never waited for again"
        );
    }
}

#[tokio::test]
async fn copies_of_a_manifest_or_of_a_removal_that_fail_go_elsewhere() {
    let world = world().await;
    for number in 0..world.sites.len() {
        let key = format!("hot/{number}");
        let put = |it: &str| {
            let key = it.as_bytes().to_vec();
            let world = &world;
            async move {
                let options = under("hot");
                let put = world.client.put_bytes("data", &key, &options, content(100));
                put.await.unwrap()
            }
        };
        put(&key).await;
        let faults = &world.sites[number].faults;
        faults.set_down(true);

        let version = put(&format!("{key}/later")).await.head.version;
        let deleted = world
            .client
            .delete("data", key.as_bytes(), None, Condition::None)
            .await;

        deleted.unwrap();
        let name: String = version.iter().map(|byte| format!("{byte:02x}")).collect();
        let holds = |names: Vec<sc_backend::FragmentName>| {
            names.iter().any(|it| it.as_str().contains(&name))
        };
        let sites = world.sites.iter();
        let copies = sites.filter(|it| holds(it.faults.names())).count();
        assert_eq!(copies, 3, "of a manifest, with location {number} down");
        faults.set_down(false);
    }
}

#[tokio::test]
async fn a_deletion_that_is_done_is_never_told_as_failed() {
    let world = world().await;
    let (client, cold) = (&world.client, under("cold"));
    make(client, "kept", true).await;
    for datastore in ["data", "kept"] {
        let put = client.put_bytes(datastore, b"k", &cold, content(100));
        put.await.unwrap();
    }
    let down = |is_down: bool| {
        let sites = world.sites[2..].iter();
        sites.for_each(|site| site.faults.set_down(is_down));
    };

    down(true);
    let deleted = client.delete("data", b"k", None, Condition::None).await;
    let marked = client.delete("kept", b"k", None, Condition::None).await;
    down(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = client.delete("data", b"k", None, Condition::None).await;

    let (deleted, marked, again) = (deleted.unwrap(), marked.unwrap(), again.unwrap());
    assert!(deleted.version.is_some() && !deleted.is_sure, "{deleted:?}");
    assert!(marked.is_marker && !marked.is_sure, "{marked:?}");
    assert!(again.version.is_none() && again.is_sure, "{again:?}");
    for datastore in ["data", "kept"] {
        let gone = client.head(datastore, b"k", None).await;
        assert_eq!(gone.unwrap_err().code(), Some(Code::NotFound));
    }
}

#[tokio::test]
async fn a_fragment_that_rots_is_left_out() {
    let world = world().await;
    let stored = content(100_000);
    world
        .client
        .put_bytes("data", b"k", &under("cold"), stored.clone())
        .await
        .unwrap();

    for site in &world.sites[..2] {
        for name in site.faults.names() {
            site.faults.corrupt(&name, 500);
        }
    }

    assert!(read(&world.client, "k").await == stored);
}

#[tokio::test]
async fn conditions_hold_when_the_object_would_become_visible() {
    let world = world().await;
    let client = &world.client;
    let only_new = PutOptions {
        condition: Condition::Absent,
        ..PutOptions::default()
    };
    let first = client
        .put_bytes("data", b"k", &only_new, content(10))
        .await
        .unwrap();

    let again = client.put_bytes("data", b"k", &only_new, content(11)).await;
    assert_eq!(again.unwrap_err().code(), Some(Code::ConditionFailed));

    let version: [u8; 16] = first.head.version[..].try_into().unwrap();
    let replacing = PutOptions {
        condition: Condition::Version(version),
        ..PutOptions::default()
    };
    let second = client
        .put_bytes("data", b"k", &replacing, content(12))
        .await
        .unwrap();
    assert_eq!(second.superseded, Some(version));
    let stale = client
        .put_bytes("data", b"k", &replacing, content(13))
        .await;
    assert_eq!(stale.unwrap_err().code(), Some(Code::ConditionFailed));
    assert_eq!(read(client, "k").await, content(12));
}

#[tokio::test]
async fn metadata_comes_back_and_tags_are_found() {
    let world = world().await;
    let options = PutOptions {
        metadata: Metadata {
            content_type: "text/plain".into(),
            metadata: vec![("author".into(), "somebody".into())],
            tags: vec![("kind".into(), "letter".into()), ("x".into(), "y".into())],
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    for key in ["a", "b"] {
        world
            .client
            .put_bytes("data", key.as_bytes(), &options, content(10))
            .await
            .unwrap();
    }
    world
        .client
        .put_bytes("data", b"c", &PutOptions::default(), content(10))
        .await
        .unwrap();

    let head = world.client.head("data", b"a", None).await.unwrap();
    let object = head.object.unwrap();
    assert_eq!(object.content_type, "text/plain");
    assert_eq!(object.metadata[0].value, "somebody");
    let found = world
        .client
        .search("data", ("kind", "letter"), &[], 10)
        .await
        .unwrap();
    let keys: Vec<_> = found.heads.iter().map(|head| &head.key[..]).collect();
    assert_eq!(keys, [b"a", b"b"]);
    assert!(!world.is_anywhere(b"somebody"));
}

#[tokio::test]
async fn listings_page_by_prefix_and_delimiter() {
    let world = world().await;
    for key in ["a/1", "a/2", "b", "c/1", "d"] {
        world
            .client
            .put_bytes("data", key.as_bytes(), &PutOptions::default(), content(3))
            .await
            .unwrap();
    }
    let mut options = ListOptions {
        delimiter: b"/".to_vec(),
        limit: 3,
        ..ListOptions::default()
    };

    let first = world.client.list("data", &options).await.unwrap();
    options.cursor = first.cursor.clone().unwrap().to_vec();
    let second = world.client.list("data", &options).await.unwrap();

    let keys = |listing: &sc_client::kv::Listing| -> Vec<Bytes> {
        listing.heads.iter().map(|head| head.key.clone()).collect()
    };
    assert_eq!(first.prefixes, [&b"a/"[..], b"c/"]);
    assert_eq!(keys(&first), [&b"b"[..]]);
    assert_eq!(keys(&second), [&b"d"[..]]);
    assert_eq!(second.cursor, None);
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_its_fragments_follow() {
    let world = world().await;
    world
        .client
        .put_bytes("data", b"k", &PutOptions::default(), content(5000))
        .await
        .unwrap();

    world
        .client
        .delete("data", b"k", None, Condition::None)
        .await
        .unwrap();

    let gone = world.client.head("data", b"k", None).await;
    assert_eq!(gone.unwrap_err().code(), Some(Code::NotFound));
    world.pass(Duration::from_secs(3600));
    world.chores.round().await.unwrap();
    for site in &world.sites {
        let names = site.faults.names();
        let left: Vec<_> = names
            .iter()
            .filter(|name| !name.as_str().ends_with(".datastore"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn versions_are_kept_where_that_is_wanted() {
    let world = world().await;
    make(&world.client, "kept", true).await;
    let client = &world.client;
    let put = |bytes: usize| {
        let client = client.clone();
        async move {
            let options = PutOptions::default();
            let receipt = client.put_bytes("kept", b"k", &options, content(bytes));
            let version: [u8; 16] = receipt.await.unwrap().head.version[..].try_into().unwrap();
            version
        }
    };
    let first = put(10).await;
    let second = put(20).await;

    let deleted = client
        .delete("kept", b"k", None, Condition::None)
        .await
        .unwrap();

    assert!(deleted.is_marker);
    assert!(client.head("kept", b"k", None).await.is_err());
    for (version, bytes) in [(first, 10), (second, 20)] {
        let head = client.head("kept", b"k", Some(version)).await.unwrap();
        assert_eq!(head.bytes, bytes);
    }
    client
        .delete("kept", b"k", deleted.version, Condition::None)
        .await
        .unwrap();
    assert_eq!(client.head("kept", b"k", None).await.unwrap().bytes, 20);
    let options = ListOptions {
        versions: true,
        limit: 10,
        ..ListOptions::default()
    };
    let listed = client.list("kept", &options).await.unwrap();
    let bytes: Vec<u64> = listed.heads.iter().map(|head| head.bytes).collect();
    assert_eq!(bytes, [20, 10]);
}

#[tokio::test]
async fn parts_become_an_object_at_once() {
    let world = world().await;
    let client = &world.client;
    let upload = client
        .create_upload("data", b"big", "coded", &Metadata::default())
        .await
        .unwrap();
    let mut parts = Vec::new();
    for (part, bytes) in [(2, 5 << 20), (1, 6 << 20), (7, 100)] {
        let body = stream::iter([Ok(content(bytes))]);
        let receipt = client
            .put_part(&upload, part, "", Box::pin(body))
            .await
            .unwrap();
        parts.push((part, receipt.etag));
    }
    parts.sort();
    assert!(client.head("data", b"big", None).await.is_err());

    let chosen = [parts[0].clone(), parts[1].clone()];
    let receipt = client
        .complete_upload(&upload, &chosen, "", &Condition::None)
        .await
        .unwrap();

    assert_eq!(receipt.head.bytes, 11 << 20);
    let whole = [content(6 << 20), content(5 << 20)].concat();
    assert!(read(client, "big").await == whole);
    let again = client
        .complete_upload(&upload, &chosen, "", &Condition::None)
        .await
        .unwrap();
    assert_eq!(again.head, receipt.head);
    let other_parts = [parts[0].clone()];
    let other_tags = [parts[0].clone(), (2, parts[2].1.clone())];
    let never_sent = [parts[0].clone(), parts[1].clone(), (9, String::new())];
    for other in [&other_parts[..], &other_tags, &never_sent] {
        let refused = client
            .complete_upload(&upload, other, "", &Condition::None)
            .await;
        assert_eq!(refused.unwrap_err().code(), Some(Code::Exists));
    }
}

#[tokio::test]
async fn one_of_two_completions_at_once_is_done_and_the_other_told_so() {
    let world = world().await;
    let client = &world.client;
    for round in 0..20_u8 {
        let upload = client
            .create_upload("data", &[b'a' + round], "coded", &Metadata::default())
            .await
            .unwrap();
        let mut parts = Vec::new();
        for part in [1, 2] {
            let body = stream::iter([Ok(content(1000))]);
            let receipt = client.put_part(&upload, part, "", Box::pin(body)).await;
            parts.push((part, receipt.unwrap().etag));
        }

        let complete = |parts| client.complete_upload(&upload, parts, "", &Condition::None);
        let (all, same, first) =
            tokio::join!(complete(&parts), complete(&parts), complete(&parts[..1]));

        let told = |result: &Result<_, sc_client::kv::KvError>| {
            result.as_ref().err().map(|error| error.code())
        };
        let told = [told(&all), told(&same), told(&first)];
        let exists = Some(Some(Code::Exists));
        let is_one_of = [[None, None, exists], [exists, exists, None]];
        assert!(is_one_of.contains(&told), "{told:?}");
    }
}

#[tokio::test]
async fn an_upload_whose_completion_is_refused_goes_on() {
    let world = world().await;
    let client = &world.client;
    let before = client
        .put_bytes("data", b"big", &PutOptions::default(), content(10))
        .await
        .unwrap();
    let upload = client
        .create_upload("data", b"big", "cold", &Metadata::default())
        .await
        .unwrap();
    let body = stream::iter([Ok(content(5 << 20))]);
    let part = client.put_part(&upload, 1, "", Box::pin(body)).await;
    let parts = [(1, part.unwrap().etag)];

    let refused = client
        .complete_upload(&upload, &parts, "", &Condition::Absent)
        .await;
    let version: [u8; 16] = before.head.version[..].try_into().unwrap();
    let completed = client
        .complete_upload(&upload, &parts, "", &Condition::Version(version))
        .await;

    assert_eq!(refused.unwrap_err().code(), Some(Code::ConditionFailed));
    assert_eq!(completed.unwrap().head.bytes, 5 << 20);
    assert!(read(client, "big").await == content(5 << 20));
}

#[tokio::test]
async fn a_listing_of_uploads_tells_when_each_began() {
    let world = world().await;
    let client = &world.client;
    let put = client
        .put_bytes("data", b"k", &PutOptions::default(), content(10))
        .await
        .unwrap();
    client
        .create_upload("data", b"big", "cold", &Metadata::default())
        .await
        .unwrap();

    let listed = client.uploads("data", b"", b"", 10).await.unwrap();

    let created: Vec<u64> = listed.heads.iter().map(|head| head.created_ms).collect();
    assert_eq!(created.len(), 1);
    assert!(
        created[0] >= put.head.created_ms && created[0] > 0,
        "{created:?}"
    );
}

#[tokio::test]
async fn a_client_can_do_what_its_certificate_says_and_no_more() {
    let world = world().await;
    world
        .client
        .put_bytes("data", b"k", &PutOptions::default(), content(10))
        .await
        .unwrap();
    let reader = world.client_with(sc_proto::storage::CertificateBody {
        serial: 9,
        rights: sc_coder::Right::Read as u32,
        datastores: vec!["data".into()],
        ..Default::default()
    });

    assert_eq!(read(&reader, "k").await, content(10));
    let write = reader
        .put_bytes("data", b"k", &PutOptions::default(), content(11))
        .await;
    assert_eq!(write.unwrap_err().code(), Some(Code::Forbidden));
    let delete = reader.delete("data", b"k", None, Condition::None).await;
    assert_eq!(delete.unwrap_err().code(), Some(Code::Forbidden));
    world.agent.advance("coder", vec![9]).await.unwrap();
    let revoked = reader.head("data", b"k", None).await;
    assert_eq!(revoked.unwrap_err().code(), Some(Code::Session));
}

#[tokio::test]
async fn records_of_the_tenant_come_back() {
    let world = world().await;

    world
        .client
        .put_record("token", "abc", b"content", true)
        .await
        .unwrap();

    let record = world.client.record("token", "abc").await.unwrap().unwrap();
    assert_eq!(&record[..], b"content");
    let again = world
        .client
        .put_record("token", "abc", b"other", true)
        .await;
    assert_eq!(again.unwrap_err().code(), Some(Code::Exists));
    assert!(world.client.record("token", "abd").await.unwrap().is_none());
}

#[tokio::test]
async fn an_upload_whose_lease_passes_between_two_segments_is_gone_and_not_damaged() {
    let world = Arc::new(world().await);
    let segment = || stream::iter([Ok(content(4 << 20))]);
    let lease = StoreSettings::default().lease;
    let late = Arc::clone(&world);
    let rest = stream::once(async move {
        // What came before is stored by now.
        tokio::time::sleep(Duration::from_millis(500)).await;
        late.pass(lease + Duration::from_secs(1));
        late.chores.round().await.unwrap();
        Ok(content(1))
    });
    let body = segment().chain(segment()).chain(rest);

    let put = world
        .client
        .put("data", b"late", &under("cold"), Box::pin(body))
        .await;

    assert_eq!(put.unwrap_err().code(), Some(Code::UploadGone));
    let found = world.client.get("data", b"late", None, RANGE_WHOLE).await;
    assert_eq!(found.err().unwrap().code(), Some(Code::NotFound));
}
