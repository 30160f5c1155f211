//! Credit that is owed to senders: given back when everything that came of a frame has been taken, is kept safely, or was given up.
//!
//! Invariant: each debt is paid once, when the last thing that hangs on it has ended.

use std::collections::{HashMap, VecDeque};

use sc_transport::{FrameClass, LinkId};

use crate::settled::Message;

/// What a sender gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) link: LinkId,
    pub(crate) class: FrameClass,
    pub(crate) bytes: u64,
}

/// A debt that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paid {
    pub(crate) due: Due,
    /// The publisher's message that the frame was.
    pub(crate) message: Option<Message>,
}

struct Debt {
    paid: Paid,
    /// What has not ended yet, and one while more may still be added.
    open: usize,
}

/// A debt's name, of no meaning once it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DebtId {
    index: u32,
    /// Which of the debts that have had this index.
    round: u32,
}

#[derive(Default)]
struct Slot {
    round: u32,
    debt: Option<Debt>,
}

#[derive(Default)]
pub(crate) struct Credit {
    slots: Vec<Slot>,
    free: Vec<u32>,
    last_token: u64,
    /// Control frames on their way, in the order in which their link sends them.
    sent: HashMap<LinkId, VecDeque<(u64, DebtId)>>,
}

impl Credit {
    /// A frame has come that cost `due`; stays open until [`Credit::settle`].
    pub(crate) fn owe(&mut self, due: Due) -> DebtId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("links have less credit than 2^32 frames")
        });
        let slot = &mut self.slots[index as usize];
        let paid = Paid { due, message: None };
        slot.debt = Some(Debt { paid, open: 1 });
        DebtId {
            index,
            round: slot.round,
        }
    }

    /// Whether nobody is owed anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    fn debt(&mut self, id: DebtId) -> Option<&mut Debt> {
        let slot = &mut self.slots[id.index as usize];
        slot.debt.as_mut().filter(|_| slot.round == id.round)
    }

    /// The frame was this message of a publisher.
    pub(crate) fn was(&mut self, debt: DebtId, message: Message) {
        if let Some(debt) = self.debt(debt) {
            debt.paid.message = Some(message);
        }
    }

    /// Something else hangs on `debt`, which has to be settled once more.
    pub(crate) fn extend(&mut self, debt: DebtId) {
        if let Some(debt) = self.debt(debt) {
            debt.open += 1;
        }
    }

    /// A control frame that comes of `debt` goes out on `link`; returns the token to send it with.
    pub(crate) fn sent(&mut self, debt: DebtId, link: LinkId) -> u64 {
        self.last_token += 1;
        self.extend(debt);
        let on_their_way = self.sent.entry(link).or_default();
        on_their_way.push_back((self.last_token, debt));
        self.last_token
    }

    /// The frame with this token did not go out after all.
    #[must_use]
    pub(crate) fn unsent(&mut self, link: LinkId, token: u64) -> Option<Paid> {
        let queue = self.sent.get_mut(&link)?;
        let at = queue.iter().rposition(|(sent, _)| *sent == token)?;
        let (_, debt) = queue.remove(at)?;
        self.settle(debt)
    }

    /// The token of a frame on which no debt hangs: its arrival shows that the frames before it have arrived.
    pub(crate) fn sent_free(&self) -> u64 {
        self.last_token
    }

    /// One thing that hung on `debt` has ended; returns it if that was the last.
    #[must_use]
    pub(crate) fn settle(&mut self, id: DebtId) -> Option<Paid> {
        let debt = self.debt(id)?;
        debt.open -= 1;
        if debt.open > 0 {
            return None;
        }
        let slot = &mut self.slots[id.index as usize];
        slot.round = slot.round.wrapping_add(1);
        self.free.push(id.index);
        slot.debt.take().map(|debt| debt.paid)
    }

    /// The control frame sent with `token`, and those before it, have arrived.
    pub(crate) fn arrived(&mut self, link: LinkId, token: u64, paid: &mut Vec<Paid>) {
        let Some(queue) = self.sent.get_mut(&link) else {
            return;
        };
        let mut settled = Vec::new();
        while let Some((_, debt)) = queue.pop_front_if(|(sent, _)| *sent <= token) {
            settled.push(debt);
        }
        paid.extend(settled.into_iter().filter_map(|debt| self.settle(debt)));
    }

    /// A link is gone, and with it all that was on its way there.
    pub(crate) fn lost(&mut self, link: LinkId, paid: &mut Vec<Paid>) {
        self.arrived(link, u64::MAX, paid);
        self.sent.remove(&link);
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
    const PAID: Paid = Paid {
        due: DUE,
        message: None,
    };

    #[test]
    fn credit_is_due_once_the_last_frame_has_arrived() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        let first = credit.sent(debt, LinkId(2));
        let second = credit.sent(debt, LinkId(3));
        assert_eq!(credit.settle(debt), None);

        let mut paid = Vec::new();
        credit.arrived(LinkId(2), first, &mut paid);
        assert_eq!(paid, []);
        credit.arrived(LinkId(3), second, &mut paid);

        assert_eq!(paid, [PAID]);
    }

    #[test]
    fn a_debt_that_is_paid_names_the_message_that_it_was() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        let message = Message {
            stream: 4,
            counter: 9,
        };
        credit.was(debt, message);

        let paid = credit.settle(debt);

        assert_eq!(paid.and_then(|paid| paid.message), Some(message));
    }

    #[test]
    fn a_link_that_is_gone_settles_what_hung_on_it() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        credit.sent(debt, LinkId(2));
        assert_eq!(credit.settle(debt), None);

        let mut paid = Vec::new();
        credit.lost(LinkId(2), &mut paid);

        assert_eq!(paid, [PAID]);
        assert!(credit.sent.is_empty());
    }

    #[test]
    fn an_acknowledgement_covers_the_frames_before_it_and_no_later_one() {
        let mut credit = Credit::default();
        let debts = [1, 2, 3].map(|bytes| credit.owe(Due { bytes, ..DUE }));
        let tokens = debts.map(|debt| credit.sent(debt, LinkId(2)));
        assert!(debts.iter().all(|debt| credit.settle(*debt).is_none()));

        let mut paid = Vec::new();
        credit.arrived(LinkId(2), tokens[1], &mut paid);

        let bytes: Vec<_> = paid.iter().map(|paid| paid.due.bytes).collect();
        assert_eq!(bytes, [1, 2]);
    }

    #[test]
    fn a_frame_without_a_debt_shows_that_those_before_it_have_arrived() {
        let mut credit = Credit::default();
        let debt = credit.owe(DUE);
        credit.sent(debt, LinkId(2));
        assert_eq!(credit.settle(debt), None);
        let free = credit.sent_free();

        let mut paid = Vec::new();
        credit.arrived(LinkId(2), free, &mut paid);

        assert_eq!(paid, [PAID]);
    }

    #[test]
    fn a_frame_that_did_not_go_out_is_settled_by_itself() {
        let mut credit = Credit::default();
        let debts = [credit.owe(DUE), credit.owe(DUE)];
        let tokens = debts.map(|debt| credit.sent(debt, LinkId(2)));
        assert!(debts.iter().all(|debt| credit.settle(*debt).is_none()));

        assert_eq!(credit.unsent(LinkId(2), tokens[1]), Some(PAID));
        assert_eq!(credit.unsent(LinkId(2), tokens[1]), None);

        let mut paid = Vec::new();
        credit.lost(LinkId(2), &mut paid);
        assert_eq!(paid, [PAID]);
    }

    #[test]
    fn a_paid_debts_name_means_nothing_even_when_its_place_is_taken_again() {
        let mut credit = Credit::default();
        let paid = credit.owe(DUE);
        assert_eq!(credit.settle(paid), Some(PAID));
        let next = credit.owe(DUE);
        assert_eq!(next.index, paid.index);

        credit.extend(paid);
        assert_eq!(credit.settle(paid), None);

        assert_eq!(credit.settle(next), Some(PAID));
    }
}
