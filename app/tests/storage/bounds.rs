//! What an object of any size takes of the memory of those through whom it goes.

use crate::process::children_of;
use crate::system::System;

/// What a process's memory may grow by between a small object and a large one, for its pools differ from run to run: a quarter of what the
/// large one has more.
const ROOM_KIB: u64 = 96 << 10;

/// The most that a process has had in memory, in KiB.
fn most_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "cold");
    let store = system.pid("store");
    let roles = [
        ("store", store),
        ("gateway", system.pid("gateway")),
        ("coder", children_of(store)[0]),
    ];
    let through = |bytes: usize| {
        let path = format!("/v1/datastores/data/objects/{bytes}");
        let body = vec![7; bytes];
        assert_eq!(system.ask("PUT", &path, &[], &body).status, 201);
        assert!(system.ask("GET", &path, &[], &[]).body == body);
        roles.map(|(_, pid)| most_kib(pid))
    };
    // Twice, so that every pool has what it will have.
    through(128 << 20);
    let before = through((128 << 20) + 1);

    let after = through(512 << 20);

    for ((role, _), (before, after)) in roles.iter().zip(before.iter().zip(after)) {
        assert!(
            after <= before + ROOM_KIB,
            "{role}: {before} KiB at most after 128 MiB, {after} KiB after 512 MiB"
        );
    }
    system.end();
}
