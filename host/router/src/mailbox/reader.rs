//! The consumer's present link, and what it has said there.

use std::time::Duration;

use sc_transport::LinkId;

use super::{Effect, Held, Kept, Mailbox, Place};

/// Sessions that a consumer may name on one link; of more, the oldest are forgotten. A consumer keeps the keys of four.
pub(crate) const NAMED_MAX: usize = 8;

/// Adds a session to those that a link has named, in order.
pub(crate) fn name(named: &mut Vec<u64>, session: u64) {
    if let Err(at) = named.binary_search(&session) {
        named.insert(at, session);
        if named.len() > NAMED_MAX {
            named.remove(0);
        }
    }
}

/// What is to be done with a notice of some session on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// Its session was not named, and a later one was: the consumer's keys of it are gone.
    PassOver,
    /// The consumer has not got the keys yet.
    Wait,
}

pub(super) struct Reader {
    pub(super) link: LinkId,
    pub(super) since: Duration,
    /// Sessions of which the consumer holds the keys, in order.
    named: Vec<u64>,
    /// The link's queue was full.
    stalled: bool,
}

impl Reader {
    /// Whether the consumer has still to name this session.
    pub(super) fn awaits(&self, session: u64) -> bool {
        self.named.last().is_none_or(|newest| session > *newest)
    }

    pub(super) fn serves(&self, session: u64) -> Verdict {
        if self.stalled {
            return Verdict::Wait;
        }
        match self.named.last() {
            Some(newest) if session <= *newest => match self.named.binary_search(&session) {
                Ok(_) => Verdict::Send,
                Err(_) => Verdict::PassOver,
            },
            _ => Verdict::Wait,
        }
    }

    pub(super) fn holds(&self, session: u64) -> bool {
        self.named.binary_search(&session).is_ok()
    }
}

impl Mailbox {
    /// The consumer's link wants to hear of this domain; `named` are the sessions that it has spoken of already.
    pub(crate) fn attach(
        &mut self,
        now: Duration,
        link: LinkId,
        named: &[u64],
        out: &mut Vec<Effect>,
    ) {
        if self.link() == Some(link) {
            return;
        }
        self.leave(now, out);
        self.reader = Some(Reader {
            link,
            since: now,
            named: named.to_vec(),
            stalled: false,
        });
        if !named.is_empty() {
            self.away_since = None;
            self.expired = false;
        }
        self.pump(out);
        self.relieve(out);
    }

    /// The consumer holds the keys of this session.
    pub(crate) fn name(&mut self, session: u64) {
        if let Some(reader) = &mut self.reader {
            name(&mut reader.named, session);
        }
    }

    pub(crate) fn link(&self) -> Option<LinkId> {
        self.reader.as_ref().map(|reader| reader.link)
    }

    /// The consumer's link is gone: what was sent on it and not acknowledged waits again.
    pub(crate) fn lose(&mut self, now: Duration, out: &mut Vec<Effect>) {
        if self.reader.is_some() {
            self.leave(now, out);
            self.relieve(out);
        }
    }

    /// Nothing counts as sent any more; another link may take the place of this one.
    fn leave(&mut self, now: Duration, out: &mut Vec<Effect>) {
        if self.reader.take().is_some() {
            self.away_since.get_or_insert(now);
            self.take_back((0, 0), out);
        }
    }

    /// The link has no room for the notice at `place`: it and all that follow wait until there is.
    pub(crate) fn stall(&mut self, place: Place, out: &mut Vec<Effect>) {
        if let Some(reader) = &mut self.reader {
            reader.stalled = true;
            self.take_back(place, out);
            self.relieve(out);
        }
    }

    /// The link has room again.
    pub(crate) fn unstall(&mut self, out: &mut Vec<Effect>) {
        if let Some(reader) = &mut self.reader {
            reader.stalled = false;
            self.pump(out);
        }
    }

    /// The notice at `place` is larger than the consumer takes: it is given up, and the consumer suspended, which it will be told.
    pub(crate) fn give_up(&mut self, place: Place, out: &mut Vec<Effect>) {
        let Ok(at) = self.flight.binary_search_by_key(&place, |held| held.place) else {
            return;
        };
        let held = self.flight.remove(at).expect("it was found there");
        self.flight_cost -= held.cost;
        out.extend(held.debt.map(Effect::Settle));
        out.push(Effect::GivenUp(1));
        if held.kept != Kept::Memory {
            self.unsendable.insert(place);
        }
        if self.unsendable.len() > super::UNSENDABLE_MAX {
            self.clear(out);
        }
        self.suspend(out);
    }

    /// Notices from `place` on count as not sent.
    fn take_back(&mut self, place: Place, out: &mut Vec<Effect>) {
        while let Some(held) = self.flight.pop_back_if(|held| held.place >= place) {
            self.flight_cost -= held.cost;
            if held.kept != Kept::Disk {
                self.return_to_tail(held);
            }
        }
        let last = self.flight.back().map_or(self.acked, |held| held.place);
        self.position = last.max(self.acked);
        if self.has_unread() {
            self.rewind(out);
        }
        super::shrink(&mut self.flight);
    }

    fn return_to_tail(&mut self, held: Held) {
        self.tail_cost += held.cost;
        self.tail.push_front(held);
    }
}
