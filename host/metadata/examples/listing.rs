//! How long pages of large datastores take.
//!
//! `cargo run --release -p sc-metadata --example listing -- [FOLDER | postgresql://URL] [OBJECTS]`: median and worst of 51 pages each, and
//! the processor time that one took, which says more where others use the machine.
//! A page of 1,000 objects anywhere among all; one behind 100,000 delete markers; one of 10,000 common prefixes of one object each, and
//! of 10,000 with 20 each.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use sc_metadata::{
    Catalog, Commit, Condition, Cursor, Datastore, DatastoreId, Key, NewIntent, NewMarker,
    TenantId, VersionId,
};

const PAGES: u64 = 51;
/// Callers that fill the datastores at a time.
const TASKS: u64 = 256;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next();
    let objects: u64 = arguments
        .next()
        .map_or(1_000_000, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (url, folder): (Vec<_>, Vec<_>) =
            place.into_iter().partition(|place| place.contains("://"));
        let parent = folder.first().map_or_else(std::env::temp_dir, Into::into);
        let folder = tempfile::tempdir_in(parent).unwrap();
        let catalog = match url.first() {
            Some(url) => Catalog::postgres(url).await.unwrap(),
            None => Catalog::sqlite(&folder.path().join("catalogue"))
                .await
                .unwrap(),
        };
        many_objects(&catalog, objects).await;
        many_markers(&catalog).await;
        many_prefixes(&catalog, 3, 1).await;
        many_prefixes(&catalog, 4, 20).await;
    });
}

async fn many_objects(catalog: &Catalog, objects: u64) {
    let datastore = fill(catalog, 1, objects, |number| {
        format!("{:016x}", scatter(number))
    })
    .await;
    let pages = measure(catalog, datastore, None, 1_000, |page| {
        format!("{:016x}", scatter(page * 7919 % objects))
    });
    report(&format!("1,000 of {objects} objects"), pages.await);
}

async fn many_markers(catalog: &Catalog) {
    let datastore = fill(catalog, 2, 1_000, |number| format!("z{number:06}")).await;
    let deleted = (0..TASKS).map(|task| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            for number in (task..100_000).step_by(TASKS as usize) {
                let key = Key::from(format!("a{number:06}"));
                let marker = NewMarker {
                    id: version(2, 1 << 40 | number),
                    head: Bytes::from_static(&[1; 100]),
                };
                let condition = Condition::None;
                let deleted =
                    catalog.delete_current(datastore, &key, condition, Some(marker), 1, 2);
                deleted.await.unwrap();
            }
        })
    });
    for task in deleted.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let pages = measure(catalog, datastore, None, 1_000, |_| String::new());
    report("1,000 objects behind 100,000 markers", pages.await);
}

async fn many_prefixes(catalog: &Catalog, number: u8, each: u64) {
    let name = move |number| format!("{:06}/{:06}", number / each, number % each);
    let datastore = fill(catalog, number, 10_000 * each, name).await;
    let pages = measure(catalog, datastore, Some(b"/"), 10_000, |_| String::new());
    report(&format!("10,000 common prefixes of {each}"), pages.await);
}

/// Makes a datastore with these objects, each with a head of 300 bytes and a body of 300.
async fn fill(
    catalog: &Catalog,
    number: u8,
    objects: u64,
    name: impl Fn(u64) -> String + Copy + Send + 'static,
) -> DatastoreId {
    let datastore = Datastore {
        id: DatastoreId([number; 16]),
        tenant: TenantId([1; 32]),
        name: format!("{number}"),
        policy: "standard".to_owned(),
        versioning: true,
        quota_bytes: None,
        used_bytes: 0,
        objects: 0,
        wrapped_key: Bytes::new(),
        root_number: 1,
        created_ms: 1,
    };
    let id = datastore.id;
    catalog.create_datastore(&datastore).await.unwrap();
    let tasks = (0..TASKS).map(|task| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            for object in (task..objects).step_by(TASKS as usize) {
                put(&catalog, id, name(object).into(), version(number, object)).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    id
}

async fn put(catalog: &Catalog, datastore: DatastoreId, key: Key, version: VersionId) {
    let intent = NewIntent {
        version,
        datastore,
        key,
        lease_until_ms: 2,
        upload: None,
        policy: "standard".to_owned(),
        policy_version: 1,
        created_ms: 1,
    };
    catalog.begin(intent, &[]).await.unwrap();
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

/// Reads pages after the keys that `after` says; returns how long each took, ascending, and the processor time of one.
async fn measure(
    catalog: &Catalog,
    datastore: DatastoreId,
    delimiter: Option<&[u8]>,
    limit: usize,
    after: impl Fn(u64) -> String,
) -> (Vec<Duration>, Duration) {
    let mut times = Vec::new();
    let used = processor_time();
    for page in 0..PAGES {
        let after = Cursor {
            key: after(page).into(),
            number: None,
            is_prefix: false,
        };
        let began = Instant::now();
        let page = catalog
            .list(datastore, b"", delimiter, Some(&after), limit)
            .await
            .unwrap();
        times.push(began.elapsed());
        assert!(page.next.is_some() || page.versions.len() + page.prefixes.len() <= limit);
    }
    times.sort_unstable();
    let used = processor_time() - used;
    (times, used / PAGES as u32)
}

fn report(what: &str, (times, used): (Vec<Duration>, Duration)) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let worst = times.last().copied().unwrap_or_default();
    println!(
        "{what}: median {:.1} ms, worst {:.1} ms, processor {:.1} ms each",
        ms(times[times.len() / 2]),
        ms(worst),
        ms(used)
    );
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

/// Versions in no order.
fn version(datastore: u8, number: u64) -> VersionId {
    let low = u128::from(number) << 8 | u128::from(datastore);
    VersionId((u128::from(scatter(number)) << 64 | low).to_be_bytes())
}

/// A number that has nothing to do with its neighbours' (the finalizer of a 64-bit multiplicative hash).
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
