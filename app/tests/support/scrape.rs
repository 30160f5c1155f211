//! The numbers of a running role, read as Prometheus reads them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Between two looks at numbers that are told once a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A port of this machine that nobody uses.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The page at `address`.
pub(crate) fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    page
}

/// The number of this name on a page; none if it is not there.
pub(crate) fn value(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// Looks until the numbers are these.
#[track_caller]
pub(crate) fn assert_tells(address: SocketAddr, expected: &[(&str, u64)]) {
    let begin = Instant::now();
    loop {
        let page = scrape(address);
        let differs = |(name, number): &&(&str, u64)| value(&page, name) != Some(*number);
        let Some((name, number)) = expected.iter().find(differs) else {
            return;
        };
        assert!(
            begin.elapsed() < PATIENCE,
            "{name} is {:?} and not {number} in\n{page}",
            value(&page, name)
        );
        sleep(LOOK_AGAIN);
    }
}
