//! The laws of the house as tables; the code that reads them is in `laws`.
//!
//! Invariant: a folder ending in `/` stands for every room inside it, any other for that one room.
//! Source: `ARCHITECTURE.md` and `docs/decisions/0001-three-territories.md`.

/// Where the laws' own broken workspaces lie; no check looks there.
pub const FIXTURES: &str = "xtask/tests/fixtures/";

/// This table: the one text that has to quote what no text may say.
pub const THIS_FILE: &str = "xtask/src/rules.rs";

/// A part of the house, and which rooms its rooms may name.
#[derive(Debug)]
pub struct Territory {
    /// The rooms it is about.
    pub rooms: &'static str,
    /// The law that says so.
    pub law: &'static str,
    /// What they may name of the workspace, beside themselves; `""` is everything.
    pub may_name: &'static [&'static str],
    /// Whether the tests of these rooms are held to it as well.
    pub tests_too: bool,
}

/// Laws 1 to 4. A room that no line is about belongs nowhere, which is a violation too.
///
/// Tests of trusted rooms are not measured and may name more. Tests of `host/` and `owner/` are held to the law without exception:
/// one dev-dependency would already link keys beside the host; whole systems are tested in `sim/` and `app/`.
pub const TERRITORIES: &[Territory] = &[
    Territory {
        rooms: "proto",
        law: "law 1",
        may_name: &[],
        tests_too: true,
    },
    Territory {
        rooms: "trusted/",
        law: "law 1",
        may_name: &["trusted/", "proto"],
        tests_too: false,
    },
    Territory {
        rooms: "host/",
        law: "law 2",
        may_name: &["host/", "proto", "trusted/erasure", "trusted/enclave"],
        tests_too: true,
    },
    Territory {
        rooms: "owner/",
        law: "law 3",
        may_name: &["owner/", "trusted/", "proto", "host/transport"],
        tests_too: true,
    },
    Territory {
        rooms: "app",
        law: "law 4",
        may_name: &[""],
        tests_too: true,
    },
    Territory {
        rooms: "sim",
        law: "law 4",
        may_name: &[""],
        tests_too: true,
    },
    Territory {
        rooms: "bench",
        law: "law 4",
        may_name: &[""],
        tests_too: true,
    },
    Territory {
        rooms: "fuzz",
        law: "law 4",
        may_name: &[""],
        tests_too: true,
    },
    Territory {
        rooms: "xtask",
        law: "law 4",
        may_name: &[""],
        tests_too: true,
    },
];

/// A room of which another territory may name one item alone.
#[derive(Debug)]
pub struct Narrow {
    /// The rooms that are held to it.
    pub rooms: &'static str,
    /// The law that says so.
    pub law: &'static str,
    /// The crate, as sources write it.
    pub of: &'static str,
    /// The one item.
    pub only: &'static str,
}

/// Law 2: the host carries bytes to a program and needs no more of the door than the trait that takes them.
pub const NARROW: &[Narrow] = &[Narrow {
    rooms: "host/",
    law: "law 2",
    of: "sc_enclave",
    only: "Program",
}];

/// Something the outside world offers and a trusted library may not name.
#[derive(Debug)]
pub struct Outside {
    /// Path, or one word that may stand anywhere in a path.
    pub path: &'static str,
    /// Whether tests may name it.
    pub tests_may: bool,
}

/// Law 1: sockets, files, clocks, threads, the environment, randomness and the processor are arguments.
pub const OUTSIDE: &[Outside] = &[
    Outside {
        path: "std::net",
        tests_may: false,
    },
    Outside {
        path: "std::os",
        tests_may: false,
    },
    Outside {
        path: "tokio",
        tests_may: false,
    },
    Outside {
        path: "std::fs",
        tests_may: true,
    },
    Outside {
        path: "std::env",
        tests_may: true,
    },
    Outside {
        path: "std::process",
        tests_may: true,
    },
    Outside {
        path: "std::thread",
        tests_may: true,
    },
    Outside {
        path: "std::io::stdin",
        tests_may: true,
    },
    Outside {
        path: "std::io::stdout",
        tests_may: true,
    },
    Outside {
        path: "std::io::stderr",
        tests_may: true,
    },
    Outside {
        path: "std::time::Instant",
        tests_may: true,
    },
    Outside {
        path: "std::time::SystemTime",
        tests_may: true,
    },
    Outside {
        path: "getrandom",
        tests_may: true,
    },
    Outside {
        path: "is_x86_feature_detected",
        tests_may: true,
    },
];

/// The trusted room that touches the stream, threads, the random generator and the evidence device, for the others.
pub const TRUSTED_SHELL: &str = "trusted/program";

/// The rooms from which the compiler itself keeps the outside world, by `#![no_std]`.
pub const NO_STD: &[&str] = &["trusted/matching", "trusted/erasure"];

/// Law 6: a noun lives where it is stored, so nothing is called after the fact that it is shared.
pub const HOMELESS: &[&str] = &[
    "common", "util", "utils", "types", "helper", "helpers", "misc", "manager", "managers",
];

/// Where `unsafe` may stand: kernels written in vector instructions, the sandbox's system calls, and the measurement of a library in C
/// that ours is compared with. A file or folder starting so.
pub const UNSAFE: &[&str] = &[
    "trusted/erasure/src/kernel",
    "trusted/matching/src/kernel",
    "trusted/matching/src/index/kernel",
    "trusted/program/src/sandbox",
    "trusted/program/tests/sandbox",
    "host/launcher/src/sandbox",
    "bench/src/coding/isal",
];

/// Rooms that talk to a terminal; the others log, or return what is to be said.
pub const MAY_PRINT: &[&str] = &["app", "bench", "xtask"];

/// The macros that print.
pub const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Data beside the project's folder that only measurements and tests may read, when it is there.
pub const BESIDE: &str = "../shared";

/// Folders of one developer's machine, which no text may name.
pub const OF_ONE_MACHINE: &[&str] = &["/work/", "/root/"];

/// Whether `folder` is one of the rooms that `pattern` stands for.
pub fn within(folder: &str, pattern: &str) -> bool {
    pattern.is_empty()
        || folder == pattern
        || (pattern.ends_with('/') && folder.starts_with(pattern))
}
