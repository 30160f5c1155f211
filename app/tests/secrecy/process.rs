//! The roles as processes, and a look into a process's memory and files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_securecloud");
const CHUNK_BYTES: usize = 1 << 20;

/// A running `securecloud ROLE --json`, killed when it goes out of scope.
pub(crate) struct Role {
    child: Child,
    events: BufReader<ChildStdout>,
}

impl Role {
    pub(crate) fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(BINARY), folder, name, arguments)
    }

    /// The same by a program that becomes what its arguments name.
    #[allow(dead_code, reason = "not every test that has this file needs it")]
    pub(crate) fn start_by(
        mut program: Command,
        folder: &Path,
        name: &str,
        arguments: &[&str],
    ) -> Self {
        program.arg(BINARY);
        Self::spawn(program, folder, name, arguments)
    }

    fn spawn(mut command: Command, folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut child = command
            .arg(name)
            .args(["--silent", "--json"])
            .args(arguments)
            .current_dir(folder)
            .env_remove("CARGO_MANIFEST_DIR")
            // What a router keeps between its runs is of this folder alone.
            .env("XDG_STATE_HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Self { child, events }
    }

    /// Runs a command to its good end.
    #[allow(dead_code, reason = "not every test that has this file needs it")]
    pub(crate) fn run(folder: &Path, arguments: &[&str]) {
        let output = Command::new(BINARY)
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The next event of this kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        let mut line = String::new();
        while self.events.read_line(&mut line).unwrap() > 0 {
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind {
                return event;
            }
            line.clear();
        }
        panic!("the process ended before it was {kind}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, as `kill` names it.
    #[allow(dead_code, reason = "not every test that has this file needs it")]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends it as ^C does, and waits for a good end.
    #[allow(dead_code, reason = "not every test that has this file ends a role")]
    pub(crate) fn end(mut self) {
        self.signal("INT");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Waits for its end, within a minute; whether it was a good one.
    #[allow(
        dead_code,
        reason = "not every test that has this file waits for an end"
    )]
    pub(crate) fn wait(mut self) -> bool {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("it does not end");
    }

    /// The one child of the process.
    #[allow(dead_code, reason = "not every test that has this file has a router")]
    pub(crate) fn child_pid(&self) -> u32 {
        let children = children_of(self.pid());
        assert_eq!(
            children.len(),
            1,
            "the router has one child, the trusted program"
        );
        children[0]
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The children of a process.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let children = std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
        .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let pids = children.flat_map(|text| {
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect::<Vec<_>>()
    });
    pids.collect()
}

/// Whether `text` stands anywhere in the readable memory of a process.
pub(crate) fn memory_holds(pid: u32, text: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut searched = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with('r') || rest.ends_with("[vvar]") || rest.ends_with("[vsyscall]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).unwrap());
        let (found, bytes) = region_holds(&memory, start, end, text);
        if found {
            return true;
        }
        searched += bytes;
    }
    assert!(
        searched > 1 << 20,
        "only {searched} bytes of the memory of process {pid} could be read"
    );
    false
}

fn region_holds(memory: &File, start: u64, end: u64, text: &[u8]) -> (bool, usize) {
    let mut chunk = vec![0; CHUNK_BYTES + text.len()];
    let (mut at, mut searched) = (start, 0);
    while at < end {
        let wanted = (end - at).min(chunk.len() as u64) as usize;
        // Some regions are listed and cannot be read; those that matter can.
        let Ok(read) = memory.read_at(&mut chunk[..wanted], at) else {
            break;
        };
        if holds(&chunk[..read], text) {
            return (true, searched);
        }
        searched += read;
        if read == 0 || read < wanted || at + read as u64 >= end {
            break;
        }
        // The next chunk begins a little before the end of this one: the text may lie across.
        at += (read - text.len()) as u64;
    }
    (false, searched)
}

pub(crate) fn holds(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// The regular files that a process has open, and all those in its own folder.
#[allow(dead_code, reason = "not every test that has this file needs it")]
pub(crate) fn files_of(pid: u32, folder: &Path) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let own = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    open.chain(own).filter(|path| path.is_file()).collect()
}
