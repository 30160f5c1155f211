//! What whoever runs the host never sees: content, its digests, metadata, tags, records; looked for in every byte that it has.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;

use bytes::Bytes;
use sc_client::kv::{Condition, DatastoreOptions, KvClient, Metadata, PutOptions, RANGE_WHOLE};
use sc_sim::storage::{Direct, Tap, World, WorldSettings};

/// What is planted in bodies; each is this, some times over.
const BODY: &[u8] = b"planted in the body: meter 17 of house 4 read 4242.42 kWh; ";
/// Bodies as multiples of [`BODY`], with the MD5 of each (made by Python's hashlib).
const BODIES: [(usize, &str); 2] = [
    (1, "6825c1db78e7abb8049e1d82867a0048"),
    (3000, "43ba52e3fe1ca1da75a95887757b59c9"),
];
const POLICIES: [&str; 3] = ["hot", "cold", "coded"];

const CONTENT_TYPE: &str = "application/x-planted-content-type";
const METADATA: (&str, &str) = ("planted-metadata-name", "planted metadata value");
const INDEXED: (&str, &str) = ("planted-indexed-tag", "planted indexed value");
const TAG: (&str, &str) = ("planted-plain-tag", "planted plain value");
const CHECKSUM: (&str, &str) = ("planted-algorithm", "planted checksum value");
const ETAG: &str = "planted-etag-of-the-client";
const RECORD: &[u8] = b"planted content of a token";

/// What the host must know.
const DATASTORE: &str = "planted-datastore";
const KEY: &str = "planted/object/key";

fn options(policy: &str) -> PutOptions {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    PutOptions {
        policy: policy.into(),
        metadata: Metadata {
            content_type: CONTENT_TYPE.into(),
            metadata: vec![pair(METADATA)],
            tags: vec![pair(INDEXED), pair(TAG)],
            etag: ETAG.into(),
            checksums: vec![pair(CHECKSUM)],
        },
        ..PutOptions::default()
    }
}

/// Everything that can be done with what is planted.
async fn use_everything(client: &KvClient) {
    let datastore = DatastoreOptions {
        policy: "cold".into(),
        versioning: true,
        quota_bytes: None,
        indexed_tags: vec![INDEXED.0.into()],
    };
    client
        .create_datastore(DATASTORE, &datastore)
        .await
        .unwrap();
    for policy in POLICIES {
        for (times, _) in BODIES {
            let key = format!("{KEY}/{policy}/{times}");
            let body = Bytes::from(BODY.repeat(times));
            let options = options(policy);
            let put = client.put_bytes(DATASTORE, key.as_bytes(), &options, body.clone());
            put.await.unwrap();
            let reader = client.get(DATASTORE, key.as_bytes(), None, RANGE_WHOLE);
            assert!(reader.await.unwrap().read_all().await.unwrap() == body);
        }
    }
    let metadata = options("cold").metadata;
    let upload = client
        .create_upload(DATASTORE, KEY.as_bytes(), "cold", &metadata)
        .await
        .unwrap();
    let body = futures_util::stream::iter([Ok(Bytes::from(BODY.repeat(3000)))]);
    let part = client
        .put_part(&upload, 1, ETAG, Box::pin(body))
        .await
        .unwrap();
    // One more is left as it is: what is under way lies at the host, too.
    client
        .create_upload(DATASTORE, b"open", "cold", &metadata)
        .await
        .unwrap();
    client
        .complete_upload(&upload, &[(1, part.etag)], ETAG, &Condition::None)
        .await
        .unwrap();
    client
        .delete(DATASTORE, KEY.as_bytes(), None, Condition::None)
        .await
        .unwrap();
    let found = client.search(DATASTORE, INDEXED, &[], 10).await.unwrap();
    assert_eq!(found.heads.len(), POLICIES.len() * BODIES.len());
    client
        .put_record("token", "one", RECORD, false)
        .await
        .unwrap();
    assert!(client.record("token", "one").await.unwrap().is_some());
}

/// What must be nowhere, with its name: everything planted, and digests as bytes and as text.
fn secrets() -> Vec<(String, Vec<u8>)> {
    let mut secrets: Vec<(String, Vec<u8>)> = [
        ("body", BODY),
        // The front of a body, should only a part of it come to lie somewhere.
        ("a part of the body", &BODY[..16]),
        ("content type", CONTENT_TYPE.as_bytes()),
        ("metadata name", METADATA.0.as_bytes()),
        ("metadata value", METADATA.1.as_bytes()),
        ("indexed tag", INDEXED.0.as_bytes()),
        ("indexed value", INDEXED.1.as_bytes()),
        ("tag", TAG.0.as_bytes()),
        ("tag value", TAG.1.as_bytes()),
        ("checksum", CHECKSUM.1.as_bytes()),
        ("etag", ETAG.as_bytes()),
        ("record", RECORD),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
    .into();
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    for (times, md5) in BODIES {
        let body = BODY.repeat(times);
        let md5 = (0..32)
            .step_by(2)
            .map(|at| u8::from_str_radix(&md5[at..at + 2], 16).unwrap());
        for (name, digest) in [
            ("MD5", md5.collect()),
            ("SHA-256", sc_crypto::hash::sha256(&body).to_vec()),
            // Pieces are hashed with BLAKE3 without a key.
            ("BLAKE3", sc_erasure::hash_piece(&body).to_vec()),
        ] {
            secrets.push((format!("{name} of {times}"), digest.clone()));
            secrets.push((
                format!("{name} of {times} as text"),
                hex(&digest).into_bytes(),
            ));
        }
    }
    secrets
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    hay.iter().enumerate().any(|(at, byte)| {
        *byte == first
            && hay
                .get(at..at + needle.len())
                .is_some_and(|it| it == needle)
    })
}

/// Every byte that lies at the host: locations, and the files of the catalogue.
fn at_rest(world: &World, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for site in &world.sites {
        for name in site.faults.names() {
            let stored = site.faults.stored(&name).unwrap();
            all.push((format!("{}/{name:?}", site.name), stored.to_vec()));
        }
    }
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        all.push((path.display().to_string(), std::fs::read(path).unwrap()));
    }
    all
}

/// Every byte that has passed between a client and the store.
fn on_the_way(tap: &Tap) -> Vec<(String, Vec<u8>)> {
    let frames = tap.frames().into_iter();
    frames
        .flat_map(|frame| [vec![frame.head], frame.attachments].concat())
        .map(|bytes| ("a frame".to_owned(), bytes.to_vec()))
        .collect()
}

#[tokio::test]
async fn the_host_has_nothing_but_names_and_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(WorldSettings {
        catalogue: Some(folder.path().join("catalogue")),
        ..WorldSettings::default()
    })
    .await;
    let tap = Tap::new(Direct(world.store.clone()));
    use_everything(&world.client_over(tap.clone())).await;

    let (rest, way) = (at_rest(&world, folder.path()), on_the_way(&tap));
    for (name, secret) in secrets() {
        for (place, bytes) in rest.iter().chain(&way) {
            assert!(!contains(bytes, &secret), "{name} is in {place}");
        }
    }
    // What is looked for would be found.
    for known in [DATASTORE, KEY] {
        for (places, of) in [(&rest, "at rest"), (&way, "on the way")] {
            let is_there = |(_, bytes): &(String, Vec<u8>)| contains(bytes, known.as_bytes());
            assert!(places.iter().any(is_there), "{known} is not {of}");
        }
    }
    let catalogue = |(place, _): &&(String, Vec<u8>)| place.contains("catalogue");
    let mut catalogue = rest.iter().filter(catalogue);
    assert!(catalogue.any(|(_, bytes)| contains(bytes, KEY.as_bytes())));
}
