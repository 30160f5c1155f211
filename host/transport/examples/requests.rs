//! Round trips per second, and bytes per second of large requests and replies.
//!
//! `cargo run --release -p sc-transport --example requests`: this program asks, and starts itself again to answer over
//! tcp and ipc; over inproc both are in one process and on one thread. Compare with the example `throughput` of the
//! same hour.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sc_transport::{
    Admission, Endpoint, Frame, Handler, LinkKey, PeerKey, Requester, Responder, Role, RpcSettings,
    os_entropy,
};

const DEADLINE: Duration = Duration::from_secs(30);
/// Clock ticks per second in `/proc/<pid>/stat`.
const TICKS: f64 = 100.0;

/// Answers with as many bytes as the head asks for.
struct Sized(Bytes);

impl Handler for Sized {
    async fn handle(&self, _peer: PeerKey, request: Frame) -> Frame {
        let wanted = request
            .head
            .first_chunk()
            .map_or(0, |b| u64::from_le_bytes(*b));
        match wanted {
            0 => Frame::default(),
            _ => Frame::default().with(self.0.slice(..wanted as usize)),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.as_slice() {
        [flag, endpoint] if flag == "--serve" => runtime.block_on(async {
            let responder = responder(&endpoint.parse().unwrap()).await;
            println!("{}", responder.endpoints()[0]);
            serve(responder).await;
        }),
        schemes => runtime.block_on(async {
            for scheme in ["tcp", "ipc", "inproc"] {
                if schemes.is_empty() || schemes.iter().any(|asked| asked == scheme) {
                    measure(scheme).await;
                }
            }
        }),
    }
}

async fn responder(endpoint: &Endpoint) -> Responder {
    let key = LinkKey::generate(&mut os_entropy());
    let settings = RpcSettings::default();
    Responder::bind(endpoint, None, Role::Store, key, Admission::Any, settings)
        .await
        .unwrap()
}

async fn serve(responder: Responder) {
    let handler = Arc::new(Sized(vec![0x5a; 8 << 20].into()));
    let served = responder.serve(handler, std::future::pending(), Duration::ZERO);
    served.await.unwrap();
}

async fn measure(scheme: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = None;
    let endpoint: Endpoint = match scheme {
        "inproc" => {
            let responder = responder(&"inproc://store".parse().unwrap()).await;
            tokio::spawn(serve(responder));
            "inproc://store".parse().unwrap()
        }
        "ipc" => start(
            &format!("ipc://{}", folder.path().join("store").display()),
            &mut child,
        ),
        _ => start("localhost:0", &mut child),
    };
    let key = LinkKey::generate(&mut os_entropy());
    let settings = RpcSettings::default();
    let client = Requester::connect(&endpoint, None, Role::Client, key, Admission::Any, settings)
        .await
        .unwrap();
    for (in_flight, rounds) in [(1, 20_000), (32, 300_000)] {
        small(scheme, &client, in_flight, rounds).await;
    }
    let bulk = Frame::new(0u64.to_le_bytes().to_vec()).with(vec![0x5a; 4 << 20]);
    large(scheme, "requests", &client, &bulk, child.as_ref()).await;
    let ask = Frame::new((4u64 << 20).to_le_bytes().to_vec());
    large(scheme, "replies", &client, &ask, child.as_ref()).await;
    client.close().await;
    if let Some(mut child) = child {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Starts the answering process; returns where it listens.
fn start(endpoint: &str, child: &mut Option<Child>) -> Endpoint {
    let mut started = Command::new(std::env::current_exe().unwrap())
        .args(["--serve", endpoint])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(started.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    *child = Some(started);
    line.trim().parse().unwrap()
}

async fn small(scheme: &str, client: &Requester, in_flight: u64, rounds: u64) {
    let request = Frame::new(vec![0; 64]);
    let (start, each) = (Instant::now(), rounds / in_flight);
    let tasks = (0..in_flight).map(|_| {
        let (client, request) = (client.clone(), request.clone());
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(each as usize);
            for _ in 0..each {
                let asked = Instant::now();
                client.call(request.clone(), DEADLINE).await.unwrap();
                times.push(asked.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await.unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    times.sort_unstable();
    println!(
        "{scheme}: 64 bytes, {in_flight} in flight: {:.0} round trips/s, p50 {:?}, p99 {:?}",
        times.len() as f64 / seconds,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    );
}

async fn large(
    scheme: &str,
    what: &str,
    client: &Requester,
    request: &Frame,
    child: Option<&Child>,
) {
    const ROUNDS: u64 = 1536;
    const IN_FLIGHT: u64 = 8;
    let cpu = || {
        (
            cpu_of("self"),
            child.map_or(0.0, |child| cpu_of(&child.id().to_string())),
        )
    };
    let (start, before) = (Instant::now(), cpu());
    let tasks = (0..IN_FLIGHT).map(|_| {
        let (client, request) = (client.clone(), request.clone());
        tokio::spawn(async move {
            for _ in 0..ROUNDS / IN_FLIGHT {
                client.call(request.clone(), DEADLINE).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (seconds, after) = (start.elapsed().as_secs_f64(), cpu());
    let gib = ROUNDS as f64 * 4.0 / 1024.0;
    println!(
        "{scheme}: {what} of 4 MiB, {IN_FLIGHT} in flight: {:.0} MB/s, CPU s/GiB {:.2} asking, {:.2} answering",
        ROUNDS as f64 * 4.194_304 / seconds,
        (after.0 - before.0) / gib,
        (after.1 - before.1) / gib,
    );
}

/// Seconds of processor time that a process has used.
fn cpu_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = |place: usize| -> f64 { fields.split(' ').nth(place).unwrap().parse().unwrap() };
    (ticks(11) + ticks(12)) / TICKS
}
