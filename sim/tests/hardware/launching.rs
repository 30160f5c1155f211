//! What is asked for and is not there.

use sc_launcher::{LaunchError, Platform};
use sc_program::Tee;

use crate::devices::Tree;

#[test]
fn a_program_does_not_start_without_the_device_that_it_was_told_of() {
    for (tee, path) in [
        (Tee::GramineSgx, "dev/attestation/attestation_type"),
        (Tee::Vm, "sys/kernel/config/tsm/report"),
    ] {
        let tree = Tree::empty();
        let Err(error) = tee.attester(tree.root()) else {
            panic!("{tee:?} found a device")
        };

        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_device_of_another_kind_is_not_taken() {
    let tree = Tree::empty();
    tree.put("dev/attestation/attestation_type", "none");
    let error = Tee::GramineSgx.attester(tree.root()).err().unwrap();
    assert!(error.to_string().contains("sgx.remote_attestation"));

    let tree = Tree::vm("arm_cca_guest", &[], Box::new(|data| data.to_vec()));
    let error = Tee::Vm.attester(tree.root()).err().unwrap();
    assert!(error.to_string().contains("arm_cca_guest"));
}

#[test]
fn asking_for_hardware_that_is_absent_says_what_was_looked_for_and_where() {
    let tree = Tree::empty();
    let binary = tree.put("programs/sc-cbr", "");

    let of = |platform: Result<Platform, LaunchError>| match platform {
        Err(error @ LaunchError::NoHardware { .. }) => error.to_string(),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was found"),
    };
    let sgx = of(Platform::gramine_sgx(tree.root(), binary.clone()));
    let vm = of(Platform::vm(tree.root(), binary, Vec::new()));

    for what in [
        "dev/sgx_enclave",
        "usr/bin/gramine-sgx",
        "sc-cbr.manifest.sgx",
        "sc-cbr.sig",
        "--platform process",
    ] {
        assert!(sgx.contains(what), "{what} in {sgx}");
    }
    for what in ["config/tsm/report", "dev/tdx_guest", "dev/sev-guest"] {
        assert!(vm.contains(what), "{what} in {vm}");
    }
}

#[test]
fn hardware_that_is_there_is_used_and_each_part_of_it_is_needed() {
    let parts = [
        "dev/sgx_enclave",
        "usr/bin/gramine-sgx",
        "programs/sc-cbr.manifest.sgx",
        "programs/sc-cbr.sig",
    ];
    for left_out in 0..=parts.len() {
        let tree = Tree::empty();
        let binary = tree.put("programs/sc-cbr", "");
        for (_, part) in parts.iter().enumerate().filter(|(at, _)| *at != left_out) {
            tree.put(part, "");
        }

        match Platform::gramine_sgx(tree.root(), binary) {
            Ok(Platform::GramineSgx { .. }) => assert_eq!(left_out, parts.len()),
            Err(error) => assert!(error.to_string().contains(parts[left_out])),
            Ok(_) => panic!("another platform took its place"),
        }
    }
    let tree = Tree::empty();
    tree.put("sys/kernel/config/tsm/report/x/provider", "");
    tree.put("dev/sev-guest", "");
    let Ok(Platform::Process { arguments, .. }) =
        Platform::vm(tree.root(), "sc-coder".into(), vec!["--threads".into()])
    else {
        panic!("the machine has what is needed")
    };
    assert_eq!(arguments, ["--tee", "vm", "--threads"]);
}

/// The manifests of Gramine, with something in the place of what its tools put there. They were never run; what an owner relies on is looked at.
#[test]
fn gramines_manifests_tell_the_program_where_it_runs_and_let_nobody_look_inside() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/gramine");
    let mut products = Vec::new();
    for name in ["sc-cbr", "sc-coder"] {
        let template = folder.join(format!("{name}.manifest.template"));
        let mut text = std::fs::read_to_string(template).unwrap();
        while let Some((before, rest)) = text.split_once("{{") {
            let (_, behind) = rest.split_once("}}").unwrap();
            text = format!("{before}/x{behind}");
        }
        let manifest: toml::Table = toml::from_str(&text).unwrap();

        let words = &manifest["loader"]["argv"];
        let words: Vec<&str> = words
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        assert_eq!(words, [name, "--tee", "gramine-sgx"]);
        let sgx = &manifest["sgx"];
        assert_eq!(sgx["debug"].as_bool(), Some(false));
        assert_eq!(sgx["remote_attestation"].as_str(), Some("dcap"));
        assert!(sgx.get("allowed_files").is_none(), "every file is measured");
        assert!(
            manifest["loader"]
                .get("insecure__use_cmdline_argv")
                .is_none()
        );
        assert!(manifest["loader"].get("insecure__use_host_env").is_none());
        products.push(sgx["isvprodid"].as_integer());
    }
    assert_ne!(
        products[0], products[1],
        "one program never stands for the other"
    );
}
