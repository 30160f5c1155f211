//! How large publications, messages and notices may be, and who is told when one is larger.

use crate::support::{DELIVERIES, Flags, Folder, Role, Run, numbers};

/// A publication whose own line has about `bytes` bytes.
fn publication(n: u64, bytes: usize) -> String {
    format!("0 0 P i n {n} i even 1 i text \"{}\"\n", "x".repeat(bytes))
}

fn router(folder: &Folder, flags: &[&str]) -> (Role, String) {
    let mut router = Role::start(folder, "scbr", &[&["-a", "localhost:0"], flags].concat());
    let address = router.endpoint();
    (router, address)
}

#[test]
fn publications_larger_than_a_batch_usually_is_go_alone() {
    let folder = Folder::with_numbers();
    folder.write(
        "pubs",
        (10..16).map(|n| publication(n, 40_000)).collect::<String>(),
    );

    let run = Run::through(&folder, Flags::all(&["--max-message", "65536"]));

    assert_eq!(run.deliveries(), 6);
    assert_eq!(run.router.event("summary")["batches"], 6);
    let payloads = run.consumer.events("delivery");
    assert_eq!(payloads[5]["payload"], publication(15, 40_000).trim_end());
}

#[test]
fn a_payload_of_exactly_the_bound_is_delivered() {
    let folder = Folder::with_numbers();
    let flags = Flags {
        source: &["--payload-bytes", "1048576"],
        consumer: &["--quiet"],
        ..Flags::default()
    };

    assert_eq!(Run::through(&folder, flags).deliveries(), DELIVERIES);
}

#[test]
fn a_larger_payload_is_refused_before_anything_is_published() {
    let folder = Folder::with_numbers();
    folder.write("pubs", numbers(0..2) + &publication(2, 5000));
    let source = |flags: &[&str]| {
        let arguments = [
            "-a",
            "localhost:0",
            "-i",
            "pubs",
            "-k",
            "key.prv",
            "--max-message",
            "4096",
        ];
        Role::start(&folder, "source", &[&arguments, flags].concat()).end()
    };

    let line = source(&[]);
    let filler = source(&["--payload-bytes", "4097"]);

    line.assert_failed(
        2,
        &[
            "pubs: line 3: 5",
            " bytes of payload: a message has at most 4096 bytes: raise --max-message",
        ],
    );
    filler.assert_failed(
        2,
        &["--payload-bytes 4097: a message has at most 4096 bytes"],
    );
}

#[test]
fn what_came_before_a_bad_line_of_standard_input_is_published_and_then_the_line_is_named() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder, &[]);
    let arguments = [
        "-c",
        &address,
        "-i",
        "-",
        "-k",
        "key.prv",
        "--max-message",
        "4096",
    ];
    for (bad, words) in [
        (publication(3, 5000), "a message has at most 4096 bytes"),
        ("0 0 P i n x\n".to_owned(), "column 11: expected a number"),
    ] {
        let mut source = Role::start(&folder, "source", &arguments);
        let identity = words.split(' ').next().unwrap();
        let mut consumer = Role::start(
            &folder,
            "consumer",
            &[
                "-c",
                &address,
                "-i",
                "subs",
                "-k",
                "key.pub",
                "--identity",
                identity,
            ],
        );
        consumer.event("admitted");

        source.write(&(numbers(0..3) + &bad + &numbers(4..5)));
        let finished = source.end();

        finished.assert_failed(2, &["standard input: line 4", words]);
        assert_eq!(finished.event("summary")["publications"], 3);
        for expected in numbers(0..3).lines() {
            assert_eq!(consumer.event("delivery")["payload"], expected);
        }
    }
}

#[test]
fn a_source_that_allows_more_than_its_router_is_told_the_routers_bound() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder, &["--max-message", "4096"]);
    let _consumer = Role::start(
        &folder,
        "consumer",
        &["-c", &address, "-i", "subs", "-k", "key.pub"],
    );
    let arguments = [
        "-c",
        &address,
        "-i",
        "pubs",
        "-k",
        "key.prv",
        "--payload-bytes",
        "900000",
    ];

    let refused = Role::start(&folder, "source", &arguments).end();

    refused.assert_failed(
        1,
        &[
            "a message of 9",
            " that the router accepts",
            "have its operator raise --max-message",
        ],
    );
}

#[test]
fn a_consumer_that_takes_less_than_was_published_is_told_what_to_change() {
    let folder = Folder::with_numbers();
    let (router, address) = router(&folder, &[]);
    let consumer = Role::start(
        &folder,
        "consumer",
        &[
            "-c",
            &address,
            "-i",
            "subs",
            "-k",
            "key.pub",
            "--max-message",
            "4096",
        ],
    );
    let arguments = [
        "-c",
        &address,
        "-i",
        "pubs",
        "-k",
        "key.prv",
        "--payload-bytes",
        "900000",
    ];
    let mut source = Role::start(&folder, "source", &arguments);

    consumer.told("a message for this peer is larger than it takes");
    consumer.told("start it with a greater --max-message, or its publisher with a smaller --batch");

    source.event("summary");
    let summary = router.interrupt().event("summary");
    assert!(summary["disconnected"].as_u64().unwrap() >= 1, "{summary}");
}

#[test]
fn a_notice_that_names_thousands_of_filters_for_every_publication_arrives() {
    let folder = Folder::with_keys();
    let filters: String = (0..2500)
        .map(|id| format!("0 {id} S i n exists\n"))
        .collect();
    folder.write("subs", filters);
    folder.write("pubs", numbers(0..600));
    let flags = Flags {
        consumer: &["--quiet"],
        ..Flags::default()
    };

    let run = Run::through(&folder, flags);

    assert_eq!(run.deliveries(), 2500 * 600);
    assert_eq!(run.router.event("summary")["disconnected"], 0);
}
