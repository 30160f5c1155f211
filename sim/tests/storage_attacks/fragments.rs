//! Fragments at the locations: altered, exchanged, cut.

use bytes::Bytes;
use sc_backend::FragmentName;
use sc_client::kv::KvClient;
use sc_erasure::{FragmentHeader, Redundancy};
use sc_proto::store::problem::Code;
use sc_sim::storage::World;

use crate::{
    POLICIES, Place, SMALL, code, content, make, places, put, read, transplant, world, write,
};

const KEY: (&str, &str) = ("data", "k");

fn redundancy(policy: &str) -> Redundancy {
    let made = match policy {
        "hot" => Redundancy::replication(3),
        "cold" => Redundancy::reed_solomon(4, 2),
        _ => Redundancy::rlnc(4, 6, 2, false),
    };
    made.unwrap()
}

fn flip(world: &World, fragments: &[Place], at: usize) {
    for (site, name) in fragments {
        assert!(world.sites[*site].faults.corrupt(name, at));
    }
}

/// Flips a bit of each of these bytes, in as many fragments as may be lost, and in one more.
async fn every_flip_is_found(policy: &str, bytes: impl Iterator<Item = usize>) {
    let world = world().await;
    let stored = content(1, SMALL);
    put(&world.client, KEY, policy, stored.clone()).await;
    let fragments = places(&world, &world.client, KEY, None).await.remove(0);
    let losses = usize::from(redundancy(policy).losses());

    for at in bytes {
        flip(&world, &fragments[..losses], at);
        let tolerated = read(&world.client, KEY, None).await;
        assert!(tolerated.unwrap() == stored, "{policy}, byte {at}");
        flip(&world, &fragments[losses..=losses], at);
        let refused = read(&world.client, KEY, None).await;
        assert_eq!(code(refused), Some(Code::Lost), "{policy}, byte {at}");
        flip(&world, &fragments[..=losses], at);
    }
    assert!(read(&world.client, KEY, None).await.unwrap() == stored);
}

#[tokio::test]
async fn a_bit_of_any_byte_of_a_header_is_missed() {
    for policy in POLICIES {
        let header_bytes = FragmentHeader::header_bytes(redundancy(policy), 1);
        every_flip_is_found(policy, 0..header_bytes).await;
    }
}

#[tokio::test]
async fn a_bit_of_a_piece_is_missed() {
    for policy in POLICIES {
        let redundancy = redundancy(policy);
        let header_bytes = FragmentHeader::header_bytes(redundancy, 1);
        let piece_bytes = redundancy.piece_bytes(SMALL + 16);
        let samples = [0, 1, 2, piece_bytes / 3, piece_bytes / 2, piece_bytes - 1];
        every_flip_is_found(policy, samples.into_iter().map(|at| header_bytes + at)).await;
    }
}

/// Fragments of one thing in the place of another's: with as many as may be lost it is read all the same, with one more it is not read.
async fn exchanged_fragments_are_left_out(
    world: &World,
    reader: (&KvClient, (&str, &str), Option<[u8; 16]>),
    stored: &Bytes,
    from: &[Place],
    to: &[Place],
) {
    let (client, key, version) = reader;
    assert!(read(client, key, version).await.unwrap() == *stored);

    let two = transplant(world, &from[..2], &to[..2]).await;
    assert!(read(client, key, version).await.unwrap() == *stored);
    write(world, &to[..2], two).await;

    let all = transplant(world, from, to).await;
    let refused = read(client, key, version).await;
    assert_eq!(code(refused), Some(Code::Lost));
    write(world, to, all).await;
    assert!(read(client, key, version).await.unwrap() == *stored);
}

#[tokio::test]
async fn a_fragment_of_another_segment_is_left_out() {
    let world = world().await;
    let stored = content(1, (9 << 20) + 17);
    put(&world.client, KEY, "cold", stored.clone()).await;
    let segments = places(&world, &world.client, KEY, None).await;

    let reader = (&world.client, KEY, None);
    exchanged_fragments_are_left_out(&world, reader, &stored, &segments[1], &segments[0]).await;
}

#[tokio::test]
async fn a_fragment_of_another_version_is_left_out() {
    let world = world().await;
    make(&world.client, "kept", true).await;
    let key = ("kept", "k");
    let (older, newer) = (content(1, SMALL), content(2, SMALL));
    let first = put(&world.client, key, "cold", older).await;
    let second = put(&world.client, key, "cold", newer.clone()).await;
    let from = places(&world, &world.client, key, Some(first)).await;
    let to = places(&world, &world.client, key, Some(second)).await;

    let reader = (&world.client, key, Some(second));
    exchanged_fragments_are_left_out(&world, reader, &newer, &from[0], &to[0]).await;
}

#[tokio::test]
async fn a_fragment_of_another_object_is_left_out() {
    let world = world().await;
    let stored = content(1, SMALL);
    put(&world.client, KEY, "cold", stored.clone()).await;
    put(&world.client, ("data", "other"), "cold", content(2, SMALL)).await;
    let from = places(&world, &world.client, ("data", "other"), None).await;
    let to = places(&world, &world.client, KEY, None).await;

    let reader = (&world.client, KEY, None);
    exchanged_fragments_are_left_out(&world, reader, &stored, &from[0], &to[0]).await;
}

#[tokio::test]
async fn a_fragment_of_another_datastore_is_left_out() {
    let world = world().await;
    make(&world.client, "more", false).await;
    let stored = content(1, SMALL);
    put(&world.client, KEY, "coded", stored.clone()).await;
    put(&world.client, ("more", "k"), "coded", content(2, SMALL)).await;
    let from = places(&world, &world.client, ("more", "k"), None).await;
    let to = places(&world, &world.client, KEY, None).await;

    let reader = (&world.client, KEY, None);
    exchanged_fragments_are_left_out(&world, reader, &stored, &from[0], &to[0]).await;
}

#[tokio::test]
async fn a_fragment_of_another_tenant_is_left_out() {
    let world = world().await;
    let other = world.another_tenant(7).await;
    make(&other.client, "data", false).await;
    let stored = content(1, SMALL);
    put(&world.client, KEY, "cold", stored.clone()).await;
    put(&other.client, KEY, "cold", content(2, SMALL)).await;
    let from = places(&world, &other.client, KEY, None).await;
    let to = places(&world, &world.client, KEY, None).await;

    let reader = (&world.client, KEY, None);
    exchanged_fragments_are_left_out(&world, reader, &stored, &from[0], &to[0]).await;
}

#[tokio::test]
async fn one_fragment_does_not_stand_for_several() {
    let world = world().await;
    let stored = content(1, SMALL);
    put(&world.client, KEY, "cold", stored.clone()).await;
    let fragments = places(&world, &world.client, KEY, None).await.remove(0);

    let copies = vec![fragments[0].clone(); 3];
    let before = transplant(&world, &copies, &fragments[1..4]).await;

    assert_eq!(code(read(&world.client, KEY, None).await), Some(Code::Lost));
    write(&world, &fragments[1..4], before).await;
    assert!(read(&world.client, KEY, None).await.unwrap() == stored);
}

#[tokio::test]
async fn a_fragment_that_was_cut_is_left_out() {
    for length in [0, 1, 75, 139, 140, 141, 1000] {
        let world = world().await;
        let stored = content(1, SMALL);
        put(&world.client, KEY, "cold", stored.clone()).await;
        let fragments = places(&world, &world.client, KEY, None).await.remove(0);
        let cut =
            |(site, name): &(usize, FragmentName)| world.sites[*site].faults.truncate(name, length);

        assert!(fragments[..2].iter().all(cut));
        assert!(read(&world.client, KEY, None).await.unwrap() == stored);
        assert!(fragments[2..3].iter().all(cut));
        assert_eq!(code(read(&world.client, KEY, None).await), Some(Code::Lost));
    }
}

#[tokio::test]
async fn a_range_is_not_read_of_fragments_that_were_cut_or_altered() {
    let world = world().await;
    let stored = content(1, 3 << 20);
    put(&world.client, KEY, "cold", stored.clone()).await;
    let fragments = places(&world, &world.client, KEY, None).await.remove(0);
    let range = (5 << 19)..(5 << 19) + 100;
    let get = async || {
        let reader = world.client.get("data", b"k", None, range.clone()).await?;
        reader.read_all().await
    };
    let wanted = stored.slice(range.start as usize..range.end as usize);

    for (site, name) in &fragments[..2] {
        world.sites[*site].faults.truncate(name, 600_000);
    }
    assert!(get().await.unwrap() == wanted);
    // A bit of the block that is read, in a fragment that is whole.
    let (site, name) = &fragments[2];
    let bytes = world.sites[*site].faults.stored(name).unwrap().len();
    world.sites[*site].faults.corrupt(name, bytes - 1000);
    assert_eq!(code(get().await), Some(Code::Lost));
}
