//! How fast notices are put on the disk, and read back, beside what the disk does with the same bytes.
//!
//! `cargo run --release -p sc-router --example spilling -- [FOLDER] [MIB]`: for each size and number of mailboxes, what [`Spill`] stores
//! in a second with 16 MiB not yet answered, and what one file takes that is written in blocks of 8 MiB with a sync after each.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sc_router::{MailboxId, Record, Spill, SpillEvent, SpillSettings};
use sc_transport::Frame;

/// What may be appended and not answered, in bytes.
const UNANSWERED: u64 = 16 << 20;
const BLOCK: usize = 8 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let mib: u64 = arguments.next().map_or(512, |mib| mib.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    println!("notice bytes  mailboxes  stored MB/s  of raw  fetched MB/s  raw MB/s  open s");
    for bytes in [1024, 65_536] {
        for mailboxes in [1, 200] {
            let raw = raw(&folder, mib);
            let [stored, fetched, opened] = runtime.block_on(spill(&folder, bytes, mailboxes, mib));
            println!(
                "{bytes:12}  {mailboxes:9}  {stored:11.0}  {:5.0}%  {fetched:12.0}  {raw:8.0}  {opened:6.2}",
                100.0 * stored / raw
            );
        }
    }
}

/// Megabytes in a second.
fn rate(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn raw(folder: &Path, mib: u64) -> f64 {
    let path = folder.join("spilling-raw");
    let mut file = File::create(&path).unwrap();
    let block = vec![7; BLOCK];
    let start = Instant::now();
    let blocks = (mib << 20) / BLOCK as u64;
    for _ in 0..blocks {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
    }
    let rate = rate(blocks * BLOCK as u64, start);
    std::fs::remove_file(&path).unwrap();
    rate
}

async fn spill(folder: &Path, bytes: u64, mailboxes: u64, mib: u64) -> [f64; 3] {
    let settings = SpillSettings {
        folder: folder.join("spilling"),
        quota_bytes: u64::MAX,
        segment_bytes: 32 << 20,
    };
    let _ = std::fs::remove_dir_all(&settings.folder);
    let (mut spill, _) = Spill::open(settings.clone()).unwrap();
    let count = (mib << 20) / bytes;

    let start = Instant::now();
    let mut answered = 0;
    for token in 0..count {
        spill.append(mailbox(token % mailboxes), token, record(token, bytes));
        while (token - answered) * bytes >= UNANSWERED {
            assert!(matches!(spill.next().await, SpillEvent::Stored { .. }));
            answered += 1;
        }
    }
    for _ in answered..count {
        assert!(matches!(spill.next().await, SpillEvent::Stored { .. }));
    }
    let stored = rate(count * bytes, start);

    let start = Instant::now();
    let mut fetched = 0;
    for number in 0..mailboxes {
        let mut goes_on = true;
        while goes_on {
            spill.fetch(mailbox(number), 1 << 20);
            match spill.next().await {
                SpillEvent::Fetched { records, more, .. } => {
                    fetched += records.len() as u64;
                    goes_on = more;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(fetched, count);
    let fetched = rate(count * bytes, start);

    drop(spill);
    let start = Instant::now();
    let (_, recovered) = Spill::open(settings.clone()).unwrap();
    let opened = start.elapsed().as_secs_f64();
    assert_eq!(recovered.len() as u64, mailboxes);
    std::fs::remove_dir_all(&settings.folder).unwrap();
    [stored, fetched, opened]
}

fn mailbox(number: u64) -> MailboxId {
    let mut consumer = [0; 32];
    consumer[..8].copy_from_slice(&number.to_le_bytes());
    MailboxId {
        domain: [1; 32],
        consumer,
    }
}

fn record(counter: u64, bytes: u64) -> Record {
    // As a router makes it: a small head, a sealed notice, payloads.
    let payloads = bytes.saturating_sub(300) as usize;
    Record {
        session: 1,
        counter,
        frame: Frame::new(vec![1; 100])
            .with(vec![2; 200])
            .with(vec![3; payloads]),
    }
}
