//! `up --tls`: clients that trust the certificate in its folder, and no others, are served.

use std::process::Command;

use crate::kv::Kv;
use crate::system::System;

fn curl(system: &System, more: &[&str]) -> std::process::Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "40"]);
    command
        .args(more)
        .arg(format!("{}/v1/healthz", system.base()));
    command.output().expect("curl is there: install curl")
}

fn is_served_to_whoever_trusts_it(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let flags = [flags, &["--tls"]].concat();
    let first = {
        let system = System::start(folder.path(), &flags);
        system.end();
        std::fs::read(folder.path().join("gateway.pem")).unwrap()
    };
    let system = System::start(folder.path(), &flags);
    let kv = Kv::through(&system, folder.path());
    let certificate = folder.path().join("gateway.pem");
    let certificate = certificate.to_str().unwrap();

    kv.run(&["--ca", certificate, "datastore", "create", "photos"]);
    kv.run(&["--ca", certificate, "put", certificate, "photos/it"]);
    let trusting = curl(&system, &["--cacert", certificate]);
    let distrusting = curl(&system, &[]);
    let (_, said) = kv.refused(&["ls", "photos"]);

    assert!(system.base().starts_with("https://127.0.0.1:"));
    let read = kv.run(&["--ca", certificate, "get", "photos/it", "-"]);
    assert_eq!(read.as_bytes(), std::fs::read(certificate).unwrap());
    assert!(trusting.status.success(), "{trusting:?}");
    assert!(!distrusting.status.success());
    assert!(said.contains("certificate"), "{said}");
    // Its key was never on a disk, so each start has another one.
    assert_ne!(first, std::fs::read(certificate).unwrap());
    system.end();
}

#[test]
fn the_certificate_in_the_folder_is_what_threads_serve_under() {
    is_served_to_whoever_trusts_it(&[]);
}

#[test]
fn the_certificate_in_the_folder_is_what_processes_serve_under() {
    is_served_to_whoever_trusts_it(&["--processes"]);
}
