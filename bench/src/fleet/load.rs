//! The campaign's end of a process of consumers.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::role::Role;

use super::PATIENCE;

/// A process of consumers, and how many they are.
pub(super) struct Load {
    role: Role,
    pub(super) count: u64,
}

/// What a process of consumers has seen in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    pub(super) deliveries: u64,
    /// Deliveries of the consumer with the fewest.
    pub(super) least: u64,
    /// Deliveries of the consumer with the most.
    pub(super) most: u64,
    /// Requests made again because no answer had come.
    pub(super) asked_again: u64,
}

impl Load {
    /// Starts the process: consumers `first` and the `count - 1` after it, with equal parts of `subscriptions`.
    pub(super) fn start(
        folder: &Path,
        journals: &Path,
        address: &str,
        (first, count): (u64, u64),
        subscriptions: &str,
    ) -> anyhow::Result<Self> {
        let file = folder.join(format!("{first}.subscriptions"));
        std::fs::write(&file, subscriptions)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["consumers", "--address", address])
            .arg("--owner")
            .arg(folder.join("key.pub"))
            .arg("--subscriptions")
            .arg(&file)
            .arg("--journals")
            .arg(journals)
            .args(["--first", &first.to_string()])
            .args(["--count", &count.to_string()])
            .stdin(Stdio::piped());
        Ok(Self {
            role: Role::spawn("a process of consumers", command)?,
            count,
        })
    }

    pub(super) fn process(&self) -> u32 {
        self.role.process()
    }

    pub(super) fn pause(&self) -> anyhow::Result<()> {
        self.role.pause()
    }

    pub(super) fn resume(&self) -> anyhow::Result<()> {
        self.role.resume()
    }

    pub(super) fn tell(&mut self, words: &str) -> anyhow::Result<()> {
        self.role.tell(words)
    }

    /// Waits until it is ready to connect.
    pub(super) fn ready(&mut self) -> anyhow::Result<()> {
        self.role.event("ready", PATIENCE).map(drop)
    }

    /// Waits for this event of all its consumers; returns when the last of them had it.
    pub(super) fn at_ns(&mut self, event: &str) -> anyhow::Result<u64> {
        let event = self.role.event_among(&[event, "fault"], PATIENCE)?;
        ensure!(
            event["event"] != "fault",
            "a consumer has seen what it should not: {}",
            event["what"]
        );
        number(&event, "at_ns")
    }

    /// Ends it.
    ///
    /// # Errors
    /// A consumer has seen something that it should not.
    pub(super) fn end(mut self) -> anyhow::Result<Summary> {
        self.role.tell("end")?;
        let summary = self.role.event("summary", PATIENCE)?;
        self.role.end()?;
        let faults = summary["faults"].as_object();
        let faults = faults.context("a process of consumers names no faults")?;
        ensure!(
            faults.is_empty(),
            "consumers have seen what they should not: {}",
            summary["faults"]
        );
        Ok(Summary {
            deliveries: number(&summary, "deliveries")?,
            least: number(&summary, "least")?,
            most: number(&summary, "most")?,
            asked_again: number(&summary, "asked_again")?,
        })
    }
}

fn number(event: &Value, key: &str) -> anyhow::Result<u64> {
    event[key]
        .as_u64()
        .with_context(|| format!("{} has no {key}", event["event"]))
}
