//! Commands that run to their end.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{BINARY, PATIENCE, trusted_program};

/// Between two looks whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The exit status; none after a signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Asserts that it ended with `code` and said every one of `texts` on standard error.
    #[track_caller]
    pub(crate) fn assert_failed(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code(), Some(code), "{self:#?}");
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "`{text}` is missing in {self:#?}"
            );
        }
    }

    /// Asserts that it ended well; returns what it printed.
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &str {
        assert_eq!(self.code(), Some(0), "{self:#?}");
        &self.stdout
    }

    /// The events of one kind that it reported.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| event["event"] == kind)
            .collect()
    }

    /// The one event of this kind.
    #[track_caller]
    pub(crate) fn event(&self, kind: &str) -> Value {
        let mut events = self.events(kind);
        assert_eq!(events.len(), 1, "one event `{kind}` in {self:#?}");
        events.remove(0)
    }
}

/// `securecloud` in `folder`, with an environment that nobody outside the test has set.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    trusted_program();
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        let foreign = name
            .to_str()
            .is_some_and(|name| name.starts_with("SECURECLOUD_") || name.starts_with("CARGO"));
        if foreign {
            command.env_remove(name);
        }
    }
    // What a role keeps between its runs is of its test alone.
    command.env("XDG_STATE_HOME", folder.join("state"));
    command
}

/// The same, begun by a shell that does `first` before.
pub(crate) fn command_through(first: &str, folder: &Path, arguments: &[&str]) -> Command {
    let direct = command(folder, arguments);
    let mut through = Command::new("sh");
    through
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
        .arg(direct.get_program())
        .args(direct.get_args())
        .current_dir(folder);
    for (name, value) in direct.get_envs() {
        match value {
            Some(value) => through.env(name, value),
            None => through.env_remove(name),
        };
    }
    through
}

/// Runs `securecloud` in `folder` to its end.
#[track_caller]
pub(crate) fn securecloud(folder: &Path, arguments: &[&str]) -> Finished {
    finish(command(folder, arguments).spawn().unwrap())
}

/// The same, with more in its environment.
#[track_caller]
pub(crate) fn securecloud_with(
    folder: &Path,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> Finished {
    let mut command = command(folder, arguments);
    finish(command.envs(environment.iter().copied()).spawn().unwrap())
}

/// The same, with `input` on its standard input.
#[track_caller]
pub(crate) fn with_stdin(folder: &Path, input: &[u8], arguments: &[&str]) -> Finished {
    let mut child = command(folder, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let finished = finish(child);
    writer.join().unwrap();
    finished
}

/// Waits for the end of a process; kills it when it takes too long.
#[track_caller]
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("process {} did not end", child.id());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[track_caller]
fn finish(mut child: Child) -> Finished {
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let status = wait(&mut child);
    Finished {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}
