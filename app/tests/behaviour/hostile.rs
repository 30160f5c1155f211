//! Peers that mean harm, at the socket of a real router: the others go on, and the router's memory stays bounded.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use sc_enclave::simulation_development_key;

use crate::support::{Folder, PATIENCE, Role, command, numbers, securecloud};

/// A domain at work, whose consumer is connected by way of `through`.
struct Domain {
    router: Role,
    source: Role,
    consumer: Role,
    address: String,
    next: u64,
}

impl Domain {
    fn start(folder: &Folder, flags: [&[&str]; 3], through: impl FnOnce(&str) -> String) -> Self {
        let mut router = Role::start(folder, "scbr", &[&["-a", "127.0.0.1:0"], flags[0]].concat());
        let endpoint = router.endpoint();
        let address = endpoint.strip_prefix("tcp://").unwrap().to_owned();
        let source = ["-c", &endpoint, "-i", "-", "-k", "key.prv"];
        let source = Role::start(folder, "source", &[&source, flags[1]].concat());
        let near = through(&address);
        let consumer = ["-c", &near, "-i", "subs", "-k", "key.pub"];
        let mut consumer = Role::start(folder, "consumer", &[&consumer, flags[2]].concat());
        consumer.event("admitted");
        Self {
            router,
            source,
            consumer,
            address,
            next: 0,
        }
    }

    fn plain(folder: &Folder) -> Self {
        Self::start(folder, [&[]; 3], str::to_owned)
    }

    /// Publishes a number that the consumer wants.
    fn publish(&mut self) {
        self.source.write(&numbers(self.next..self.next + 1));
        self.next += 2;
    }

    /// Publishes, and waits until it has arrived.
    #[track_caller]
    fn assert_works(&mut self) {
        self.publish();
        self.consumer.event("delivery");
        assert!(self.router.is_running());
    }

    /// Memory of the router's process in use, in KiB.
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.router.pid()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }
}

fn greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    bytes.extend(mechanism);
    bytes.resize(64, 0);
    bytes
}

/// Says `bytes` to the router; asserts that it hangs up before long.
#[track_caller]
fn assert_hangs_up(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The router may hang up before everything is written.
    let _ = stream.write_all(bytes);
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
}

/// Announces frames and commands of absurd sizes in place of the greeting and right after it.
#[track_caller]
fn announce_absurd_sizes(domain: &mut Domain, mechanism: &[u8]) {
    let before = domain.resident_kib();
    for size in [1_u64 << 62, u64::MAX, 1 << 40] {
        for flags in [2, 6] {
            let announced = [&[flags][..], &size.to_be_bytes(), &[0; 64]].concat();
            assert_hangs_up(&domain.address, &announced);
            let greeted = [greeting(mechanism), announced].concat();
            assert_hangs_up(&domain.address, &greeted);
        }
    }
    let grown = domain.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    domain.assert_works();
}

#[test]
fn absurd_sizes_before_anything_is_proved_are_not_waited_for() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::plain(&folder);
    domain.assert_works();

    announce_absurd_sizes(&mut domain, b"NULL");
}

/// Makes link keys that name `peers`; returns the public one.
fn link_keys(folder: &Folder, name: &str) -> String {
    let finished = securecloud(folder, &["keygen", name, "--link"]);
    finished.succeeded();
    let text = folder.read(&format!("{name}.link"));
    let line = text.lines().find(|line| line.starts_with("public"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

fn name_peer(folder: &Folder, name: &str, peer: &str) {
    let file = format!("{name}.link");
    let text = format!("{}\npeer = \"{peer}\"\n", folder.read(&file));
    folder.write(&file, text);
}

#[test]
fn absurd_sizes_before_an_encrypted_connection_stands_are_not_waited_for() {
    let folder = Folder::with_numbers();
    let router = link_keys(&folder, "router");
    for name in ["source", "consumer"] {
        let public = link_keys(&folder, name);
        name_peer(&folder, name, &router);
        name_peer(&folder, "router", &public);
    }
    let key = simulation_development_key().verifying_key();
    let key: String = (key.as_bytes().iter().map(|byte| format!("{byte:02x}"))).collect();
    folder.write("policy", format!("simulation-key {key}\n"));
    let source = "--link-keys source.link --policy policy --allow-simulation";
    let source: Vec<&str> = source.split(' ').collect();
    let mut domain = Domain::start(
        &folder,
        [
            &["--link-keys", "router.link"],
            &source,
            &["--link-keys", "consumer.link"],
        ],
        str::to_owned,
    );
    domain.assert_works();

    announce_absurd_sizes(&mut domain, b"CURVE");
}

/// Lets this process hold `wanted` connections open beside all else; returns how many of them the system allows.
fn room_for(wanted: u64) -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    wanted.min(maximum.unwrap_or(u64::MAX) - 1000)
}

#[test]
fn ten_thousand_silent_connections_keep_nobody_out_and_are_closed() {
    let folder = Folder::with_numbers();
    let mut domain = Domain::plain(&folder);
    domain.assert_works();
    let before = domain.resident_kib();
    let count = room_for(10_000);

    let begin = Instant::now();
    let mut silent: Vec<TcpStream> = (0..count)
        .map(|_| TcpStream::connect(&domain.address).unwrap())
        .collect();
    let connected = begin.elapsed();
    let begin = Instant::now();
    let late = ["-c", &domain.address, "-i", "subs", "-k", "key.pub"];
    let late = [&late[..], &["--identity", "late"]].concat();
    let mut late = Role::start(&folder, "consumer", &late);
    late.event("admitted");
    let admitted = begin.elapsed();
    let grown = domain.resident_kib().saturating_sub(before);
    println!(
        "{count} silent connections in {connected:.2?}, {} MiB; a good peer was admitted in {admitted:.2?}",
        grown >> 10
    );

    domain.assert_works();
    late.event("delivery");
    assert!(admitted < Duration::from_secs(5), "{admitted:?}");
    assert!(grown < 1 << 20, "{grown} KiB for {count} connections");
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The router's greeting, then the end.
        match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
    domain.assert_works();
}

#[test]
fn a_router_holds_as_many_files_open_as_it_is_granted_and_says_when_that_is_little() {
    let folder = Folder::with_numbers();
    let start = |limits: &str| {
        let router = command(&folder, &["scbr", "-a", "127.0.0.1:0"]);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
            .arg(router.get_program())
            .args(router.get_args())
            .current_dir(&*folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        for (name, value) in router.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let mut child = limited.spawn().unwrap();
        let mut told = String::new();
        let mut stderr = child.stderr.take().unwrap();
        let mut buffer = [0; 1024];
        while !told.contains("listening at") {
            let read = stderr.read(&mut buffer).unwrap();
            assert!(read > 0, "{told}");
            told.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open"));
        let soft = line.unwrap().split_whitespace().nth(3).unwrap().to_owned();
        (soft, told)
    };

    let (soft, told) = start("ulimit -Sn 256; ulimit -Hn 11000");
    assert_eq!(soft, "11000");
    assert!(!told.contains("files open"), "{told}");

    let (soft, told) = start("ulimit -n 400");
    assert_eq!(soft, "400");
    assert!(told.contains("may hold only 400 files open"), "{told}");
}

#[test]
fn of_two_consumers_with_one_identity_the_newer_stays_and_the_older_is_told() {
    let (folder, elsewhere) = (Folder::with_numbers(), Folder::empty());
    let mut domain = Domain::start(&folder, [&[], &[], &["--identity", "twin"]], str::to_owned);
    domain.assert_works();
    for file in ["twin", "twin.journal", "key.pub", "subs"] {
        let mode = folder.mode(file);
        elsewhere.write(file, std::fs::read(folder.join(file)).unwrap());
        elsewhere.set_mode(file, mode);
    }

    let newer = ["-c", &domain.address, "-i", "subs", "-k", "key.pub"];
    let newer = [&newer[..], &["--identity", "twin"]].concat();
    let mut newer = Role::start(&elsewhere, "consumer", &newer);
    newer.event("admitted");
    let older = std::mem::replace(&mut domain.consumer, newer).end();

    assert_ne!(older.code(), Some(0), "{older:#?}");
    assert!(older.stderr.contains("another"), "{}", older.stderr);
    for _ in 0..20 {
        domain.assert_works();
    }
    let newer = domain.consumer.interrupt();
    newer.succeeded();
    assert_eq!(newer.events("delivery").len(), 20, "and nothing is lost");
    assert_eq!(newer.stderr.matches("the router is gone").count(), 0);
}

/// Every byte that came from either side, and the switch of who meddles.
#[derive(Default)]
struct Tap {
    from_near: Mutex<Vec<u8>>,
    meddles: AtomicBool,
    changed: AtomicBool,
}

/// Passes connections on to `target`; while its switch is on, changes a byte in what it brings back.
fn relay(target: &str) -> (String, Arc<Tap>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tap = Arc::new(Tap::default());
    let (target, kept) = (target.to_owned(), Arc::clone(&tap));
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(&target) else {
                continue;
            };
            let (tap, back) = (Arc::clone(&kept), Arc::clone(&kept));
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            pass(near_too, far_too, move |bytes| {
                tap.from_near.lock().unwrap().extend_from_slice(bytes);
            });
            pass(far, near, move |bytes| {
                // Large pieces hold a frame; the middle of one is content, sealed.
                if bytes.len() > 200 && back.meddles.load(Ordering::SeqCst) {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    back.changed.store(true, Ordering::SeqCst);
                }
            });
        }
    });
    (address, tap)
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut work: impl FnMut(&mut [u8]) + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            work(&mut buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_relay_that_changes_bytes_never_makes_a_consumer_take_what_was_not_published() {
    let folder = Folder::with_numbers();
    let mut tap = None;
    let mut domain = Domain::start(&folder, [&[]; 3], |address| {
        let (near, relay) = relay(address);
        tap = Some(relay);
        near
    });
    let tap = tap.unwrap();
    domain.assert_works();

    tap.meddles.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    while !tap.changed.load(Ordering::SeqCst) {
        domain.publish();
        assert!(begin.elapsed() < PATIENCE, "a frame came by");
        std::thread::sleep(Duration::from_millis(20));
    }
    tap.meddles.store(false, Ordering::SeqCst);
    domain.publish();

    domain.consumer.event("delivery");
    let published: BTreeSet<String> = (0..domain.next)
        .step_by(2)
        .map(|number| numbers(number..number + 1).trim_end().to_owned())
        .collect();
    let consumer = domain.consumer.interrupt();
    for delivery in consumer.events("delivery") {
        let payload = delivery["payload"].as_str().unwrap();
        assert!(published.contains(payload), "{payload}");
    }
    assert!(domain.router.is_running());
    let noticed = [
        "missing",
        "rejected",
        "violation",
        "not authentic",
        "gone",
        "damaged",
    ];
    let told = format!("{}{}", consumer.stdout, consumer.stderr);
    assert!(noticed.iter().any(|word| told.contains(word)), "{told}");
}

/// The routing id in the recorded greeting of a DEALER.
fn routing_id(recorded: &[u8]) -> Vec<u8> {
    let label = b"Identity\0\0\0\x10";
    let place = recorded
        .windows(label.len())
        .position(|window| window == label);
    recorded[place.unwrap() + label.len()..][..16].to_vec()
}

/// Has a stranger take the routing id of a consumer while something is published, in the mode of `flags`; returns what it heard after its
/// own greeting, and the line that was published meanwhile. The consumer comes back.
fn heard_under_the_routing_id_of_a_consumer(flags: &[&str]) -> (Vec<u8>, String) {
    let folder = Folder::with_numbers();
    let mut tap = None;
    let mut domain = Domain::start(&folder, [flags; 3], |address| {
        let (near, relay) = relay(address);
        tap = Some(relay);
        near
    });
    domain.assert_works();
    let id = routing_id(&tap.unwrap().from_near.lock().unwrap());

    let ready = [
        &b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x10"[..],
        &id,
    ]
    .concat();
    let ready = [&[4, ready.len() as u8][..], &ready].concat();
    let mut thief = TcpStream::connect(&domain.address).unwrap();
    thief
        .write_all(&[greeting(b"NULL"), ready].concat())
        .unwrap();
    thief
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let line = numbers(domain.next..domain.next + 1);
    domain.publish();
    let mut heard = Vec::new();
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = thief.read(&mut bytes) {
        heard.extend_from_slice(&bytes[..read]);
    }
    drop(thief);

    domain.consumer.event("delivery");
    domain.assert_works();
    (heard, line.trim_end().to_owned())
}

#[test]
fn a_stranger_that_takes_the_routing_id_of_a_consumer_reads_nothing_and_the_consumer_comes_back() {
    let holds = |heard: &[u8], line: &str| {
        let mut windows = heard.windows(line.len());
        windows.any(|window| window == line.as_bytes())
    };

    // A connection without link keys carries what is sent to its routing id until its link is found to be another's: sealed.
    let (heard, line) = heard_under_the_routing_id_of_a_consumer(&[]);
    assert!(!holds(&heard, &line));
    let (heard, line) = heard_under_the_routing_id_of_a_consumer(&["--plain"]);
    assert!(holds(&heard, &line), "without a seal it would be found");
}
