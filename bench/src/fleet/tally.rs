//! What the consumers of one process have seen so far, and when.
//!
//! Invariant: a consumer counts once as linked and once as admitted, however often it hears so; what it should never
//! hear is kept by name, and no run with such a name is a result.

use std::collections::BTreeMap;

use sc_client::SubscriberEvent;
use serde_json::{Value, json};

/// One consumer.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    proved: bool,
    attached: bool,
    admitted: bool,
    deliveries: u64,
}

/// All consumers of this process.
#[derive(Debug)]
pub(super) struct Tally {
    seen: Vec<Seen>,
    proved: usize,
    attached: usize,
    admitted: usize,
    deliveries: u64,
    /// Deliveries to be told of when they are here.
    awaited: Option<u64>,
    proved_ns: u64,
    delivered_ns: u64,
    asked_again: u64,
    faults: BTreeMap<String, u64>,
    /// What is to be said.
    said: Vec<Value>,
}

impl Tally {
    pub(super) fn new(consumers: usize) -> Self {
        Self {
            seen: vec![Seen::default(); consumers],
            proved: 0,
            attached: 0,
            admitted: 0,
            deliveries: 0,
            awaited: None,
            proved_ns: 0,
            delivered_ns: 0,
            asked_again: 0,
            faults: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    /// A link of this consumer is proved.
    pub(super) fn on_proved(&mut self, consumer: usize, now_ns: u64) {
        if !std::mem::replace(&mut self.seen[consumer].proved, true) {
            self.proved += 1;
            self.proved_ns = now_ns;
        }
    }

    /// A report of this consumer.
    pub(super) fn on_event(&mut self, consumer: usize, event: &SubscriberEvent, now_ns: u64) {
        let all = self.seen.len();
        match event {
            SubscriberEvent::Waiting => {
                if !std::mem::replace(&mut self.seen[consumer].attached, true) {
                    self.attached += 1;
                    if self.attached == all {
                        self.said
                            .push(json!({ "event": "linked", "at_ns": self.proved_ns }));
                    }
                }
            }
            SubscriberEvent::Admitted { .. } => self.on_admitted(consumer, now_ns),
            SubscriberEvent::Unanswered => self.asked_again += 1,
            // Heartbeats are late on a machine that is busy, and do not come to processes that were stopped.
            SubscriberEvent::Silent => {}
            other => self.on_fault(format!("{other:?}")),
        }
    }

    /// The owner has admitted all subscriptions of this consumer.
    fn on_admitted(&mut self, consumer: usize, now_ns: u64) {
        if !std::mem::replace(&mut self.seen[consumer].admitted, true) {
            self.admitted += 1;
            if self.admitted == self.seen.len() {
                self.said
                    .push(json!({ "event": "admitted", "at_ns": now_ns }));
            }
        }
    }

    /// Something that no consumer should see.
    pub(super) fn on_fault(&mut self, words: String) {
        self.said.push(json!({ "event": "fault", "what": words }));
        *self.faults.entry(words).or_default() += 1;
    }

    /// A publication, under so many of the consumer's subscriptions.
    pub(super) fn on_delivery(&mut self, consumer: usize, subscriptions: usize, now_ns: u64) {
        self.seen[consumer].deliveries += subscriptions as u64;
        self.deliveries += subscriptions as u64;
        self.delivered_ns = now_ns;
        self.tell_delivered();
    }

    /// Says so when there have been so many deliveries.
    pub(super) fn wait_for(&mut self, deliveries: u64) {
        self.awaited = Some(deliveries);
        self.tell_delivered();
    }

    fn tell_delivered(&mut self) {
        if self
            .awaited
            .take_if(|awaited| self.deliveries >= *awaited)
            .is_some()
        {
            self.said
                .push(json!({ "event": "delivered", "at_ns": self.delivered_ns }));
        }
    }

    /// What is to be said now.
    pub(super) fn take_said(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.said)
    }

    /// Everything, at the end.
    pub(super) fn summary(&self) -> Value {
        let counts = self.seen.iter().map(|seen| seen.deliveries);
        json!({
            "event": "summary", "deliveries": self.deliveries, "least": counts.clone().min(), "most": counts.max(),
            "asked_again": self.asked_again, "faults": self.faults,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(tally: &mut Tally) -> Vec<String> {
        let said = tally.take_said();
        said.iter()
            .map(|event| event["event"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_last_consumer_to_attach_makes_all_linked() {
        let mut tally = Tally::new(2);
        for consumer in [0, 1] {
            tally.on_proved(consumer, 7 + consumer as u64);
        }

        tally.on_event(0, &SubscriberEvent::Waiting, 0);
        tally.on_event(0, &SubscriberEvent::Waiting, 0);
        assert!(tally.take_said().is_empty());
        tally.on_event(1, &SubscriberEvent::Waiting, 0);

        assert_eq!(
            tally.take_said(),
            [json!({ "event": "linked", "at_ns": 8 })]
        );
    }

    #[test]
    fn a_consumer_that_is_admitted_twice_counts_once() {
        let mut tally = Tally::new(2);
        let admitted = SubscriberEvent::Admitted {
            session: 1,
            slow: sc_cbr::SlowPolicy::default(),
            retention: std::time::Duration::ZERO,
        };

        tally.on_event(0, &admitted, 1);
        tally.on_event(0, &admitted, 2);
        assert!(tally.take_said().is_empty());
        tally.on_event(1, &admitted, 3);

        assert_eq!(
            tally.take_said(),
            [json!({ "event": "admitted", "at_ns": 3 })]
        );
    }

    #[test]
    fn deliveries_are_told_of_once_whether_they_come_before_or_after_the_question() {
        let mut tally = Tally::new(1);
        tally.on_delivery(0, 2, 5);
        tally.wait_for(2);
        assert_eq!(kinds(&mut tally), ["delivered"]);

        tally.wait_for(5);
        tally.on_delivery(0, 2, 6);
        assert!(tally.take_said().is_empty());
        tally.on_delivery(0, 2, 7);
        tally.on_delivery(0, 2, 8);

        assert_eq!(kinds(&mut tally), ["delivered"]);
    }

    #[test]
    fn a_delivery_too_many_shows_in_the_summary() {
        let mut tally = Tally::new(2);
        tally.on_delivery(0, 1, 1);
        tally.on_delivery(0, 1, 2);

        let summary = tally.summary();

        assert_eq!(
            (&summary["least"], &summary["most"]),
            (&json!(0), &json!(2))
        );
    }

    #[test]
    fn a_gap_is_a_fault_and_a_repeated_request_is_counted() {
        let mut tally = Tally::new(1);
        let missing = SubscriberEvent::Missing {
            session: 1,
            from: 2,
            to: 3,
        };

        tally.on_event(0, &missing, 0);
        tally.on_event(0, &SubscriberEvent::Unanswered, 0);

        let summary = tally.summary();
        assert_eq!(summary["faults"].as_object().unwrap().len(), 1);
        assert_eq!(summary["asked_again"], 1);
    }
}
