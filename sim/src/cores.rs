//! The owner's cores as stations run them.

use std::time::Duration;

use sc_client::{Clock, Credit, Output, Publisher, PublisherEvent, Subscriber, SubscriberEvent};
use sc_transport::Frame;

use crate::ledger::Delivered;
use crate::station::Core;

pub(crate) struct PublisherCore {
    pub(crate) publisher: Publisher,
}

impl PublisherCore {
    pub(crate) fn take_events(&mut self) -> Vec<PublisherEvent> {
        std::iter::from_fn(|| self.publisher.poll_event()).collect()
    }
}

impl Core for PublisherCore {
    fn on_established(&mut self) {
        self.publisher.on_established();
    }

    fn on_closed(&mut self) {
        self.publisher.on_closed();
    }

    fn on_frame(&mut self, clock: Clock, frame: Frame) {
        self.publisher.on_frame(clock, frame);
    }

    fn work(&mut self, clock: Clock, credit: Credit) {
        self.publisher.pump(clock, credit);
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        self.publisher.take_outputs()
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.publisher.next_timeout()
    }
}

pub(crate) struct ConsumerCore {
    pub(crate) number: usize,
    pub(crate) subscriber: Subscriber,
    pub(crate) delivered: Vec<Delivered>,
}

impl ConsumerCore {
    pub(crate) fn take_events(&mut self) -> Vec<SubscriberEvent> {
        std::iter::from_fn(|| self.subscriber.poll_event()).collect()
    }
}

impl Core for ConsumerCore {
    fn on_established(&mut self) {
        self.subscriber.on_established();
    }

    fn on_closed(&mut self) {
        self.subscriber.on_closed();
    }

    fn on_frame(&mut self, clock: Clock, frame: Frame) {
        let Self {
            number,
            subscriber,
            delivered,
        } = self;
        subscriber.on_frame(clock, frame, &mut |delivery| {
            delivered.push(Delivered::new(*number, &delivery));
        });
    }

    fn work(&mut self, clock: Clock, _credit: Credit) {
        if self
            .subscriber
            .next_timeout()
            .is_some_and(|due| due <= clock.now)
        {
            self.subscriber.on_timeout(clock);
        }
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        self.subscriber.take_outputs()
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.subscriber.next_timeout()
    }
}
