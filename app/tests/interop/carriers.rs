//! What a carrier does to frames on links that are not encrypted: the foreign programs notice each, as the document says they can.

use serde_json::Value;

use crate::{House, assert_same, told};

/// The reasons of what was refused.
fn whats(events: &[Value]) -> Vec<&str> {
    let whats = events.iter().map(|event| event["what"].as_str());
    whats.map(Option::unwrap).collect()
}

#[test]
fn a_router_whose_reply_was_changed_is_not_believed() {
    let house = House::open();
    let mut meddler = house.meddler(&["hello_reply"]);
    let mut subscriber = house.subscriber_at(&meddler.endpoint(), &[]);

    let refused = subscriber.event("refused");

    assert_eq!(refused["why"], "InvalidSignature()");
    assert_eq!(subscriber.interrupt().events("state").len(), 0);
}

#[test]
fn an_answer_that_was_changed_admits_nobody() {
    let house = House::open();
    let _source = house.source(&[]);
    let mut meddler = house.meddler(&["answer"]);
    let mut subscriber = house.subscriber_at(&meddler.endpoint(), &[]);

    let refused = subscriber.event("refused");

    assert_eq!(refused["what"], "answer");
    let subscriber = subscriber.interrupt();
    assert_eq!(subscriber.events("admitted").len(), 0);
    assert_eq!(told(&subscriber), []);
}

#[test]
fn a_notice_that_was_changed_is_refused_and_missed() {
    let house = House::open();
    let mut meddler = house.meddler(&["notice", "--once"]);
    let mut subscriber = house.subscriber_at(&meddler.endpoint(), &[]);
    let source = house.source(&["--once", "--batch", "40"]);
    subscriber.event("admitted");
    source.end().succeeded();
    let expected = house.expected();
    house.router.interrupt().succeeded();

    let subscriber = subscriber.interrupt();

    assert_eq!(subscriber.event("refused")["what"], "notice");
    let missing = subscriber.event("missing");
    assert_eq!(
        (&missing["first"], &missing["last"]),
        (&1.into(), &1.into())
    );
    let told = told(&subscriber);
    assert!(told.len() < expected.len() && expected.ends_with(&told));
}

#[test]
fn payloads_that_were_changed_are_refused_and_no_other() {
    let house = House::open();
    let mut meddler = house.meddler(&["payload"]);
    let mut subscriber = house.subscriber_at(&meddler.endpoint(), &[]);
    let source = house.source(&["--once", "--batch", "40"]);
    subscriber.event("admitted");
    source.end().succeeded();
    let mut expected = house.expected();
    house.router.interrupt().succeeded();

    let subscriber = subscriber.interrupt();

    let refused = subscriber.events("refused");
    assert!(refused.len() > 1 && whats(&refused).iter().all(|what| *what == "payload"));
    let told = told(&subscriber);
    assert_eq!(told.len() + refused.len(), expected.len());
    expected.retain(|each| told.contains(each));
    assert_same(&told, &expected);
}

#[test]
fn a_receipt_that_was_changed_does_not_count() {
    let house = House::open();
    let _source = house.source(&[]);
    let mut meddler = house.meddler(&["receipt"]);
    let mut publisher = house.publisher_at(&meddler.endpoint(), &[]);

    let refused = publisher.event("refused");

    assert_eq!(refused["what"], "receipt");
    let publisher = publisher.interrupt();
    assert_eq!(publisher.events("receipt").len(), 0);
    assert_eq!(publisher.events("published").len(), 0);
}

#[test]
fn a_batch_that_was_changed_is_refused_by_the_trusted_program() {
    let house = House::open();
    let _source = house.source(&[]);
    let mut meddler = house.meddler(&["batch"]);
    let mut publisher = house.publisher_at(&meddler.endpoint(), &[]);

    let refused = publisher.event("not_carried");

    assert_eq!(refused["cause"], 5);
    let publisher = publisher.interrupt();
    assert_eq!(publisher.events("receipt").len(), 0);
}
