//! Domains side by side on one router: nobody gets, changes or holds up what is another's.

use crate::support::{Folder, Role, Signal, Tally, matches, numbers, securecloud};

/// Owners with a domain each.
const OWNERS: u64 = 20;
/// What each of them publishes.
const EACH: u64 = 20;
/// Publications of [`PAYLOAD_BYTES`] to a consumer that does not take them: more than is ever under way to it.
const MUCH: u64 = 3000;
const PAYLOAD_BYTES: &str = "4096";

fn keys(folder: &Folder, names: &[String]) {
    for name in names {
        securecloud(folder, &["keygen", name]).succeeded();
    }
}

#[test]
fn twenty_owners_with_filters_of_equal_ids_each_serve_their_own_consumer_alone() {
    let folder = Folder::empty();
    let names: Vec<String> = (0..OWNERS).map(|place| format!("owner{place}")).collect();
    keys(&folder, &names);
    // Every domain has the same publications; what each consumer wants of them differs, under the same id.
    folder.write("pubs", numbers(0..OWNERS * EACH));
    for (place, name) in (0..).zip(&names) {
        let (from, to) = (place * EACH, (place + 1) * EACH);
        folder.write(
            &format!("{name}.subs"),
            format!("0 7 S i n >= {from} i n < {to}\n"),
        );
    }
    let router = folder.router(&[]);

    let sources: Vec<Role> = names
        .iter()
        .map(|name| folder.source(name, "pubs", &[]))
        .collect();
    let consumers: Vec<Role> = names
        .iter()
        .map(|name| folder.consumer_of(name, &format!("{name}.subs"), &format!("{name}.me"), &[]))
        .collect();

    for (mut consumer, name) in consumers.into_iter().zip(&names) {
        let mut tally = Tally::default();
        tally.until(&mut consumer, EACH as usize);
        let finished = consumer.interrupt();
        tally.rest(&finished.stdout);
        tally.assert_is(&matches(&folder, &format!("{name}.subs"), &["pubs"]));
    }
    for mut source in sources {
        let summary = source.event("summary");
        assert_eq!(
            (&summary["matched"], &summary["deliveries"]),
            (&EACH.into(), &EACH.into())
        );
    }
    let summary = router.interrupt().event("summary");
    assert_eq!(summary["sessions"], OWNERS);
    assert_eq!(summary["payloads"], OWNERS * EACH);
    assert_eq!(summary["refused"], 0);
}

#[test]
fn one_identity_that_subscribes_in_two_domains_under_equal_ids_has_two_memberships() {
    let folder = Folder::empty();
    keys(&folder, &["red".into(), "blue".into()]);
    folder.write("all", "0 7 S i n exists\n");
    folder.write("few", "0 7 S i n < 12\n");
    let _router = folder.router(&[]);
    let mut red = folder.source("red", "-", &[]);
    let mut blue = folder.source("blue", "-", &[]);

    // Its membership in the first domain is neither replaced nor withdrawn by that in the second, nor the other way round.
    let mut consumer = folder.consumer_of("red", "all", "me", &[]);
    red.event("admitted");
    consumer.event("admitted");
    consumer.interrupt().succeeded();
    let mut consumer = folder.consumer_of("blue", "few", "me", &[]);
    blue.event("admitted");
    consumer.event("admitted");
    red.write(&numbers(0..10));
    blue.write(&numbers(10..20));
    let mut of_blue = Tally::default();
    of_blue.until(&mut consumer, 2);
    of_blue.rest(&consumer.interrupt().stdout);
    blue.write(&numbers(0..5));
    let mut of_red = Tally::default();
    let mut consumer = folder.consumer_of("red", "all", "me", &[]);
    of_red.until(&mut consumer, 10);
    of_red.rest(&consumer.interrupt().stdout);
    let mut consumer = folder.consumer_of("blue", "few", "me", &[]);
    of_blue.until(&mut consumer, 7);
    of_blue.rest(&consumer.interrupt().stdout);

    folder.write("red.pubs", numbers(0..10));
    folder.write("blue.pubs", numbers(10..20) + &numbers(0..5));
    of_red.assert_is(&matches(&folder, "all", &["red.pubs"]));
    of_blue.assert_is(&matches(&folder, "few", &["blue.pubs"]));
}

#[test]
fn an_owners_key_opens_nothing_of_another_owner() {
    let folder = Folder::empty();
    keys(&folder, &["red".into(), "blue".into()]);
    folder.write("subs", "0 1 S i n exists\n");
    let _router = folder.router(&[]);
    let mut red = folder.source("red", "-", &[]);
    red.event("opened");

    // It publishes in its own domain whatever it says, and is no grantee of a domain whose owner grants nothing.
    let mut blue = folder.source("blue", "-", &["--domain", "red.pub"]);
    let mut consumer = folder.consumer("red", "me", &[]);
    consumer.event("admitted");
    blue.event("refused");
    blue.write(&numbers(100..110));
    red.write(&numbers(0..1));
    let mut tally = Tally::default();
    tally.until(&mut consumer, 1);

    let refused = red.event("refused_publisher");
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("does not let this identity publish")
    );
    tally.rest(&consumer.interrupt().stdout);
    folder.write("pubs", numbers(0..1));
    tally.assert_is(&matches(&folder, "subs", &["pubs"]));
}

/// Two domains on one router, `slow` and `other`.
struct Neighbours {
    folder: Folder,
    _router: Role,
    /// The source of `slow`, which waits for its input.
    source: Role,
    /// The consumer of `slow`.
    consumer: Role,
}

impl Neighbours {
    /// Has the source of `slow` wait for nothing but its input, with a consumer that ends after `count` deliveries if it is given.
    fn begin(policy: &str, flags: &[&str]) -> Self {
        let folder = Folder::empty();
        keys(&folder, &["slow".into(), "other".into()]);
        folder.write("subs", "0 1 S i n exists\n");
        folder.write("pubs", numbers(0..3000));
        let router = folder.router(&[]);
        let settings = ["--slow", policy, "--payload-bytes", PAYLOAD_BYTES];
        let mut source = folder.source("slow", "-", &settings);
        let flags = [&["--quiet"], flags].concat();
        let mut consumer = folder.consumer("slow", "slow.me", &flags);
        consumer.event("admitted");
        source.event("admitted");
        Self {
            folder,
            _router: router,
            source,
            consumer,
        }
    }

    /// The other domain publishes; returns the seconds from its first publication to its last receipt.
    fn other_publishes(&self) -> f64 {
        let flags = ["--once", "--anew", "--batch", "16"];
        let mut source = self.folder.source("other", "pubs", &flags);
        let flags = ["--count", "3000", "--quiet"];
        let consumer = self.folder.consumer("other", "other.me", &flags);
        let summary = source.event("summary");
        source.end().succeeded();
        assert_eq!(consumer.end().event("summary")["publications"], 3000);
        summary["seconds"].as_f64().unwrap()
    }

    /// Stops the slow consumer and publishes more than it is ever sent at once.
    fn stop_and_publish(&mut self) {
        self.consumer.signal(Signal::STOP);
        self.source.write(&numbers(0..MUCH));
        self.source.end_input();
    }
}

/// As fast as before, allowing for a machine that does other things besides.
#[track_caller]
fn assert_kept_its_rate(before: f64, meanwhile: f64) {
    assert!(
        meanwhile <= 3.0 * before + 1.0,
        "{before} s before, {meanwhile} s meanwhile"
    );
}

#[test]
fn a_stopped_consumer_holds_up_its_own_source_that_chose_to_wait_and_no_other_domain() {
    let count = MUCH.to_string();
    let mut site = Neighbours::begin("block", &["--count", &count]);
    let before = site.other_publishes();

    site.stop_and_publish();
    let meanwhile = site.other_publishes();

    assert_kept_its_rate(before, meanwhile);
    // Its own source is held up until the consumer goes on, and then loses nothing.
    assert!(!site.source.has_said("summary"));
    site.consumer.signal(Signal::CONT);
    assert_eq!(site.source.event("summary")["publications"], MUCH);
    let consumer = site.consumer.end();
    assert_eq!(consumer.event("summary")["publications"], MUCH);
    assert_eq!(consumer.events("suspended").len(), 0);
}

#[test]
fn a_stopped_consumer_holds_up_nobody_where_the_router_keeps_what_waits() {
    let count = MUCH.to_string();
    let mut site = Neighbours::begin("spill", &["--count", &count]);
    let before = site.other_publishes();

    site.stop_and_publish();
    // Its own source is done while the consumer is stopped.
    assert_eq!(site.source.event("summary")["publications"], MUCH);
    let meanwhile = site.other_publishes();

    assert_kept_its_rate(before, meanwhile);
    site.consumer.signal(Signal::CONT);
    let consumer = site.consumer.end();
    assert_eq!(consumer.event("summary")["publications"], MUCH);
    assert_eq!(consumer.events("suspended").len(), 0);
}

#[test]
fn a_stopped_consumer_is_disconnected_where_its_owner_chose_so_and_told_how_much_it_missed() {
    let mut site = Neighbours::begin("disconnect", &[]);
    let before = site.other_publishes();

    site.stop_and_publish();
    // Its own source is done while the consumer is stopped.
    assert_eq!(site.source.event("summary")["publications"], MUCH);
    let meanwhile = site.other_publishes();
    site.consumer.signal(Signal::CONT);

    assert_kept_its_rate(before, meanwhile);
    site.consumer
        .told("the router is gone (closed by the peer: this peer does not keep up)");
    site.consumer.event("suspended");
    site.consumer
        .told("from here on what matches is only counted");
    let missed = site.consumer.event("missed")["publications"]
        .as_u64()
        .unwrap();
    site.consumer.told(&format!("{missed} publications in "));
    let consumer = site.consumer.interrupt();
    let given = consumer.event("summary")["publications"].as_u64().unwrap();
    assert!(missed > 0 && given > 0, "{given} given, {missed} missed");
    assert_eq!(given + missed, MUCH);
    assert_eq!(consumer.events("missing").len(), 0);
}
