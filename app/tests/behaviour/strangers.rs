//! Whatever reaches a router's port from outside, its domains go on.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Folder, PATIENCE, Role, numbers};

/// A domain at work: a router, a source that reads what the test writes, a consumer.
struct Domain {
    router: Role,
    source: Role,
    consumer: Role,
    address: String,
    next: u64,
}

impl Domain {
    fn start(folder: &Folder) -> Self {
        let mut router = Role::start(folder, "scbr", &["-a", "localhost:0"]);
        let endpoint = router.endpoint();
        let source = ["-c", &endpoint, "-i", "-", "-k", "key.prv"];
        let source = Role::start(folder, "source", &source);
        let consumer = ["-c", &endpoint, "-i", "subs", "-k", "key.pub"];
        let mut consumer = Role::start(folder, "consumer", &consumer);
        consumer.event("admitted");
        let mut domain = Self {
            router,
            source,
            consumer,
            address: endpoint.strip_prefix("tcp://").unwrap().to_owned(),
            next: 0,
        };
        domain.assert_works();
        domain
    }

    /// Publishes, and waits until it has arrived.
    #[track_caller]
    fn assert_works(&mut self) {
        self.source.write(&numbers(self.next..self.next + 1));
        self.next += 2;

        let delivery = self.consumer.event("delivery");

        assert!(
            delivery["subscriptions"]
                .as_array()
                .unwrap()
                .contains(&json!(1))
        );
        assert!(self.router.is_running());
    }

    fn call(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Says `bytes` to the router; asserts that it hangs up.
    #[track_caller]
    fn assert_hangs_up_on(&self, bytes: &[u8]) {
        let mut stream = self.call();
        // The router may hang up before everything is written.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        assert!(
            answer.len() < 1024,
            "nothing of substance is said to strangers"
        );
    }

    /// Ends everyone well; asserts that nothing was lost.
    #[track_caller]
    fn end(self) {
        assert!(!self.consumer.said().contains("the router is gone"));
        self.source.interrupt().succeeded();
        let consumer = self.consumer.interrupt();
        consumer.succeeded();
        assert_eq!(consumer.events("missing").len(), 0);
        assert_eq!(consumer.event("summary")["publications"], self.next / 2);
        self.router.interrupt().succeeded();
    }
}

/// The first bytes of a ZeroMQ peer without encryption (ZMTP 3.0).
fn greeting() -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    bytes.extend(b"NULL");
    bytes.resize(64, 0);
    bytes
}

/// A greeting and the command by which a peer says that it is a DEALER.
fn shaken_hands() -> Vec<u8> {
    let ready = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER";
    [greeting(), ready.to_vec()].concat()
}

#[test]
fn bytes_that_are_no_protocol_change_nothing() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::start(&folder);

    domain.assert_hangs_up_on(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    domain.assert_hangs_up_on(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    domain.assert_hangs_up_on(&[0; 1000]);
    domain.assert_hangs_up_on(&vec![0xff; 1 << 20]);
    domain.assert_hangs_up_on(&[greeting(), vec![0xff; 73]].concat());

    domain.assert_works();
    domain.end();
}

#[test]
fn a_frame_of_2_to_the_62_bytes_is_not_waited_for() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::start(&folder);

    for size in [1_u64 << 62, u64::MAX, 1 << 40] {
        let announced = [&shaken_hands()[..], &[2], &size.to_be_bytes()].concat();
        domain.assert_hangs_up_on(&announced);
    }

    domain.assert_works();
    domain.end();
}

#[test]
fn messages_of_a_peer_that_proves_nothing_are_dropped() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::start(&folder);
    let mut peer = domain.call();
    peer.write_all(&shaken_hands()).unwrap();

    // One-part messages of every first byte, as if they were packets of a link.
    for first in 0..=255 {
        peer.write_all(&[0, 20]).unwrap();
        peer.write_all(&[first; 20]).unwrap();
    }
    domain.assert_works();

    drop(peer);
    domain.assert_works();
    domain.end();
}

#[test]
fn two_hundred_silent_connections_keep_nobody_out() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::start(&folder);

    let silent: Vec<TcpStream> = (0..200).map(|_| domain.call()).collect();
    let arguments = [
        "-c",
        &domain.address,
        "-i",
        "subs",
        "-k",
        "key.pub",
        "--identity",
        "late",
    ];
    let mut late = Role::start(&folder, "consumer", &arguments);
    late.event("admitted");

    domain.assert_works();
    late.event("delivery");
    drop(silent);
    domain.assert_works();
    domain.end();
}

#[test]
fn connections_that_come_and_go_keep_nobody_out() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::start(&folder);

    for length in 0..300 {
        let mut stream = domain.call();
        stream.write_all(&shaken_hands()[..length % 94]).unwrap();
    }

    domain.assert_works();
    domain.end();
}
