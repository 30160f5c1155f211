//! The trusted program of a router: where it runs, and what happens when it does not.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{
    DELIVERIES, Flags, Folder, PATIENCE, Role, Run, Signal, securecloud, send_signal,
    trusted_program,
};

const TEE: &str = "TEE: SIMULATION - NO HARDWARE PROTECTION";

fn is_gone(pid: u32) -> bool {
    // Whoever inherits it may not have asked for its status yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[track_caller]
fn assert_ends(pid: u32) {
    let begin = Instant::now();
    while !is_gone(pid) {
        assert!(begin.elapsed() < PATIENCE, "process {pid} is still there");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn inline_works_and_is_announced_as_no_protection_at_all() {
    let folder = Folder::with_numbers();
    let flags = Flags {
        router: &["--platform", "inline"],
        ..Flags::default()
    };

    let run = Run::through(&folder, flags);

    assert_eq!(run.deliveries(), DELIVERIES);
    for words in [
        "scbr: INLINE: the trusted program runs in this very process; no claim",
        TEE,
    ] {
        assert!(run.router.stderr.contains(words), "{run:#?}");
    }
}

#[test]
fn a_kernel_that_this_processor_does_not_have_is_refused_before_anything_starts() {
    let folder = Folder::empty();
    for platform in ["inline", "process"] {
        let arguments = [
            "scbr",
            "-a",
            "localhost:0",
            "--kernel",
            "sse9",
            "--platform",
        ];

        let refused = securecloud(&folder, &[&arguments[..], &[platform]].concat());

        refused.assert_failed(2, &["--kernel sse9: this processor has portable"]);
    }
    let none = securecloud(&folder, &["scbr", "-a", "localhost:0", "--threads", "0"]);
    none.assert_failed(2, &["expected a number from 1 to 256"]);
}

#[test]
fn the_same_is_delivered_whatever_the_program_is_told_of_the_processor() {
    for platform in ["inline", "process"] {
        for threads in ["1", "4"] {
            let folder = Folder::with_numbers();
            let router = ["--platform", platform, "--kernel", "portable"];
            let flags = Flags {
                router: &[&router[..], &["--threads", threads]].concat(),
                ..Flags::default()
            };

            let run = Run::through(&folder, flags);

            assert_eq!(run.deliveries(), DELIVERIES, "{platform}, {threads}");
        }
    }
}

#[test]
fn the_same_is_delivered_by_oblivious_matching_and_the_router_says_so() {
    for platform in ["inline", "process"] {
        // Some publications match more than one filter, so that a slot is too few for them.
        for slots in [&[][..], &["--oblivious-matches", "1"]] {
            let folder = Folder::with_numbers();
            let router = ["--platform", platform, "--oblivious"];
            let flags = Flags {
                router: &[&router[..], slots].concat(),
                ..Flags::default()
            };

            let run = Run::through(&folder, flags);

            assert_eq!(run.deliveries(), DELIVERIES, "{platform}, {slots:?}");
            assert!(run.router.stderr.contains("scbr: OBLIVIOUS: "), "{run:#?}");
        }
    }
}

#[test]
fn a_filter_that_is_too_wide_to_be_matched_obliviously_is_not_taken_and_the_source_says_so() {
    let folder = Folder::with_numbers();
    let values: Vec<_> = (0..17).map(|n| n.to_string()).collect();
    let wide = format!("0 1 S i a in {{{}}}\n", values.join(", "));
    folder.write("wide", &wide);
    let router = folder.router(&["--oblivious"]);
    let mut source = folder.source("key", "pubs", &["--await", "0"]);
    let consumer = folder.consumer_of("key", "wide", "identity", &[]);

    let told = source.event("not_carried_out");

    let why = told["reason"].as_str().unwrap();
    assert!(why.contains("wider than a router with --oblivious matches"));
    for role in [source, consumer, router] {
        role.interrupt().succeeded();
    }
}

#[test]
fn how_many_matches_are_hidden_is_a_number_within_bounds() {
    let folder = Folder::empty();
    for slots in ["0", "262145", "some"] {
        let arguments = [
            "scbr",
            "-a",
            "localhost:0",
            "--oblivious",
            "--oblivious-matches",
        ];
        let refused = securecloud(&folder, &[&arguments[..], &[slots]].concat());

        refused.assert_failed(2, &["expected a number from 1 to 262144"]);
    }
}

#[test]
fn inline_starts_no_process_and_the_default_starts_one() {
    let folder = Folder::empty();
    let children = |flags: &[&str]| {
        let mut router = Role::start(&folder, "scbr", &[&["-a", "localhost:0"], flags].concat());
        let ready = router.event("ready");
        assert!(ready["tee"].as_str().unwrap().starts_with(TEE));
        assert!(ready["program"].as_str().unwrap().starts_with("sc-cbr "));
        router.children().len()
    };

    assert_eq!(children(&["--platform", "inline"]), 0);
    assert_eq!(children(&[]), 1);
}

#[test]
fn the_trusted_program_may_be_elsewhere() {
    let folder = Folder::with_numbers();
    std::fs::copy(trusted_program(), folder.join("moved")).unwrap();
    let flags = Flags {
        router: &["--program", "./moved"],
        ..Flags::default()
    };

    assert_eq!(Run::through(&folder, flags).deliveries(), DELIVERIES);
}

#[test]
fn what_is_no_trusted_program_is_named() {
    let folder = Folder::empty();
    folder.write("text", "no program\n");
    for (program, code, words) in [
        (
            "/nonexistent",
            2,
            "/nonexistent: no such file; --program names the binary of the trusted program sc-cbr",
        ),
        (".", 2, ".: no such file"),
        (
            "./text",
            1,
            "the trusted program ./text does not start: Permission denied",
        ),
        ("/bin/true", 1, "the trusted program has ended"),
        (
            "/bin/cat",
            1,
            "the trusted program is not the routing program of this version",
        ),
    ] {
        if program.starts_with("/bin") && !Path::new(program).exists() {
            continue;
        }
        let refused = securecloud(
            &folder,
            &["scbr", "-a", "localhost:0", "--program", program],
        );

        refused.assert_failed(code, &[words]);
    }
}

#[test]
fn a_trusted_program_that_dies_is_started_again_and_gets_its_keys_anew() {
    let folder = Folder::with_numbers();
    let mut router = Role::start(&folder, "scbr", &["-a", "localhost:0"]);
    let address = router.endpoint();
    let mut source = Role::start(
        &folder,
        "source",
        &["-c", &address, "-i", "pubs", "-k", "key.prv"],
    );
    let mut consumer = Role::start(
        &folder,
        "consumer",
        &["-c", &address, "-i", "subs", "-k", "key.pub"],
    );
    consumer.event("admitted");
    source.event("summary");
    let [program] = router.children()[..] else {
        panic!("the router has one child")
    };

    send_signal(program, Signal::KILL);

    router.event("program_lost");
    router.event("ready");
    router.told("the trusted program has ended");
    source.event("opened");
    // The consumer has kept its link, and is admitted without a word of its own.
    consumer.event("admitted");
    assert_ne!(router.children(), [program]);
    for role in [source, consumer, router] {
        role.interrupt().succeeded();
    }
}

#[test]
fn a_router_whose_program_says_nothing_can_be_interrupted() {
    let folder = Folder::empty();
    folder.write("mute", "#!/bin/sh\nexec sleep 1000\n");
    folder.set_mode("mute", 0o700);
    let mut router = Role::start(
        &folder,
        "scbr",
        &["-a", "localhost:0", "--program", "./mute"],
    );
    router.endpoint();

    let finished = router.interrupt();

    finished.succeeded();
    assert_eq!(finished.events("ready").len(), 0);
}

#[test]
fn a_trusted_program_ends_with_its_router_however_that_ends() {
    let folder = Folder::empty();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let mut router = Role::start(&folder, "scbr", &["-a", "localhost:0"]);
        router.event("ready");
        let program = router.children()[0];

        router.signal(signal);
        let finished = router.end();

        if signal != Signal::KILL {
            finished.succeeded();
        }
        assert_ends(program);
    }
}

#[test]
fn the_interrupt_of_a_terminal_does_not_reach_the_trusted_program() {
    let folder = Folder::with_numbers();
    let mut router = Role::start(&folder, "scbr", &["-a", "localhost:0"]);
    router.event("ready");
    let (router_pid, program) = (router.pid(), router.children()[0]);

    let group = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(") ").next().unwrap().to_owned();
        after_name.split(' ').nth(2).unwrap().to_owned()
    };

    // A terminal sends ^C to every process of the group in front.
    assert_ne!(group(router_pid), group(program));
}
