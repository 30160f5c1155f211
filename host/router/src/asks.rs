//! Requests on their way to an owner: a few on its link, more here.
//!
//! Invariant: an owner that does not take its requests has at most [`ASKS_SENT_MAX`] bytes of them, and one request, in its link's queue,
//! so that they never fill it, and at most [`ASKS_WAITING_MAX`] here.

use std::collections::VecDeque;

use sc_transport::Frame;

use crate::credit::DebtId;

/// Cost of requests sent to an owner that have not arrived, in bytes.
pub const ASKS_SENT_MAX: u64 = 1 << 20;
/// Cost of requests that wait for an owner, in bytes: those of ten thousand consumers that come at once.
pub const ASKS_WAITING_MAX: u64 = 64 << 20;

#[derive(Default)]
pub(crate) struct Asks {
    /// Tokens and costs.
    sent: VecDeque<(u64, u64)>,
    sent_cost: u64,
    waiting: VecDeque<(DebtId, Frame)>,
    waiting_cost: u64,
}

impl Asks {
    /// Takes a request; `false` when too much waits already.
    #[must_use]
    pub(crate) fn push(&mut self, debt: DebtId, frame: Frame) -> bool {
        let cost = frame.cost();
        if self.waiting_cost + cost > ASKS_WAITING_MAX {
            return false;
        }
        self.waiting_cost += cost;
        self.waiting.push_back((debt, frame));
        true
    }

    /// The next request that may go.
    pub(crate) fn pop(&mut self) -> Option<(DebtId, Frame)> {
        if self.sent_cost >= ASKS_SENT_MAX {
            return None;
        }
        let (debt, frame) = self.waiting.pop_front()?;
        self.waiting_cost -= frame.cost();
        Some((debt, frame))
    }

    /// A request goes out with this token.
    pub(crate) fn sent(&mut self, token: u64, cost: u64) {
        self.sent_cost += cost;
        self.sent.push_back((token, cost));
    }

    /// The request with this token did not go out after all.
    pub(crate) fn unsent(&mut self, token: u64) {
        if let Ok(at) = self.sent.binary_search_by_key(&token, |(sent, _)| *sent)
            && let Some((_, cost)) = self.sent.remove(at)
        {
            self.sent_cost -= cost;
        }
    }

    /// Everything up to this token has arrived.
    pub(crate) fn arrived(&mut self, token: u64) {
        while let Some((_, cost)) = self.sent.pop_front_if(|(sent, _)| *sent <= token) {
            self.sent_cost -= cost;
        }
    }

    /// What waits, for an owner that is gone.
    pub(crate) fn into_waiting(self) -> impl Iterator<Item = DebtId> {
        self.waiting.into_iter().map(|(debt, _)| debt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::{Credit, Due};
    use bytes::Bytes;
    use sc_transport::{FrameClass, LinkId};

    fn debt() -> DebtId {
        Credit::default().owe(Due {
            link: LinkId(1),
            class: FrameClass::Control,
            bytes: 1,
        })
    }

    /// A request of 512 KiB and its overhead.
    fn large() -> Frame {
        Frame::new("ask").with(Bytes::from(vec![0; 512 << 10]))
    }

    /// Sends what may go; returns how many.
    fn send(asks: &mut Asks, first: u64) -> u64 {
        let mut token = first;
        while let Some((_, frame)) = asks.pop() {
            asks.sent(token, frame.cost());
            token += 1;
        }
        token - first
    }

    #[test]
    fn an_owner_has_few_requests_at_once_and_the_next_when_they_have_arrived() {
        let mut asks = Asks::default();
        (0..5).for_each(|_| assert!(asks.push(debt(), large())));

        assert_eq!(send(&mut asks, 1), 2);
        assert_eq!(send(&mut asks, 3), 0);
        asks.arrived(1);
        assert_eq!(send(&mut asks, 3), 1);
        asks.arrived(3);

        assert_eq!(send(&mut asks, 4), 2);
    }

    #[test]
    fn a_request_that_did_not_go_out_makes_room_for_the_next() {
        let mut asks = Asks::default();
        (0..3).for_each(|_| assert!(asks.push(debt(), large())));
        assert_eq!(send(&mut asks, 1), 2);

        asks.unsent(2);
        asks.unsent(7);

        assert_eq!(send(&mut asks, 3), 1);
        asks.arrived(3);
        assert_eq!(asks.sent_cost, 0);
    }

    #[test]
    fn requests_beyond_the_bound_are_not_taken_until_some_have_gone() {
        let mut asks = Asks::default();
        let taken = (0..200).filter(|_| asks.push(debt(), large())).count();

        assert_eq!(taken, 127, "and their overheads make up for one more");
        assert!(asks.pop().is_some());
        assert!(asks.push(debt(), large()));
        assert_eq!(asks.into_waiting().count(), 127);
    }
}
