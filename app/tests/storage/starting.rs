//! What keeps a system from starting, which is told at once and with its fix; and what it leaves behind when it ends.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::system::System;

/// Whoever is told "at once" has it sooner than this, even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Runs a command that is refused; returns what it printed and said.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> (String, String) {
    let began = Instant::now();
    let output = output(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(began.elapsed() < AT_ONCE, "{arguments:?}");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .unwrap()
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();

    for (flags, fix) in [
        (["--port", &taken, "--router-port", "0"], "--port N"),
        (["--port", "0", "--router-port", &taken], "--router-port N"),
    ] {
        for processes in [&[][..], &["--processes"]] {
            let arguments = [&["up", "--data", "up"], &flags[..], processes].concat();
            let (printed, said) = refused(folder.path(), &arguments);
            assert_eq!(printed, "");
            assert!(said.contains(&taken) && said.contains(fix), "{said}");
            assert!(!folder.path().join("up/catalogue.db").exists());
        }
    }
}

#[test]
fn a_folder_is_one_stores() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    let store = ["store", "--address", "127.0.0.1:0", "--data", "."];

    let (_, beside_up) = refused(folder.path(), &store);
    system.end();
    let mut first = crate::process::Role::start(folder.path(), "store", &store[1..]);
    first.event("endpoints");
    let (_, beside_store) = refused(folder.path(), &store);
    let up = ["up", "--data", ".", "--port", "0", "--router-port", "0"];
    let (printed, up_beside_store) = refused(folder.path(), &up);

    assert_eq!(printed, "");
    for said in [beside_up, beside_store, up_beside_store] {
        assert!(
            said.contains("is in use by another `securecloud store` or `up`"),
            "{said}"
        );
    }
    first.end();
}

#[test]
fn an_owner_is_not_made_by_mistyping_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = [
        "gateway",
        "--owner",
        "onwer",
        "--rest",
        "127.0.0.1:0",
        "--allow-simulation",
    ];

    let (_, said) = refused(folder.path(), &gateway);

    assert!(said.contains("holds no owner's keys"), "{said}");
    assert!(said.contains("--create-owner"), "{said}");
    assert!(!folder.path().join("onwer").exists());
}

#[test]
fn what_an_earlier_run_had_and_is_missing_is_asked_for_and_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("up");
    let aside = folder.path().join("aside");
    std::fs::create_dir(&data).unwrap();
    let system = System::start(&data, &[]);
    system.datastore("data", "cold");
    system.end();
    let up = ["up", "--data", "up", "--port", "0", "--router-port", "0"];

    for name in ["owner", "catalogue.db"] {
        std::fs::rename(data.join(name), &aside).unwrap();
        let (printed, said) = refused(folder.path(), &up);
        assert_eq!(printed, "");
        assert!(
            said.contains(&format!("{name} is missing")) && said.contains("your backup"),
            "{said}"
        );
        assert!(!data.join(name).exists());
        std::fs::rename(&aside, data.join(name)).unwrap();
    }
    // A folder of which the keys are gone.
    std::fs::rename(data.join("owner"), &aside).unwrap();
    std::fs::create_dir(data.join("owner")).unwrap();
    let (_, said) = refused(folder.path(), &up);
    assert!(said.contains("holds no keys"), "{said}");
    std::fs::remove_dir(data.join("owner")).unwrap();
    std::fs::rename(&aside, data.join("owner")).unwrap();

    let system = System::start(&data, &[]);
    let found = system.ask("GET", "/v1/datastores/data", &[], &[]);
    assert_eq!(found.status, 200, "{}", found.text());
    system.end();
}

#[test]
fn a_token_that_is_good_no_more_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    System::start(folder.path(), &[]).end();
    let other = tempfile::tempdir().unwrap();
    let system = System::start(other.path(), &[]);
    std::fs::write(folder.path().join("token"), &system.token).unwrap();
    system.end();
    let up = ["up", "--data", ".", "--port", "0", "--router-port", "0"];

    let mut child = Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(up)
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();

    let said = BufReader::new(child.stderr.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = said.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("is of another owner"));
        let _ = tell.send(line);
    });
    let told = told.recv_timeout(4 * AT_ONCE);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told.unwrap().unwrap().contains("remove the file"));
}

#[test]
fn a_url_that_names_more_than_the_gateway_is_refused_and_so_is_a_key_for_one() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        (
            &["--url", "http://127.0.0.1:1/v1", "--token", "t"][..],
            "name the gateway alone",
        ),
        (
            &["--url", "http://127.0.0.1:1", "--key", "k"],
            "is for the store itself",
        ),
    ] {
        let ls = [&["kv", "ls", "data"][..], arguments].concat();
        let (_, said) = refused(folder.path(), &ls);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_catalogue_of_an_unknown_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let up = ["up", "--data", "up", "--port", "0", "--router-port", "0"];
    let catalogue = ["--catalogue", "mysql://user:secret@host/database"];

    let (_, said) = refused(folder.path(), &[&up[..], &catalogue].concat());

    assert!(said.contains("postgres://"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn addresses_are_there_while_it_runs_and_what_stays_is_its_owners_alone() {
    for flags in [&[][..], &["--processes"]] {
        let folder = tempfile::tempdir().unwrap();
        let system = System::start(folder.path(), flags);
        let addresses = folder.path().join("urls.json");
        let said: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&addresses).unwrap()).unwrap();
        assert_eq!(said, system.ready["urls"]);
        let key = std::fs::read_to_string(folder.path().join("store.pub")).unwrap();
        assert_eq!(key.trim(), system.ready["store_key"].as_str().unwrap());
        assert_eq!(key.trim().len(), 64);

        system.end();

        assert!(!addresses.exists());
        for name in ["catalogue.db", "token", "store.prv", "owner/owner.prv"] {
            let metadata = std::fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o077, 0, "{name}");
        }
    }
}
