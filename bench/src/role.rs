//! One role as a process that reports events.
//!
//! Invariant: no process outlives its `Role`. ^C reaches the roles as it reaches the campaign.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

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

/// A running `securecloud ROLE --json`.
pub(crate) struct Role {
    name: &'static str,
    child: Child,
    events: Receiver<anyhow::Result<Value>>,
}

impl Role {
    /// Starts a role in `folder`. Its errors go to standard error.
    pub(crate) fn start<'a>(
        binaries: &Binaries,
        folder: &Path,
        name: &'static str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<Self> {
        let mut child = binaries
            .command(folder)
            .arg(name)
            .args(["--silent", "--json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (sender, events) = channel();
        std::thread::spawn(move || read_events(stdout, &sender));
        Ok(Self {
            name,
            child,
            events,
        })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The next event of this kind; others are passed over.
    pub(crate) fn event(&mut self, kind: &str, patience: Duration) -> anyhow::Result<Value> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    let event = event.with_context(|| self.name)?;
                    if event["event"] == kind {
                        return Ok(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    anyhow::bail!(
                        "{} has not said {kind} in {} s",
                        self.name,
                        patience.as_secs()
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("{} ended before it said {kind}", self.name)
                }
            }
        }
    }

    /// Asks it to end, as ^C does.
    pub(crate) fn interrupt(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("its process has no number")?;
        kill_process(pid, Signal::INT)
            .with_context(|| format!("{} cannot be asked to end", self.name))
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
