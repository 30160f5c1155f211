//! One consumer that was admitted.

use std::collections::BTreeMap;
use std::ops::Bound;

use sc_crypto::{OwnerPublic, VerifyingKey};
use sc_matching::Subscription;

use super::Record;
use crate::ask::{Ask, Operation, SUBSCRIPTIONS_PER_ASK_MAX, portions};

/// A member's sequence number alone is remembered once its lease has ended so long ago, in milliseconds, and its place is needed.
const FORGET_AFTER_MS: u64 = 24 * 3600 * 1000;

/// One identity that was admitted.
pub(crate) struct Member {
    pub(crate) public: OwnerPublic,
    pub(crate) sequence: u64,
    pub(crate) request: [u8; 32],
    pub(crate) lease_until_ms: u64,
    /// What it has asked for, in milliseconds.
    pub(crate) retention_ms: u64,
    pub(crate) subscriptions: BTreeMap<u64, Subscription>,
    /// All that it has announced is here.
    pub(crate) whole: bool,
    /// Its lease had ended before its last requests, of which it has not renewed any since: it may not have been told.
    pub(crate) lapsed: bool,
    /// A changed list has dropped it.
    pub(super) unlisted: bool,
}

impl Member {
    pub(super) fn new(public: OwnerPublic, request: [u8; 32]) -> Self {
        Self {
            public,
            sequence: 0,
            request,
            lease_until_ms: 0,
            retention_ms: 0,
            subscriptions: BTreeMap::new(),
            whole: false,
            lapsed: false,
            unlisted: false,
        }
    }

    /// Whether it has subscriptions that a program should hold at `time_ms`.
    pub(crate) fn is_live(&self, time_ms: u64) -> bool {
        !self.subscriptions.is_empty() && self.lease_until_ms > time_ms
    }

    /// Whether its place may be given to another.
    pub(super) fn is_forgettable(&self, time_ms: u64) -> bool {
        self.lease_until_ms.saturating_add(FORGET_AFTER_MS) < time_ms
    }

    /// The subscriptions after the one with the id `after` that one message carries, and whether there are more.
    pub(crate) fn portion_after(&self, after: Option<u64>) -> (Vec<(u64, Subscription)>, bool) {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self
            .subscriptions
            .range((begin, Bound::Unbounded))
            .map(|(id, subscription)| (*id, subscription.clone()));
        let next: Vec<_> = rest.by_ref().take(SUBSCRIPTIONS_PER_ASK_MAX).collect();
        let portion = portions(&next).first().map_or(0, |portion| portion.len());
        let has_more = portion < next.len() || rest.next().is_some();
        (next[..portion].to_vec(), has_more)
    }

    /// Takes over what an admitted request says.
    pub(super) fn take(&mut self, ask: &Ask, request: [u8; 32], lease_until_ms: u64) {
        self.public = ask.consumer.clone();
        self.unlisted = false;
        self.request = request;
        self.lease_until_ms = lease_until_ms;
        match &ask.operation {
            Operation::Subscribe {
                replace,
                retention_ms,
                remaining,
                subscriptions,
            } => {
                if *replace {
                    self.subscriptions.clear();
                }
                self.retention_ms = *retention_ms;
                self.whole = *remaining == 0;
                self.subscriptions.extend(subscriptions.iter().cloned());
            }
            Operation::Unsubscribe { ids } if ids.is_empty() => self.subscriptions.clear(),
            Operation::Unsubscribe { ids } => ids
                .iter()
                .for_each(|id| drop(self.subscriptions.remove(id))),
            // Only who has taken an answer renews.
            Operation::Renew => self.lapsed = false,
            Operation::Publish { .. } => {}
        }
    }

    /// The records from which it is rebuilt.
    pub(super) fn records(&self, identity: VerifyingKey) -> Vec<Vec<u8>> {
        let all: Vec<_> = self
            .subscriptions
            .iter()
            .map(|(id, subscription)| (*id, subscription.clone()))
            .collect();
        let lease_until_ms = Some(self.lease_until_ms).filter(|until| *until != 0);
        // What has not come counts as one more.
        let mut remaining = all.len() + usize::from(!self.whole);
        let mut records: Vec<_> = portions(&all)
            .into_iter()
            .map(|portion| {
                remaining -= portion.len();
                let operation = Operation::Subscribe {
                    replace: false,
                    retention_ms: self.retention_ms,
                    remaining: remaining as u32,
                    subscriptions: portion.to_vec(),
                };
                let ask = Ask {
                    consumer: self.public.clone(),
                    sequence: self.sequence,
                    operation,
                };
                Record::Taken {
                    ask: Box::new(ask),
                    request: self.request,
                    lease_until_ms,
                }
                .encode()
            })
            .collect();
        if self.lapsed {
            records.push(Record::Lapsed(identity).encode());
        }
        if self.unlisted {
            records.push(Record::Unlisted(identity).encode());
        }
        records
    }
}
