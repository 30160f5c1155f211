//! What was found at locations: a coder says of it no more than a catalogue had, and nothing of what was not made for what it says.

use bytes::Bytes;
use sc_client::kv::Condition;
use sc_proto::coder::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::storage::{StoredManifest, StoredRecord, StoredRemoval};
use sc_sim::storage::World;

use crate::{SMALL, content, make, put, world};

/// The first file of a kind at any location.
fn file<M: sc_proto::Message + Default>(world: &World, word: &str, at: usize) -> M {
    let mut found = Vec::new();
    for site in &world.sites {
        for name in site.faults.names() {
            if name.as_str().ends_with(word) {
                found.push((name.as_str().to_owned(), site.faults.stored(&name).unwrap()));
            }
        }
    }
    found.sort();
    found.dedup_by(|one, next| one.0 == next.0);
    M::decode(found[at].1.clone()).unwrap()
}

fn tenant(world: &World) -> Bytes {
    Bytes::copy_from_slice(&world.client.tenant())
}

fn found(stored: &StoredManifest) -> coder::FoundManifest {
    coder::FoundManifest {
        key: stored.key.clone(),
        version: stored.version.clone(),
        head: stored.head.clone(),
        body: stored.body.clone(),
        manifest: stored.manifest.clone(),
        placed: stored.placed,
        segments: stored.segments.clone(),
    }
}

fn verify(
    world: &World,
    datastore: &coder::Datastore,
    manifests: Vec<coder::FoundManifest>,
) -> Result<Vec<coder::VerifiedManifest>, Reason> {
    let call = Call::VerifyManifests(coder::VerifyManifests {
        tenant: tenant(world),
        datastore: Some(datastore.clone()),
        manifests,
    });
    match world.door(call, &[]).0 {
        Reply::ManifestsVerified(verified) => Ok(verified.manifests),
        Reply::Refusal(refusal) => Err(refusal.reason()),
        other => panic!("{other:?}"),
    }
}

/// A bit of it is another.
fn meddled(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    bytes.into()
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_known_again_and_a_forged_one_is_not() {
    let world = world().await;
    make(&world.client, "other", false).await;
    for (key, seed) in [("a", 1), ("b", 2)] {
        put(&world.client, ("data", key), "cold", content(seed, SMALL)).await;
    }
    put(&world.client, ("other", "a"), "cold", content(3, SMALL)).await;
    let data = world.datastore("data").await.unwrap();
    let of_data = |at| file::<StoredManifest>(&world, ".manifest", at);
    let all: Vec<_> = (0..3).map(of_data).collect();
    let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.datastore == data.id);
    let (one, other) = (found(&ours[0]), found(&ours[1]));

    let verified = verify(&world, &data, vec![one.clone(), other.clone()]).unwrap();
    assert!(verified.iter().all(|it| it.authentic && !it.marker));
    assert_eq!(verified[0].bytes, SMALL as u64);
    assert_eq!(verified[0].number, ours[0].number);
    assert_eq!(verified[0].segments.len(), 1);
    assert_eq!(verified[0].segments[0].plain_bytes as usize, SMALL);

    let forged = [
        coder::FoundManifest {
            head: meddled(&one.head),
            ..one.clone()
        },
        coder::FoundManifest {
            body: meddled(&one.body),
            ..one.clone()
        },
        coder::FoundManifest {
            head: Bytes::new(),
            ..one.clone()
        },
        coder::FoundManifest {
            body: Bytes::new(),
            ..one.clone()
        },
        coder::FoundManifest {
            body: other.body.clone(),
            ..one.clone()
        },
        coder::FoundManifest {
            head: other.head.clone(),
            ..one.clone()
        },
        coder::FoundManifest {
            key: other.key.clone(),
            ..one.clone()
        },
        coder::FoundManifest {
            version: other.version.clone(),
            ..one.clone()
        },
        coder::FoundManifest {
            version: Bytes::new(),
            ..one.clone()
        },
        // Where a version lies is sealed, too.
        coder::FoundManifest {
            manifest: Bytes::from_static(&[7; 16]),
            ..one.clone()
        },
        coder::FoundManifest {
            placed: 1 << 40,
            ..one.clone()
        },
        coder::FoundManifest {
            segments: vec![Bytes::from_static(&[7; 32])],
            ..one.clone()
        },
        coder::FoundManifest {
            head: one.body.clone(),
            body: one.head.clone(),
            ..one.clone()
        },
        found(&others[0]),
    ];
    let count = forged.len();
    let verified = verify(&world, &data, forged.to_vec()).unwrap();
    assert_eq!(verified, vec![coder::VerifiedManifest::default(); count]);
    // One that is forged spoils no other.
    let verified = verify(&world, &data, vec![forged[0].clone(), one.clone()]).unwrap();
    assert!(!verified[0].authentic && verified[1].authentic);
}

#[tokio::test(start_paused = true)]
async fn another_datastores_key_opens_no_manifest_and_a_forged_one_nothing() {
    let world = world().await;
    make(&world.client, "other", false).await;
    put(&world.client, ("data", "a"), "cold", content(1, SMALL)).await;
    let stored: StoredManifest = file(&world, ".manifest", 0);
    let (data, other) = (
        world.datastore("data").await.unwrap(),
        world.datastore("other").await.unwrap(),
    );

    let verified = verify(&world, &other, vec![found(&stored)]).unwrap();
    assert!(!verified[0].authentic);
    for forged in [
        coder::Datastore {
            wrapped_key: meddled(&data.wrapped_key),
            ..data.clone()
        },
        coder::Datastore {
            wrapped_key: other.wrapped_key,
            ..data.clone()
        },
        coder::Datastore {
            name: "other".into(),
            ..data.clone()
        },
        coder::Datastore {
            id: other.id,
            ..data.clone()
        },
        coder::Datastore {
            root_number: 2,
            ..data.clone()
        },
    ] {
        assert_eq!(
            verify(&world, &forged, vec![found(&stored)]),
            Err(Reason::Stored)
        );
    }
    let stranger = world.another_tenant(7).await;
    let call = Call::VerifyManifests(coder::VerifyManifests {
        tenant: Bytes::copy_from_slice(&stranger.client.tenant()),
        datastore: Some(data.clone()),
        manifests: vec![found(&stored)],
    });
    let Reply::Refusal(refusal) = world.door(call, &[]).0 else {
        panic!("another tenant's root opens it");
    };
    assert_eq!(refusal.reason(), Reason::Stored);
    let many = vec![found(&stored); 4097];
    assert_eq!(verify(&world, &data, many), Err(Reason::Limit));
}

#[tokio::test(start_paused = true)]
async fn removals_and_records_are_known_again_and_forged_ones_are_not() {
    let world = world().await;
    for key in ["a", "b"] {
        put(&world.client, ("data", key), "cold", content(1, SMALL)).await;
        let deleted = world
            .client
            .delete("data", key.as_bytes(), None, Condition::None);
        deleted.await.unwrap();
    }
    world
        .client
        .put_record("token", "one", b"1", false)
        .await
        .unwrap();
    let data = world.datastore("data").await.unwrap();
    let removals = [0, 1].map(|at| {
        let stored: StoredRemoval = file(&world, ".removal", at);
        coder::FoundRemoval {
            key: stored.key,
            version: stored.version,
            number: stored.number,
            record: stored.record,
        }
    });
    let one = removals[0].clone();
    let forged = [
        coder::FoundRemoval {
            number: one.number + 1,
            ..one.clone()
        },
        coder::FoundRemoval {
            key: removals[1].key.clone(),
            ..one.clone()
        },
        coder::FoundRemoval {
            version: Bytes::from_static(&[1; 16]),
            ..one.clone()
        },
        coder::FoundRemoval {
            record: meddled(&one.record),
            ..one.clone()
        },
        coder::FoundRemoval {
            record: Bytes::new(),
            ..one.clone()
        },
        coder::FoundRemoval {
            record: one.record.slice(1..),
            ..one.clone()
        },
    ];
    let call = Call::VerifyRemovals(coder::VerifyRemovals {
        tenant: tenant(&world),
        datastore: Some(data),
        removals: [&removals[..], &forged].concat(),
    });
    let Reply::Verified(verified) = world.door(call, &[]).0 else {
        panic!("removals are verified");
    };
    assert_eq!(
        verified.authentic,
        [vec![true; 2], vec![false; forged.len()]].concat()
    );

    let stored: StoredRecord = file(&world, ".record", 0);
    let one = coder::FoundRecord {
        kind: stored.kind,
        id: stored.id,
        record: stored.record,
    };
    let call = Call::VerifyRecords(coder::VerifyRecords {
        tenant: tenant(&world),
        records: vec![
            one.clone(),
            coder::FoundRecord {
                id: "two".into(),
                ..one.clone()
            },
            coder::FoundRecord {
                kind: "key".into(),
                ..one.clone()
            },
            coder::FoundRecord {
                record: meddled(&one.record),
                ..one.clone()
            },
        ],
    });
    let Reply::Verified(verified) = world.door(call, &[]).0 else {
        panic!("records are verified");
    };
    assert_eq!(verified.authentic, [true, false, false, false]);
}
