//! When a write is done: a pure count.
//!
//! Invariant: a fragment is stored, owed, or under way, and each of its answers counts once.

/// The fragments of one segment that is being written.
pub(crate) struct WriteQuorum {
    needed: usize,
    /// Of each of these groups one fragment must be durable.
    groups: Vec<Vec<usize>>,
    stored: Vec<bool>,
    under_way: Vec<bool>,
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
    /// Too little is durable, and no answer that is to come can change that.
    Failed,
}

impl WriteQuorum {
    /// All of `total` fragments are under way; `needed` of them must become durable, and one of each of the `groups`.
    pub(crate) fn new(total: usize, needed: usize, groups: Vec<Vec<usize>>) -> Self {
        Self {
            needed,
            groups,
            stored: vec![false; total],
            under_way: vec![true; total],
        }
    }

    /// Fragment `index` was answered for the last time.
    pub(crate) fn on_ack(&mut self, index: usize, is_durable: bool) -> Standing {
        self.under_way[index] = false;
        self.stored[index] = is_durable;
        self.standing()
    }

    pub(crate) fn standing(&self) -> Standing {
        let durable = self.stored.iter().filter(|stored| **stored).count();
        let has = |of: &[bool], group: &[usize]| group.iter().any(|&index| of[index]);
        let is_lost =
            |group: &Vec<usize>| !has(&self.stored, group) && !has(&self.under_way, group);
        if self.groups.iter().any(is_lost) {
            return Standing::Failed;
        }
        let all_groups = self.groups.iter().all(|group| has(&self.stored, group));
        let is_enough = durable >= self.needed && all_groups;
        let under_way = self.under_way.iter().filter(|it| **it).count();
        match (is_enough, under_way) {
            (true, 0) => Standing::Complete,
            (true, _) => Standing::Enough,
            (false, left) if durable + left < self.needed => Standing::Failed,
            (false, _) => Standing::Waiting,
        }
    }

    /// The fragments that have not been answered.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = usize> {
        let each = self.under_way.iter().enumerate();
        each.filter_map(|(index, under_way)| under_way.then_some(index))
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
        let mut quorum = WriteQuorum::new(3, 2, Vec::new());

        assert_eq!(quorum.on_ack(1, true), Standing::Waiting);
        assert_eq!(quorum.on_ack(0, true), Standing::Enough);
        assert_eq!(quorum.on_ack(2, false), Standing::Complete);
        assert!(!quorum.is_stored(2));
    }

    #[test]
    fn a_write_fails_as_soon_as_its_quorum_is_out_of_reach() {
        let mut quorum = WriteQuorum::new(2, 2, Vec::new());

        assert_eq!(quorum.on_ack(0, false), Standing::Failed);
        assert_eq!(quorum.on_ack(1, true), Standing::Failed);
    }

    #[test]
    fn a_write_is_enough_only_with_one_of_each_group() {
        let mut quorum = WriteQuorum::new(4, 2, vec![vec![3], vec![0, 1]]);

        assert_eq!(quorum.on_ack(0, true), Standing::Waiting);
        assert_eq!(quorum.on_ack(2, true), Standing::Waiting);
        assert_eq!(quorum.on_ack(3, true), Standing::Enough);
    }

    #[test]
    fn a_write_has_failed_as_soon_as_a_group_has() {
        let mut quorum = WriteQuorum::new(4, 1, vec![vec![0, 1]]);

        assert_eq!(quorum.on_ack(0, false), Standing::Waiting);
        assert_eq!(quorum.on_ack(1, false), Standing::Failed);
    }
}
