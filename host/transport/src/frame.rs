//! Frames: what the layers above exchange over a link, and what each costs in credit.
//!
//! Invariant: both ends compute the same cost from the same parts, so their credit accounts never drift apart.
//! Source: the cost rule of docs/FORMATS.md, "Links".

use bytes::Bytes;

/// Charged once per frame, so that a window also bounds the number of frames in flight. In bytes.
pub const FRAME_OVERHEAD: u64 = 128;
/// Charged per attachment, about what its handle costs a receiver. In bytes.
pub const ATTACHMENT_OVERHEAD: u64 = 64;
/// Largest head of a frame, in bytes: heads are small messages, bulk travels in attachments.
pub const HEAD_MAX: usize = 256 * 1024;
/// Most attachments that one frame may have.
pub const ATTACHMENTS_MAX: usize = 1024;

/// Which credit a frame is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameClass {
    /// Requests, answers and receipts: never waits behind halted data.
    Control,
    /// Bulk.
    Data,
}

impl FrameClass {
    /// Both classes, in the order in which a sender serves them.
    pub const ALL: [Self; 2] = [Self::Control, Self::Data];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Data => 1,
        }
    }
}

/// One message of the layers above.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The encoded message that says what the frame is; at most [`HEAD_MAX`] bytes.
    pub head: Bytes,
    /// Raw bytes that travel beside the head without being copied; at most [`ATTACHMENTS_MAX`].
    pub attachments: Vec<Bytes>,
}

impl Frame {
    /// A frame without attachments.
    pub fn new(head: impl Into<Bytes>) -> Self {
        Self {
            head: head.into(),
            attachments: Vec::new(),
        }
    }

    /// The same frame with one attachment more.
    #[must_use]
    pub fn with(mut self, attachment: impl Into<Bytes>) -> Self {
        self.attachments.push(attachment.into());
        self
    }

    /// The sum of the lengths of the parts, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.attachments
            .iter()
            .fold(self.head.len() as u64, |sum, part| sum + part.len() as u64)
    }

    /// Whether all parts are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the frame costs in credit, in bytes: its length and the overheads.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.len() + FRAME_OVERHEAD + ATTACHMENT_OVERHEAD * self.attachments.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_counts_every_part_and_both_overheads() {
        let frame = Frame::new("head").with("first").with(Bytes::new());

        assert_eq!(frame.len(), 9);
        assert_eq!(frame.cost(), 9 + FRAME_OVERHEAD + 2 * ATTACHMENT_OVERHEAD);
    }
}
