//! What the command says about itself.

use crate::support::{Folder, securecloud};

const COMMANDS: [&str; 8] = [
    "scbr",
    "source",
    "consumer",
    "match",
    "demo",
    "keygen",
    "completions",
    "man",
];

#[test]
fn the_version_is_that_of_the_package() {
    let finished = securecloud(&Folder::empty(), &["--version"]);

    assert_eq!(
        finished.succeeded(),
        concat!("securecloud ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn help_lists_every_command_and_each_explains_itself() {
    let folder = Folder::empty();
    let help = securecloud(&folder, &["--help"]);

    for command in COMMANDS {
        assert!(
            help.succeeded().contains(&format!("\n  {command} ")),
            "{command}"
        );
        let own = securecloud(&folder, &[command, "--help"]);
        assert!(
            own.succeeded()
                .contains(&format!("Usage: securecloud {command}"))
        );
        assert_eq!(own.stderr, "");
    }
}

#[test]
fn no_arguments_are_wrong_use_and_are_answered_with_help() {
    let folder = Folder::empty();

    for arguments in [&[][..], &["demo"]] {
        let finished = securecloud(&folder, arguments);

        finished.assert_failed(2, &["Usage: securecloud", "Commands:"]);
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn what_is_no_command_is_named() {
    let folder = Folder::empty();

    securecloud(&folder, &["sorce"])
        .assert_failed(2, &["unrecognized subcommand 'sorce'", "'source'"]);
    securecloud(&folder, &["scbr", "--adress", "x"])
        .assert_failed(2, &["unexpected argument '--adress'", "'--address'"]);
}

#[test]
fn aliases_are_the_commands_they_stand_for() {
    let folder = Folder::empty();

    for (alias, command) in [("publish", "source"), ("subscribe", "consumer")] {
        let of_alias = securecloud(&folder, &[alias, "-i", "i", "-k", "k", "--print-config"]);
        let of_command = securecloud(&folder, &[command, "-i", "i", "-k", "k", "--print-config"]);

        assert_eq!(of_alias.succeeded(), of_command.succeeded());
    }
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let finished = securecloud(&folder, &["completions", shell]);

        for command in COMMANDS {
            assert!(
                finished.succeeded().contains(command),
                "{command} in {shell}"
            );
        }
    }
    let script = folder.write(
        "script",
        securecloud(&folder, &["completions", "bash"]).stdout,
    );
    if let Ok(status) = std::process::Command::new("bash")
        .arg("-n")
        .arg(script)
        .status()
    {
        assert!(status.success(), "bash reads its script");
    }
    securecloud(&folder, &["completions", "tcsh"]).assert_failed(2, &["invalid value 'tcsh'"]);
}

#[test]
fn the_manual_page_is_roff() {
    let finished = securecloud(&Folder::empty(), &["man"]);

    let page = finished.succeeded();
    for part in [".TH securecloud 1", ".SH NAME", ".SH SYNOPSIS"] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
}
