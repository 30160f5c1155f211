//! How many PUTs and GETs a second the catalogue carries for 32 tasks.
//!
//! `cargo run --release -p sc-metadata --example throughput -- [FOLDER | postgresql://URL] [SECONDS]`: pairs of `begin` and
//! `commit_object` (one segment of nine fragments each, in one datastore with versions), and `open_version` of what they wrote, beside
//! what a bare write of 4 KiB with a sync takes in that folder.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sc_metadata::{
    Catalog, Commit, Condition, Datastore, DatastoreId, Fragment, FragmentState, Key, NewIntent,
    Segment, SegmentId, TenantId, VersionId,
};

const TASKS: u64 = 32;
const DATASTORE: DatastoreId = DatastoreId([1; 16]);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next();
    let seconds = arguments
        .next()
        .map_or(5, |seconds| seconds.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(
            place
                .as_deref()
                .filter(|place| !place.contains("://"))
                .map_or_else(std::env::temp_dir, Into::into),
        )
        .unwrap();
        let catalog = match place.as_deref().filter(|place| place.contains("://")) {
            Some(url) => Catalog::postgres(url).await.unwrap(),
            None => {
                println!("bare write and sync: {:.0} us", sync_us(folder.path()));
                Catalog::sqlite(&folder.path().join("catalogue"))
                    .await
                    .unwrap()
            }
        };
        let datastore = datastore();
        if catalog.datastore_by_id(DATASTORE).await.unwrap().is_none() {
            catalog.create_datastore(&datastore).await.unwrap();
        }
        let next = Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32));
        let first = next.load(Ordering::Relaxed);

        let rate = measure(time, {
            let (catalog, next) = (catalog.clone(), next.clone());
            move |_| put(catalog.clone(), next.fetch_add(1, Ordering::Relaxed))
        });
        println!("begin and commit_object: {}", rate.await);
        let written = next.load(Ordering::Relaxed) - first;
        let rate = measure(time, move |turn| {
            let key = key(first + scatter(turn) % written);
            get(catalog.clone(), key)
        });
        println!("open_version of {written} objects: {}", rate.await);
    });
}

/// Has 32 tasks do `work` for a while; returns how often it was done.
async fn measure<F>(time: Duration, work: impl Fn(u64) -> F + Clone + Send + 'static) -> Rate
where
    F: Future<Output = ()> + Send,
{
    let (began, used) = (Instant::now(), processor_time());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut turns = 0;
                while began.elapsed() < time {
                    work(task << 32 | turns).await;
                    turns += 1;
                }
                turns
            })
        })
        .collect();
    let mut turns = 0;
    for task in tasks {
        turns += task.await.unwrap();
    }
    Rate {
        per_second: turns as f64 / began.elapsed().as_secs_f64(),
        processor_us: (processor_time() - used).as_secs_f64() * 1e6 / turns as f64,
    }
}

/// How often something was done.
struct Rate {
    per_second: f64,
    /// Processor time for one, which says more where others use the machine.
    processor_us: f64,
}

impl core::fmt::Display for Rate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            per_second,
            processor_us,
        } = self;
        write!(f, "{per_second:.0}/s, processor {processor_us:.0} us each")
    }
}

/// Processor time that this process has used, of all its threads (proc(5): ticks of 10 ms).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(10 * ticks)
}

async fn put(catalog: Catalog, number: u64) {
    let version = VersionId((u128::from(scatter(number)) << 64 | u128::from(number)).to_be_bytes());
    let intent = NewIntent {
        version,
        datastore: DATASTORE,
        key: key(number),
        lease_until_ms: 2,
        upload: None,
        policy: "standard".to_owned(),
        policy_version: 1,
        created_ms: 1,
    };
    catalog.begin(intent, &[segment(version)]).await.unwrap();
    let commit = Commit {
        version,
        condition: Condition::None,
        size: 100,
        head: Bytes::from_static(&[1; 300]),
        body: Bytes::from_static(&[2; 300]),
        parts: None,
        segments: None,
        tags: Vec::new(),
        now_ms: 1,
        garbage_due_ms: 3,
    };
    catalog.commit_object(commit).await.unwrap();
}

async fn get(catalog: Catalog, key: Key) {
    let opened = catalog.open_version(DATASTORE, &key, None, 0..8).await;
    assert_eq!(opened.unwrap().unwrap().2.len(), 1);
}

fn datastore() -> Datastore {
    Datastore {
        id: DATASTORE,
        tenant: TenantId([1; 32]),
        name: "measured".to_owned(),
        policy: "standard".to_owned(),
        versioning: true,
        quota_bytes: None,
        used_bytes: 0,
        objects: 0,
        wrapped_key: Bytes::new(),
        root_number: 1,
        created_ms: 1,
    }
}

fn segment(version: VersionId) -> Segment {
    let mut id = [0; 32];
    id[..16].copy_from_slice(&version.0);
    let fragments = (0..9).map(|index| Fragment {
        index,
        location: format!("location-{index}"),
        name: format!(
            "{:032x}",
            u128::from_be_bytes(version.0) ^ u128::from(index)
        ),
        state: FragmentState::Stored,
    });
    Segment {
        id: SegmentId(id),
        version,
        part: 0,
        index: 0,
        plain_bytes: 100,
        record: Bytes::from_static(&[3; 120]),
        fragment_bytes: 200,
        fragments: fragments.collect(),
    }
}

/// Keys in no order.
fn key(number: u64) -> Key {
    format!("measured/{:016x}", scatter(number)).into()
}

/// A number that has nothing to do with its neighbours' (the finalizer of a 64-bit multiplicative hash).
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Microseconds for a write of 4 KiB at the end of a file, with a sync.
fn sync_us(folder: &Path) -> f64 {
    const TIMES: u32 = 500;
    let mut file = File::create(folder.join("bare")).unwrap();
    let began = Instant::now();
    for _ in 0..TIMES {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
}
