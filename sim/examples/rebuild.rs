//! How long a rebuild takes: `cargo run --release -p sc-sim --example rebuild -- 100000`.
//!
//! Objects of 1000 bytes under Reed-Solomon 4+2 at six locations in memory; the catalogue is SQLite in a file, the coder is called in this
//! process. What it does not measure is reading small files off disks.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it prints one measurement"
)]

use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sc_client::kv::{DatastoreOptions, PutOptions};
use sc_sim::storage::{World, WorldSettings};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = std::env::args().nth(1);
    let count: usize = count.map_or(100_000, |it| it.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(WorldSettings::default()).await;
    let options = DatastoreOptions {
        policy: "cold".into(),
        ..DatastoreOptions::default()
    };
    world
        .client
        .create_datastore("data", &options)
        .await
        .unwrap();
    let begun = Instant::now();
    let puts = (0..count).map(|number| {
        let client = world.client.clone();
        async move {
            let key = format!("folder-{}/object-{number}", number % 100);
            let content = Bytes::from(vec![number as u8; 1000]);
            let options = PutOptions::default();
            let put = client.put_bytes("data", key.as_bytes(), &options, content);
            put.await.unwrap();
        }
    });
    stream::iter(puts)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    println!(
        "{count} objects were put in {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    let after = world
        .after_loss(WorldSettings {
            catalogue: Some(folder.path().join("catalogue.db")),
            ..WorldSettings::default()
        })
        .await;
    for round in ["a lost catalogue", "the same again"] {
        let begun = Instant::now();
        let report = after.store.rebuild().await.unwrap();
        let took = begun.elapsed().as_secs_f64();
        println!(
            "{round}: {} versions added, {} known, in {took:.1} s, {:.0} a second",
            report.added,
            report.known,
            count as f64 / took
        );
        assert_eq!((report.added + report.known) as usize, count);
        assert_eq!(report.bad, 0);
    }
}
