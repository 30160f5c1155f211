//! Targets for the owner's side: what a hostile router sends to a publisher and to a subscriber, and records of a journal.

use std::time::Duration;

use bytes::Bytes;
use sc_attestation::Policy;
use sc_client::{
    Clock, Credit, Memory, Output, Publisher, PublisherSettings, Roll, Subscriber,
    SubscriberSettings,
};
use sc_proto::Message;
use sc_proto::routing::{self, from_publisher};
use sc_transport::Frame;

use crate::cores::{Entropy, consumer, owner};
use crate::pieces::Pieces;

const CLOCK: Clock = Clock {
    now: Duration::from_secs(1),
    wall_ms: 1000,
};

/// The frames in an input: a head and up to two attachments each.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut pieces = Pieces::new(bytes);
    let mut frames = Vec::new();
    while let Some(head) = pieces.piece() {
        let count = pieces.byte().unwrap_or_default() % 3;
        let attachments = (0..count)
            .map_while(|_| pieces.piece().map(Bytes::copy_from_slice))
            .collect();
        frames.push(Frame {
            head: Bytes::copy_from_slice(head),
            attachments,
        });
    }
    frames
}

/// Frames to a publisher that has sent its challenge.
///
/// # Panics
/// When it opens a session, or seals anything for one: nobody here has proved to be the program.
pub fn publisher(bytes: &[u8]) {
    let settings = PublisherSettings {
        policy: Policy::development(),
        ..PublisherSettings::default()
    };
    let entropy = Box::new(Entropy::new(1));
    let mut publisher = Publisher::new(owner(), settings, Roll::default(), entropy);
    publisher.on_established();
    for frame in frames(bytes) {
        publisher.on_frame(CLOCK, frame);
        publisher.pump(
            CLOCK,
            Credit {
                control: 1 << 20,
                data: 1 << 20,
            },
        );
        while publisher.poll_event().is_some() {}
    }
    assert!(!publisher.is_open());
    for output in publisher.take_outputs() {
        if let Output::Send { frame, .. } = output {
            let head = routing::FromPublisher::decode(frame.head).expect("own frames decode");
            assert!(matches!(
                head.frame,
                Some(from_publisher::Frame::Challenge(_) | from_publisher::Frame::Secrets(_))
            ));
        }
    }
}

/// Frames to a subscriber that has asked.
///
/// # Panics
/// When anything is delivered: nobody here knows a key.
pub fn subscriber(bytes: &[u8]) {
    for plain in [false, true] {
        let mut subscriber = Subscriber::new(
            owner().public().clone(),
            consumer(),
            Vec::new(),
            SubscriberSettings {
                plain,
                ..SubscriberSettings::default()
            },
            Memory::default(),
            Box::new(Entropy::new(1)),
        );
        subscriber.on_established();
        for frame in frames(bytes) {
            subscriber.on_frame(CLOCK, frame, &mut |delivery| {
                panic!("delivered {:?}", delivery.payload)
            });
            while subscriber.poll_event().is_some() {}
            subscriber.take_outputs();
        }
    }
}

/// Records of a publisher's journal, or of a consumer's.
///
/// # Panics
/// When a roll or a memory that was rebuilt does not rebuild itself from its own records.
pub fn roll(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    let records: Vec<_> = std::iter::from_fn(|| pieces.piece().map(<[u8]>::to_vec)).collect();
    let memory = Memory::replay(&records).records();
    assert_eq!(Memory::replay(&memory).records(), memory);
    if let Ok(roll) = Roll::replay(&records) {
        let own: Vec<_> = roll.records().collect();
        let again = Roll::replay(&own).unwrap_or_else(|at| panic!("record {at} is not read back"));
        assert_eq!(again.records().collect::<Vec<_>>(), own);
    }
}
