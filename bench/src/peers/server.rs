//! A peer's server on loopback.
//!
//! Invariant: it is configured so that nothing is dropped for want of room, keeps nothing on a disk, and never outlives its value.

use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Peer;

/// How long it may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

pub(super) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts it, with its files in `folder`; returns when it listens.
    ///
    /// # Errors
    /// It cannot be started, or ends at once: the error has what it said.
    pub(super) fn start(peer: Peer, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = folder.join("server.conf");
        std::fs::write(&config, configuration(peer, port))?;
        let log = folder.join("server.log");
        let said = File::create(&log)?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let mut server = Self { child, port };
        server.await_listening(peer, &log)?;
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    fn await_listening(&mut self, peer: Peer, log: &Path) -> anyhow::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                let said = read_to_string(log).unwrap_or_default();
                bail!("{peer} ended at once ({status}): {}", said.trim());
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("{peer} does not listen after {} s", PATIENCE.as_secs())
    }

    /// Asks it to end, and waits.
    fn end(&mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("its process has no number")?, Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("it does not end")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.end().is_err() {
            // One that has ended and was waited for cannot be killed; that is as it should be.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A port that nobody has: neither server says which one the system would have chosen.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Queues without bounds, or with bounds beyond what a campaign sends.
fn configuration(peer: Peer, port: u16) -> String {
    match peer {
        Peer::Nats => format!(
            "listen: \"127.0.0.1:{port}\"\nmax_pending: 4294967296\nmax_payload: 8388608\nwrite_deadline: \"120s\"\n\
             ping_interval: \"30m\"\n"
        ),
        Peer::Mosquitto => format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n\
             max_queued_bytes 0\nmax_inflight_messages 0\nlog_dest stderr\nlog_type error\nlog_type warning\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();

        let started = Server::start(Peer::Nats, Path::new("/bin/sh"), folder.path());

        let error = started.err().unwrap().to_string();
        assert!(error.contains("nats ended at once"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();

        let started = Server::start(Peer::Mosquitto, Path::new("/nowhere"), folder.path());

        assert!(started.err().unwrap().to_string().contains("/nowhere"));
    }
}
