//! The catalogue: rows altered, exchanged, cut, put back.

use rusqlite::types::Value;
use sc_client::kv::KvClient;
use sc_proto::store::problem::Code;
use sc_sim::storage::World;

use crate::{Forger, SMALL, code, content, make, open_world, put, read};

/// An object, and who reads it.
struct Target<'t> {
    client: &'t KvClient,
    key: (&'t str, &'t str),
    version: [u8; 16],
}

impl Target<'_> {
    /// What a read of the version, and of the metadata alone, comes to.
    async fn refusals(&self) -> [Option<Code>; 2] {
        let whole = read(self.client, self.key, Some(self.version)).await;
        let head = self
            .client
            .head(self.key.0, self.key.1.as_bytes(), Some(self.version))
            .await;
        [
            whole.err().and_then(|error| error.code()),
            head.err().and_then(|error| error.code()),
        ]
    }
}

const REFUSED: Option<Code> = Some(Code::NotAuthentic);

/// Exchanges the heads, the bodies, and both, of two versions.
async fn exchanged_manifests_are_refused(forger: &Forger, one: Target<'_>, other: Target<'_>) {
    let swap = |column| forger.swap(("version", column), "id", &one.version, &other.version);
    assert_eq!(one.refusals().await, [None, None]);

    swap("head");
    assert_eq!(one.refusals().await, [REFUSED, REFUSED]);
    swap("body");
    assert_eq!(one.refusals().await, [REFUSED, REFUSED]);
    assert_eq!(other.refusals().await, [REFUSED, REFUSED]);
    swap("head");
    assert_eq!(one.refusals().await, [REFUSED, None]);
    swap("body");
    assert_eq!(one.refusals().await, [None, None]);
    assert_eq!(other.refusals().await, [None, None]);
}

async fn target<'t>(client: &'t KvClient, key: (&'t str, &'t str), seed: u8) -> Target<'t> {
    let version = put(client, key, "cold", content(seed, SMALL)).await;
    Target {
        client,
        key,
        version,
    }
}

#[tokio::test]
async fn a_manifest_under_another_key_is_refused() {
    let (_folder, world, forger) = open_world().await;
    let one = target(&world.client, ("data", "a"), 1).await;
    let other = target(&world.client, ("data", "b"), 2).await;

    exchanged_manifests_are_refused(&forger, one, other).await;
}

#[tokio::test]
async fn a_manifest_under_another_version_is_refused() {
    let (_folder, world, forger) = open_world().await;
    make(&world.client, "kept", true).await;
    let one = target(&world.client, ("kept", "a"), 1).await;
    let other = target(&world.client, ("kept", "a"), 2).await;

    exchanged_manifests_are_refused(&forger, one, other).await;
}

#[tokio::test]
async fn a_manifest_in_another_datastore_is_refused() {
    let (_folder, world, forger) = open_world().await;
    make(&world.client, "more", false).await;
    let one = target(&world.client, ("data", "a"), 1).await;
    let other = target(&world.client, ("more", "a"), 2).await;

    exchanged_manifests_are_refused(&forger, one, other).await;
}

#[tokio::test]
async fn a_manifest_of_another_tenant_is_refused() {
    let (_folder, world, forger) = open_world().await;
    let tenant = world.another_tenant(7).await;
    make(&tenant.client, "data", false).await;
    let one = target(&world.client, ("data", "a"), 1).await;
    let other = target(&tenant.client, ("data", "a"), 2).await;

    exchanged_manifests_are_refused(&forger, one, other).await;
}

/// Exchanges what says where two rows belong: each is then found where the other was.
async fn exchanged_rows_are_refused(world: &World, forger: &Forger, column: &str) {
    make(&world.client, "more", false).await;
    let (one_key, other_key) = match column {
        "key" => (("data", "a"), ("data", "b")),
        _ => (("data", "a"), ("more", "a")),
    };
    let one = put(&world.client, one_key, "cold", content(1, SMALL)).await;
    let other = put(&world.client, other_key, "cold", content(2, SMALL)).await;

    forger.swap(("version", column), "id", &one, &other);

    for (key, version) in [(one_key, other), (other_key, one)] {
        let refused = read(&world.client, key, Some(version)).await;
        assert_eq!(code(refused), REFUSED);
    }
    forger.swap(("version", column), "id", &one, &other);
    assert!(read(&world.client, one_key, None).await.unwrap() == content(1, SMALL));
}

#[tokio::test]
async fn a_whole_record_under_another_key_is_refused() {
    let (_folder, world, forger) = open_world().await;
    exchanged_rows_are_refused(&world, &forger, "key").await;
}

#[tokio::test]
async fn a_whole_record_in_another_datastore_is_refused() {
    let (_folder, world, forger) = open_world().await;
    exchanged_rows_are_refused(&world, &forger, "datastore").await;
}

#[tokio::test]
async fn a_manifest_that_was_cut_or_altered_is_refused() {
    let (_folder, world, forger) = open_world().await;
    let version = put(&world.client, ("data", "a"), "cold", content(1, SMALL)).await;
    for column in ["head", "body"] {
        let place = ("version", column);
        let whole = forger.value(place, "id", &version);
        let Value::Blob(bytes) = &whole else {
            panic!("a manifest is bytes");
        };
        for length in 0..bytes.len() {
            let cut = Value::Blob(bytes[..length].to_vec());
            forger.set(place, "id", &version, &cut);
            let refused = read(&world.client, ("data", "a"), None).await;
            assert_eq!(code(refused), REFUSED, "{column} cut to {length} bytes");
            let mut altered = bytes.clone();
            altered[length] ^= 1;
            forger.set(place, "id", &version, &Value::Blob(altered));
            let refused = read(&world.client, ("data", "a"), None).await;
            assert_eq!(code(refused), REFUSED, "byte {length} of the {column}");
        }
        forger.set(place, "id", &version, &whole);
        assert!(read(&world.client, ("data", "a"), None).await.is_ok());
    }
}

#[tokio::test]
async fn segments_of_another_object_are_not_read_for_it() {
    let (_folder, world, forger) = open_world().await;
    let one = put(&world.client, ("data", "a"), "cold", content(1, SMALL)).await;
    let other = put(&world.client, ("data", "b"), "cold", content(2, SMALL)).await;

    forger.swap(("segment", "fragments"), "version", &one, &other);

    let refused = read(&world.client, ("data", "a"), None).await;
    assert_eq!(code(refused), Some(Code::Lost));
    forger.swap(("segment", "fragments"), "version", &one, &other);
    assert!(read(&world.client, ("data", "a"), None).await.is_ok());
}

#[tokio::test]
async fn a_listing_holds_no_head_that_was_put_there() {
    let (_folder, world, forger) = open_world().await;
    let one = put(&world.client, ("data", "a"), "cold", content(1, SMALL)).await;
    let other = put(&world.client, ("data", "b"), "cold", content(2, SMALL)).await;
    let options = sc_client::kv::ListOptions {
        limit: 10,
        ..Default::default()
    };
    assert_eq!(
        world
            .client
            .list("data", &options)
            .await
            .unwrap()
            .heads
            .len(),
        2
    );

    forger.swap(("version", "head"), "id", &one, &other);

    assert_eq!(code(world.client.list("data", &options).await), REFUSED);
}

#[tokio::test]
async fn a_datastores_key_under_another_name_is_refused() {
    let (_folder, world, forger) = open_world().await;
    make(&world.client, "more", false).await;
    put(&world.client, ("data", "a"), "cold", content(1, SMALL)).await;
    put(&world.client, ("more", "a"), "cold", content(2, SMALL)).await;

    let id = |name: &str| forger.value(("datastore", "id"), "name", &name);
    let (one, other) = (id("data"), id("more"));
    for column in ["wrapped_key", "name"] {
        forger.swap(("datastore", column), "id", &one, &other);
        for datastore in ["data", "more"] {
            let refused = world.client.head(datastore, b"a", None).await;
            assert_eq!(code(refused), REFUSED, "{column}");
            let options = sc_client::kv::PutOptions::default();
            let put = world
                .client
                .put_bytes(datastore, b"new", &options, content(3, 10));
            assert_eq!(code(put.await), REFUSED, "{column}");
        }
        forger.swap(("datastore", column), "id", &one, &other);
        assert!(world.client.head("data", b"a", None).await.is_ok());
    }
}

#[tokio::test]
async fn a_datastores_key_of_another_tenant_is_refused() {
    let (_folder, world, forger) = open_world().await;
    let tenant = world.another_tenant(7).await;
    make(&tenant.client, "theirs", false).await;
    put(&tenant.client, ("theirs", "a"), "cold", content(2, SMALL)).await;
    let ours = forger.value(("datastore", "tenant"), "name", &"data");

    forger.set(("datastore", "tenant"), "name", &"theirs", &ours);

    let refused = world.client.head("theirs", b"a", None).await;
    assert_eq!(code(refused), REFUSED);
}

#[tokio::test]
async fn a_tenants_record_under_another_id_kind_or_tenant_is_refused() {
    let (_folder, world, forger) = open_world().await;
    let tenant = world.another_tenant(7).await;
    world
        .client
        .put_record("token", "one", b"what it may", false)
        .await
        .unwrap();
    tenant
        .client
        .put_record("token", "other", b"x", false)
        .await
        .unwrap();
    assert!(world.client.record("token", "one").await.unwrap().is_some());

    forger.run("UPDATE record SET id = 'two' WHERE id = 'one'");
    assert_eq!(code(world.client.record("token", "two").await), REFUSED);
    assert_eq!(code(world.client.records("token", "", 10).await), REFUSED);
    forger.run("UPDATE record SET id = 'one' WHERE id = 'two'");
    forger.run("UPDATE record SET kind = 'grant' WHERE id = 'one'");
    assert_eq!(code(world.client.record("grant", "one").await), REFUSED);
    forger.run("UPDATE record SET kind = 'token' WHERE id = 'one'");
    assert!(world.client.record("token", "one").await.unwrap().is_some());
    forger.run("UPDATE record SET tenant = (SELECT tenant FROM record WHERE id = 'one') WHERE id = 'other'");
    assert_eq!(code(world.client.record("token", "other").await), REFUSED);
}

#[tokio::test]
async fn a_catalogue_that_is_put_back_gives_old_versions_and_that_is_not_claimed_otherwise() {
    let (_folder, world, forger) = open_world().await;
    let key = ("data", "a");
    put(&world.client, key, "cold", content(1, SMALL)).await;
    let tables = ["version", "segment", "object"];
    for table in tables {
        forger.run(&format!(
            "CREATE TABLE old_{table} AS SELECT * FROM {table}"
        ));
    }
    put(&world.client, key, "cold", content(2, SMALL)).await;
    assert!(read(&world.client, key, None).await.unwrap() == content(2, SMALL));

    for table in tables {
        forger.run(&format!(
            "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old_{table}"
        ));
    }

    // What the fragments of the old version say is true: that there is a newer one, nobody but the catalogue knows.
    assert!(read(&world.client, key, None).await.unwrap() == content(1, SMALL));
    let said = include_str!("../../../docs/THREAT_MODEL.md");
    assert!(said.contains("the host may answer with an older catalogue"));
}
