//! What consumers were given, beside what they should have been given.
//!
//! Invariant: a publication is told from all others by its payload, so the payloads of one test differ.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Folder, Role, securecloud};

/// The subscriptions that each publication matches, by its payload.
pub(crate) type Matches = BTreeMap<String, Vec<u64>>;

/// What the filters in one file find in the publications of some others, by the offline command.
#[track_caller]
pub(crate) fn matches(folder: &Folder, subscriptions: &str, publications: &[&str]) -> Matches {
    let mut found = Matches::new();
    for file in publications {
        let files = ["--subscriptions", subscriptions, "--publications", file];
        let matched = securecloud(folder, &[&["match", "--json"], &files[..]].concat());
        let lists = matched.succeeded().lines().map(str::to_owned);
        let lines = folder.read(file);
        for (line, list) in lines.lines().zip(lists) {
            let ids: Vec<u64> = serde_json::from_str(&list).unwrap();
            if !ids.is_empty() {
                found.insert(line.to_owned(), ids);
            }
        }
    }
    found
}

/// What consumers of one identity have been given, over all their lives.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) given: Matches,
    /// The payloads in the order in which they came first.
    pub(crate) order: Vec<String>,
    /// Given a second time.
    pub(crate) again: u64,
    /// Deliveries of the present life that were taken into account.
    seen: usize,
}

impl Tally {
    fn take(&mut self, delivery: &Value) {
        let payload = delivery["payload"].as_str().unwrap().to_owned();
        let ids = delivery["subscriptions"].as_array().unwrap();
        let ids = ids.iter().map(|id| id.as_u64().unwrap()).collect();
        if self.given.insert(payload.clone(), ids).is_some() {
            self.again += 1;
        } else {
            self.order.push(payload);
        }
    }

    /// Takes from `role` until there are so many publications.
    #[track_caller]
    pub(crate) fn until(&mut self, role: &mut Role, publications: usize) {
        while self.order.len() < publications {
            let delivery = role.event("delivery");
            self.take(&delivery);
            self.seen += 1;
        }
    }

    /// What else a role had printed when it ended; its last line may have been cut short.
    pub(crate) fn rest(&mut self, stdout: &str) {
        let events = stdout
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let deliveries = events.filter(|event: &Value| event["event"] == "delivery");
        deliveries
            .skip(std::mem::take(&mut self.seen))
            .for_each(|delivery| self.take(&delivery));
    }

    /// Asserts that exactly `expected` was given, each once.
    #[track_caller]
    pub(crate) fn assert_is(&self, expected: &Matches) {
        let missing: Vec<_> = expected
            .iter()
            .filter(|(payload, ids)| self.given.get(*payload) != Some(ids))
            .collect();
        let beyond: Vec<_> = self
            .given
            .keys()
            .filter(|payload| !expected.contains_key(*payload))
            .collect();
        assert!(
            missing.is_empty() && beyond.is_empty(),
            "not given as they should be: {missing:?}; given beyond: {beyond:?}"
        );
        assert_eq!(self.again, 0, "given again");
    }
}
