//! Load: so many clients, each with one request at a time, for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;

use super::Cell;
use super::target::Target;
use crate::median::Sorted;

/// What clients do.
#[derive(Clone, Copy)]
pub(crate) enum Op {
    /// Each a new object.
    Put,
    /// Objects whose numbers are below this.
    Get(u64),
}

/// What came of it.
pub(crate) struct Load {
    /// Requests that were answered.
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) processor_s: f64,
}

/// Runs one load.
///
/// # Errors
/// Any request's: nothing is measured of a system that fails.
pub(crate) async fn load(
    op: Op,
    target: &Arc<dyn Target>,
    cell: &Cell,
    bytes_max: u64,
) -> anyhow::Result<Load> {
    let content = content(cell.bytes);
    let most = (bytes_max / cell.bytes.max(1)).max(cell.clients as u64);
    let next = Arc::new(AtomicU64::new(0));
    let before = target.processor_ns()?;
    let began = Instant::now();
    let end = began + cell.time;
    let mut clients = Vec::with_capacity(cell.clients);
    for _ in 0..cell.clients {
        let (target, content, next) = (Arc::clone(target), content.clone(), Arc::clone(&next));
        clients.push(tokio::spawn(async move {
            let mut client = target.connect().await?;
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                // The first request of each client is always made.
                if number >= most || (Instant::now() >= end && !times.is_empty()) {
                    break;
                }
                let start = Instant::now();
                match op {
                    Op::Put => client.put(number, &content).await?,
                    Op::Get(count) => client.get(number % count, &content).await?,
                }
                times.push(start.elapsed());
            }
            anyhow::Ok(times)
        }));
    }
    let mut times: Vec<Duration> = Vec::new();
    for client in clients {
        times.extend(client.await.context("a client broke down")??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let processor_s = (target.processor_ns()? - before) as f64 / 1e9;
    let sorted = Sorted::new(times.iter().map(|time| time.as_secs_f64() * 1e3));
    Ok(Load {
        done: times.len() as u64,
        seconds,
        p50_ms: sorted.median(),
        p99_ms: sorted.p99(),
        processor_s,
    })
}

/// Bytes that no compression makes smaller.
fn content(bytes: u64) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let length = usize::try_from(bytes).expect("objects here fit into memory");
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out.into()
}
