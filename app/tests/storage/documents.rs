//! What the documents tell people to type, typed.
//!
//! Invariant: a document in which no command is found fails; otherwise one whose form has changed would prove nothing.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::system::System;

/// Roles, which run until they are ended.
const ROLES: [&str; 4] = ["coder", "store", "backend", "gateway"];
/// So long a role may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// `bash` in `folder`, which finds the binary under test and nothing of whoever runs the test.
fn bash(folder: &Path, script: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_securecloud"));
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{path}", binary.parent().unwrap().display()),
        )
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin(Stdio::null());
    for name in ["URL", "TOKEN", "CA", "KV_KEY", "OWNER", "CATALOGUE"] {
        command.env_remove(format!("SECURECLOUD_{name}"));
    }
    command
}

#[test]
fn the_examples_of_rest_run_in_the_order_of_their_page() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("up");
    std::fs::create_dir(&data).unwrap();
    let system = System::start(&data, &["--processes"]);
    let text = document("docs/REST.md");
    let blocks = text.split("```").skip(1).step_by(2);
    let blocks: Vec<&str> = blocks
        .filter(|block| block.contains("api ") || block.contains("api()"))
        .collect();
    assert!(blocks.len() >= 8, "{blocks:?}");
    let script = blocks.join("\necho >&2\n");
    let script = script
        .replace("http://127.0.0.1:8480", system.base())
        .replace("DIR/", "up/");

    let output = bash(folder.path(), &format!("set -x\n{script}")).output();

    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{printed}");
    let read = std::fs::read(folder.path().join("back.csv")).unwrap();
    assert_eq!(
        read,
        std::fs::read(folder.path().join("readings.csv")).unwrap()
    );
    for (path, content) in [
        ("readings/objects/counter", "2\n"),
        (
            "readings/objects/2026/all.tar",
            "the first part, and the second",
        ),
        ("archive/objects/november.csv", "time,value\n12:00,21.5\n"),
    ] {
        let got = system.ask("GET", &format!("/v1/datastores/{path}"), &[], &[]);
        assert_eq!(got.text(), content, "{path}");
    }
    system.end();
}

/// The commands of a section of README, one a line.
fn commands(heading: &str) -> Vec<String> {
    let text = document("README.md");
    let (_, section) = text.split_once(heading).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines();
    let lines = lines.filter_map(|line| line.strip_prefix("    "));
    lines.map(str::to_owned).collect()
}

/// Puts ports that are free into commands, in place of those that are written there.
fn with_free_ports(commands: &[String], ports: &[u16]) -> Vec<String> {
    // All are held at once, so that no two are the same.
    let held: Vec<_> = ports
        .iter()
        .map(|port| (port, TcpListener::bind("127.0.0.1:0").unwrap()))
        .collect();
    let free = held.iter().map(|(port, listener)| {
        let free = listener.local_addr().unwrap().port();
        (format!("127.0.0.1:{port}"), format!("127.0.0.1:{free}"))
    });
    let free: Vec<_> = free.collect();
    let each = commands.iter().map(|command| {
        free.iter()
            .fold(command.clone(), |all, (from, to)| all.replace(from, to))
    });
    each.collect()
}

/// Roles that were started, killed when they go out of scope.
struct Roles(Vec<Child>);

impl Drop for Roles {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until somebody listens at the address behind this argument of a role.
fn until_listening(command: &str, child: &mut Child) {
    let argument = match command.contains(" gateway ") {
        true => "--rest ",
        false => "--address ",
    };
    let (_, rest) = command
        .split_once(argument)
        .expect("it says where it listens");
    let address = rest.split(' ').next().unwrap();
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "{command} has ended");
        assert!(Instant::now() < until, "{command} is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_system_is_put_together_of_its_roles_as_the_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("README.md"), "to be stored").unwrap();
    let commands = commands("## Role by role");
    let commands = with_free_ports(&commands, &[5560, 5561, 5562, 8480]);
    let mut roles = Roles(Vec::new());
    let (mut exports, mut printed) = (String::new(), String::new());

    for command in &commands {
        if command.starts_with("export ") {
            exports.push_str(&format!("{command}\n"));
            continue;
        }
        let role = ROLES
            .iter()
            .find(|it| command.starts_with(&format!("securecloud {it} ")));
        if role.is_some() {
            let script = format!("exec {command}");
            let mut child = bash(folder.path(), &script).spawn().unwrap();
            until_listening(command, &mut child);
            roles.0.push(child);
            continue;
        }
        let output = bash(folder.path(), &format!("{exports}{command}")).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        assert!(!said.contains("WARNING"), "{command}: {said}");
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
    }

    assert_eq!(roles.0.len(), ROLES.len());
    assert!(printed.contains("location far is known"), "{printed}");
    assert!(printed.contains("nothing is owed"), "{printed}");
    assert!(printed.contains("to be stored"), "{printed}");
    let fragments: PathBuf = folder.path().join("disk/fragments");
    assert!(fragments.is_dir());
}
