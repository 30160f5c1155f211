//! One small frame to each of many subscribers, over loopback.
//!
//! `cargo run --release -p sc-transport --example fanout -- [SUBSCRIBERS]`: the acceptor runs here and starts this
//! program again as all the subscribers.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use sc_transport::{
    Attach, Driver, Endpoint, Frame, FrameClass, LinkEvent, LinkKey, LinkSettings, Role, os_entropy,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.as_slice() {
        [flag, endpoint, subscribers] if flag == "--subscribe" => {
            let (endpoint, subscribers) = (endpoint.parse().unwrap(), subscribers.parse().unwrap());
            tokio::task::LocalSet::new().block_on(&runtime, subscribe(endpoint, subscribers));
        }
        [subscribers] => runtime.block_on(publish(subscribers.parse().unwrap())),
        _ => runtime.block_on(publish(1000)),
    }
}

async fn publish(subscribers: usize) {
    let attach = Attach::Bind("*:0".parse().unwrap());
    let key = LinkKey::generate(&mut os_entropy());
    let mut driver = Driver::acceptor(&attach, None, LinkSettings::default(), key)
        .await
        .unwrap();
    let endpoint = driver.endpoints()[0].to_string();
    let before = resident_kib();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--subscribe", &endpoint, &subscribers.to_string()])
        .spawn()
        .unwrap();

    let start = Instant::now();
    let mut links = Vec::new();
    while links.len() < subscribers {
        if let LinkEvent::Established { link, .. } = driver.next().await.unwrap() {
            links.push(link);
        }
    }
    println!("{subscribers} links established in {:.2?}", start.elapsed());
    println!(
        "{} KiB of memory per link",
        (resident_kib() - before) / subscribers as u64
    );
    for round in 1..=3 {
        let start = Instant::now();
        for link in &links {
            let frame = Frame::new("head").with(vec![0; 200]);
            driver.send(*link, FrameClass::Data, frame, round).unwrap();
        }
        let mut acked = 0;
        while acked < subscribers {
            match driver.next().await.unwrap() {
                LinkEvent::Acked { token, .. } if token == round => acked += 1,
                LinkEvent::Closed { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
        println!(
            "one frame to each, acknowledged, in {:.2?}",
            start.elapsed()
        );
    }
    let start = Instant::now();
    let idle_before = cpu_ticks();
    while start.elapsed() < Duration::from_secs(20) {
        let _ = tokio::time::timeout(Duration::from_secs(1), driver.next()).await;
    }
    println!(
        "{} ms of processor time in 20 idle seconds",
        (cpu_ticks() - idle_before) * 10
    );
    driver.shut_down("measured", Duration::from_secs(1)).await;
    let _ = child.kill();
    child.wait().unwrap();
}

async fn subscribe(endpoint: Endpoint, subscribers: usize) {
    let attach = Attach::Connect(vec![endpoint]);
    let tasks = (0..subscribers).map(|_| {
        let attach = attach.clone();
        tokio::task::spawn_local(async move {
            let key = LinkKey::generate(&mut os_entropy());
            let settings = LinkSettings::default();
            let mut driver = Driver::initiator(&attach, None, Role::Subscriber, settings, key)
                .await
                .unwrap();
            while let Ok(event) = driver.next().await {
                if let LinkEvent::Frame {
                    link,
                    class,
                    credit,
                    ..
                } = event
                {
                    driver.release(link, class, credit);
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Memory in use, from `/proc`.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time used so far, in hundredths of a second, from `/proc`.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
