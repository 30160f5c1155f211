//! What a frame is, as far as a host can see.

use sc_proto::Message as _;
use sc_proto::routing::{
    FromPublisher, FromSubscriber, ToPublisher, ToSubscriber, from_publisher, from_subscriber,
    to_publisher, to_subscriber,
};
use sc_transport::Frame;

use crate::party::Party;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Control,
    Batch,
    Ask,
    Answer,
    Ack,
    Notice,
    Receipt,
    Settled,
    Other,
}

impl Kind {
    pub(super) fn inbound(from: Party, frame: &Frame) -> Self {
        if let Party::Consumer(_) = from {
            let message = FromSubscriber::decode(frame.head.clone());
            return match message.ok().and_then(|message| message.frame) {
                Some(from_subscriber::Frame::Ask(_)) => Self::Ask,
                Some(from_subscriber::Frame::Ack(_)) => Self::Ack,
                _ => Self::Other,
            };
        }
        let message = FromPublisher::decode(frame.head.clone());
        match message.ok().and_then(|message| message.frame) {
            Some(from_publisher::Frame::Control(_)) => Self::Control,
            Some(from_publisher::Frame::Batch(_)) => Self::Batch,
            Some(from_publisher::Frame::Answer(_)) => Self::Answer,
            Some(from_publisher::Frame::Ask(_)) => Self::Ask,
            _ => Self::Other,
        }
    }

    pub(super) fn outbound(to: Party, frame: &Frame) -> Self {
        if let Party::Consumer(_) = to {
            let message = ToSubscriber::decode(frame.head.clone());
            return match message.ok().and_then(|message| message.frame) {
                Some(to_subscriber::Frame::Notice(_)) => Self::Notice,
                Some(to_subscriber::Frame::Answer(_)) => Self::Answer,
                _ => Self::Other,
            };
        }
        let message = ToPublisher::decode(frame.head.clone());
        match message.ok().and_then(|message| message.frame) {
            Some(to_publisher::Frame::Receipt(_)) => Self::Receipt,
            Some(to_publisher::Frame::Settled(_)) => Self::Settled,
            Some(to_publisher::Frame::Answer(_)) => Self::Answer,
            Some(to_publisher::Frame::Ask(_)) => Self::Ask,
            _ => Self::Other,
        }
    }

    /// Whether its first attachment is sealed.
    pub(super) fn is_sealed(self) -> bool {
        matches!(
            self,
            Self::Notice | Self::Receipt | Self::Answer | Self::Ask
        )
    }
}

/// Session and counter of a notice for a subscriber.
pub(crate) fn place(frame: &Frame) -> Option<(u64, u64)> {
    match ToSubscriber::decode(frame.head.clone()).ok()?.frame? {
        to_subscriber::Frame::Notice(notice) => Some((notice.session, notice.counter)),
        _ => None,
    }
}
