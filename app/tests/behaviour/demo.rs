//! The demonstration of routing, as people and as programs see it.

use std::process::Command;

use serde_json::Value;

use crate::support::{Finished, Folder, securecloud_with};

const TEE: &str = "TEE: SIMULATION - NO HARDWARE PROTECTION. The operator of this machine can read all keys and data.";

/// Runs `demo routing`, whose files go to a folder that is looked at afterwards.
fn demo(flags: &[&str]) -> Finished {
    let folder = Folder::empty();
    let temporary = folder.to_str().unwrap();
    let arguments = [&["demo", "routing"], flags].concat();

    let finished = securecloud_with(&folder, &[("TMPDIR", temporary)], &arguments);

    let left: Vec<_> = std::fs::read_dir(&*folder).unwrap().collect();
    assert!(left.is_empty(), "nothing is left behind: {left:?}");
    finished
}

#[test]
fn the_demonstration_tells_its_steps_and_ends_in_a_table() {
    let finished = demo(&[]);

    let text = finished.succeeded();
    assert_eq!(finished.stderr, "");
    for words in [
        "router    listens at tcp://127.0.0.1:",
        "consumer  is admitted",
        "source    has published; every batch has its sealed receipt",
        "\n       1       269       269  symbol = \"IBM\"\n",
        "\n     all       628       628\n",
        "1000 publications, 542 of them wanted by a filter",
        "The router forwarded 542 sealed payloads and could read none.",
    ] {
        assert!(text.contains(words), "`{words}` in\n{text}");
    }
    assert_eq!(text.lines().last(), Some(TEE));
    assert!(!text.contains("PLAIN"));
}

#[test]
fn the_plain_demonstration_says_that_the_router_reads_everything() {
    let finished = demo(&["--plain"]);

    let text = finished.succeeded();
    assert!(
        text.contains("PLAIN: nothing is encrypted in this run, and the router reads everything."),
        "{text}"
    );
    assert!(text.contains("\n     all       628       628\n"), "{text}");
    assert!(
        text.contains("The router forwarded 542 payloads and could read them all."),
        "{text}"
    );
    assert!(!text.contains("sealed"), "{text}");
}

#[test]
fn programs_get_the_result_as_one_object() {
    let finished = demo(&["--json"]);

    let result: Value = serde_json::from_str(finished.succeeded()).unwrap();
    assert_eq!(result["complete"], true);
    assert_eq!(result["expected"], result["received"]);
    let deliveries = result["received"].as_object().unwrap().values();
    assert_eq!(
        deliveries.map(|count| count.as_u64().unwrap()).sum::<u64>(),
        628
    );
    assert_eq!(result["source"]["publications"], 1000);
    assert_eq!(result["router"]["payloads"], 542);
    assert_eq!(result["tee"], TEE);
    assert!(result["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn no_process_of_the_demonstration_outlives_it() {
    let folder = Folder::empty();
    let name = format!("{}/sc", folder.display());
    std::fs::create_dir(&name).unwrap();

    let finished = securecloud_with(
        &folder,
        &[("TMPDIR", &name)],
        &["demo", "routing", "--json"],
    );

    finished.succeeded();
    let open = Command::new("sh")
        .args(["-c", "ls -l /proc/[0-9]*/cwd 2>/dev/null || true"])
        .output()
        .unwrap();
    let open = String::from_utf8_lossy(&open.stdout);
    assert!(!open.contains(&name), "{open}");
}
