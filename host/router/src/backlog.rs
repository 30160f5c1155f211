//! Frames for which a link's queue has no room, in the order in which they are to be sent.
//!
//! Invariant: while a frame of a link and class waits here, so does every later one; no link has more than [`BACKLOG_MAX`] bytes here.
//! Whoever sent what these frames come of does not get its credit back before they have arrived, so that waiting holds it back.

use std::collections::{BTreeMap, VecDeque};

use sc_transport::{Frame, FrameClass, LinkId};

/// The cost of the frames that wait for one link and class, in bytes. A program makes more of a batch than it was given when many
/// subscriptions match, so credit alone is no bound.
pub(crate) const BACKLOG_MAX: u64 = 256 << 20;

/// A frame, with the token to send it with.
pub(crate) type Held = (Frame, u64);

#[derive(Default)]
struct Queue {
    frames: VecDeque<Held>,
    cost: u64,
}

#[derive(Default)]
pub(crate) struct Backlog {
    queues: BTreeMap<(LinkId, FrameClass), Queue>,
}

impl Backlog {
    /// Whether a frame for this link and class has to wait behind others.
    pub(crate) fn holds(&self, link: LinkId, class: FrameClass) -> bool {
        self.queues.contains_key(&(link, class))
    }

    /// Keeps a frame; `false` when there is too much already.
    pub(crate) fn push(&mut self, link: LinkId, class: FrameClass, held: Held) -> bool {
        let queue = self.queues.entry((link, class)).or_default();
        let cost = queue.cost + held.0.cost();
        if cost > BACKLOG_MAX {
            return false;
        }
        queue.cost = cost;
        queue.frames.push_back(held);
        true
    }

    /// Everything that waits for this link and class, in order: it has room again.
    pub(crate) fn take(
        &mut self,
        link: LinkId,
        class: FrameClass,
    ) -> impl Iterator<Item = Held> + use<> {
        let queue = self.queues.remove(&(link, class)).unwrap_or_default();
        queue.frames.into_iter()
    }

    /// The link is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        for class in FrameClass::ALL {
            self.queues.remove(&(link, class));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);
    const DATA: FrameClass = FrameClass::Data;

    fn tokens(held: impl Iterator<Item = Held>) -> Vec<u64> {
        held.map(|(_, token)| token).collect()
    }

    #[test]
    fn frames_leave_in_order_and_each_link_and_class_by_itself() {
        let mut backlog = Backlog::default();
        for token in [1, 2, 3] {
            assert!(backlog.push(LINK, DATA, (Frame::new("frame"), token)));
        }
        backlog.push(LinkId(2), DATA, (Frame::new("other"), 4));

        assert!(!backlog.holds(LINK, FrameClass::Control));
        assert_eq!(tokens(backlog.take(LINK, DATA)), [1, 2, 3]);
        assert!(!backlog.holds(LINK, DATA) && backlog.holds(LinkId(2), DATA));
    }

    #[test]
    fn a_frame_beyond_the_bound_is_not_kept() {
        let mut backlog = Backlog::default();
        let part = bytes::Bytes::from(vec![0; 1 << 20]);
        let large = (0..64).fold(Frame::default(), |frame, _| frame.with(part.clone()));

        let kept = (0..5).filter(|token| backlog.push(LINK, DATA, (large.clone(), *token)));

        assert_eq!(
            kept.count(),
            3,
            "four times 64 MiB and what they cost besides"
        );
        assert_eq!(tokens(backlog.take(LINK, DATA)), [0, 1, 2]);
    }

    #[test]
    fn nothing_waits_for_a_link_that_is_gone() {
        let mut backlog = Backlog::default();
        backlog.push(LINK, DATA, (Frame::new("frame"), 1));

        backlog.forget(LINK);

        assert!(!backlog.holds(LINK, DATA));
    }
}
