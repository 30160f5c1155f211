//! Puts a publisher's messages back into the order of their counters.
//!
//! Control messages and batches travel in two classes of one link, so that one may overtake the other on the way; the trusted program
//! takes them only in order. Bounded by the publisher's credit, which is not given back while a message waits here.

use std::collections::BTreeMap;

/// Messages of one session that came before their turn.
pub(crate) struct Order<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            next: 1,
            early: BTreeMap::new(),
        }
    }
}

impl<T> Order<T> {
    /// Takes message `counter`; gives it back when its number has passed or is taken.
    pub(crate) fn push(&mut self, counter: u64, message: T) -> Result<(), T> {
        if counter < self.next || self.early.contains_key(&counter) {
            return Err(message);
        }
        self.early.insert(counter, message);
        Ok(())
    }

    /// Everything that still waits.
    pub(crate) fn into_waiting(self) -> impl Iterator<Item = T> {
        self.early.into_values()
    }

    /// The next message in order, if it is here.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let message = self.early.remove(&self.next)?;
        self.next += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_order_whatever_order_they_came_in() {
        let mut order = Order::default();
        let mut out = Vec::new();
        for counter in [3, 1, 2, 5, 4] {
            order.push(counter, counter).unwrap();
            out.extend(std::iter::from_fn(|| order.pop()));
        }

        assert_eq!(out, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_number_is_taken_once() {
        let mut order = Order::default();
        order.push(1, "first").unwrap();
        assert_eq!(order.push(1, "again"), Err("again"));
        assert_eq!(order.pop(), Some("first"));

        assert_eq!(order.push(1, "late"), Err("late"));
    }
}
