//! Programs behind the door that answer, die, lie or hang: what the host sees of each.
//!
//! The children are shell scripts; `cat` makes a program that answers each call with the call itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sc_enclave::Program;
use sc_launcher::{Door, DoorClosed, LaunchError, Platform, find_program};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes; what hangs fails by it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A script in a folder of its own, where it leaves what it has seen.
struct Script {
    folder: TempDir,
}

impl Script {
    fn path(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// What the script wrote to its file `name`, once it is there.
    async fn wrote(&self, name: &str) -> String {
        let path = self.folder.path().join(format!("program.{name}"));
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Starts a shell script of these `lines`.
fn start(lines: &str) -> (Script, Door) {
    // A script that another thread's child still holds open for writing would not start.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|lock| lock.into_inner());
    let script = Script {
        folder: tempfile::tempdir().unwrap(),
    };
    fs::write(script.path(), format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(script.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let door = Door::start(Platform::Process {
        binary: script.path(),
        arguments: vec!["--said".into(), "two words".into()],
    });
    (script, door.unwrap())
}

async fn reply(door: &mut Door) -> Result<(u64, Bytes), DoorClosed> {
    timeout(PATIENCE, door.reply()).await.unwrap()
}

async fn is_gone(pid: &str) -> bool {
    let status = Path::new("/proc").join(pid).join("stat");
    for _ in 0..1000 {
        match fs::read_to_string(&status) {
            Err(_) => return true,
            Ok(line) if line.contains(") Z ") => return true,
            Ok(_) => sleep(Duration::from_millis(5)).await,
        }
    }
    false
}

#[tokio::test]
async fn replies_come_in_the_order_of_calls_with_their_tokens() {
    let (_script, mut door) = start("exec cat");
    for token in [7, 0, u64::MAX] {
        let body = format!("call {token}");
        door.call(token, body.into()).unwrap();
    }

    for token in [7, 0, u64::MAX] {
        let body = format!("call {token}");
        assert_eq!(reply(&mut door).await, Ok((token, body.into())));
    }
    assert_eq!(door.try_reply(), None);
}

#[tokio::test]
async fn long_calls_in_both_directions_do_not_block_each_other() {
    let (_script, mut door) = start("exec cat");
    let body = Bytes::from(vec![7; 1 << 20]);
    for token in 0..32 {
        door.call(token, body.clone()).unwrap();
    }

    for token in 0..32 {
        assert_eq!(reply(&mut door).await, Ok((token, body.clone())));
    }
}

#[tokio::test]
async fn a_child_gets_its_arguments_as_they_are() {
    let (script, _door) = start("echo \"$#: $1, $2\" > \"$0.arguments\"\nexec cat");

    let arguments = timeout(PATIENCE, script.wrote("arguments")).await.unwrap();

    assert_eq!(arguments, "2: --said, two words");
}

#[tokio::test]
async fn a_child_that_dies_at_once_closes_the_door() {
    let (_script, mut door) = start("exit 3");

    assert_eq!(reply(&mut door).await, Err(DoorClosed));
    let refused = timeout(PATIENCE, async {
        while door.call(1, Bytes::new()).is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(refused.await.is_ok());
}

#[tokio::test]
async fn the_replies_that_a_child_made_before_it_died_are_taken_first() {
    // The first frame has 12 + 3 bytes.
    let (_script, mut door) = start("exec head -c 15");
    door.call(1, "abc".into()).unwrap();
    door.call(2, "def".into()).unwrap();

    assert_eq!(reply(&mut door).await, Ok((1, "abc".into())));
    assert_eq!(reply(&mut door).await, Err(DoorClosed));
}

#[tokio::test]
async fn a_reply_cut_short_by_death_is_no_reply() {
    let (_script, mut door) = start("exec head -c 14");
    door.call(1, "abc".into()).unwrap();

    assert_eq!(reply(&mut door).await, Err(DoorClosed));
}

#[tokio::test]
async fn a_child_that_answers_garbage_is_killed_and_closes_the_door() {
    let (script, mut door) =
        start("echo $$ > \"$0.pid\"; printf 'this is no frame'; exec sleep 1000");
    let pid = script.wrote("pid").await;

    assert_eq!(reply(&mut door).await, Err(DoorClosed));
    assert!(is_gone(&pid).await);
}

#[tokio::test]
async fn a_child_that_closes_its_stream_and_lingers_is_killed() {
    let (script, mut door) = start("echo $$ > \"$0.pid\"; exec >&-; exec sleep 1000");
    let pid = script.wrote("pid").await;

    assert_eq!(reply(&mut door).await, Err(DoorClosed));
    assert!(is_gone(&pid).await);
}

#[tokio::test]
async fn dropping_the_door_ends_the_child() {
    let (script, door) = start("echo $$ > \"$0.pid\"; exec cat");
    let pid = script.wrote("pid").await;

    drop(door);

    assert!(is_gone(&pid).await);
}

#[tokio::test]
async fn a_child_has_nothing_of_the_hosts_environment() {
    let names = "tr '\\0' '\\n' < /proc/$$/environ | cut -d = -f 1";
    let (script, _door) = start(&format!("{names} > \"$0.environment\"; exec cat"));

    assert_eq!(script.wrote("environment").await, "GLIBC_TUNABLES");
}

#[tokio::test]
async fn a_child_has_a_process_group_of_its_own_so_that_an_interrupt_does_not_reach_it() {
    let (script, _door) = start("cat /proc/$$/stat > \"$0.stat\"; exec cat");

    let stat = script.wrote("stat").await;

    // pid (name) state parent group …
    let (pid, rest) = stat.split_once(' ').unwrap();
    let (_, fields) = rest.rsplit_once(") ").unwrap();
    let group = fields.split(' ').nth(2).unwrap();
    assert_eq!(group, pid);
}

#[tokio::test]
async fn a_program_that_is_not_there_or_does_not_start_is_an_error_that_names_it() {
    let missing = find_program("sc-no-such-program");
    let folder = tempfile::tempdir().unwrap();
    let no_program = folder.path().join("text");
    fs::write(&no_program, "no program").unwrap();
    let unfit = Door::start(Platform::Process {
        binary: no_program.clone(),
        arguments: Vec::new(),
    });

    let Err(LaunchError::NotFound { name, .. }) = missing else {
        panic!("it was found");
    };
    assert_eq!(name, "sc-no-such-program");
    let Err(LaunchError::Start { binary, .. }) = unfit else {
        panic!("it was started");
    };
    assert_eq!(binary, no_program);
}

/// Answers with eight bytes of its generator and the call.
struct Drawing;

impl Program for Drawing {
    fn handle(&self, request: Bytes, entropy: &mut dyn FnMut(&mut [u8])) -> Bytes {
        let mut drawn = vec![0; 8];
        entropy(&mut drawn);
        drawn.extend_from_slice(&request);
        drawn.into()
    }
}

#[tokio::test]
async fn an_inline_program_answers_in_order_with_the_generator_it_was_given() {
    let mut door = Door::start(Platform::Inline {
        program: Arc::new(Drawing),
        entropy: |bytes| bytes.fill(9),
    })
    .unwrap();
    door.call(5, "a".into()).unwrap();
    door.call(4, "b".into()).unwrap();

    let drawn = |body: &str| Bytes::from([&[9; 8][..], body.as_bytes()].concat());
    assert_eq!(reply(&mut door).await, Ok((5, drawn("a"))));
    assert_eq!(reply(&mut door).await, Ok((4, drawn("b"))));
}
