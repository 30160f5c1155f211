//! Where and of what a figure was taken: the lines above every table.

use std::fs::read_to_string;
use std::process::Command;

/// Machine, commit and command, one a line.
pub(crate) fn describe() -> String {
    format!(
        "machine: {}\ncommit: {}\ncommand: {}",
        machine(),
        commit(),
        std::env::args().collect::<Vec<_>>().join(" ")
    )
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    let memory_kb: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{model}, {processors} processors, {:.1} GiB; {} {}; load {}",
        memory_kb as f64 / (1 << 20) as f64,
        std::env::consts::OS,
        // Without the marks of whoever built it.
        kernel.trim().split('-').next().unwrap_or_default(),
        load()
    )
}

/// What else the machine did in the last minute: runnable processes on average, measurement not yet among them.
fn load() -> String {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    let value = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name);
    value.map(|(_, value)| value.trim().to_owned())
}

/// The commit of the working tree: what was built from it is for whoever builds to know.
fn commit() -> String {
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_commit_and_command_are_named() {
        let text = describe();

        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["machine", "commit", "command"]);
    }
}
