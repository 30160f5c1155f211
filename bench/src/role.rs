//! One process that reports events, a role of `securecloud` or one of this program's own.
//!
//! Invariant: no process outlives its `Role`. ^C reaches the roles as it reaches the campaign.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::processor::state;

/// How long a role may take to end.
const END_PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at a role that should end.
const LOOK: Duration = Duration::from_millis(2);

/// The programs that a campaign runs.
pub(crate) struct Binaries {
    securecloud: PathBuf,
}

impl Binaries {
    /// Finds them beside this program.
    ///
    /// # Errors
    /// One is missing: the error says how to build it.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let folder = this.parent().context("this program is in no folder")?;
        let release = if cfg!(debug_assertions) {
            ""
        } else {
            " --release"
        };
        for name in ["securecloud", "sc-cbr"] {
            ensure!(
                folder.join(name).is_file(),
                "{name} is not in {}: build everything with `cargo build{release} --workspace`",
                folder.display()
            );
        }
        Ok(Self {
            securecloud: folder.join("securecloud"),
        })
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.securecloud);
        command
            .current_dir(folder)
            // Under cargo, a role would have cargo build its trusted program first.
            .env_remove("CARGO_MANIFEST_DIR")
            // What a router keeps between its runs is of this run alone.
            .env("XDG_STATE_HOME", folder)
            .stdin(Stdio::null());
        command
    }

    /// Makes the owner's keys, `key.prv` and `key.pub`.
    pub(crate) fn keygen(&self, folder: &Path) -> anyhow::Result<()> {
        let output = self.command(folder).arg("keygen").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "keygen: {}", said.trim());
        Ok(())
    }
}

/// A running process that says events on its standard output, one JSON object a line.
pub(crate) struct Role {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<anyhow::Result<Value>>,
}

impl Role {
    /// Starts a role of `securecloud` in `folder`. Its errors go to standard error.
    pub(crate) fn start<'a>(
        binaries: &Binaries,
        folder: &Path,
        name: &'static str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<Self> {
        let mut command = binaries.command(folder);
        command
            .arg(name)
            .args(["--silent", "--json"])
            .args(arguments);
        Self::spawn(name, command)
    }

    /// Starts `command`, whatever it is.
    pub(crate) fn spawn(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let stdin = child.stdin.take();
        let (sender, events) = channel();
        std::thread::spawn(move || read_events(stdout, &sender));
        Ok(Self {
            name,
            child,
            stdin,
            events,
        })
    }

    /// Says a line to it.
    ///
    /// # Errors
    /// It has ended, or does not listen.
    pub(crate) fn tell(&mut self, words: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("its input is not piped")?;
        writeln!(stdin, "{words}").with_context(|| format!("{} does not listen", self.name))
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The next event of this kind; others are passed over.
    pub(crate) fn event(&mut self, kind: &str, patience: Duration) -> anyhow::Result<Value> {
        self.event_among(&[kind], patience)
    }

    /// The next event of one of these kinds; others are passed over.
    pub(crate) fn event_among(
        &mut self,
        kinds: &[&str],
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    let event = event.with_context(|| self.name)?;
                    if kinds.iter().any(|kind| event["event"] == *kind) {
                        return Ok(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    anyhow::bail!(
                        "{} has not said {} in {} s",
                        self.name,
                        kinds.join(" or "),
                        patience.as_secs()
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("{} ended before it said {}", self.name, kinds.join(" or "))
                }
            }
        }
    }

    /// Asks it to end, as ^C does.
    pub(crate) fn interrupt(&self) -> anyhow::Result<()> {
        self.signal(Signal::INT)
    }

    /// Stops all its threads where they are; returns when they stand.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let begin = Instant::now();
        while begin.elapsed() < END_PATIENCE {
            if state(self.process())? == 'T' {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        anyhow::bail!("{} does not stop", self.name)
    }

    /// Lets it go on after [`Role::pause`].
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("its process has no number")?;
        kill_process(pid, signal).with_context(|| format!("{} cannot be given a signal", self.name))
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < END_PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} ended badly: {status}", self.name);
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        anyhow::bail!("{} does not end", self.name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // One that has ended and was waited for cannot be killed; that is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands on what a role says, until it ends or nobody listens.
fn read_events(stdout: ChildStdout, events: &Sender<anyhow::Result<Value>>) {
    for line in BufReader::new(stdout).lines() {
        let event = line.map_err(anyhow::Error::from).and_then(|line| {
            serde_json::from_str(&line).with_context(|| format!("it said {line:?}"))
        });
        if events.send(event).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that says back, as an event, what it is told.
    fn echo() -> Role {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"while read -r word; do echo "{\"event\":\"$word\"}"; done"#,
        ]);
        command.stdin(Stdio::piped());
        Role::spawn("echo", command).unwrap()
    }

    #[test]
    fn what_a_process_is_told_reaches_it() {
        let mut echo = echo();

        echo.tell("here").unwrap();

        assert!(echo.event("here", Duration::from_secs(10)).is_ok());
    }

    #[test]
    fn a_paused_process_says_nothing_until_it_goes_on() {
        let mut echo = echo();

        echo.pause().unwrap();
        echo.tell("here").unwrap();

        assert!(echo.event("here", Duration::from_millis(50)).is_err());
        echo.resume().unwrap();
        assert!(echo.event("here", Duration::from_secs(10)).is_ok());
    }
}
