//! The command line of `cargo xtask`, run as people run it.

use std::process::{Command, Output};

fn xtask(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(words)
        .output()
        .expect("the command was built for this test")
}

#[test]
fn wrong_words_bring_the_usage_and_exit_code_2() {
    for words in [&[][..], &["tset"], &["test", "more"], &["tcb", "--wrote"]] {
        let output = xtask(words);

        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.starts_with(b"usage: cargo xtask"),
            "{words:?}"
        );
    }
}

#[test]
fn help_names_every_command() {
    let output = xtask(&["help"]);

    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        [
            "test",
            "laws",
            "licences",
            "tcb",
            "tcb --write",
            "trusted",
            "reproduce",
            "sanitizer",
            "help"
        ]
        .iter()
        .all(|word| text.contains(&format!("\n  {word} ")))
    );
}

#[test]
fn a_check_that_holds_says_so() {
    let output = xtask(&["licences"]);

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"licences: ok\n");
}
