//! Processor time and memory of running processes.
//!
//! Invariant: a thread that has ended keeps the last time that was read of it, so that the sum never shrinks.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Time between two looks at processes that should come to rest.
const LOOK: Duration = Duration::from_millis(20);
/// At rest is who used less than this between two looks, in nanoseconds: 1 % of a processor.
const REST_NS: u64 = 200_000;
/// How long the processes may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);

/// The threads of a few processes, and the time each has run, in nanoseconds.
pub(crate) struct Meter {
    processes: Vec<u32>,
    threads: BTreeMap<(u32, u32), u64>,
}

impl Meter {
    pub(crate) fn new(processes: impl Into<Vec<u32>>) -> Self {
        Self {
            processes: processes.into(),
            threads: BTreeMap::new(),
        }
    }

    /// Nanoseconds that all threads together have run so far, user and system.
    ///
    /// # Errors
    /// A process has ended, or the kernel does not keep these times.
    pub(crate) fn read_ns(&mut self) -> anyhow::Result<u64> {
        for process in &self.processes {
            let tasks = format!("/proc/{process}/task");
            for task in read_dir(&tasks).with_context(|| tasks.clone())? {
                let task = task?;
                let Some(thread) = number(&task.path()) else {
                    continue;
                };
                if let Some(time) = thread_ns(&task.path())? {
                    self.threads.insert((*process, thread), time);
                }
            }
        }
        Ok(self.threads.values().sum())
    }
}

/// `None` for a thread that has just ended.
fn thread_ns(task: &Path) -> anyhow::Result<Option<u64>> {
    let path = task.join("schedstat");
    let text = match read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && !task.exists() => return Ok(None),
        // The thread ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(ESRCH) => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let first = text.split(' ').next().and_then(|time| time.parse().ok());
    first
        .map(Some)
        .with_context(|| format!("{} has no time in it", path.display()))
}

/// No such process.
const ESRCH: i32 = 3;

/// Waits until the processes of all `meters` are at rest.
///
/// # Errors
/// They were still busy after [`PATIENCE`], or one has ended.
pub(crate) fn rest(meters: &mut [&mut Meter]) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut before = total(meters)?;
    while begin.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        let now = total(meters)?;
        if now - before < REST_NS {
            return Ok(());
        }
        before = now;
    }
    anyhow::bail!(
        "the processes are still busy after {} s",
        PATIENCE.as_secs()
    )
}

fn total(meters: &mut [&mut Meter]) -> anyhow::Result<u64> {
    meters.iter_mut().map(|meter| meter.read_ns()).sum()
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in read_dir("/proc")? {
        let path = entry?.path();
        let Some(process) = number(&path) else {
            continue;
        };
        // A process that has ended meanwhile is nobody's child.
        let stat = read_to_string(path.join("stat")).unwrap_or_default();
        if parent_in(&stat) == Some(parent) {
            children.push(process);
        }
    }
    Ok(children)
}

/// The parent that a line of `/proc/PID/stat` names; the name of the program, in brackets before it, may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// The state of a process as `/proc` has it: `R` running, `S` asleep, `T` stopped.
///
/// # Errors
/// It is not there.
pub(crate) fn state(process: u32) -> anyhow::Result<char> {
    let path = format!("/proc/{process}/stat");
    let stat = read_to_string(&path).with_context(|| path.clone())?;
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.trim_start());
    fields
        .and_then(|fields| fields.chars().next())
        .with_context(|| format!("{path} has no state in it"))
}

/// The most memory that a process has had in use at once, in bytes: `VmHWM`.
///
/// # Errors
/// It is not there.
pub(crate) fn peak_memory_bytes(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = read_to_string(&path).with_context(|| path.clone())?;
    peak_in(&status).with_context(|| format!("{path} has no peak in it"))
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_this_process_grows_with_work_and_outlives_its_thread() {
        let mut meter = Meter::new([std::process::id()]);
        let before = meter.read_ns().unwrap();
        let work = || {
            let end = Instant::now() + Duration::from_millis(30);
            while Instant::now() < end {}
        };

        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                work();
                std::thread::sleep(Duration::from_millis(50));
            });
            while !worker.is_finished() {
                meter.read_ns().unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });

        let grown = meter.read_ns().unwrap() - before;
        assert!(grown > 5_000_000, "{grown}");
    }

    #[test]
    fn a_process_that_is_not_there_has_no_time() {
        assert!(Meter::new([u32::MAX]).read_ns().is_err());
    }

    #[test]
    fn a_child_is_found_while_it_runs() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();

        let found = children(std::process::id()).unwrap();

        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()));
    }

    #[test]
    fn the_peak_of_memory_outlives_its_use() {
        let before = peak_memory_bytes(std::process::id()).unwrap();

        drop(std::hint::black_box(vec![1_u8; 64 << 20]));

        let after = peak_memory_bytes(std::process::id()).unwrap();
        assert!(after > before && after >= 64 << 20, "{before} {after}");
    }

    #[test]
    fn a_status_without_a_peak_has_none() {
        assert_eq!(
            peak_in("VmRSS:\t  12 kB\nVmHWM:\t  34 kB\n"),
            Some(34 << 10)
        );
        assert_eq!(peak_in("VmRSS:\t  12 kB\n"), None);
    }

    #[test]
    fn the_name_of_a_program_cannot_pass_for_its_parent() {
        assert_eq!(parent_in("7 (a) S 1 (b) R 42 7 7"), Some(42));
        assert_eq!(parent_in("7 (cut"), None);
    }
}
