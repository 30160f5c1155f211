//! The loop: read a call, handle it, write its reply, until the stream ends.
//!
//! A frame is the length of its body, u32; a token, u64; the body; little-endian. The stream comes from the untrusted host: a length
//! beyond [`FRAME_MAX`] ends the program, any body is handled.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use bytes::Bytes;
use sc_enclave::Program;

/// The longest body that is accepted.
pub const FRAME_MAX: usize = 256 << 20;
const HEADER_BYTES: usize = 12;
/// Room made at once for a body: the longest call of a client's segment fits.
const RESERVE_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 1 << 18;
/// Replies of so many bytes together are written at once: the host has enough to do with them, and whoever waits for them has, too.
const REPLIES_BYTES: usize = 1 << 14;

/// Serves `program` over a pair of streams; returns when the input ends.
///
/// Replies are written when no further call is buffered whole, or when they are worth a write, so that small calls that come together are
/// answered together, and no reply waits for bytes that the host has yet to send.
///
/// # Errors
/// Any error of a stream; `InvalidData` for a frame beyond [`FRAME_MAX`]; `UnexpectedEof` for one cut short.
pub fn serve(
    program: &dyn Program,
    entropy: &mut dyn FnMut(&mut [u8]),
    input: impl Read,
    mut output: impl Write,
) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut replies = Vec::with_capacity(BUFFER_BYTES);
    while !input.fill_buf()?.is_empty() {
        let mut header = [0; HEADER_BYTES];
        input.read_exact(&mut header)?;
        let (length, token) = header.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("split at 4")) as usize;
        if length > FRAME_MAX {
            return Err(too_long());
        }
        let reply = program.handle(read_body(&mut input, length)?, entropy);

        let length = u32::try_from(reply.len())
            .map_err(|_| io::Error::other("a reply is longer than a frame may be"))?;
        replies.extend_from_slice(&length.to_le_bytes());
        replies.extend_from_slice(token);
        replies.extend_from_slice(&reply);
        if !holds_a_call(input.buffer()) || replies.len() >= REPLIES_BYTES {
            output.write_all(&replies)?;
            output.flush()?;
            replies.clear();
        }
    }
    output.flush()
}

/// Serves `program` over a pair of streams on `threads` threads; returns when the input ends and every reply is written.
///
/// Replies come in any order, each with its call's token. While every thread is busy nothing is read.
///
/// # Errors
/// As [`serve`].
pub fn serve_on_threads(
    program: &dyn Program,
    entropy: fn(&mut [u8]),
    threads: usize,
    input: impl Read,
    output: impl Write + Send,
) -> io::Result<()> {
    let (calls, waiting) = sync_channel::<([u8; 8], Bytes)>(threads);
    let waiting = Mutex::new(waiting);
    let output = Mutex::new(output);
    thread::scope(|scope| {
        let work = || -> io::Result<()> {
            loop {
                let next = waiting
                    .lock()
                    .expect("no holder of this lock panics")
                    .recv();
                let Ok((token, request)) = next else {
                    return Ok(());
                };
                let reply = program.handle(request, &mut { entropy });
                let length = u32::try_from(reply.len())
                    .map_err(|_| io::Error::other("a reply is longer than a frame may be"))?;
                let mut header = [0; HEADER_BYTES];
                header[..4].copy_from_slice(&length.to_le_bytes());
                header[4..].copy_from_slice(&token);
                let mut output = output.lock().expect("no holder of this lock panics");
                write_frame(&mut *output, &header, &reply)?;
                drop(output);
                program.recycle(reply);
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let read = read_calls(input, &calls);
        drop(calls);
        for worker in workers {
            worker.join().expect("a program never panics on a call")?;
        }
        read
    })
}

/// Reads calls until the input ends, or until nobody takes them any more.
fn read_calls(input: impl Read, calls: &SyncSender<([u8; 8], Bytes)>) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    while !input.fill_buf()?.is_empty() {
        let mut header = [0; HEADER_BYTES];
        input.read_exact(&mut header)?;
        let (length, token) = header.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("split at 4")) as usize;
        if length > FRAME_MAX {
            return Err(too_long());
        }
        let body = read_body(&mut input, length)?;
        if calls
            .send((token.try_into().expect("split at 4"), body))
            .is_err()
        {
            break;
        }
    }
    Ok(())
}

/// Writes header and body; a small one in one piece.
fn write_frame(output: &mut impl Write, header: &[u8], body: &[u8]) -> io::Result<()> {
    if body.len() <= REPLIES_BYTES {
        output.write_all(&[header, body].concat())?;
    } else {
        output.write_all(header)?;
        output.write_all(body)?;
    }
    output.flush()
}

fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a call is longer than a frame may be",
    )
}

/// Whether a call lies whole in `buffered`.
fn holds_a_call(buffered: &[u8]) -> bool {
    match buffered.split_at_checked(HEADER_BYTES) {
        Some(([a, b, c, d, ..], rest)) => {
            u32::from_le_bytes([*a, *b, *c, *d]) as usize <= rest.len()
        }
        _ => false,
    }
}

/// Reads a body, whatever its header announced into room for no more than [`RESERVE_MAX`] before more has arrived.
fn read_body(input: &mut impl Read, length: usize) -> io::Result<Bytes> {
    let mut body = Vec::with_capacity(length.min(RESERVE_MAX));
    input.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body.into())
}
