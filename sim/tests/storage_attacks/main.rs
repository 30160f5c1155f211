//! Attacks on the storage system by whoever runs its host: what is altered, swapped, cut, reordered or replayed is refused, or left out
//! where others can stand in. Each test shows as well that the same thing works while nobody meddles.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod authority;
mod catalogue;
mod commits;
mod door;
mod found;
mod fragments;
mod moves;
mod recodings;
mod repairs;
mod replies;
mod requests;

use bytes::Bytes;
use rusqlite::Connection;
use sc_backend::{Backend as _, FragmentName};
use sc_client::kv::{DatastoreOptions, KvClient, KvError, PutOptions, RANGE_WHOLE};
use sc_proto::store::problem::Code;
use sc_sim::storage::{World, WorldSettings};
use tempfile::TempDir;

const POLICIES: [&str; 3] = ["hot", "cold", "coded"];
/// Content of one block.
const SMALL: usize = 5000;

pub(crate) async fn world() -> World {
    let world = World::new(WorldSettings::default()).await;
    make(&world.client, "data", false).await;
    world
}

/// A world whose catalogue is a file, and somebody who writes to it.
pub(crate) async fn open_world() -> (TempDir, World, Forger) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalogue");
    let world = World::new(WorldSettings {
        catalogue: Some(path.clone()),
        ..WorldSettings::default()
    })
    .await;
    make(&world.client, "data", false).await;
    let forger = Forger(Connection::open(path).unwrap());
    (folder, world, forger)
}

pub(crate) async fn make(client: &KvClient, name: &str, versioning: bool) {
    let options = DatastoreOptions {
        policy: "cold".into(),
        versioning,
        quota_bytes: None,
        indexed_tags: Vec::new(),
    };
    client.create_datastore(name, &options).await.unwrap();
}

/// Content that differs with `seed` in every byte.
pub(crate) fn content(seed: u8, bytes: usize) -> Bytes {
    let each = (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed);
    each.collect()
}

/// Stores an object; gives its version.
pub(crate) async fn put(
    client: &KvClient,
    (datastore, key): (&str, &str),
    policy: &str,
    content: Bytes,
) -> [u8; 16] {
    let options = PutOptions {
        policy: policy.into(),
        ..PutOptions::default()
    };
    let put = client.put_bytes(datastore, key.as_bytes(), &options, content);
    put.await.unwrap().head.version[..].try_into().unwrap()
}

pub(crate) async fn read(
    client: &KvClient,
    (datastore, key): (&str, &str),
    version: Option<[u8; 16]>,
) -> Result<Bytes, KvError> {
    let reader = client
        .get(datastore, key.as_bytes(), version, RANGE_WHOLE)
        .await?;
    reader.read_all().await
}

/// What a read that must not come to anything was refused with.
pub(crate) fn code<T>(result: Result<T, KvError>) -> Option<Code> {
    result.err().expect("it is refused").code()
}

/// Where a fragment lies: the number of its location, and its name there.
pub(crate) type Place = (usize, FragmentName);

/// Where the fragments of an object lie: for each segment, by index.
pub(crate) async fn places(
    world: &World,
    client: &KvClient,
    (datastore, key): (&str, &str),
    version: Option<[u8; 16]>,
) -> Vec<Vec<Place>> {
    let (_, document) = client
        .stat(datastore, key.as_bytes(), version)
        .await
        .unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let segments = document["segments"].as_array().unwrap().iter();
    let fragments = segments.map(|segment| segment["fragments"].as_array().unwrap().iter());
    let place = |fragment: &serde_json::Value| {
        let location = fragment["location"].as_str().unwrap();
        let site = world.sites.iter().position(|site| site.name == location);
        let name = FragmentName::new(fragment["name"].as_str().unwrap());
        (site.unwrap(), name.unwrap())
    };
    fragments
        .map(|segment| segment.map(place).collect())
        .collect()
}

/// Puts each fragment of `from` in the place of that of the same index of `to`; gives what was there.
pub(crate) async fn transplant(world: &World, from: &[Place], to: &[Place]) -> Vec<Bytes> {
    let body = |(site, name): &Place| world.sites[*site].faults.stored(name).unwrap();
    let (bodies, before) = (from.iter().map(body), to.iter().map(body).collect());
    write(world, to, bodies.collect()).await;
    before
}

/// Writes bodies over fragments.
pub(crate) async fn write(world: &World, to: &[Place], bodies: Vec<Bytes>) {
    for ((site, name), body) in to.iter().zip(bodies) {
        let site = &world.sites[*site];
        assert!(site.faults.lose(name));
        site.memory.put(name, body).await.unwrap();
    }
}

/// Somebody who writes to the catalogue's file.
pub(crate) struct Forger(pub(crate) Connection);

impl Forger {
    pub(crate) fn run(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    /// What a column has in the row whose `id_column` is `id`.
    pub(crate) fn value(
        &self,
        (table, column): (&str, &str),
        id_column: &str,
        id: &dyn rusqlite::ToSql,
    ) -> rusqlite::types::Value {
        let sql = format!("SELECT {column} FROM {table} WHERE {id_column} = ?1");
        self.0.query_row(&sql, [id], |row| row.get(0)).unwrap()
    }

    pub(crate) fn set(
        &self,
        (table, column): (&str, &str),
        id_column: &str,
        id: &dyn rusqlite::ToSql,
        value: &rusqlite::types::Value,
    ) {
        let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {id_column} = ?1");
        assert_eq!(self.0.execute(&sql, (id, value)).unwrap(), 1);
    }

    /// Exchanges a column's values between two rows.
    pub(crate) fn swap<I: rusqlite::ToSql>(
        &self,
        place: (&str, &str),
        id_column: &str,
        one: &I,
        other: &I,
    ) {
        let (first, second) = (
            self.value(place, id_column, one),
            self.value(place, id_column, other),
        );
        assert_ne!(first, second, "{place:?}");
        // Some columns are unique.
        let nothing = rusqlite::types::Value::Blob(b"nothing".to_vec());
        self.set(place, id_column, one, &nothing);
        self.set(place, id_column, other, &first);
        self.set(place, id_column, one, &second);
    }
}
