//! `attest`: what people see of the evidence behind a store, and what is done with it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::system::System;

/// Where the samples are that evidence is tested with.
fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../owner/attestation/tests/samples")
        .join(name)
}

fn attest(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .arg("attest")
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .unwrap()
}

/// Runs a command that ends with this status; what it printed, and what it said.
#[track_caller]
fn ended(folder: &Path, status: i32, arguments: &[&str]) -> (String, String) {
    let output = attest(folder, arguments);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {output:?}"
    );
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn coders_are_shown_and_judged_by_the_policy_that_names_them_and_refused_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let system = System::start(path, &["--processes"]);
    let store = system.ready["urls"]["store"].as_str().unwrap();
    let asked = ["--store", store, "--owner", "owner"];
    let with = |flags: &[&'static str]| [&asked[..], flags].concat();

    let (policy, _) = ended(path, 0, &["policy"]);
    std::fs::write(path.join("policy"), &policy).unwrap();
    let show = [&["show", "--save", "saved"][..], &asked].concat();
    let (shown, _) = ended(path, 0, &show);
    assert!(
        shown.contains("NO HARDWARE PROTECTION") && shown.contains("coder-0"),
        "{shown}"
    );

    let verify = |status, flags: &[&'static str]| {
        let arguments = [vec!["verify"], with(flags)].concat();
        ended(path, status, &arguments)
    };
    let (accepted, _) = verify(0, &["--policy", "policy", "--allow-simulation"]);
    assert!(accepted.contains("accepted"), "{accepted}");
    let (refused, _) = verify(1, &["--policy", "policy"]);
    assert!(refused.contains("--allow-simulation"), "{refused}");
    verify(2, &[]);
    let other = policy.replace("\nmeasurement ", "\n# measurement ")
        + &format!("measurement {}\n", "0".repeat(64));
    std::fs::write(path.join("other"), other).unwrap();
    let (refused, _) = verify(1, &["--policy", "other", "--allow-simulation"]);
    assert!(refused.contains("measurement"), "{refused}");

    let saved = ["show", "--evidence", "saved/coder-0.evidence", "--json"];
    let (saved, _) = ended(path, 0, &saved);
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert!(shown.contains(saved["report_data"].as_str().unwrap()));
    system.end();
}

#[test]
fn genuine_evidence_in_a_file_is_judged_as_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let collateral = sample("dcap-qvl/sgx_quote_collateral.json");
    let quote = sample("dcap-qvl/sgx_quote");
    let quote = quote.to_str().unwrap();
    let rules = format!(
        "collateral {}\nsgx-enclave 33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb svn 0\n\
         status ConfigurationAndSWHardeningNeeded\nadvisory INTEL-SA-00289\n",
        collateral.display()
    );
    let strict = path.join("strict");
    std::fs::write(&strict, &rules).unwrap();
    std::fs::write(
        path.join("tolerant"),
        format!("{rules}advisory INTEL-SA-00615\n"),
    )
    .unwrap();
    let verify = |status, policy, at| {
        let arguments = [
            "verify",
            "--evidence",
            quote,
            "--policy",
            policy,
            "--at",
            at,
        ];
        ended(path, status, &arguments).0
    };

    assert!(verify(0, "tolerant", "2025-06-25").contains("accepted"));
    assert!(verify(1, "strict", "2025-06-25").contains("advisory INTEL-SA-00615"));
    assert!(verify(1, "tolerant", "2026-11-30").contains("out of date"));
    let read = ["policy", "tolerant"];
    assert!(ended(path, 0, &read).0.contains("1 program(s) on hardware"));
}

#[test]
fn what_is_no_evidence_policy_or_collateral_is_named_with_its_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("words"), "no evidence at all").unwrap();
    std::fs::write(path.join("rule"), "\nallow everything").unwrap();
    std::fs::write(path.join("missing"), "collateral gone.json").unwrap();

    for (arguments, words) in [
        (&["show", "--evidence", "words"][..], "SEV-SNP"),
        (&["show", "--evidence", "gone"], "gone: "),
        (&["policy", "rule"], "rule: line 2: expected a rule"),
        (&["policy", "missing"], "gone.json"),
        (&["measure", "gone"], "gone: "),
        (&["show"], "--owner"),
    ] {
        let (_, said) = ended(path, 2, arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn what_an_owner_pins_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("sc-cbr"), b"a program").unwrap();
    let mut signed = vec![0; 1808];
    signed[960..992].fill(0xab);
    signed[1026] = 3;
    std::fs::write(path.join("sc-cbr.sig"), signed).unwrap();
    let key = Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(["keygen", "key"])
        .current_dir(path)
        .status()
        .unwrap();
    assert!(key.success());

    let (printed, _) = ended(path, 0, &["measure", "sc-cbr", "--owner", "key.pub"]);

    let enclave = format!("sgx-enclave {} svn 3", "ab".repeat(32));
    let binary = sc_crypto::hash::sha256(b"a program").map(|byte| format!("{byte:02x}"));
    assert!(printed.contains(&enclave), "{printed}");
    assert!(
        printed.contains(&format!("measurement {}", binary.concat())),
        "{printed}"
    );
    assert!(printed.contains("HOST_DATA") && printed.contains("MRCONFIGID"));
}

#[test]
fn an_agent_provisions_a_store_that_has_no_gateway_and_needs_machines_by_name_on_hardware() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Its gateway has made owner and roots; the agent is the owner's as well.
    let system = System::start(path, &["--processes"]);
    let store = system.ready["urls"]["store"].as_str().unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(["attest", "serve", "--store", store, "--owner", "owner"])
        .args(["--allow-simulation", "--json"])
        .current_dir(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(agent.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(ready.contains("ready"), "{ready}");

    let any = format!("sev-snp {} svn 1\n", "ab".repeat(48));
    std::fs::write(path.join("any"), any).unwrap();
    let (_, said) = ended(
        path,
        2,
        &[
            "serve", "--store", store, "--owner", "owner", "--policy", "any",
        ],
    );
    assert!(said.contains("machine HEX"), "{said}");
    system.end();
}

#[test]
fn hardware_that_is_absent_is_told_with_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (command, platform, word) in [
        ("scbr", "gramine-sgx", "/dev/sgx_enclave"),
        ("coder", "gramine-sgx", "sc-coder.manifest.sgx"),
        ("scbr", "vm", "/sys/kernel/config/tsm/report"),
        ("coder", "vm", "/dev/sev-guest"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_securecloud"))
            .args([command, "--platform", platform])
            .current_dir(folder.path())
            .env_remove("CARGO_MANIFEST_DIR")
            .output()
            .unwrap();

        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
}
