//! When a write is done: a pure count.
//!
//! Invariant: a fragment is stored, owed, or under way, and each of its answers counts once.

/// The fragments of one segment that is being written.
pub(crate) struct WriteQuorum {
    needed: usize,
    stored: Vec<bool>,
    under_way: usize,
}

/// How a write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not enough is durable yet, and may still become so.
    Waiting,
    /// Enough is durable; more may come.
    Enough,
    /// Everything has been answered, and enough is durable.
    Complete,
    /// Everything has been answered, and too little is durable.
    Failed,
}

impl WriteQuorum {
    /// All of `total` fragments are under way; `needed` of them must become durable.
    pub(crate) fn new(total: usize, needed: usize) -> Self {
        Self {
            needed,
            stored: vec![false; total],
            under_way: total,
        }
    }

    /// Fragment `index` was answered for the last time.
    pub(crate) fn on_ack(&mut self, index: usize, is_durable: bool) -> Standing {
        self.under_way -= 1;
        self.stored[index] = is_durable;
        self.standing()
    }

    pub(crate) fn standing(&self) -> Standing {
        let durable = self.stored.iter().filter(|stored| **stored).count();
        match (durable >= self.needed, self.under_way) {
            (true, 0) => Standing::Complete,
            (true, _) => Standing::Enough,
            (false, 0) => Standing::Failed,
            (false, _) => Standing::Waiting,
        }
    }

    pub(crate) fn is_stored(&self, index: usize) -> bool {
        self.stored[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_enough_with_its_quorum_and_complete_with_its_last_answer() {
        let mut quorum = WriteQuorum::new(3, 2);

        assert_eq!(quorum.on_ack(1, true), Standing::Waiting);
        assert_eq!(quorum.on_ack(0, true), Standing::Enough);
        assert_eq!(quorum.on_ack(2, false), Standing::Complete);
        assert!(!quorum.is_stored(2));
    }

    #[test]
    fn a_write_without_its_quorum_fails_with_its_last_answer() {
        let mut quorum = WriteQuorum::new(2, 2);

        assert_eq!(quorum.on_ack(0, true), Standing::Waiting);
        assert_eq!(quorum.on_ack(1, false), Standing::Failed);
    }
}
