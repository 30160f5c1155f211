//! Credit that is owed to senders: given back when everything that came of a frame has arrived.
//!
//! Invariant: each debt is paid once, when the last frame that hangs on it has arrived or its link is gone.

use std::collections::{HashMap, VecDeque};

use sc_transport::{FrameClass, LinkId};

/// What a sender gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) link: LinkId,
    pub(crate) class: FrameClass,
    pub(crate) bytes: u64,
}

struct Debt {
    due: Due,
    /// Frames that have not arrived yet, and one while more may still be added.
    open: usize,
}

/// A debt's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DebtId(u64);

#[derive(Default)]
pub(crate) struct Credit {
    last: u64,
    debts: HashMap<DebtId, Debt>,
    /// Frames on their way, in the order in which their link sends them.
    sent: HashMap<(LinkId, FrameClass), VecDeque<(u64, DebtId)>>,
}

impl Credit {
    /// A frame has come that cost `due`; stays open until [`Credit::settle`].
    pub(crate) fn owe(&mut self, due: Due) -> DebtId {
        self.last += 1;
        let id = DebtId(self.last);
        self.debts.insert(id, Debt { due, open: 1 });
        id
    }

    /// Something else hangs on `debt`, which has to be settled once more.
    pub(crate) fn extend(&mut self, debt: DebtId) {
        if let Some(debt) = self.debts.get_mut(&debt) {
            debt.open += 1;
        }
    }

    /// A frame that comes of `debt` goes out on `link`; returns the token to send it with.
    pub(crate) fn sent(&mut self, debt: DebtId, link: LinkId, class: FrameClass) -> u64 {
        self.last += 1;
        self.extend(debt);
        self.sent
            .entry((link, class))
            .or_default()
            .push_back((self.last, debt));
        self.last
    }

    /// The token of a frame on which no debt hangs: its arrival shows that the frames before it have arrived.
    pub(crate) fn sent_free(&self) -> u64 {
        self.last
    }

    /// Nothing more will come of `debt`; returns what is due if nothing is on its way.
    #[must_use]
    pub(crate) fn settle(&mut self, debt: DebtId) -> Option<Due> {
        let entry = self.debts.get_mut(&debt)?;
        entry.open -= 1;
        if entry.open > 0 {
            return None;
        }
        self.debts.remove(&debt).map(|debt| debt.due)
    }

    /// The frame sent with `token`, and those before it, have arrived.
    pub(crate) fn arrived(
        &mut self,
        link: LinkId,
        class: FrameClass,
        token: u64,
        due: &mut Vec<Due>,
    ) {
        let Some(queue) = self.sent.get_mut(&(link, class)) else {
            return;
        };
        let mut settled = Vec::new();
        while let Some((_, debt)) = queue.pop_front_if(|(sent, _)| *sent <= token) {
            settled.push(debt);
        }
        due.extend(settled.into_iter().filter_map(|debt| self.settle(debt)));
    }

    /// A link is gone, and with it all that was on its way there.
    pub(crate) fn lost(&mut self, link: LinkId, due: &mut Vec<Due>) {
        for class in FrameClass::ALL {
            self.arrived(link, class, u64::MAX, due);
            self.sent.remove(&(link, class));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Due = Due {
        link: LinkId(1),
        class: FrameClass::Data,
        bytes: 100,
    };
    const DATA: FrameClass = FrameClass::Data;

    #[test]
    fn credit_is_due_once_the_last_frame_has_arrived() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        let first = credit.sent(debt, LinkId(2), DATA);
        let second = credit.sent(debt, LinkId(3), DATA);
        assert_eq!(credit.settle(debt), None);

        let mut due = Vec::new();
        credit.arrived(LinkId(2), DATA, first, &mut due);
        assert_eq!(due, []);
        credit.arrived(LinkId(3), DATA, second, &mut due);

        assert_eq!(due, [DUE]);
    }

    #[test]
    fn a_link_that_is_gone_settles_what_hung_on_it() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        credit.sent(debt, LinkId(2), DATA);
        assert_eq!(credit.settle(debt), None);

        let mut due = Vec::new();
        credit.lost(LinkId(2), &mut due);

        assert_eq!(due, [DUE]);
        assert!(credit.debts.is_empty() && credit.sent.is_empty());
    }

    #[test]
    fn an_acknowledgement_covers_the_frames_before_it_and_no_later_one() {
        let mut credit = Credit::default();
        let debts = [1, 2, 3].map(|bytes| credit.owe(Due { bytes, ..DUE }));
        let tokens = debts.map(|debt| credit.sent(debt, LinkId(2), DATA));
        assert!(debts.iter().all(|debt| credit.settle(*debt).is_none()));

        let mut due = Vec::new();
        credit.arrived(LinkId(2), DATA, tokens[1], &mut due);

        assert_eq!(due.iter().map(|due| due.bytes).collect::<Vec<_>>(), [1, 2]);
    }
    #[test]
    fn a_frame_without_a_debt_shows_that_those_before_it_have_arrived() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        credit.sent(debt, LinkId(2), DATA);
        assert_eq!(credit.settle(debt), None);
        let free = credit.sent_free();
        let later = credit.owe(DUE);
        credit.sent(later, LinkId(2), DATA);
        assert_eq!(credit.settle(later), None);

        // The link acknowledges both at once, by the token of the last.
        let mut due = Vec::new();
        credit.arrived(LinkId(2), DATA, free, &mut due);

        assert_eq!(due, [DUE]);
    }
}
