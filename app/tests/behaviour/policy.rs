//! Which trusted programs a publisher gives its keys to.

use sc_crypto::hash::sha256;
use sc_enclave::simulation_development_key;

use crate::support::{DELIVERIES, Flags, Folder, Role, Run, securecloud, trusted_program};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn development_key() -> String {
    hex(simulation_development_key().verifying_key().as_bytes())
}

/// What the simulation reports of the program that was built: the hash of its file.
fn measurement() -> String {
    hex(&sha256(&std::fs::read(trusted_program()).unwrap()))
}

fn policy(key: &str, measurement: &str) -> String {
    format!("# mine\nsimulation-key {key}\nmeasurement {measurement} # of this build\n")
}

/// Starts a router and a source with the policy in `policy`, which is refused.
#[track_caller]
fn assert_refused(policy: &str, flags: &[&str], words: &[&str]) {
    let folder = Folder::with_numbers();
    folder.write("policy", policy);
    let mut router = Role::start(&folder, "scbr", &["-a", "localhost:0"]);
    let address = router.endpoint();
    let arguments = [
        "-c", &address, "-i", "pubs", "-k", "key.prv", "--policy", "policy",
    ];

    let refused = Role::start(&folder, "source", &[&arguments, flags].concat()).end();

    refused.assert_failed(
        2,
        &[&["the router was not given the keys: "], words].concat(),
    );
    assert_eq!(router.interrupt().event("summary")["sessions"], 0);
}

#[test]
fn a_policy_that_names_platform_and_program_is_satisfied_when_simulation_is_allowed() {
    let folder = Folder::with_numbers();
    folder.write("policy", policy(&development_key(), &measurement()));
    let flags = Flags {
        source: &["--policy", "policy", "--allow-simulation"],
        ..Flags::default()
    };

    let run = Run::through(&folder, flags);

    assert_eq!(run.deliveries(), DELIVERIES);
    assert_eq!(run.source.event("opened")["measurement"], measurement());
    assert!(!run.source.stderr.contains("no --policy"), "{run:#?}");
}

#[test]
fn a_policy_without_a_measurement_accepts_any_program_of_its_platform() {
    let folder = Folder::with_numbers();
    folder.write("policy", format!("simulation-key {}", development_key()));
    let flags = Flags {
        source: &["--policy", "policy", "--allow-simulation"],
        ..Flags::default()
    };

    assert_eq!(Run::through(&folder, flags).deliveries(), DELIVERIES);
}

#[test]
fn simulation_is_refused_unless_it_is_allowed_by_word() {
    assert_refused(
        &policy(&development_key(), &measurement()),
        &[],
        &["runs in simulation; allow that with --allow-simulation"],
    );
}

#[test]
fn another_measurement_is_refused() {
    assert_refused(
        &policy(&development_key(), &hex(&[7; 32])),
        &["--allow-simulation"],
        &["the policy does not name the trusted program's measurement"],
    );
}

#[test]
fn another_platform_is_refused() {
    assert_refused(
        &policy(&hex(&[7; 32]), &measurement()),
        &["--allow-simulation"],
        &["the policy does not name the simulated platform's key"],
    );
}

#[test]
fn an_empty_policy_accepts_nothing() {
    assert_refused(
        "# nothing yet\n",
        &["--allow-simulation"],
        &["the policy does not name"],
    );
}

#[test]
fn a_line_that_is_no_rule_is_named() {
    let folder = Folder::with_numbers();
    for (policy, words) in [
        (
            "allow-simulation\n",
            "line 1: expected a rule: simulation-key, measurement,",
        ),
        ("\n\nmeasurement 12\n", "line 3: expected `measurement HEX`"),
        (
            "# a\nsimulation-key\n",
            "line 2: expected `simulation-key HEX`",
        ),
    ] {
        folder.write("policy", policy);

        let refused = securecloud(
            &folder,
            &[
                "source", "-i", "pubs", "-k", "key.prv", "--policy", "policy",
            ],
        );

        refused.assert_failed(2, &[&format!("policy: {words}")]);
    }
}

#[test]
fn a_router_beyond_this_machine_takes_a_policy() {
    let folder = Folder::with_numbers();
    securecloud(&folder, &["keygen", "mine", "--link"]).succeeded();

    let refused = securecloud(
        &folder,
        &[
            "source",
            "-i",
            "pubs",
            "-k",
            "key.prv",
            "--link-keys",
            "mine.link",
        ],
    );

    refused.assert_failed(2, &["a router beyond this machine needs --policy"]);
}

#[test]
fn without_a_policy_the_source_says_whom_it_trusts() {
    let folder = Folder::with_numbers();

    let run = Run::through(&folder, Flags::default());

    assert!(
        run.source
            .stderr
            .contains("no --policy: the keys go to any program that runs in the development simulation, on this machine alone"),
        "{run:#?}"
    );
    for finished in [&run.router, &run.source] {
        let tee = "TEE: SIMULATION - NO HARDWARE PROTECTION. The operator of this machine can read all keys and data.";
        assert!(finished.stderr.contains(tee), "{finished:#?}");
    }
}
