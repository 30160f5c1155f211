//! The loop of a trusted program against a host that cuts, garbles and floods its stream.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use bytes::Bytes;
use prost::Message;
use sc_enclave::Program;
use sc_program::{FRAME_MAX, entropy, measure_self, serve};
use sc_proto::cbr::{self, call::Call, refusal::Reason, reply::Reply};

/// Answers a call with its own bytes, reversed.
struct Reverser;

impl Program for Reverser {
    fn handle(&self, request: Bytes, _: &mut dyn FnMut(&mut [u8])) -> Bytes {
        request.iter().rev().copied().collect::<Vec<_>>().into()
    }
}

fn frame(token: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&token.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The frames in `stream`, which must end with the last.
fn frames(mut stream: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    while !stream.is_empty() {
        let (header, rest) = stream.split_at(12);
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let token = u64::from_le_bytes(header[4..].try_into().unwrap());
        let (body, rest) = rest.split_at(length);
        out.push((token, body.to_vec()));
        stream = rest;
    }
    out
}

/// A stream that hands out `bytes` at most `step` at a time.
struct Dripping<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

/// A stream that remembers each write.
#[derive(Default)]
struct Writes(Vec<Vec<u8>>);

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(input: impl Read) -> (io::Result<()>, Vec<Vec<u8>>) {
    let mut writes = Writes::default();
    let result = serve(&Reverser, &mut |_| {}, input, &mut writes);
    (result, writes.0)
}

#[test]
fn calls_that_come_together_are_answered_together_in_order() {
    let stream = [frame(1, b"ab"), frame(u64::MAX, b""), frame(2, &[7; 1000])].concat();

    let (result, writes) = run(&stream[..]);

    result.unwrap();
    assert_eq!(writes.len(), 1);
    assert_eq!(
        frames(&writes[0]),
        [(1, b"ba".to_vec()), (u64::MAX, vec![]), (2, vec![7; 1000])]
    );
}

#[test]
fn a_stream_that_drips_gives_the_same_answers() {
    let stream = [frame(1, b"ab"), frame(2, b"cd"), frame(3, &[1, 2, 3])].concat();
    for step in [1, 2, 11, 13] {
        let dripping = Dripping {
            bytes: &stream,
            step,
        };

        let (result, writes) = run(dripping);

        result.unwrap();
        assert_eq!(
            frames(&writes.concat()),
            [(1, b"ba".to_vec()), (2, b"dc".to_vec()), (3, vec![3, 2, 1])]
        );
    }
}

#[test]
fn a_frame_cut_anywhere_is_an_error_and_the_calls_before_it_are_answered() {
    let whole = frame(1, b"ab");
    let cut = frame(2, b"cdef");
    for length in 1..cut.len() {
        let stream = [&whole[..], &cut[..length]].concat();

        let (result, writes) = run(&stream[..]);

        assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(frames(&writes.concat()), [(1, b"ba".to_vec())]);
    }
}

#[test]
fn no_reply_waits_for_the_rest_of_a_later_call() {
    /// Ends the test when it is asked for more than it has.
    struct Stuck<'a>(&'a [u8]);
    impl Read for Stuck<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("the host waits for a reply first"));
            }
            self.0.read(buffer)
        }
    }
    let later = frame(2, &[0; 100]);
    let stream = [&frame(1, b"ab")[..], &later[..50]].concat();

    let (result, writes) = run(Stuck(&stream));

    assert!(result.is_err());
    assert_eq!(frames(&writes.concat()), [(1, b"ba".to_vec())]);
}

#[test]
fn a_length_beyond_the_bound_ends_the_program_after_the_calls_before_it() {
    for length in [FRAME_MAX as u32 + 1, u32::MAX] {
        let stream = [
            &frame(1, b"ab")[..],
            &length.to_le_bytes(),
            &[0; 8],
            b"body",
        ]
        .concat();

        let (result, writes) = run(&stream[..]);

        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(frames(&writes.concat()), [(1, b"ba".to_vec())]);
    }
}

#[test]
fn a_long_length_without_its_body_is_an_error() {
    let stream = [&(FRAME_MAX as u32).to_le_bytes()[..], &[0; 8], b"short"].concat();

    let (result, _) = run(&stream[..]);

    assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_host_that_takes_no_replies_ends_the_program() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let result = serve(&Reverser, &mut |_| {}, &frame(1, b"ab")[..], Closed);

    assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn randomness_is_drawn_and_the_binary_is_measured() {
    let (mut first, mut second) = ([0; 32], [0; 32]);
    entropy(&mut first);
    entropy(&mut second);
    let binary = std::fs::read(std::env::current_exe().unwrap()).unwrap();

    assert_ne!(first, [0; 32]);
    assert_ne!(first, second);
    assert_eq!(measure_self(), sc_crypto::hash::sha256(&binary));
}

/// The program itself, as a child.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Running {
    fn new() -> Self {
        Self::told(&[])
    }

    fn told(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sc-cbr"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Self { child, stdin }
    }

    /// Writes `input`, closes the stream, and returns whether the program ended well, and the replies.
    fn finish(mut self, input: &[u8]) -> (bool, Vec<(u64, Reply)>) {
        let mut stdin = self.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let output = self.child.wait_with_output().unwrap();
        let replies = frames(&output.stdout)
            .into_iter()
            .map(|(token, body)| {
                let reply = cbr::Reply::decode(&body[..]).unwrap();
                (token, reply.reply.unwrap())
            })
            .collect();
        (output.status.success(), replies)
    }
}

fn describe() -> Vec<u8> {
    let call = Call::Describe(cbr::Describe {});
    cbr::Call { call: Some(call) }.encode_to_vec()
}

#[test]
fn the_program_refuses_garbage_and_goes_on() {
    let input = [
        frame(1, b"\xff\xff\xff"),
        frame(2, b""),
        frame(3, &[0x22; 5000]),
        frame(4, &describe()),
    ]
    .concat();

    let (ended_well, replies) = Running::new().finish(&input);

    assert!(ended_well);
    let tokens: Vec<_> = replies.iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens, [1, 2, 3, 4]);
    for (_, reply) in &replies[..3] {
        assert!(matches!(reply, Reply::Refusal(refusal) if refusal.reason() == Reason::Malformed));
    }
    assert!(matches!(&replies[3].1, Reply::Description(it) if it.program == "sc-cbr"));
}

#[test]
fn the_program_ends_with_an_error_when_its_stream_breaks() {
    let whole = frame(1, &describe());

    let (cut, after_cut) = Running::new().finish(&[&whole[..], &whole[..5]].concat());
    let (long, after_long) = Running::new().finish(&[&whole[..], &[0xff; 12]].concat());
    let (nothing, none) = Running::new().finish(b"");

    assert_eq!((cut, after_cut.len()), (false, 1));
    assert_eq!((long, after_long.len()), (false, 1));
    assert_eq!((nothing, none.len()), (true, 0));
}

#[test]
fn the_program_serves_with_the_processors_that_it_is_told_to_use() {
    let arguments = ["--kernel", "portable", "--threads", "3"];

    let (ended_well, replies) = Running::told(&arguments).finish(&frame(1, &describe()));

    assert!(ended_well);
    assert!(matches!(&replies[..], [(1, Reply::Description(_))]));
}

#[test]
fn the_program_does_not_start_with_arguments_that_it_cannot_follow() {
    for arguments in [
        &["--kernel", "sse9"][..],
        &["--threads", "0"],
        &["--threads"],
        &["--colour", "red"],
    ] {
        let Running { child, stdin } = Running::told(arguments);
        drop(stdin);
        let output = child.wait_with_output().unwrap();

        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"");
    }
}
