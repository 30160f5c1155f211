//! The owner's cores as stations run them.

use std::time::Duration;

use bytes::Bytes;
use sc_client::{
    Clock, Credit, Grantee, GranteeEvent, Memory, Output, PublishError, Publisher, PublisherEvent,
    Subscriber, SubscriberEvent,
};
use sc_matching::Publication;
use sc_transport::Frame;

use crate::ledger::Delivered;
use crate::malice;
use crate::station::Core;

/// What sources of both kinds can do.
pub(crate) trait SourceCore {
    fn publish(
        &mut self,
        clock: Clock,
        header: &Publication,
        payload: Bytes,
    ) -> Result<(), PublishError>;
    fn finish(&mut self);
    fn take_leave(&mut self);
    fn has_left(&self) -> bool;
    fn resumed(&self) -> usize;
    fn is_drained(&self) -> bool;
}

macro_rules! source_core {
    ($core:ty, $field:ident) => {
        impl SourceCore for $core {
            fn publish(
                &mut self,
                clock: Clock,
                header: &Publication,
                payload: Bytes,
            ) -> Result<(), PublishError> {
                self.$field.publish(clock, header, payload)
            }

            fn finish(&mut self) {
                self.$field.finish();
            }

            fn take_leave(&mut self) {
                self.$field.take_leave();
            }

            fn has_left(&self) -> bool {
                self.$field.has_left()
            }

            fn resumed(&self) -> usize {
                self.$field.resumed_publications() as usize
            }

            fn is_drained(&self) -> bool {
                self.$field.is_drained()
            }
        }

        impl Core for $core {
            fn on_established(&mut self) {
                self.$field.on_established();
            }

            fn on_closed(&mut self) {
                self.$field.on_closed();
            }

            fn on_frame(&mut self, clock: Clock, frame: Frame) {
                self.$field.on_frame(clock, frame);
            }

            fn work(&mut self, clock: Clock, credit: Credit) {
                self.$field.pump(clock, credit);
            }

            fn take_outputs(&mut self) -> Vec<Output> {
                self.$field.take_outputs()
            }

            fn on_record(&mut self, _record: &[u8], _records: usize) {}

            fn next_timeout(&self) -> Option<Duration> {
                self.$field.next_timeout()
            }
        }
    };
}

pub(crate) struct PublisherCore {
    pub(crate) publisher: Publisher,
}

impl PublisherCore {
    pub(crate) fn take_events(&mut self) -> Vec<PublisherEvent> {
        std::iter::from_fn(|| self.publisher.poll_event()).collect()
    }
}

source_core!(PublisherCore, publisher);

pub(crate) struct GranteeCore {
    pub(crate) grantee: Grantee,
}

impl GranteeCore {
    pub(crate) fn take_events(&mut self) -> Vec<GranteeEvent> {
        std::iter::from_fn(|| self.grantee.poll_event()).collect()
    }
}

source_core!(GranteeCore, grantee);

/// A delivery, and from when on it outlives its process.
struct Kept {
    delivered: Delivered,
    place: (u64, u64),
    /// The length of the journal that first says so.
    records: Option<usize>,
}

/// A consumer and its application, whose state is what the journal says: both are written in one.
pub(crate) struct ConsumerCore {
    pub(crate) number: usize,
    pub(crate) subscriber: Subscriber,
    pub(crate) delivered: Vec<Delivered>,
    kept: Vec<Kept>,
}

impl ConsumerCore {
    pub(crate) fn new(number: usize, subscriber: Subscriber) -> Self {
        Self {
            number,
            subscriber,
            delivered: Vec::new(),
            kept: Vec::new(),
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<SubscriberEvent> {
        std::iter::from_fn(|| self.subscriber.poll_event()).collect()
    }

    /// What the application has forgotten when so many records of the journal are left.
    pub(crate) fn forgotten(&mut self, records: usize) -> Vec<Delivered> {
        let is_lost = |kept: &Kept| kept.records.is_none_or(|needed| needed > records);
        let kept = core::mem::take(&mut self.kept).into_iter();
        kept.filter(is_lost).map(|kept| kept.delivered).collect()
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
            kept,
        } = self;
        let place = malice::place(&frame).unwrap_or_default();
        subscriber.on_frame(clock, frame, &mut |delivery| {
            let one = Delivered::new(*number, &delivery);
            delivered.push(one.clone());
            kept.push(Kept {
                delivered: one,
                place,
                records: None,
            });
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

    fn on_record(&mut self, record: &[u8], records: usize) {
        let said = Memory::replay(&[record]);
        for kept in &mut self.kept {
            let (session, counter) = kept.place;
            if kept.records.is_none() && said.taken(session) >= counter {
                kept.records = Some(records);
            }
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.subscriber.next_timeout()
    }
}
