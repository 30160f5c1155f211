//! What the ways to a program on the same machine cost: pipes and socket pairs, for bulk and for small calls.
//!
//! ```text
//! cargo run --release -p sc-launcher --example streams -- [GIBIBYTES]
//! ```
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may panic"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// What is written at a time.
const PIECE: usize = 1 << 20;
/// Calls of which the mean is told.
const CALLS: u32 = 100_000;
/// Bytes of a small call, and of its reply.
const CALL: usize = 64;

/// The two ends of a stream.
type Ends = (Box<dyn Write + Send>, Box<dyn Read + Send>);

/// A stream in one direction, by its name and how it is made.
struct Kind {
    name: &'static str,
    make: fn() -> Ends,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "pipe of 64 KiB",
        make: || pipe(64 << 10),
    },
    Kind {
        name: "pipe of 256 KiB",
        make: || pipe(256 << 10),
    },
    Kind {
        name: "pipe of 1 MiB",
        make: || pipe(1 << 20),
    },
    Kind {
        name: "socket pair",
        make: || {
            let (one, other) = UnixStream::pair().unwrap();
            (Box::new(one), Box::new(other))
        },
    },
    Kind {
        name: "TCP on loopback",
        make: || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            one.set_nodelay(true).unwrap();
            (Box::new(one), Box::new(listener.accept().unwrap().0))
        },
    },
];

fn pipe(bytes: usize) -> Ends {
    let (read, write) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(write.as_fd(), bytes).unwrap();
    (Box::new(write), Box::new(read))
}

/// Processor seconds that this thread has used.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a benchmark of a few seconds")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// Processor seconds of writer and reader for each GiB.
fn bulk(kind: &Kind, gibibytes: u32) -> f64 {
    let (mut write, mut read) = (kind.make)();
    let pieces = u64::from(gibibytes) << 10;
    let reader = std::thread::spawn(move || {
        let before = thread_seconds();
        let mut piece = vec![0; PIECE];
        for _ in 0..pieces {
            read.read_exact(&mut piece).unwrap();
        }
        thread_seconds() - before
    });
    let before = thread_seconds();
    let piece = vec![7; PIECE];
    for _ in 0..pieces {
        write.write_all(&piece).unwrap();
    }
    let written = thread_seconds() - before;
    (written + reader.join().unwrap()) / f64::from(gibibytes)
}

/// Microseconds of a call and its reply.
fn call(kind: &Kind) -> f64 {
    let (mut ask, mut asked) = (kind.make)();
    let (mut answer, mut answered) = (kind.make)();
    let program = std::thread::spawn(move || {
        let mut message = [0; CALL];
        for _ in 0..CALLS {
            asked.read_exact(&mut message).unwrap();
            answer.write_all(&message).unwrap();
        }
    });
    let begin = Instant::now();
    let mut message = [0; CALL];
    for _ in 0..CALLS {
        ask.write_all(&message).unwrap();
        answered.read_exact(&mut message).unwrap();
    }
    let taken = begin.elapsed();
    program.join().unwrap();
    taken.as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn main() {
    let gibibytes = std::env::args().nth(1).map_or(4, |it| it.parse().unwrap());
    println!("| stream | bulk, CPU s/GiB, three runs | call of {CALL} bytes, us, three runs |");
    println!("|---|---|---|");
    for kind in &KINDS {
        let bulk: Vec<_> = (0..3)
            .map(|_| format!("{:.2}", bulk(kind, gibibytes)))
            .collect();
        let call: Vec<_> = (0..3).map(|_| format!("{:.1}", call(kind))).collect();
        println!(
            "| {} | {} | {} |",
            kind.name,
            bulk.join(", "),
            call.join(", ")
        );
    }
}
