//! One role of the demonstration, as a process that reports events.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Names to a role the process that has started it, and with which it ends.
const PARENT: &str = "SECURECLOUD_PARENT";

/// Where another process of this program has started this one: has the system ask this one to end when that one has gone, however it went.
///
/// # Errors
/// The system cannot.
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|it| it.parse().ok()) else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("this role cannot be tied to what has started it")?;
    // It may have gone before.
    let is_there = rustix::process::getppid().map(Pid::as_raw_pid) == Some(parent);
    anyhow::ensure!(is_there, "what has started this role is gone");
    Ok(())
}

/// A running `securecloud ROLE --json`.
pub(crate) struct Role {
    name: &'static str,
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Role {
    /// Starts this very binary in `folder`.
    pub(crate) fn start(
        folder: &Path,
        name: &'static str,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_with(folder, name, arguments, &[])
    }

    /// The same, with variables of its environment: for what nobody may read from its arguments.
    pub(crate) fn start_with(
        folder: &Path,
        name: &'static str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(name)
            .args(["--silent", "--json"])
            .args(arguments)
            .current_dir(folder)
            // The trusted program is built by now; a role has no need to ask cargo again.
            .env_remove("CARGO_MANIFEST_DIR")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .env(PARENT, std::process::id().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        Ok(Self {
            name,
            child,
            events: BufReader::new(stdout).lines(),
        })
    }

    /// What it is.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its process; none where it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next event of this kind; others are passed over.
    pub(crate) async fn event(&mut self, kind: &str, patience: Duration) -> anyhow::Result<Value> {
        let wait = async {
            while let Some(line) = self.events.next_line().await? {
                let event: Value = serde_json::from_str(&line)
                    .with_context(|| format!("{} said {line:?}", self.name))?;
                if event["event"] == kind {
                    return Ok(event);
                }
            }
            let mut errors = String::new();
            if let Some(mut stderr) = self.child.stderr.take() {
                stderr.read_to_string(&mut errors).await?;
            }
            anyhow::bail!(
                "{} ended before it was {kind}: {}",
                self.name,
                errors.trim()
            )
        };
        let waited = tokio::time::timeout(patience, wait).await;
        waited.map_err(|_| {
            anyhow::anyhow!(
                "{} was not {kind} after {} s",
                self.name,
                patience.as_secs()
            )
        })?
    }

    /// Passes on what it says of errors from now on: a pipe that nobody reads would stop it when it is full.
    pub(crate) fn pass_errors_on(&mut self) {
        if let Some(mut errors) = self.child.stderr.take() {
            tokio::spawn(async move {
                // Where they cannot be passed on there is nobody to tell.
                let _ = tokio::io::copy(&mut errors, &mut tokio::io::stderr()).await;
            });
        }
    }

    /// Whether it has ended, by itself or otherwise.
    pub(crate) fn has_ended(&self) -> bool {
        let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)) else {
            return true;
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child any more.
        !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
    }

    /// Asks it to end, as ^C does.
    pub(crate) fn interrupt(&self) -> anyhow::Result<()> {
        let pid = self
            .child
            .id()
            .and_then(|pid| Pid::from_raw(pid as i32))
            .context("it has ended already")?;
        kill_process(pid, Signal::INT)
            .with_context(|| format!("{} cannot be asked to end", self.name))
    }

    /// Waits for its end, which must be a good one.
    pub(crate) async fn end(mut self, patience: Duration) -> anyhow::Result<()> {
        let status = tokio::time::timeout(patience, self.child.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))??;
        anyhow::ensure!(status.success(), "{} ended badly: {status}", self.name);
        Ok(())
    }
}
