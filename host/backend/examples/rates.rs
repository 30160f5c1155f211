//! How many small fragments a location stores and reads in a second, and how fast it moves large ones.
//!
//! `cargo run --release -p sc-backend --example rates -- [FOLDER] [SECONDS]`: for each number of tasks, puts of 1.1 KiB beside what one
//! task syncs alone, and reads of 1 KiB done at once beside the same reads handed to a thread; then puts, reads and deletes of 8 MiB.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sc_backend::{Backend, FragmentName, Fs, FsSettings};
use tokio::task::JoinSet;

const SMALL: usize = 1100;
const READ: u64 = 1024;
const LARGE: usize = 8 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "rates.d".to_owned()));
    let seconds = arguments.next().map_or(3, |text| text.parse().unwrap());
    let span = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("one sync after 1.1 KiB: {:.0} us", sync_us(&folder, span));
    let location = Arc::new(Fs::open(&FsSettings::new(&folder)).unwrap());
    runtime.block_on(measure(&location, span));
}

/// What one task pays for a sync of a file it appends to, in microseconds.
fn sync_us(folder: &Path, span: Duration) -> f64 {
    let path = folder.with_extension("sync");
    let mut file = File::create(&path).unwrap();
    let (begun, mut syncs) = (Instant::now(), 0);
    while begun.elapsed() < span {
        file.write_all(&[1; SMALL]).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    std::fs::remove_file(path).unwrap();
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(syncs)
}

async fn measure(location: &Arc<Fs>, span: Duration) {
    let stored = Arc::new(AtomicU64::new(0));
    println!("tasks  puts/s  p50 us  p99 us");
    for tasks in [1, 8, 32, 128, 256] {
        let next = stored.clone();
        let (rate, p50, p99) = run(tasks, span, location, move |location| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            async move {
                let body = Bytes::from(vec![number as u8; SMALL]);
                location.put(&small(number), body).await.unwrap();
            }
        })
        .await;
        println!("{tasks:5}  {rate:6.0}  {p50:6}  {p99:6}");
    }
    let count = stored.load(Ordering::Relaxed);
    println!("tasks  reads/s  p50 us  p99 us  (of {count} fragments)");
    for tasks in [1, 32] {
        let drawn = Arc::new(AtomicU64::new(1));
        let (rate, p50, p99) = run(tasks, span, location, move |location| {
            let drawn = drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            async move {
                let number = ((u128::from(drawn) * u128::from(count)) >> 64) as u64;
                let read = location.read(&small(number), 0..READ).await.unwrap();
                assert_eq!(read[0], number as u8);
            }
        })
        .await;
        println!("{tasks:5}  {rate:7.0}  {p50:6}  {p99:6}");
    }
    let (rate, ..) = run(32, span, location, |_| async {
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    })
    .await;
    println!("   32  {rate:7.0}  a thread that does nothing");
    large(location, span).await;
}

async fn large(location: &Arc<Fs>, span: Duration) {
    let body = Bytes::from(vec![7; LARGE]);
    let stored = Arc::new(AtomicU64::new(0));
    println!("tasks  8 MiB: puts MB/s  gets MB/s  deletes/s");
    for tasks in [1, 8] {
        let first = stored.load(Ordering::Relaxed);
        let (next, body) = (stored.clone(), body.clone());
        let (puts, ..) = run(tasks, span, location, move |location| {
            let (number, body) = (next.fetch_add(1, Ordering::Relaxed), body.clone());
            async move { location.put(&long(number), body).await.unwrap() }
        })
        .await;
        let count = stored.load(Ordering::Relaxed) - first;
        let next = Arc::new(AtomicU64::new(0));
        let (gets, ..) = run(tasks, span, location, move |location| {
            let number = first + next.fetch_add(1, Ordering::Relaxed) % count;
            async move { assert_eq!(location.get(&long(number)).await.unwrap().len(), LARGE) }
        })
        .await;
        let begun = Instant::now();
        for number in first..first + count {
            assert!(location.delete(&long(number)).await.unwrap());
        }
        let deletes = count as f64 / begun.elapsed().as_secs_f64();
        let mb = LARGE as f64 / 1e6;
        println!(
            "{tasks:5}  {:16.0}  {:9.0}  {deletes:9.0}",
            puts * mb,
            gets * mb
        );
    }
}

/// Runs `call` over and over in `tasks` tasks; the rate in a second, and of 1 call in 16 the median and the 99th percentile, in microseconds.
async fn run<F: Future<Output = ()> + Send>(
    tasks: usize,
    span: Duration,
    location: &Arc<Fs>,
    call: impl Fn(Arc<Fs>) -> F + Clone + Send + 'static,
) -> (f64, u128, u128) {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (location, call) = (location.clone(), call.clone());
        running.spawn(async move {
            let (mut calls, mut times) = (0_u64, Vec::new());
            while begun.elapsed() < span {
                let called = Instant::now();
                call(location.clone()).await;
                if calls % 16 == 0 {
                    times.push(called.elapsed().as_micros());
                }
                calls += 1;
            }
            (calls, times)
        });
    }
    let (mut calls, mut times) = (0, Vec::new());
    for (more, taken) in running.join_all().await {
        calls += more;
        times.extend(taken);
    }
    times.sort_unstable();
    let rate = calls as f64 / begun.elapsed().as_secs_f64();
    (rate, times[times.len() / 2], times[times.len() * 99 / 100])
}

fn small(number: u64) -> FragmentName {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    FragmentName::new(&format!("{scattered:016x}{number:016x}")).unwrap()
}

fn long(number: u64) -> FragmentName {
    FragmentName::new(&format!(
        "{:04x}.long.{number}",
        number.wrapping_mul(40_503) & 0xffff
    ))
    .unwrap()
}
