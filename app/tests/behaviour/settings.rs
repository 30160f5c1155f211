//! Settings: a file, the environment and flags, in rising order.

use crate::support::{DELIVERIES, Flags, Folder, Run, securecloud, securecloud_with};

const CONFIG: [&str; 2] = ["--config", "config"];

/// The settings that `securecloud --config config ARGUMENTS --print-config` prints.
#[track_caller]
fn printed(folder: &Folder, environment: &[(&str, &str)], arguments: &[&str]) -> toml::Table {
    let arguments = [&CONFIG, arguments, &["--print-config"]].concat();
    let finished = securecloud_with(folder, environment, &arguments);
    let file: toml::Table = finished.succeeded().parse().unwrap();
    file[arguments[2]].as_table().unwrap().clone()
}

#[test]
fn the_environment_is_above_the_file_and_flags_are_above_both() {
    let folder = Folder::empty();
    folder.write("config", "[scbr]\naddress = \"localhost:1001\"\n");
    let environment = [("SECURECLOUD_SCBR_ADDRESS", "localhost:1002")];
    let flags = ["scbr", "-a", "localhost:1003"];

    let defaults = securecloud(&folder, &["scbr", "--print-config"]);
    let file = printed(&folder, &[], &["scbr"]);
    let environment_too = printed(&folder, &environment, &["scbr"]);
    let all = printed(&folder, &environment, &flags);

    assert!(defaults.succeeded().contains("address = \"*:5555\""));
    assert_eq!(file["address"].as_str(), Some("localhost:1001"));
    assert_eq!(environment_too["address"].as_str(), Some("localhost:1002"));
    assert_eq!(all["address"].as_str(), Some("localhost:1003"));
}

#[test]
fn the_higher_source_decides_whether_a_role_binds_or_connects() {
    let folder = Folder::empty();
    folder.write(
        "config",
        "[scbr]\nconnect = [\"localhost:1001\", \"localhost:1002\"]\n",
    );

    let file = printed(&folder, &[], &["scbr"]);
    let flag = printed(&folder, &[], &["scbr", "-a", "localhost:1003"]);
    let environment = printed(
        &folder,
        &[("SECURECLOUD_SCBR_ADDRESS", "localhost:1004")],
        &["scbr"],
    );

    assert_eq!(file["connect"].as_array().unwrap().len(), 2);
    assert!(!file.contains_key("address"));
    for (settings, address) in [(flag, "localhost:1003"), (environment, "localhost:1004")] {
        assert_eq!(settings["address"].as_str(), Some(address));
        assert!(!settings.contains_key("connect"), "{settings:?}");
    }
    folder.write(
        "config",
        "[scbr]\naddress = \"localhost:1\"\nconnect = [\"localhost:2\"]\n",
    );
    let both = securecloud(&folder, &["--config", "config", "scbr"]);
    both.assert_failed(2, &["--address cannot be used with --connect"]);
}

#[test]
fn an_address_on_the_command_line_is_bound_although_the_file_connects() {
    let folder = Folder::with_numbers();
    folder.write("config", "[scbr]\nconnect = [\"localhost:1\"]\n");
    let flags = Flags {
        router: &CONFIG,
        ..Flags::default()
    };

    assert_eq!(Run::through(&folder, flags).deliveries(), DELIVERIES);
}

#[test]
fn a_file_may_hold_everything_that_a_role_needs() {
    let folder = Folder::with_numbers();
    std::fs::rename(folder.join("pubs"), folder.join("others")).unwrap();
    folder.write("pubs", "0 0 P i even 1\n");
    folder.write(
        "config",
        "# both of them\n[publish]\ninput = \"others\"\npayload-bytes = 3\n[consumer]\nquiet = true\n[scbr]\nplatform = \"inline\"\n",
    );

    // Flags name another input than the file does.
    let run = Run::through(&folder, Flags::all(&CONFIG));

    assert_eq!(run.deliveries(), 1);
    assert_eq!(run.consumer.events("delivery").len(), 0, "quiet");
    assert!(run.router.stderr.contains("INLINE"), "{run:#?}");
    let needs_no_flags = printed(&folder, &[("SECURECLOUD_SOURCE_KEY", "k")], &["source"]);
    assert_eq!(needs_no_flags["input"].as_str(), Some("others"));
    assert_eq!(needs_no_flags["payload-bytes"].as_integer(), Some(3));
}

#[test]
fn the_environment_may_name_the_file() {
    let folder = Folder::empty();
    folder.write("config", "[match]\ncount = true\n");
    folder.write("both", "0 1 S i a > 0\n");
    folder.write("pubs", "0 0 P i a 1\n");
    let arguments = ["match", "--subscriptions", "both", "--publications", "pubs"];

    let finished = securecloud_with(&folder, &[("SECURECLOUD_CONFIG", "config")], &arguments);

    assert_eq!(finished.succeeded(), "1\n");
}

#[test]
fn what_is_printed_reads_back_as_the_same_settings() {
    let folder = Folder::empty();
    for arguments in [
        &[
            "scbr",
            "-c",
            "localhost:1",
            "-c",
            "localhost:2",
            "-vv",
            "--owner",
            "a",
            "--plain",
        ][..],
        &[
            "source",
            "-i",
            "42",
            "-k",
            "my key",
            "--lease",
            "7",
            "--slow",
            "disconnect",
            "--once",
        ],
        &["consumer", "-i", "-", "-k", "k", "--count", "3", "-s"],
        &[
            "match",
            "--subscriptions",
            "a",
            "--publications",
            "-",
            "--json",
        ],
        &["keygen", "--rsa", "4096"],
    ] {
        let first = securecloud(&folder, &[arguments, &["--print-config"]].concat());
        folder.write("config", first.succeeded());

        let again = printed(&folder, &[], &arguments[..1]);

        let first: toml::Table = first.stdout.parse().unwrap();
        assert_eq!(first[arguments[0]].as_table(), Some(&again));
        assert!(again.len() >= 3, "{again:?}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_the_file() {
    let folder = Folder::empty();
    for (text, words) in [
        (
            "[scbr]\nbatch = 1\n",
            "config: [scbr] has no setting `batch`: see `securecloud scbr --help`",
        ),
        (
            "[scbr]\nmax_message = 4096\n",
            "config: [scbr] has no setting `max_message`",
        ),
        (
            "[scbr]\nconfig = \"other\"\n",
            "config: [scbr] has no setting `config`",
        ),
        (
            "[router]\naddress = \"*:1\"\n",
            "config: [router] is no command",
        ),
        (
            "address = \"*:1\"\n",
            "config: `address` is no table: settings stand under a command, e.g. [scbr]",
        ),
        (
            "[scbr]\nmax-message = 5\n",
            "config: [scbr] max-message: invalid value '5'",
        ),
        (
            "[scbr]\nplatform = \"sgx\"\n",
            "config: [scbr] platform: invalid value 'sgx' for '--platform <PLATFORM>' [possible values: process, gramine-sgx, vm, inline]",
        ),
        (
            "[source]\nonce = \"maybe\"\n",
            "config: [source] once: invalid value 'maybe'",
        ),
        (
            "[scbr]\naddress = { port = 1 }\n",
            "config: [scbr] address: expected a string",
        ),
        ("[scbr\n", "config: TOML parse error at line 1"),
        (
            "[scbr]\naddress = 1\naddress = 2\n",
            "config: TOML parse error at line 3",
        ),
    ] {
        folder.write("config", text);

        let refused = securecloud(&folder, &["--config", "config", "scbr", "--print-config"]);

        refused.assert_failed(2, &[words]);
    }
    let missing = securecloud(&folder, &["scbr", "--config=nowhere"]);
    missing.assert_failed(2, &["nowhere: No such file or directory"]);
}

#[test]
fn settings_are_printed_for_a_command() {
    let folder = Folder::empty();

    let refused = securecloud(&folder, &["--print-config"]);

    refused.assert_failed(2, &["name one, e.g. `securecloud scbr --print-config`"]);
}

#[test]
fn a_flag_out_of_its_range_is_wrong_use() {
    let folder = Folder::with_numbers();
    for (arguments, words) in [
        (
            &["scbr", "--max-message", "5"][..],
            "invalid value '5' for '--max-message <BYTES>'",
        ),
        (
            &["source", "-i", "pubs", "-k", "key.prv", "--lease", "0"],
            "invalid value '0' for '--lease <SECONDS>'",
        ),
        (
            &["source", "-i", "pubs", "-k", "key.prv", "--batch", "0"],
            "invalid value '0' for '--batch <N>'",
        ),
        (
            &["scbr", "--platform", "sgx"],
            "[possible values: process, gramine-sgx, vm, inline]",
        ),
        (&["scbr", "-s", "-v"], "cannot be used with"),
        (&["source", "-i", "pubs"], "--key <KEY>"),
        (&["consumer", "-k", "key.pub"], "--input <FILE>"),
    ] {
        securecloud(&folder, arguments).assert_failed(2, &[words]);
    }
}

#[test]
fn oblivious_matching_is_set_by_file_and_environment_as_anything_else() {
    let folder = Folder::empty();
    folder.write(
        "config",
        "[scbr]\noblivious = true\noblivious-matches = 9\n",
    );
    let off = [("SECURECLOUD_SCBR_OBLIVIOUS", "false")];
    let matches = [("SECURECLOUD_SCBR_OBLIVIOUS_MATCHES", "10")];

    let file = printed(&folder, &[], &["scbr"]);
    let environment = printed(&folder, &[off, matches].concat(), &["scbr"]);

    assert_eq!(file["oblivious"].as_bool(), Some(true));
    assert_eq!(file["oblivious-matches"].as_integer(), Some(9));
    assert_ne!(
        environment.get("oblivious").and_then(toml::Value::as_bool),
        Some(true)
    );
    assert_eq!(environment["oblivious-matches"].as_integer(), Some(10));
}
