//! Roles: processes that run until they are asked to end, and report events meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::command::{Finished, command, wait};
use super::{Folder, PATIENCE};

/// A running `securecloud ROLE`, killed when it goes out of scope.
pub(crate) struct Role {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
    stdout: String,
    stderr: Arc<Told>,
}

/// What came on standard error so far.
#[derive(Default)]
struct Told {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

impl Role {
    /// Starts `securecloud NAME --json ARGUMENTS` in `folder`.
    pub(crate) fn start(folder: &Folder, name: &str, arguments: &[&str]) -> Self {
        let arguments = [&[name, "--json"], arguments].concat();
        Self::of(name, command(folder, &arguments))
    }

    /// Starts a role as people do, without events.
    pub(crate) fn start_as_people_do(folder: &Path, arguments: &[&str]) -> Self {
        Self::of(arguments[0], command(folder, arguments))
    }

    /// Starts any other program that tells events in the same way; its standard streams are taken.
    pub(crate) fn of(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let out = std::thread::spawn(move || {
            // Nobody listens any more when the test has ended.
            let _ = stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line));
        });
        let stderr = Arc::new(Told::default());
        let (told, stream) = (Arc::clone(&stderr), child.stderr.take().unwrap());
        let err = std::thread::spawn(move || told.take(stream));
        Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            child,
            lines,
            readers: vec![out, err],
            stdout: String::new(),
            stderr,
        }
    }

    /// The next event of this kind; others are passed over, for as long as one line may take and no longer.
    #[track_caller]
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        let begin = Instant::now();
        loop {
            let line = self.line_within(kind, PATIENCE.saturating_sub(begin.elapsed()));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Whether an event of this kind has come and was not taken yet; what came so far is passed over.
    pub(crate) fn has_said(&mut self, kind: &str) -> bool {
        let lines: Vec<String> = self.lines.try_iter().collect();
        lines.iter().fold(false, |said, line| {
            self.stdout.push_str(line);
            self.stdout.push('\n');
            let event: Value = serde_json::from_str(line).unwrap();
            said || event["event"] == kind
        })
    }

    /// The next line on standard output.
    #[track_caller]
    pub(crate) fn line(&mut self, awaited: &str) -> String {
        self.line_within(awaited, PATIENCE)
    }

    #[track_caller]
    fn line_within(&mut self, awaited: &str, patience: Duration) -> String {
        match self.lines.recv_timeout(patience) {
            Ok(line) => {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
                line
            }
            Err(why) => {
                let how = match why {
                    RecvTimeoutError::Timeout => "is still waiting",
                    RecvTimeoutError::Disconnected => "has ended",
                };
                panic!(
                    "{} {how}, before it said `{awaited}`; it said\n{}{}",
                    self.name,
                    self.stdout,
                    self.said()
                )
            }
        }
    }

    /// Waits until `text` has come on standard error.
    #[track_caller]
    pub(crate) fn told(&self, text: &str) {
        self.told_times(text, 1);
    }

    /// Waits until `text` has come so many times on standard error.
    #[track_caller]
    pub(crate) fn told_times(&self, text: &str, times: usize) {
        let begin = Instant::now();
        let mut held = self.stderr.text.lock().unwrap();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if held.0.matches(text).count() >= times {
                return;
            }
            if left.is_zero() || held.1 {
                drop(held);
                panic!(
                    "{} did not say `{text}` {times} times; it said\n{}",
                    self.name,
                    self.said()
                );
            }
            held = self.stderr.more.wait_timeout(held, left).unwrap().0;
        }
    }

    /// What has come on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.text.lock().unwrap().0.clone()
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The endpoint that it listens at.
    #[track_caller]
    pub(crate) fn endpoint(&mut self) -> String {
        let event = self.event("endpoints");
        event["endpoints"][0].as_str().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// The process ids of its children.
    pub(crate) fn children(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks
            .flatten()
            .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default())
            .flat_map(|ids| {
                ids.split_whitespace()
                    .map(|id| id.parse().unwrap())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits for its end, whatever brings it.
    #[track_caller]
    pub(crate) fn end(mut self) -> Finished {
        let status = wait(&mut self.child);
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let rest: String = self.lines.try_iter().map(|line| line + "\n").collect();
        Finished {
            status,
            stdout: std::mem::take(&mut self.stdout) + &rest,
            stderr: self.said(),
        }
    }

    /// Presses ^C and waits for its end.
    #[track_caller]
    pub(crate) fn interrupt(self) -> Finished {
        self.signal(Signal::INT);
        self.end()
    }

    /// Kills it as a crash would, and waits until it is gone.
    #[track_caller]
    pub(crate) fn kill(self) -> Finished {
        self.signal(Signal::KILL);
        self.end()
    }
}

/// Sends a signal to a process.
#[track_caller]
pub(crate) fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

impl Drop for Role {
    /// A test that fails tells what everyone had said.
    #[allow(clippy::print_stderr, reason = "captured with the test's own words")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = if self.is_running() {
                "runs"
            } else {
                "has ended"
            };
            eprintln!("{} {state}; it said\n{}", self.name, self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Told {
    fn take(&self, mut stream: impl Read) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            let mut held = self.text.lock().unwrap();
            held.0.push_str(&String::from_utf8_lossy(&bytes[..count]));
            drop(held);
            self.more.notify_all();
        }
        self.text.lock().unwrap().1 = true;
        self.more.notify_all();
    }
}
