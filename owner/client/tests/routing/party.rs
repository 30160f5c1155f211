//! A subscriber, its queue and its journal.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sc_client::{
    Clock, Memory, PublisherSettings, Subscriber, SubscriberEvent, SubscriberSettings,
};
use sc_transport::Frame;

use crate::world::{OWNER, entropy, identity, subscription};

/// What a subscriber was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) subscriptions: Vec<u64>,
    pub(crate) payload: String,
}

/// What a subscriber reports when it is admitted under the settings that it and the publisher have by default.
pub(crate) fn admitted_in(session: u64) -> SubscriberEvent {
    SubscriberEvent::Admitted {
        session,
        slow: PublisherSettings::default().slow,
        retention: Duration::ZERO,
    }
}

/// One subscriber and its queue.
pub(crate) struct Party {
    pub(crate) subscriber: Subscriber,
    pub(crate) identity: u8,
    pub(crate) inbox: VecDeque<Frame>,
    pub(crate) delivered: Vec<Delivered>,
    pub(crate) events: Vec<SubscriberEvent>,
    pub(crate) journal: Vec<Vec<u8>>,
    pub(crate) closed: Vec<String>,
    /// It has no link: what comes waits, and it does nothing.
    pub(crate) is_away: bool,
}

impl Party {
    pub(crate) fn new(
        identity_number: u8,
        wanted: &[(u64, &str)],
        memory: Memory,
        plain: bool,
    ) -> Self {
        let wanted = wanted
            .iter()
            .map(|(id, constraints)| (*id, subscription(constraints)))
            .collect();
        let seed = u64::from(identity_number) * 1000 + memory.sequence();
        let subscriber = Subscriber::new(
            identity(OWNER).public().clone(),
            identity(identity_number).into(),
            wanted,
            SubscriberSettings {
                plain,
                ..SubscriberSettings::default()
            },
            memory,
            Box::new(entropy(seed)),
        );
        Self {
            subscriber,
            identity: identity_number,
            inbox: VecDeque::new(),
            delivered: Vec::new(),
            events: Vec::new(),
            journal: Vec::new(),
            closed: Vec::new(),
            is_away: false,
        }
    }

    pub(crate) fn key(&self) -> Bytes {
        let secret = identity(self.identity);
        Bytes::copy_from_slice(secret.signing_key().verifying_key().as_bytes())
    }

    pub(crate) fn take(&mut self, clock: Clock, frame: Frame) {
        let delivered = &mut self.delivered;
        self.subscriber.on_frame(clock, frame, &mut |delivery| {
            delivered.push(Delivered {
                subscriptions: delivery.subscriptions.to_vec(),
                payload: String::from_utf8(delivery.payload.to_vec()).unwrap(),
            });
        });
        while let Some(event) = self.subscriber.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn payloads(&self) -> Vec<&str> {
        self.delivered.iter().map(|it| &it.payload[..]).collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<SubscriberEvent> {
        std::mem::take(&mut self.events)
    }
}
