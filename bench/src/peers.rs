//! What somebody would take instead: publish-subscribe servers with topics and without encryption.
//!
//! Invariant: a peer is measured as the project's own processes are: a server, a publisher and a consumer as three processes on
//! loopback, the same publications, and a delivery is a (publication, subscription) pair that passed the consumer's filter.
//!
//! Topics know equality alone: each symbol is a topic, and the consumer tests the other constraints itself.

mod connection;
pub(crate) mod consumer;
mod mqtt;
mod nats;
mod pace;
mod protocol;
pub(crate) mod publisher;
mod quotes;
mod run;
mod server;

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;

pub(crate) use run::{delays, run};

/// Folders of servers that are often not in the path of whoever is not root.
const SERVER_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// A server that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// `nats-server`, core NATS
    Nats,
    /// `mosquitto`, MQTT 3.1.1 at QoS 0
    Mosquitto,
}

impl Peer {
    pub(crate) const ALL: [Self; 2] = [Self::Nats, Self::Mosquitto];

    fn program(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// How to get its program.
    pub(crate) fn how_to_install(self) -> String {
        let program = self.program();
        format!("{program} is in no folder of the path: `apt-get install {program}` on Debian")
    }

    /// Where its program is; `None` if it is not installed.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(SERVER_FOLDERS.map(PathBuf::from));
        folders
            .map(|folder| folder.join(self.program()))
            .find(|program| program.is_file())
    }

    /// What its program says of itself.
    pub(crate) fn version(self) -> Option<String> {
        let flag = match self {
            Self::Nats => "--version",
            Self::Mosquitto => "-h",
        };
        let output = Command::new(self.find()?).arg(flag).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout);
        said.lines().next().map(str::to_owned)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
        })
    }
}
