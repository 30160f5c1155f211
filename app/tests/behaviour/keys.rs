//! Keys: made, refused, and used end to end whoever made them.

use crate::support::{
    DELIVERIES, Flags, Folder, Role, Run, SUBSCRIPTIONS, VECTORS, numbers, securecloud,
};

/// Publishes and subscribes with the keys in `folder`.
#[track_caller]
fn assert_keys_work(folder: &Folder) {
    folder.write("subs", SUBSCRIPTIONS);
    folder.write("pubs", numbers(0..10));

    let run = Run::through(folder, Flags::default());

    assert_eq!(run.deliveries(), DELIVERIES, "{run:#?}");
}

/// The first word of each line of standard output, with the rest of the line.
fn printed<'a>(stdout: &'a str, what: &str) -> &'a str {
    let line = stdout.lines().find_map(|line| line.strip_prefix(what));
    line.unwrap().trim()
}

#[test]
fn a_pair_has_the_modes_that_its_halves_need_and_prints_its_fingerprint() {
    let folder = Folder::empty();

    let finished = securecloud(&folder, &["keygen", "mine"]);

    let stdout = finished.succeeded();
    assert_eq!(
        (folder.mode("mine.prv"), folder.mode("mine.pub")),
        (0o600, 0o644)
    );
    assert!(printed(stdout, "private key").starts_with("mine.prv"));
    assert!(printed(stdout, "public key").starts_with("mine.pub"));
    assert!(printed(stdout, "fingerprint").starts_with("SHA256:"));
    assert_eq!(finished.stderr, "");
}

#[test]
fn keys_that_are_there_are_kept_without_force_and_replaced_with_it() {
    let folder = Folder::with_keys();
    let pair = || (folder.read("key.prv"), folder.read("key.pub"));
    let first = pair();

    let refused = securecloud(&folder, &["keygen"]);

    refused.assert_failed(2, &["key.prv is there already", "--force"]);
    assert_eq!(pair(), first);

    securecloud(&folder, &["keygen", "--force"]).succeeded();

    let second = pair();
    assert!(second.0 != first.0 && second.1 != first.1);
    assert_eq!(folder.mode("key.prv"), 0o600);
}

#[test]
fn half_a_pair_is_never_left_behind() {
    let folder = Folder::with_keys();
    std::fs::remove_file(folder.join("key.prv")).unwrap();
    let public = folder.read("key.pub");

    let refused = securecloud(&folder, &["keygen"]);

    refused.assert_failed(2, &["key.pub is there already"]);
    assert!(!folder.join("key.prv").exists());
    assert_eq!(folder.read("key.pub"), public);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::empty();

    let refused = securecloud(&folder, &["keygen", "nowhere/key"]);

    refused.assert_failed(2, &["nowhere/key.prv: No such file or directory"]);
}

#[test]
fn the_public_half_can_be_made_again() {
    let folder = Folder::with_keys();

    let finished = securecloud(&folder, &["keygen", "again", "--public-from", "key.prv"]);

    assert!(!finished.succeeded().contains("private key"));
    assert_eq!(folder.read("again.pub"), folder.read("key.pub"));
    assert!(!folder.join("again.prv").exists());
}

#[test]
fn an_rsa_pair_works_end_to_end() {
    let folder = Folder::empty();
    securecloud(&folder, &["keygen", "--rsa", "3072"]).succeeded();

    assert!(folder.read("key.prv").contains("BEGIN PRIVATE KEY"));
    assert_eq!(
        (folder.mode("key.prv"), folder.mode("key.pub")),
        (0o600, 0o644)
    );
    assert_keys_work(&folder);
}

#[test]
fn rsa_keys_of_openssl_work_in_either_encoding() {
    for (private, public) in [
        ("rsa2048.prv", "rsa2048.pub"),
        ("rsa2048-pkcs1.prv", "rsa2048-pkcs1.pub"),
        ("rsa3072-pkcs1.prv", "rsa3072.pub"),
    ] {
        let folder = Folder::empty();
        folder.copy(&format!("{VECTORS}/{private}"), "key.prv", 0o600);
        folder.copy(&format!("{VECTORS}/{public}"), "key.pub", 0o644);

        assert_keys_work(&folder);
    }
}

#[test]
fn an_ed25519_key_of_openssl_works_once_its_public_half_is_completed() {
    let folder = Folder::empty();
    folder.copy(&format!("{VECTORS}/ed25519.prv"), "key.prv", 0o600);
    folder.copy(&format!("{VECTORS}/ed25519-alone.pub"), "key.pub", 0o644);
    folder.write("subs", SUBSCRIPTIONS);
    let arguments = [
        "consumer",
        "-a",
        "localhost:0",
        "-i",
        "subs",
        "-k",
        "key.pub",
    ];

    let incomplete = securecloud(&folder, &arguments);

    incomplete.assert_failed(
        2,
        &[
            "key.pub: ",
            "run `securecloud keygen --public-from key.prv`",
        ],
    );
    securecloud(&folder, &["keygen", "--public-from", "key.prv", "--force"]).succeeded();
    assert_keys_work(&folder);
}

#[test]
fn an_rsa_key_is_no_identity_of_a_consumer() {
    let folder = Folder::with_numbers();
    folder.copy(&format!("{VECTORS}/rsa2048.prv"), "me", 0o600);

    let refused = securecloud(
        &folder,
        &[
            "consumer",
            "-i",
            "subs",
            "-k",
            "key.pub",
            "--identity",
            "me",
        ],
    );

    refused.assert_failed(
        2,
        &["me is an RSA key", "name a file that is not there yet"],
    );
}

#[test]
fn a_consumers_identity_is_made_at_first_use_and_kept() {
    let folder = Folder::with_numbers();
    let fingerprint = || {
        let arguments = ["-a", "localhost:0", "-i", "subs", "-k", "key.pub"];
        let mut consumer = Role::start(&folder, "consumer", &arguments);
        consumer.event("identity")["fingerprint"].clone()
    };

    let first = fingerprint();

    assert_eq!(folder.mode("key.pub.consumer"), 0o600);
    assert_eq!(fingerprint(), first);
}

#[test]
fn small_rsa_keys_are_refused() {
    let folder = Folder::with_numbers();
    folder.copy(&format!("{VECTORS}/rsa1024.prv"), "small.prv", 0o600);
    folder.copy(&format!("{VECTORS}/rsa1024.pub"), "small.pub", 0o644);

    let made = securecloud(&folder, &["keygen", "tiny", "--rsa", "1024"]);
    let owned = securecloud(&folder, &["source", "-i", "pubs", "-k", "small.prv"]);
    let trusted = securecloud(&folder, &["consumer", "-i", "subs", "-k", "small.pub"]);
    let pinned = securecloud(
        &folder,
        &["scbr", "-a", "localhost:0", "--owner", "small.pub"],
    );

    made.assert_failed(2, &["2048, 3072, 4096 or 8192", "not of 1024"]);
    assert!(!folder.join("tiny.prv").exists());
    owned.assert_failed(2, &["small.prv: an RSA key of 1024 bits: 2048 to 8192"]);
    for refused in [trusted, pinned] {
        refused.assert_failed(2, &["small.pub: an RSA key of 1024 bits: 2048 to 8192"]);
    }
}

#[test]
fn a_private_key_that_others_can_read_is_refused_until_chmod() {
    let folder = Folder::with_numbers();
    for mode in [0o640, 0o604, 0o620] {
        folder.set_mode("key.prv", mode);

        let refused = securecloud(&folder, &["source", "-i", "pubs", "-k", "key.prv"]);

        refused.assert_failed(
            2,
            &[
                &format!("key.prv can be read by others (mode {mode:03o})"),
                "chmod 600 key.prv",
            ],
        );
    }
    folder.set_mode("key.prv", 0o400);

    assert_keys_work(&folder);
}

#[test]
fn an_identity_that_others_can_read_is_refused() {
    let folder = Folder::with_numbers();
    securecloud(&folder, &["keygen", "me"]).succeeded();
    folder.set_mode("me.prv", 0o644);

    let refused = securecloud(
        &folder,
        &[
            "consumer",
            "-i",
            "subs",
            "-k",
            "key.pub",
            "--identity",
            "me.prv",
        ],
    );

    refused.assert_failed(2, &["me.prv can be read by others", "chmod 600 me.prv"]);
}

#[test]
fn the_wrong_half_of_a_pair_is_recognised() {
    let folder = Folder::with_numbers();

    let source = securecloud(&folder, &["source", "-i", "pubs", "-k", "key.pub"]);
    let consumer = securecloud(&folder, &["consumer", "-i", "subs", "-k", "key.prv"]);
    let router = securecloud(&folder, &["scbr", "--owner", "key.prv"]);

    source.assert_failed(
        2,
        &["key.pub: this is a public key file", "which ends in .prv"],
    );
    for refused in [consumer, router] {
        refused.assert_failed(
            2,
            &[
                "key.prv: this is a private key file",
                "keygen --public-from key.prv",
            ],
        );
    }
}

#[test]
fn keys_that_cannot_be_used_say_what_to_do() {
    let folder = Folder::with_numbers();
    for (vector, words) in [
        (
            "ed25519-encrypted.prv",
            "protected by a passphrase: write a copy without one",
        ),
        ("rsa2048-pkcs1-encrypted.prv", "protected by a passphrase"),
        ("ec-pkcs8.prv", "elliptic-curve (EC) keys are not used here"),
        ("ec-sec1.prv", "elliptic-curve (EC) keys are not used here"),
        ("x25519.prv", "X25519 keys are not used here"),
        ("rsa-pss.prv", "RSA-PSS-only keys are not used here"),
    ] {
        folder.copy(&format!("{VECTORS}/{vector}"), "odd.prv", 0o600);

        let refused = securecloud(&folder, &["source", "-i", "pubs", "-k", "odd.prv"]);

        refused.assert_failed(2, &["odd.prv: ", words]);
    }
}

#[test]
fn files_that_are_no_keys_are_named() {
    let folder = Folder::with_numbers();
    folder.write("noise", "no key\n");
    folder.write("damaged", folder.read("key.pub").replacen('A', "!", 1));
    folder.write("huge", vec![b'x'; 10 << 20]);
    folder.set_mode("noise", 0o600);
    for (file, words) in [
        ("none", "none: No such file or directory"),
        (
            "none",
            "an owner makes a pair of keys with `securecloud keygen`",
        ),
        ("noise", "noise: no key found"),
        ("damaged", "damaged: line "),
        ("huge", "huge is too large for a key file"),
    ] {
        let refused = securecloud(&folder, &["consumer", "-i", "subs", "-k", file]);

        refused.assert_failed(2, &[words]);
    }
}
