//! The numbers that each role gives to Prometheus: where, to whom, and that they are right.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{
    DELIVERIES, Folder, PATIENCE, assert_tells, free_address, numbers, scrape, securecloud, value,
};

/// Between two looks at numbers that are told once a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[test]
fn every_role_tells_the_numbers_that_its_summary_has() {
    let folder = Folder::with_numbers();
    let addresses = [free_address(), free_address(), free_address()];
    let [of_router, of_source, of_consumer] = addresses.map(|address| address.to_string());
    let _router = folder.router(&["--metrics", &of_router]);
    let mut source = folder.source("key", "pubs", &["--metrics", &of_source]);
    let consumer = folder.consumer("key", "me", &["--metrics", &of_consumer]);

    source.event("summary");

    // The numbers 0 to 9 in one batch; 0, 1, 2, 4, 6 and 8 match.
    assert_tells(
        addresses[0],
        &[
            ("securecloud_router_sessions_total", 1),
            ("securecloud_router_batches_total", 1),
            ("securecloud_router_publications_total", 10),
            ("securecloud_router_payloads_total", 6),
            ("securecloud_router_stored_total", 0),
            ("securecloud_router_refused_total", 0),
            ("securecloud_router_held_publishers", 1),
            ("securecloud_router_held_subscribers", 1),
            ("securecloud_router_held_domains", 1),
        ],
    );
    assert_tells(
        addresses[1],
        &[
            ("securecloud_source_publications_total", 10),
            ("securecloud_source_matched_total", 6),
            ("securecloud_source_deliveries_total", DELIVERIES),
        ],
    );
    assert_tells(
        addresses[2],
        &[
            ("securecloud_consumer_publications_total", 6),
            ("securecloud_consumer_deliveries_total", DELIVERIES),
            ("securecloud_consumer_missing_notices_total", 0),
            ("securecloud_consumer_missed_publications_total", 0),
            ("securecloud_consumer_uncovered_total", 0),
        ],
    );
    assert!(scrape(addresses[0]).contains("# HELP securecloud_router_publications_total"));
    assert!(consumer.said().contains(&format!(
        "numbers for Prometheus at http://{of_consumer}/metrics"
    )));
}

#[test]
fn what_the_router_sends_stores_reads_and_sees_acknowledged_is_counted() {
    let folder = Folder::with_numbers();
    let address = free_address();
    let _router = folder.router(&["--metrics", &address.to_string()]);
    let mut source = folder.source("key", "-", &["--batch", "1"]);
    let consumer = folder.consumer("key", "me", &["--durable", "1h"]);
    source.event("admitted");
    consumer.interrupt().succeeded();
    assert_tells(address, &[("securecloud_router_held_subscribers", 0)]);
    let before = scrape(address);
    let stored = value(&before, "securecloud_router_stored_total").unwrap();

    // Batches of one: as many notices as publications, beside heartbeats.
    source.write(&(0..100).map(|_| numbers(0..1)).collect::<String>());
    source.end_input();
    source.event("summary");
    let begin = Instant::now();
    while value(&scrape(address), "securecloud_router_stored_total") < Some(stored + 100) {
        assert!(begin.elapsed() < PATIENCE, "{}", scrape(address));
        sleep(LOOK_AGAIN);
    }
    let mut back = folder.consumer("key", "me", &["--durable", "1h"]);
    for _ in 0..100 {
        back.event("delivery");
    }

    let begin = Instant::now();
    loop {
        let page = scrape(address);
        let [queued, acked, fetched, given_up] = ["queued", "acked", "fetched", "given_up"]
            .map(|name| value(&page, &format!("securecloud_router_{name}_total")).unwrap());
        if queued == acked && fetched >= 100 {
            assert!(queued >= 100, "{page}");
            assert_eq!(given_up, 0);
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{page}");
        sleep(LOOK_AGAIN);
    }
}

#[test]
fn the_numbers_are_given_to_this_machine_alone() {
    let folder = Folder::with_numbers();

    for (role, arguments) in ROLES {
        for address in ["0.0.0.0:9100", "192.0.2.1:9100", "[::]:9100"] {
            let arguments = [&[role], arguments, &["--metrics", address]].concat();
            let refused = securecloud(&folder, &arguments);

            refused.assert_failed(
                2,
                &[
                    &format!("--metrics {address}: the numbers are not protected, so they are given on loopback alone"),
                    "use 127.0.0.1:9100",
                ],
            );
        }
        let arguments = [&[role], arguments, &["--metrics", "localhost"]].concat();
        securecloud(&folder, &arguments).assert_failed(2, &["--metrics", "invalid"]);
    }
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let folder = Folder::with_numbers();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    for (role, arguments) in ROLES {
        let arguments = [&[role], arguments, &["--metrics", &address]].concat();
        let refused = securecloud(&folder, &arguments);

        refused.assert_failed(2, &[&format!("--metrics {address}: "), "in use"]);
    }
}

/// The roles, with what they need besides.
const ROLES: [(&str, &[&str]); 3] = [
    ("scbr", &["-a", "localhost:0", "--spill", "none"]),
    (
        "source",
        &["-a", "localhost:0", "-i", "pubs", "-k", "key.prv"],
    ),
    (
        "consumer",
        &["-a", "localhost:0", "-i", "subs", "-k", "key.pub"],
    ),
];
