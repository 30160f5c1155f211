//! The demonstration of storage.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demonstration_reads_back_every_byte_after_all_that_is_lost_mended_and_moved() {
    let output = Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(["demo", "storage", "--json"])
        .output()
        .unwrap();

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let policies = told["policies"].as_array().unwrap();
    let space =
        |row: &Value| row["stored_bytes"].as_f64().unwrap() / row["bytes"].as_f64().unwrap();
    assert_eq!(policies.len(), 3);
    assert!(policies.iter().all(|row| row["intact"] == true));
    assert!((2.9..3.1).contains(&space(&policies[0])));
    assert!((1.49..1.6).contains(&space(&policies[1])));
    assert!((1.49..1.7).contains(&space(&policies[2])));
    let jobs = told["jobs"].as_array().unwrap();
    let sent = |what: &str| {
        let job = jobs
            .iter()
            .find(|it| it["what"].as_str().unwrap().contains(what));
        let job = job.unwrap();
        job["bytes_read"].as_f64().unwrap() / job["bytes_written"].as_f64().unwrap()
    };
    // Four whole fragments for each, against five halves.
    assert!((3.9..4.2).contains(&sent("rs 4+2")), "{told}");
    assert!(sent("rlnc 4 of 6") < 0.75 * sent("rs 4+2"), "{told}");
    assert!(told["rebuild_s"].as_f64().unwrap() > 0.0);
}
