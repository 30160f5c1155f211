//! No process of the host holds plaintext: its memory, its files and its sockets are searched for planted text.
//!
//! The same search finds the text where it has to be: in the owner's and the consumer's processes, in the simulated trusted program,
//! and, in the unencrypted mode, at the router and on the wire. A search that finds nothing anywhere would prove nothing.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

mod process;
mod tap;

use std::path::Path;

use process::{Role, files_of, memory_holds};
use tap::Tap;

/// An attribute's name, an attribute's value, a filter's operand, a payload.
const PLANTED: [&str; 4] = [
    "plantedname5Qx",
    "plantedvalue8Rk",
    "plantedfilter3Wd",
    "plantedvalue8Rk\" i plantedname5Qx",
];

/// A run of the three roles with a tap on every byte between the router and the others.
struct Run {
    folder: tempfile::TempDir,
    tap: Tap,
    router: Role,
    consumer: Role,
    source: Role,
}

impl Run {
    /// Starts the roles and waits until two consumers' files are awaited, one of which is there: the source holds its publications.
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write_input(path);
        Role::run(path, &["keygen", "key"]);
        std::fs::create_dir(path.join("router")).unwrap();
        let mut router = Role::start(
            &path.join("router"),
            "scbr",
            &[&["-a", "localhost:0"], flags].concat(),
        );
        let address = router.event("endpoints")["endpoints"][0]
            .as_str()
            .unwrap()
            .to_owned();
        router.event("ready");
        let tap = Tap::before(address.strip_prefix("tcp://").unwrap());
        let at = tap.address();
        let mut consumer = Role::start(
            path,
            "consumer",
            &[&["-c", &at, "-i", "subs", "-k", "key.pub"], flags].concat(),
        );
        let source = Role::start(
            path,
            "source",
            &[
                &["-c", &at, "-i", "pubs", "-k", "key.prv", "--await", "2"],
                flags,
            ]
            .concat(),
        );
        consumer.event("admitted");
        Self {
            folder,
            tap,
            router,
            consumer,
            source,
        }
    }

    /// Starts the second consumer and waits for the deliveries to the first.
    fn publish(&mut self, flags: &[&str]) -> Role {
        let arguments = [
            "-c",
            &self.tap.address(),
            "-i",
            "subs",
            "-k",
            "key.pub",
            "--identity",
            "second",
        ];
        let second = Role::start(
            self.folder.path(),
            "consumer",
            &[&arguments, flags].concat(),
        );
        let delivery = self.consumer.event("delivery");
        assert!(
            delivery["payload"].as_str().unwrap().contains(PLANTED[3]),
            "{delivery}"
        );
        self.source.event("summary");
        second
    }
}

/// Filters and publications with the planted text in every place that a user's text can have.
fn write_input(folder: &Path) {
    let [name, value, filter, _] = PLANTED;
    let matching = format!("0 0 P i symbol \"{value}\" i {name} 7");
    let other = "0 0 P i symbol \"other\" i volume 1";
    std::fs::write(
        folder.join("pubs"),
        format!("{matching}\n{other}\n").repeat(50),
    )
    .unwrap();
    std::fs::write(
        folder.join("subs"),
        format!("0 1 S i symbol = \"{value}\" i {name} >= 5\n0 2 S i symbol = \"{filter}\"\n"),
    )
    .unwrap();
}

#[test]
fn the_router_holds_no_plaintext_in_memory_files_or_sockets() {
    let mut run = Run::start(&[]);
    for text in PLANTED {
        assert!(
            text == PLANTED[2] || memory_holds(run.source.pid(), text.as_bytes()),
            "control: the source holds {text}"
        );
    }
    let _second = run.publish(&[]);
    let program = run.router.child_pid();
    let seeds = ["key.prv", "key.pub.consumer", "second"]
        .map(|file| secret_seed(&run.folder.path().join(file)));

    for text in &PLANTED[1..3] {
        assert!(
            memory_holds(run.consumer.pid(), text.as_bytes()),
            "control: the consumer holds {text}"
        );
        assert!(
            memory_holds(program, text.as_bytes()),
            "control: the simulated trusted program holds {text}"
        );
    }
    for text in PLANTED {
        assert!(
            !memory_holds(run.router.pid(), text.as_bytes()),
            "the router's memory holds {text}"
        );
        assert!(
            !run.tap.recorded(text.as_bytes()),
            "the wire has carried {text}"
        );
        for file in files_of(run.router.pid(), &run.folder.path().join("router")) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(
                !process::holds(&bytes, text.as_bytes()),
                "{} holds {text}",
                file.display()
            );
        }
    }
    for seed in seeds {
        assert!(
            !memory_holds(run.router.pid(), &seed),
            "the router's memory holds a private key"
        );
        assert!(
            !run.tap.recorded(&seed),
            "the wire has carried a private key"
        );
    }
    assert!(run.tap.bytes() > 1000, "the tap has seen the run");
}

#[test]
fn the_same_search_finds_everything_in_the_unencrypted_mode() {
    let mut run = Run::start(&["--plain"]);
    let _second = run.publish(&["--plain"]);

    for text in PLANTED {
        assert!(
            run.tap.recorded(text.as_bytes()),
            "the wire has not carried {text}"
        );
    }
    assert!(
        PLANTED
            .iter()
            .any(|text| memory_holds(run.router.pid(), text.as_bytes())),
        "the router's memory holds none of it"
    );
}

/// The 32 bytes that a modern private key file stands for: the end of its PKCS#8 structure.
fn secret_seed(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let base64: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let bytes = decode_base64(&base64);
    bytes[bytes.len() - 32..].to_vec()
}

fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u32> = text
        .trim_end_matches('=')
        .chars()
        .map(|digit| ALPHABET.find(digit).unwrap() as u32)
        .collect();
    let mut bytes = Vec::new();
    let (mut window, mut count) = (0_u32, 0);
    for value in bits {
        window = window << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((window >> count) as u8);
        }
    }
    bytes
}
