//! The program as a child process behind two pairs of connected sockets: one is its standard input, the other its standard output.
//!
//! The child has a process group of its own, so that ^C reaches the host alone, which closes the input when it has drained; nothing
//! of the host's environment; and no open file but the two sockets and standard error. A socket carries large calls in a third of the processor
//! time that a pipe takes, which asks for a fresh page of memory for each page that it holds.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::door::{Body, Door, IN_FLIGHT_MAX};
use crate::{LaunchError, frame};

/// From so many bytes on a reply is read into memory of its own.
const LARGE_REPLY_BYTES: usize = 1 << 17;
/// Bytes that one write gathers at most.
const WRITE_BYTES: usize = 1 << 20;
/// From so many bytes on a body is not copied to stand with others in one piece.
const LARGE_BYTES: usize = 1 << 13;

/// Bytes that a stream holds on their way, where the system allows so many: with the usual 208 KiB both sides wait for each other all the time.
const STREAM_BYTES: usize = 4 << 20;

/// Has the allocator of the GNU C library ask for large pages where the system gives them on request: with a
/// million subscriptions a program without an enclave loses up to a fifth of its time to looking pages up.
const ALLOCATOR: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// Where a system's own tools are.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The path of the trusted program `name`: beside the running executable.
///
/// # Errors
/// [`LaunchError::NotFound`] when no file is there.
pub fn find_program(name: &str) -> Result<PathBuf, LaunchError> {
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    // Test binaries live one folder deeper than programs.
    let above = folder.parent().map(|parent| parent.join(name));
    let candidates = [Some(folder.join(name)), above];
    let found = candidates.into_iter().flatten().find(|path| path.is_file());
    found.ok_or(LaunchError::NotFound {
        name: name.to_owned(),
        looked_in: folder,
    })
}

pub(crate) fn start(binary: &Path, arguments: &[String]) -> Result<Door, LaunchError> {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env_clear()
        .env(ALLOCATOR.0, ALLOCATOR.1);
    start_command(command, binary)
}

/// Starts `binary` by `runner`, a script that looks its own tools up.
pub(crate) fn start_in(runner: &Path, binary: &Path) -> Result<Door, LaunchError> {
    let mut command = Command::new(runner);
    command.arg(binary).env_clear().env("PATH", SYSTEM_PATH);
    start_command(command, runner)
}

fn start_command(mut command: Command, binary: &Path) -> Result<Door, LaunchError> {
    let start_error = |source| LaunchError::Start {
        binary: binary.to_owned(),
        source,
    };
    let (stdin, input) = stream().map_err(start_error)?;
    let (stdout, output) = stream().map_err(start_error)?;
    let child = command
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::inherit())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(start_error)?;
    let (calls, incoming) = mpsc::channel(IN_FLIGHT_MAX);
    let (outgoing, replies) = mpsc::channel(IN_FLIGHT_MAX);
    tokio::spawn(write_calls(stdin, incoming));
    tokio::spawn(read_replies(child, stdout, outgoing));
    Ok(Door { calls, replies })
}

/// A stream between host and program, used one way, so that either side can end it and leave the other as it is: the host's end, and the
/// program's.
fn stream() -> std::io::Result<(UnixStream, Stdio)> {
    let (ours, theirs) = Socket::pair()?;
    for end in [&ours, &theirs] {
        // The system takes what it allows of this.
        set_socket_send_buffer_size(end, STREAM_BYTES)?;
    }
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, OwnedFd::from(theirs).into()))
}

/// Writes calls as they come, as many as are waiting in one write; ending what is written asks the program to end.
async fn write_calls(mut stdin: UnixStream, mut calls: mpsc::Receiver<(u64, Body)>) {
    let mut buffer = BytesMut::new();
    while let Some(call) = calls.recv().await {
        let mut large = gather(&mut buffer, call);
        while large.is_empty()
            && buffer.len() < WRITE_BYTES
            && let Ok(call) = calls.try_recv()
        {
            large = gather(&mut buffer, call);
        }
        if let Err(error) = write_gathered(&mut stdin, &buffer, large).await {
            tracing::error!(%error, "the trusted program takes no more calls");
            return;
        }
        buffer.clear();
    }
}

async fn write_gathered(
    stdin: &mut UnixStream,
    buffer: &[u8],
    large: Vec<Bytes>,
) -> std::io::Result<()> {
    let mut large = large.into_iter();
    let first = large.next().unwrap_or_default();
    stdin.write_all_buf(&mut Buf::chain(buffer, first)).await?;
    for piece in large {
        stdin.write_all(&piece).await?;
    }
    Ok(())
}

/// Appends a call's frame to `buffer`; a large body is returned, to be written behind it from where it is.
fn gather(buffer: &mut BytesMut, (token, request): (u64, Body)) -> Vec<Bytes> {
    let bytes = request.len();
    frame::push_header(buffer, token, bytes);
    let pieces = match request {
        Body::Whole(bytes) => vec![bytes],
        Body::Pieces(pieces) => pieces,
    };
    if bytes >= LARGE_BYTES {
        return pieces;
    }
    pieces.iter().for_each(|it| buffer.put_slice(it));
    Vec::new()
}

/// Reads replies. A large one is read into memory of its own: what a buffer for many had held before would move with each growth.
async fn read_replies(
    mut child: Child,
    mut stdout: UnixStream,
    replies: mpsc::Sender<(u64, Bytes)>,
) {
    let mut buffer = BytesMut::with_capacity(1 << 18);
    loop {
        match stdout.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        loop {
            match frame::pop(&mut buffer) {
                Ok(Some(reply)) => {
                    if replies.send(reply).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(frame::TooLong) => {
                    tracing::error!("the trusted program broke its stream; stopping it");
                    return;
                }
            }
        }
        if let Some((token, body, missing)) = frame::pop_begun(&mut buffer, LARGE_REPLY_BYTES) {
            let Ok(reply) = read_rest(&mut stdout, body, missing).await else {
                break;
            };
            if replies.send((token, reply)).await.is_err() {
                return;
            }
        }
        buffer.reserve(1 << 16);
    }
    // Whoever waits for a reply learns at once that none will come. A program that has closed its stream serves nobody; one that closed it
    // by ending has its status already, which this does not change.
    drop(replies);
    let _ = child.start_kill();
    match child.wait().await {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::error!(%status, "the trusted program ended"),
        Err(error) => tracing::error!(%error, "the trusted program cannot be waited for"),
    }
}

/// Reads the `missing` bytes of a reply behind those that are there.
async fn read_rest(
    stdout: &mut UnixStream,
    mut body: BytesMut,
    missing: usize,
) -> std::io::Result<Bytes> {
    let whole = body.len() + missing;
    while body.len() < whole {
        body.reserve((whole - body.len()).min(frame::RESERVE_MAX));
        let room = whole - body.len();
        if stdout.read_buf(&mut (&mut body).limit(room)).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body.freeze())
}
