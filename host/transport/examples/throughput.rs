//! Frames per second from one process to another over loopback.
//!
//! `cargo run --release -p sc-transport --example throughput -- [BYTES] [FRAMES]`: the acceptor runs here and starts
//! this program again as the initiator; without arguments it runs 100 KB frames and small ones.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use sc_transport::{
    Attach, Dialer, Driver, Endpoint, Frame, FrameClass, LinkEvent, LinkId, LinkKey, LinkSettings,
    Links, Role, SendError, os_entropy,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.as_slice() {
        [flag, endpoint, bytes, frames] if flag == "--send" => {
            let (bytes, frames) = (bytes.parse().unwrap(), frames.parse().unwrap());
            runtime.block_on(send(endpoint.parse().unwrap(), bytes, frames));
        }
        [bytes, frames] => {
            runtime.block_on(receive(bytes.parse().unwrap(), frames.parse().unwrap()));
        }
        _ => {
            runtime.block_on(receive(100_000, 50_000));
            runtime.block_on(receive(64, 2_000_000));
        }
    }
}

async fn receive(bytes: usize, frames: u64) {
    let attach = Attach::Bind("*:0".parse().unwrap());
    let key = LinkKey::generate(&mut os_entropy());
    let mut driver: Driver<Links> = Driver::acceptor(&attach, None, LinkSettings::default(), key)
        .await
        .unwrap();
    let endpoint = driver.endpoints()[0].to_string();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--send", &endpoint, &bytes.to_string(), &frames.to_string()])
        .spawn()
        .unwrap();

    let (mut received, mut start) = (0, Instant::now());
    while received < frames {
        if let LinkEvent::Frame {
            link,
            class,
            credit,
            ..
        } = driver.next().await.unwrap()
        {
            if received == 0 {
                start = Instant::now();
            }
            received += 1;
            driver.release(link, class, credit);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let megabytes = (bytes as u64 * frames) as f64 / 1e6;
    println!(
        "{frames} frames of {bytes} bytes: {:.0} frames/s, {:.0} MB/s, {:?}",
        frames as f64 / seconds,
        megabytes / seconds,
        driver.counts()
    );
    driver.shut_down("measured", Duration::from_secs(1)).await;
    child.wait().unwrap();
}

async fn send(endpoint: Endpoint, bytes: usize, frames: u64) {
    let attach = Attach::Connect(vec![endpoint]);
    let key = LinkKey::generate(&mut os_entropy());
    let settings = LinkSettings::default();
    let mut driver: Driver<Dialer> =
        Driver::initiator(&attach, None, Role::Publisher, settings, key)
            .await
            .unwrap();
    let payload = bytes::Bytes::from(vec![0x5a; bytes]);
    let mut sent = 0;
    loop {
        match driver.next().await.unwrap() {
            LinkEvent::Established { link, .. } | LinkEvent::Writable { link, .. } => {
                sent = fill(&mut driver, link, &payload, sent, frames);
            }
            LinkEvent::Acked { token, .. } if token == frames => break,
            LinkEvent::Closed { .. } => break,
            _ => {}
        }
    }
    driver.shut_down("sent", Duration::from_secs(1)).await;
}

/// Sends until the queue is full or all is sent.
fn fill(
    driver: &mut Driver<Dialer>,
    link: LinkId,
    payload: &bytes::Bytes,
    mut sent: u64,
    frames: u64,
) -> u64 {
    while sent < frames {
        let frame = Frame::new("head").with(payload.clone());
        match driver.send(link, FrameClass::Data, frame, sent + 1) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    sent
}
