//! The three commands of D4.2 as `demo files` prints them: publisher and consumer listen, the router connects to both.

use std::net::TcpListener;
use std::sync::Mutex;

use crate::support::{Folder, Role, securecloud};

/// The only tests with ports of their own choice: one after the other.
static PORTS: Mutex<()> = Mutex::new(());

/// Matches of the bundled files: (publication, subscription) pairs, and publications that match at all.
const DELIVERIES: usize = 628;
const PUBLICATIONS: usize = 542;

/// The commands that `demo files` prints for a folder, in which it has written what they name.
fn printed_commands(folder: &Folder) -> Vec<String> {
    let finished = securecloud(folder, &["demo", "files", "."]);
    let commands: Vec<String> = finished
        .succeeded()
        .lines()
        .filter_map(|line| line.strip_prefix("  securecloud "))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        commands,
        [
            "scbr -c localhost:5553 -c localhost:5551",
            "consumer -i cbr-prefilter/subs/s10 -a *:5551 -k key.pub",
            "source -i cbr-prefilter/pubs/plk -a *:5553 -k key.prv",
        ]
    );
    commands
}

/// `commands` with other ports where somebody else on this machine uses theirs.
fn with_free_ports(commands: Vec<String>) -> Vec<String> {
    let taken = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_err();
    let mut commands = commands;
    for port in [5551, 5553] {
        if taken(port) {
            let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let other = other.local_addr().unwrap().port().to_string();
            commands = commands
                .iter()
                .map(|command| command.replace(&port.to_string(), &other))
                .collect();
        }
    }
    commands
}

/// What a consumer has to print: the ids of the filters that match, a tab, the publication.
fn expected(folder: &Folder) -> Vec<String> {
    let matched = securecloud(
        folder,
        &[
            "match",
            "--subscriptions",
            "cbr-prefilter/subs/s10",
            "--publications",
            "cbr-prefilter/pubs/plk",
        ],
    );
    let publications = folder.read("cbr-prefilter/pubs/plk");
    let lines = publications.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<String> = matched
        .succeeded()
        .lines()
        .zip(lines)
        .filter(|(ids, _)| !ids.is_empty())
        .map(|(ids, publication)| format!("{}\t{publication}", ids.replace(' ', ",")))
        .collect();
    let deliveries: usize = expected
        .iter()
        .map(|line| line.split('\t').next().unwrap().split(',').count())
        .sum();
    assert_eq!((expected.len(), deliveries), (PUBLICATIONS, DELIVERIES));
    expected
}

/// Runs the commands in an order, a start of one after the other, and presses ^C when everything has come.
fn run_in_order(order: [&str; 3]) {
    let _alone = PORTS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::empty();
    let commands = with_free_ports(printed_commands(&folder));
    let start = |name: &str| {
        let command = commands.iter().find(|command| command.starts_with(name));
        let arguments: Vec<&str> = command.unwrap().split(' ').collect();
        let role = Role::start_as_people_do(&folder, &arguments);
        role.told(match name {
            "scbr" => "is ready; ^C ends",
            _ => "listening at",
        });
        (name.to_owned(), role)
    };
    let mut roles = order.map(start);

    let consumer = roles.iter_mut().find(|(name, _)| name == "consumer");
    let consumer = &mut consumer.unwrap().1;
    let received: Vec<String> = (0..PUBLICATIONS)
        .map(|_| consumer.line("a publication"))
        .collect();
    let source = &roles.iter().find(|(name, _)| name == "source").unwrap().1;
    source.told("everything is published; staying for leases, ^C ends");

    assert_eq!(received, expected(&folder));
    for (name, role) in roles {
        assert!(role.is_running(), "{name} stays until it is asked to end");
        let finished = role.interrupt();
        finished.succeeded();
        let summary = match name.as_str() {
            "source" => "source: published 1000 publications",
            "consumer" => "consumer: received 542 publications in 628 deliveries",
            _ => "scbr: routed 1000 publications",
        };
        assert!(finished.stderr.contains(summary), "{finished:#?}");
    }
}

#[test]
fn the_three_commands_work_as_printed_in_the_order_printed() {
    run_in_order(["scbr", "consumer", "source"]);
}

#[test]
fn the_three_commands_work_with_the_router_last() {
    run_in_order(["source", "consumer", "scbr"]);
}

#[test]
fn writing_the_files_again_keeps_the_keys() {
    let folder = Folder::empty();
    securecloud(&folder, &["demo", "files", "."]).succeeded();
    let keys = (folder.read("key.prv"), folder.read("key.pub"));

    securecloud(&folder, &["demo", "files", "."]).succeeded();

    assert_eq!((folder.read("key.prv"), folder.read("key.pub")), keys);
    assert_eq!(
        (folder.mode("key.prv"), folder.mode("key.pub")),
        (0o600, 0o644)
    );
}

#[test]
fn files_go_to_a_folder_that_is_made_and_an_impossible_one_is_named() {
    let folder = Folder::empty();
    folder.write("occupied", "");

    securecloud(&folder, &["demo", "files", "a/b"]).succeeded();
    let refused = securecloud(&folder, &["demo", "files", "occupied"]);

    assert!(folder.join("a/b/cbr-prefilter/subs/s10").is_file());
    refused.assert_failed(2, &["occupied/cbr-prefilter/pubs: Not a directory"]);
}
