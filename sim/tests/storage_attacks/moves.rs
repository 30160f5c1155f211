//! Moves at the coder's door: what is stored says the same under another code, and nothing is made of what is not authentic.

use bytes::Bytes;
use sc_metadata::VersionId;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_sim::storage::World;

use crate::repairs::Stored;
use crate::{SMALL, content, open_world, put, read, world};

const RS: (u32, u32, u32, u32) = (2, 4, 6, 1);
const COPIES: (u32, u32, u32, u32) = (1, 1, 3, 1);
const CODED: (u32, u32, u32, u32) = (3, 4, 6, 2);

fn convert_call(
    stored: &Stored,
    world: &World,
    of: &[usize],
    (code, data, total, subpackets): (u32, u32, u32, u32),
) -> (coder::ConvertSegment, Bytes) {
    let (repair, bulk) = stored.call(world, of, &[]);
    let call = coder::ConvertSegment {
        tenant: repair.tenant,
        datastore: repair.datastore,
        version: repair.version,
        record: repair.record,
        fragments: repair.fragments,
        redundancy: Some(coder::Redundancy {
            code,
            data,
            total,
            subpackets,
        }),
    };
    (call, bulk)
}

fn convert(
    world: &World,
    (call, bulk): (coder::ConvertSegment, Bytes),
) -> Option<(coder::SegmentSealed, Bytes)> {
    match world.door(Call::ConvertSegment(call), &bulk) {
        (Reply::SegmentSealed(sealed), made) => Some((sealed, made)),
        (Reply::Refusal(_), made) => {
            assert!(made.is_empty());
            None
        }
        (other, _) => panic!("{other:?}"),
    }
}

/// What a conversion has made, as it would be stored.
fn stored_as(
    sealed: &coder::SegmentSealed,
    made: &Bytes,
    before: &Stored,
    code: (u32, u32, u32, u32),
) -> Stored {
    let (header, whole) = (sealed.header_bytes as usize, sealed.fragment_bytes as usize);
    let total = code.2 as usize;
    let fragments = (0..total).map(|index| match code.0 {
        1 => {
            let own = &made[index * header..(index + 1) * header];
            [own, &made[total * header..]].concat().into()
        }
        _ => made.slice(index * whole..(index + 1) * whole),
    });
    Stored {
        datastore: before.datastore.clone(),
        record: sealed.record.clone(),
        header_bytes: header,
        fragments: fragments.collect(),
    }
}

#[tokio::test]
async fn there_and_back_the_fragments_are_what_they_were() {
    let world = world().await;
    for bytes in [1, SMALL, (1 << 20) + 1, 3 << 20] {
        let first = Stored::new(&world, &content(1, bytes), RS).await;

        let (sealed, made) =
            convert(&world, convert_call(&first, &world, &[5, 1, 2, 4], COPIES)).unwrap();
        let copies = stored_as(&sealed, &made, &first, COPIES);
        let (sealed, made) = convert(&world, convert_call(&copies, &world, &[2], CODED)).unwrap();
        let coded = stored_as(&sealed, &made, &first, CODED);
        let (sealed, made) =
            convert(&world, convert_call(&coded, &world, &[5, 4, 3, 2], RS)).unwrap();
        let back = stored_as(&sealed, &made, &first, RS);

        assert!(back.fragments == first.fragments, "{bytes}");
        assert_eq!(back.record, first.record);
        assert_eq!(&copies.record[..32], &first.record[..32]);
        assert_ne!(copies.record, first.record);
    }
}

#[tokio::test]
async fn what_is_not_authentic_is_not_coded_anew() {
    let world = world().await;
    let mut stored = Stored::new(&world, &content(1, SMALL), RS).await;
    let other = Stored::new(&world, &content(2, SMALL), RS).await;
    let of = [0, 1, 2, 3];
    let call = |stored: &Stored| convert_call(stored, &world, &of, COPIES);
    assert!(convert(&world, call(&stored)).unwrap().0.bad.is_empty());

    let whole = stored.fragments[1].clone();
    for at in (0..whole.len()).step_by(3) {
        let mut changed = whole.to_vec();
        changed[at] ^= 1;
        stored.fragments[1] = changed.into();
        let (sealed, made) = convert(&world, call(&stored)).unwrap();
        assert_eq!((sealed.bad, made.len()), (vec![1], 0));
    }
    stored.fragments[1] = other.fragments[1].clone();
    let (sealed, made) = convert(&world, call(&stored)).unwrap();
    assert_eq!(
        (sealed.bad, sealed.record.len(), made.len()),
        (vec![1], 0, 0)
    );
    stored.fragments[1] = whole;

    type Change<'c> = &'c dyn Fn(&mut coder::ConvertSegment);
    let changes: [Change<'_>; 6] = [
        &|call| call.version = Bytes::from_static(&[8; 16]),
        &|call| {
            let mut record = call.record.to_vec();
            // Another code than the record was made with.
            record[46] = 5;
            call.record = record.into();
        },
        &|call| call.datastore = None,
        &|call| call.tenant = Bytes::from_static(&[1; 32]),
        &|call| call.redundancy = None,
        &|call| call.fragments.truncate(3),
    ];
    for change in changes {
        let (mut call, bulk) = call(&stored);
        change(&mut call);
        assert!(convert(&world, (call, bulk)).is_none());
    }
}

#[tokio::test]
async fn a_manifest_is_moved_with_records_of_its_own_segments_alone() {
    let (_folder, world, _forger) = open_world().await;
    let version = put(&world.client, ("data", "a"), "cold", content(1, SMALL)).await;
    let other = put(&world.client, ("data", "b"), "cold", content(2, SMALL)).await;
    let found = async |id: [u8; 16]| {
        let (version, body) = world
            .catalog
            .version_by_id(VersionId(id))
            .await
            .unwrap()
            .unwrap();
        let segment = world
            .catalog
            .segments(VersionId(id), 0..9)
            .await
            .unwrap()
            .remove(0);
        (version, body, segment)
    };
    let (stored, body, segment) = found(version).await;
    let of_other = found(other).await;
    let call = coder::MoveManifest {
        tenant: Bytes::copy_from_slice(&world.client.tenant()),
        datastore: world.datastore("data").await,
        key: stored.key.clone(),
        version: Bytes::copy_from_slice(&version),
        head: stored.head.clone(),
        body,
        records: vec![segment.record.clone()],
        policy: "hot".into(),
        manifest: Bytes::from_static(&[9; 16]),
        placed: 77,
        segments: vec![Bytes::from_static(&[5; 32])],
    };
    let moved = |call: coder::MoveManifest| match world.door(Call::MoveManifest(call), &[]).0 {
        Reply::ManifestMoved(moved) => Some(moved),
        Reply::Refusal(_) => None,
        other => panic!("{other:?}"),
    };
    let made = moved(call.clone()).unwrap();
    assert!(made.head != call.head && made.body != call.body);

    type Change<'c> = &'c dyn Fn(&mut coder::MoveManifest);
    let changes: [Change<'_>; 11] = [
        &|call| call.manifest = Bytes::new(),
        &|call| call.segments.clear(),
        &|call| call.records = vec![of_other.2.record.clone()],
        &|call| call.records.clear(),
        &|call| call.records = [&call.records[..], &call.records[..]].concat(),
        &|call| {
            let mut record = call.records[0].to_vec();
            record[40] ^= 1;
            call.records = vec![record.into()];
        },
        &|call| call.head = of_other.0.head.clone(),
        &|call| call.body = of_other.1.clone(),
        &|call| call.key = Bytes::from_static(b"b"),
        &|call| call.version = Bytes::copy_from_slice(&other),
        &|call| call.datastore = None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = call.clone();
        change(&mut changed);
        assert!(moved(changed).is_none(), "change {number}");
    }
    // What is sealed so says where it lies, and that alone is authentic.
    let found = coder::FoundManifest {
        key: call.key.clone(),
        version: call.version.clone(),
        head: made.head,
        body: made.body,
        manifest: call.manifest.clone(),
        placed: call.placed,
        segments: call.segments.clone(),
    };
    let elsewhere = [
        found.clone(),
        coder::FoundManifest {
            placed: 78,
            ..found.clone()
        },
        coder::FoundManifest {
            manifest: Bytes::copy_from_slice(&version),
            ..found.clone()
        },
        coder::FoundManifest {
            segments: vec![Bytes::from_static(&[6; 32])],
            ..found.clone()
        },
        coder::FoundManifest {
            manifest: Bytes::new(),
            placed: 0,
            segments: Vec::new(),
            ..found
        },
    ];
    let verify = coder::VerifyManifests {
        tenant: call.tenant.clone(),
        datastore: call.datastore.clone(),
        manifests: elsewhere.to_vec(),
    };
    let Reply::ManifestsVerified(verified) = world.door(Call::VerifyManifests(verify), &[]).0
    else {
        panic!("it is answered");
    };
    let authentic: Vec<bool> = verified.manifests.iter().map(|it| it.authentic).collect();
    assert_eq!(authentic, [true, false, false, false, false]);
    let whole = read(&world.client, ("data", "a"), None).await.unwrap();
    assert_eq!(whole, content(1, SMALL));
}
