//! Where roles listen and connect, and the keys that links beyond this machine take.

use std::net::TcpListener;

use sc_enclave::simulation_development_key;

use crate::support::{DELIVERIES, Folder, Role, securecloud};

/// Makes link keys; returns the public one.
fn link_keys(folder: &Folder, name: &str) -> String {
    let finished = securecloud(folder, &["keygen", name, "--link"]);
    let public = finished
        .succeeded()
        .lines()
        .find_map(|line| line.strip_prefix("public"));
    public.unwrap().trim().to_owned()
}

/// Names the public keys of `peers` in a file of link keys.
fn name_peers(folder: &Folder, name: &str, peers: &[&str]) {
    let file = format!("{name}.link");
    let lines = peers.iter().map(|peer| format!("peer = \"{peer}\"\n"));
    let text = folder.read(&file) + &lines.collect::<String>();
    folder.write(&file, text);
}

/// A folder with numbers, a policy, and link keys of a router, a source and a consumer that know each other.
fn machines() -> Folder {
    let folder = Folder::with_numbers();
    let key = simulation_development_key().verifying_key();
    let key: String = key
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    folder.write("policy", format!("simulation-key {key}\n"));
    let [router, source, consumer] =
        ["router", "source", "consumer"].map(|name| link_keys(&folder, name));
    name_peers(&folder, "router", &[&source, &consumer]);
    name_peers(&folder, "source", &[&router]);
    name_peers(&folder, "consumer", &[&router]);
    folder
}

/// Starts a router with link keys on every interface; returns its address on this machine.
fn router_everywhere(folder: &Folder) -> (Role, String) {
    let arguments = ["-a", "0.0.0.0:0", "--link-keys", "router.link"];
    let mut router = Role::start(folder, "scbr", &arguments);
    let endpoint = router.endpoint();
    let port = endpoint.strip_prefix("tcp://0.0.0.0:").unwrap();
    (router, format!("127.0.0.1:{port}"))
}

fn source(folder: &Folder, address: &str) -> Role {
    let arguments = [
        "-c",
        address,
        "-i",
        "pubs",
        "-k",
        "key.prv",
        "--link-keys",
        "source.link",
    ];
    let policy = ["--policy", "policy", "--allow-simulation"];
    Role::start(folder, "source", &[&arguments[..], &policy].concat())
}

fn consumer(folder: &Folder, address: &str, flags: &[&str]) -> Role {
    let arguments = ["-c", address, "-i", "subs", "-k", "key.pub"];
    Role::start(folder, "consumer", &[&arguments, flags].concat())
}

#[test]
fn link_keys_carry_a_domain_over_an_open_network() {
    let folder = machines();
    let (router, address) = router_everywhere(&folder);
    let mut source = source(&folder, &address);
    let mut consumer = consumer(&folder, &address, &["--link-keys", "consumer.link"]);

    consumer.event("admitted");
    assert_eq!(source.event("summary")["deliveries"], DELIVERIES);
    router.interrupt().succeeded();

    assert_eq!(
        consumer.interrupt().event("summary")["deliveries"],
        DELIVERIES
    );
}

#[test]
fn a_file_of_link_keys_is_for_its_owner_alone_and_is_not_replaced_by_accident() {
    let folder = Folder::with_numbers();
    let public = link_keys(&folder, "mine");
    let text = folder.read("mine.link");

    let again = securecloud(&folder, &["keygen", "mine", "--link"]);

    again.assert_failed(2, &["mine.link is there already", "--force"]);
    assert_eq!(folder.mode("mine.link"), 0o600);
    assert!(text.contains(&format!("public = \"{public}\"")));
    assert_eq!(folder.read("mine.link"), text);

    folder.set_mode("mine.link", 0o644);
    let shared = securecloud(
        &folder,
        &["scbr", "-a", "localhost:0", "--link-keys", "mine.link"],
    );
    shared.assert_failed(
        2,
        &[
            "mine.link can be read by others (mode 644)",
            "chmod 600 mine.link",
        ],
    );
}

#[test]
fn a_consumer_whose_link_key_the_router_does_not_name_is_told_so() {
    let folder = machines();
    let (_router, address) = router_everywhere(&folder);
    link_keys(&folder, "stranger");
    let router_key = folder.read("consumer.link");
    let router_key = router_key
        .lines()
        .find_map(|line| line.strip_prefix("peer = "));
    name_peers(
        &folder,
        "stranger",
        &[router_key.unwrap().trim_matches('"')],
    );

    let consumer = consumer(&folder, &address, &["--link-keys", "stranger.link"]);

    consumer.told("no link to the router: tcp://127.0.0.1:");
    consumer.told("turned the connection away");
    consumer.told("has to name this side's public key as `peer`");
}

#[test]
fn a_consumer_that_expects_another_router_is_told_what_to_check() {
    let folder = machines();
    let (_router, address) = router_everywhere(&folder);
    link_keys(&folder, "misled");
    name_peers(&folder, "misled", &[&link_keys(&folder, "other")]);

    let consumer = consumer(&folder, &address, &["--link-keys", "misled.link"]);

    consumer.told("no router has answered yet: is one running there, and is `peer` in the file of link keys its public key?");
}

#[test]
fn link_keys_on_one_side_alone_are_named_as_the_trouble() {
    let folder = machines();
    let (_with, address_with) = router_everywhere(&folder);
    let mut without = Role::start(&folder, "scbr", &["-a", "localhost:0"]);
    let address_without = without.endpoint();

    let lacks = consumer(&folder, &address_with, &["--identity", "a"]);
    let has = consumer(
        &folder,
        &address_without,
        &["--identity", "b", "--link-keys", "consumer.link"],
    );

    lacks.told("uses link keys, and this side was given none");
    has.told("uses no link keys, and this side was given some");
    // It goes on trying, and does not repeat itself.
    has.told("no router has answered yet");
    assert_eq!(has.said().matches("uses no link keys").count(), 1);
}

#[test]
fn a_client_needs_the_key_of_the_side_that_listens() {
    let folder = machines();
    link_keys(&folder, "lonely");

    let refused = consumer(&folder, "localhost:1", &["--link-keys", "lonely.link"]).end();

    refused.assert_failed(
        2,
        &[
            "the public key of the side that listens: add it",
            "as `peer`",
        ],
    );
}

#[test]
fn a_damaged_file_of_link_keys_is_named_without_its_secret() {
    let folder = machines();
    let text = folder.read("router.link");
    let secret = text
        .lines()
        .find_map(|line| line.strip_prefix("secret = \""));
    let secret = secret.unwrap().trim_end_matches('"');
    folder.write("router.link", text.replace(secret, &secret[1..]));

    let refused = securecloud(
        &folder,
        &["scbr", "-a", "localhost:0", "--link-keys", "router.link"],
    );

    refused.assert_failed(2, &["router.link: line 3 holds no key"]);
    assert!(!refused.stderr.contains(&secret[1..]));
}

#[test]
fn an_address_beyond_this_machine_takes_link_keys() {
    let folder = Folder::with_numbers();
    for arguments in [
        &["scbr", "-a", "0.0.0.0:0"][..],
        &["scbr", "-c", "192.0.2.1:5557"],
        &["source", "-i", "pubs", "-k", "key.prv", "-a", "[::]:0"],
        &[
            "consumer",
            "-i",
            "subs",
            "-k",
            "key.pub",
            "-c",
            "192.0.2.1:5555",
        ],
    ] {
        let refused = securecloud(&folder, arguments);

        refused.assert_failed(
            2,
            &[
                "leaves this machine",
                "make a pair with `securecloud keygen --link`",
            ],
        );
    }
}

#[test]
fn a_star_without_link_keys_means_this_machine_and_says_so() {
    let folder = Folder::with_numbers();
    for (role, arguments) in [
        ("scbr", &["-a", "*:0"][..]),
        ("source", &["-a", "*:0", "-i", "pubs", "-k", "key.prv"]),
        ("consumer", &["-a", "*:0", "-i", "subs", "-k", "key.pub"]),
    ] {
        let mut role = Role::start(&folder, role, arguments);

        let endpoint = role.endpoint();

        assert!(endpoint.starts_with("tcp://127.0.0.1:"), "{endpoint}");
        role.told("listens on this machine alone");
        role.interrupt().succeeded();
    }
}

#[test]
fn a_star_with_link_keys_means_every_interface() {
    let folder = machines();
    let arguments = ["-a", "*:0", "--link-keys", "router.link"];

    let endpoint = Role::start(&folder, "scbr", &arguments).endpoint();

    assert!(endpoint.starts_with("tcp://0.0.0.0:"), "{endpoint}");
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let folder = Folder::with_numbers();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    for arguments in [
        &["scbr", "-a", &address][..],
        &["source", "-i", "pubs", "-k", "key.prv", "-a", &address],
        &["consumer", "-i", "subs", "-k", "key.pub", "-a", &address],
    ] {
        let refused = securecloud(&folder, arguments);

        refused.assert_failed(
            2,
            &[
                &format!("address in use: tcp://{address}"),
                "end the program that listens there, or choose another",
            ],
        );
    }
}

#[test]
fn an_address_that_is_none_is_explained() {
    let folder = Folder::with_numbers();
    for (address, why) in [
        ("localhost", "the port is missing"),
        ("localhost:http", "the port is no number"),
        ("localhost:70000", "the port is greater than 65535"),
        (":5555", "the host is missing"),
        ("udp://localhost:5555", "the scheme is unknown"),
    ] {
        let refused = securecloud(&folder, &["scbr", "-a", address]);

        refused.assert_failed(2, &[&format!("`{address}` is no address: {why}")]);
    }
    let star = securecloud(
        &folder,
        &["consumer", "-i", "subs", "-k", "key.pub", "-c", "*:5555"],
    );
    star.assert_failed(2, &["`*` can only be bound"]);
}

#[test]
fn a_role_binds_or_connects_and_never_both() {
    let folder = Folder::with_numbers();
    for arguments in [
        &["scbr", "-a", "localhost:0", "-c", "localhost:1"][..],
        &[
            "source",
            "-i",
            "pubs",
            "-k",
            "key.prv",
            "-a",
            "localhost:0",
            "-c",
            "localhost:1",
        ],
        &[
            "consumer",
            "-i",
            "subs",
            "-k",
            "key.pub",
            "-a",
            "localhost:0",
            "-c",
            "localhost:1",
        ],
    ] {
        securecloud(&folder, arguments).assert_failed(2, &["cannot be used with"]);
    }
}

#[test]
fn a_socket_file_works_as_well_as_a_port() {
    let folder = Folder::with_numbers();
    let address = format!("ipc://{}", folder.join("socket").display());
    let mut router = Role::start(&folder, "scbr", &["-a", &address]);
    assert_eq!(router.endpoint(), address);
    assert_eq!(folder.mode("socket"), 0o600);
    let mut consumer = consumer(&folder, &address, &[]);
    let source = Role::start(
        &folder,
        "source",
        &["-c", &address, "-i", "pubs", "-k", "key.prv", "--once"],
    );

    consumer.event("admitted");
    source.end().succeeded();
    router.interrupt().succeeded();

    assert_eq!(
        consumer.interrupt().event("summary")["deliveries"],
        DELIVERIES
    );
}

#[test]
fn a_role_that_meets_no_router_says_so() {
    let folder = Folder::with_numbers();
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();

    let calls = consumer(&folder, &unused, &[]);
    let listens = Role::start(
        &folder,
        "source",
        &["-a", "localhost:0", "-i", "pubs", "-k", "key.prv"],
    );

    calls.told("no router has answered yet: is one running there?");
    listens.told("no router has connected yet");
    for role in [calls, listens] {
        role.interrupt().succeeded();
    }
}
