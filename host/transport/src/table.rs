//! The established links of one side: looked up by id, tag or route, with their timers and what they have to say.
//!
//! Invariant: every index names exactly the entries that live; no operation costs more than O(log links).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::event::{CloseReason, LinkEvent, LinkId, Role, Route, SendError};
use crate::frame::{Frame, FrameClass};
use crate::identity::PeerKey;
use crate::link::Link;
use crate::receiving::Arrival;
use crate::settings::{LinkSettings, Terms};
use crate::transcript::Tag;
use crate::wire::{AckBody, Datagram};

/// Answers that belong to no link (hello replies, resets, closes) wait in a queue of this length; beyond it they are
/// dropped, and whoever waits for one asks again.
pub const OUTBOX_MAX: usize = 4096;

/// So many replaced links are remembered, to tell their peers why if they did not hear it: one that only knew its link
/// forgotten would come back and replace its successor in turn.
pub const REPLACED_MAX: usize = 1024;

/// Counts of what happened on all links of a side; for logs, metrics and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were no packet of this layer.
    pub malformed: u64,
    /// Handshake messages whose signature, nonce or key was not right.
    pub unproved: u64,
    /// Datagrams for links not known here.
    pub unknown: u64,
    /// Frames that came a second time.
    pub duplicates: u64,
    /// Frames dropped because one before them was missing.
    pub gaps: u64,
    /// Frames sent again.
    pub retransmitted: u64,
    /// Answers dropped because [`OUTBOX_MAX`] of them waited.
    pub unanswered: u64,
}

#[derive(Debug)]
struct Entry {
    link: Link,
    route: Route,
    peer: PeerKey,
    role: Role,
    /// The entry's place in `timers`.
    timer: Duration,
    /// Is in `ready`.
    queued: bool,
    /// The carrier takes no more for this route at the moment.
    held: bool,
    /// Counted in `undrained`.
    undrained: bool,
}

/// What a handshake has agreed on.
pub(crate) struct Agreed {
    pub(crate) tag: Tag,
    pub(crate) route: Route,
    pub(crate) peer: PeerKey,
    pub(crate) role: Role,
    pub(crate) theirs: Terms,
}

/// The links of one side.
#[derive(Debug, Default)]
pub struct Table {
    /// Boxed, so that the free half of a growing table costs little.
    entries: HashMap<LinkId, Box<Entry>>,
    by_tag: HashMap<Tag, LinkId>,
    by_route: HashMap<Bytes, LinkId>,
    /// Of the roles that have one link per key.
    by_peer: HashMap<(PeerKey, Role), LinkId>,
    timers: BTreeSet<(Duration, LinkId)>,
    ready: VecDeque<LinkId>,
    outbox: VecDeque<(Bytes, Datagram)>,
    events: VecDeque<LinkEvent>,
    last_close: Option<CloseReason>,
    /// Oldest first.
    replaced: VecDeque<Tag>,
    last_id: u64,
    undrained: usize,
    pub(crate) counts: Counts,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, id: LinkId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(crate) fn has_peer(&self, peer: PeerKey, role: Role) -> bool {
        self.by_peer.contains_key(&(peer, role))
    }

    /// The link of `tag`, if it lives on this very route.
    pub(crate) fn find(&self, tag: Tag, route: &Route) -> Option<LinkId> {
        let id = *self.by_tag.get(&tag)?;
        (self.entries[&id].route == *route).then_some(id)
    }

    /// Adds a link, in place of the one on the same route and, in a role with one link per key, of that key's.
    pub(crate) fn establish(
        &mut self,
        now: Duration,
        agreed: Agreed,
        settings: &LinkSettings,
    ) -> LinkId {
        let Agreed {
            tag,
            route,
            peer,
            role,
            theirs,
        } = agreed;
        let same_peer = self.by_peer.get(&(peer, role)).copied();
        if let Some(old) = same_peer {
            self.close(old, CloseReason::Replaced);
        }
        if let Some(old) = self.by_route.get(&route.id).copied() {
            // Its peer comes back, as it would not if it were told that it was replaced.
            self.close(old, CloseReason::Ousted);
        }
        self.last_id += 1;
        let id = LinkId(self.last_id);
        self.by_tag.insert(tag, id);
        self.by_route.insert(route.id.clone(), id);
        if role.is_one_per_key() {
            self.by_peer.insert((peer, role), id);
        }
        let link = Link::new(now, tag, settings, &theirs);
        let timer = link.deadline();
        self.timers.insert((timer, id));
        let entry = Entry {
            link,
            route,
            peer,
            role,
            timer,
            queued: false,
            held: false,
            undrained: false,
        };
        self.entries.insert(id, Box::new(entry));
        self.events.push_back(LinkEvent::Established {
            link: id,
            peer,
            role,
        });
        id
    }

    /// Removes a link, tells the peer if that helps, and reports it. Does nothing for an unknown id.
    pub(crate) fn close(&mut self, id: LinkId, reason: CloseReason) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        let tag = entry.link.tag();
        self.by_tag.remove(&tag);
        if self.by_route.get(&entry.route.id) == Some(&id) {
            self.by_route.remove(&entry.route.id);
        }
        if self.by_peer.get(&(entry.peer, entry.role)) == Some(&id) {
            self.by_peer.remove(&(entry.peer, entry.role));
        }
        self.timers.remove(&(entry.timer, id));
        self.undrained -= usize::from(entry.undrained);
        if reason == CloseReason::Replaced {
            self.replaced.push_back(tag);
            if self.replaced.len() > REPLACED_MAX {
                self.replaced.pop_front();
            }
        }
        if let Some(code) = reason.code() {
            // Past the outbox's bound, because there are no more of these than links.
            self.outbox
                .push_back((entry.route.id, Datagram::close(tag, code, reason.to_peer())));
        }
        self.last_close = Some(reason.clone());
        self.events
            .push_back(LinkEvent::Closed { link: id, reason });
    }

    /// Closes every link.
    pub(crate) fn close_all(&mut self, reason: &str) {
        let mut links: Vec<LinkId> = self.entries.keys().copied().collect();
        links.sort_unstable();
        for link in links {
            self.close(link, CloseReason::Asked(reason.to_owned()));
        }
    }

    /// Whether the link of `tag` gave way to another lately.
    pub(crate) fn was_replaced(&self, tag: Tag) -> bool {
        self.replaced.contains(&tag)
    }

    /// Why the last link closed.
    pub(crate) fn last_close(&self) -> Option<&CloseReason> {
        self.last_close.as_ref()
    }

    /// Queues a datagram that belongs to no link.
    pub(crate) fn answer(&mut self, route: Bytes, datagram: Datagram) {
        if self.outbox.len() < OUTBOX_MAX {
            self.outbox.push_back((route, datagram));
        } else {
            self.counts.unanswered += 1;
        }
    }

    pub(crate) fn report(&mut self, event: LinkEvent) {
        self.events.push_back(event);
    }

    pub(crate) fn send(
        &mut self,
        now: Duration,
        id: LinkId,
        class: FrameClass,
        frame: Frame,
        token: u64,
    ) -> Result<(), SendError> {
        let entry = self.entries.get_mut(&id).ok_or(SendError::Closed)?;
        entry.link.send(now, class, frame, token)?;
        self.refresh(id);
        Ok(())
    }

    pub(crate) fn available(&self, id: LinkId, class: FrameClass) -> u64 {
        self.entries
            .get(&id)
            .map_or(0, |entry| entry.link.available(class))
    }

    pub(crate) fn largest(&self, id: LinkId, class: FrameClass) -> Option<u64> {
        self.entries.get(&id).map(|entry| entry.link.largest(class))
    }

    pub(crate) fn release(&mut self, now: Duration, id: LinkId, class: FrameClass, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.link.release(now, class, bytes);
            self.refresh(id);
        }
    }

    /// Takes a frame of a known link.
    pub(crate) fn on_carry(
        &mut self,
        now: Duration,
        id: LinkId,
        sequence: u64,
        class: FrameClass,
        ack: Option<AckBody>,
        frame: Frame,
    ) {
        if let Some(ack) = ack {
            self.on_ack(now, id, &ack);
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match entry.link.on_frame(now, sequence, class, &frame) {
            Ok(Arrival::Next { cost }) => {
                self.events.push_back(LinkEvent::Frame {
                    link: id,
                    class,
                    frame,
                    credit: cost,
                });
            }
            Ok(Arrival::Duplicate) => self.counts.duplicates += 1,
            Ok(Arrival::Gap) => self.counts.gaps += 1,
            Err(violation) => self.close(id, violation.into()),
        }
        self.refresh(id);
    }

    /// Takes an acknowledgement of a known link.
    pub(crate) fn on_ack(&mut self, now: Duration, id: LinkId, ack: &AckBody) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match entry.link.on_ack(now, ack) {
            Ok(progress) => {
                for class in FrameClass::ALL {
                    if let Some(token) = progress.acked[class.index()] {
                        self.events.push_back(LinkEvent::Acked {
                            link: id,
                            class,
                            token,
                        });
                    }
                    if progress.granted[class.index()] {
                        self.events
                            .push_back(LinkEvent::Granted { link: id, class });
                    }
                    if progress.writable[class.index()] {
                        self.events
                            .push_back(LinkEvent::Writable { link: id, class });
                    }
                }
                self.refresh(id);
            }
            Err(violation) => self.close(id, violation.into()),
        }
    }

    /// Has a link acknowledge at once.
    pub(crate) fn tell_now(&mut self, id: LinkId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.link.tell_now();
            self.refresh(id);
        }
    }

    /// Has a link ask whether the peer still knows it.
    pub(crate) fn ask(&mut self, now: Duration, id: LinkId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.link.ask(now);
            self.refresh(id);
        }
    }

    pub(crate) fn hold(&mut self, route: &[u8], held: bool) {
        if let Some(&id) = self.by_route.get(route) {
            self.entries
                .get_mut(&id)
                .expect("every route has an entry")
                .held = held;
            self.refresh(id);
        }
    }

    pub(crate) fn poll_transmit(&mut self, now: Duration) -> Option<(Bytes, Datagram)> {
        if let Some(answer) = self.outbox.pop_front() {
            return Some(answer);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.queued = false;
            if entry.held {
                continue;
            }
            let Some((datagram, again)) = entry.link.transmit(now) else {
                continue;
            };
            let route = entry.route.id.clone();
            self.counts.retransmitted += u64::from(again);
            self.refresh(id);
            return Some((route, datagram));
        }
        None
    }

    pub(crate) fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Serves every link whose time has come.
    pub(crate) fn on_timeout(&mut self, now: Duration) {
        while let Some(&(due, id)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, id));
            let entry = self.entries.get_mut(&id).expect("every timer has an entry");
            match entry.link.on_timeout(now) {
                Ok(()) => {
                    entry.timer = entry.link.deadline();
                    self.timers.insert((entry.timer, id));
                    self.refresh(id);
                }
                Err(reason) => self.close(id, reason),
            }
        }
    }

    /// Whether every frame sent on any link has been acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.undrained == 0
    }

    /// Puts a link that changed where it now belongs: among the ready, and earlier among the timers.
    fn refresh(&mut self, id: LinkId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if !entry.queued && !entry.held && entry.link.can_transmit() {
            entry.queued = true;
            self.ready.push_back(id);
        }
        let undrained = !entry.link.is_drained();
        if undrained != entry.undrained {
            entry.undrained = undrained;
            if undrained {
                self.undrained += 1
            } else {
                self.undrained -= 1
            }
        }
        let deadline = entry.link.deadline();
        if deadline < entry.timer {
            self.timers.remove(&(entry.timer, id));
            self.timers.insert((deadline, id));
            entry.timer = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_link_takes_less_than_a_kibibyte() {
        let slots = size_of::<(LinkId, Box<Entry>)>()
            + size_of::<(Tag, LinkId)>()
            + size_of::<(Bytes, LinkId)>()
            + size_of::<((PeerKey, Role), LinkId)>();
        let timer = size_of::<(Duration, LinkId)>();
        let (tag, routing_id) = (16, 16);

        // A hash table is at least 7/16 full, a node of a B-tree half.
        let most = size_of::<Entry>() + slots * 16 / 7 + timer * 2 + tag + routing_id;

        assert!(
            most <= 1024,
            "{most}, of which the entry {}",
            size_of::<Entry>()
        );
    }
}
