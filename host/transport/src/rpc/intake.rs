//! The requests of a responder: which run, which replies wait, and what is refused.
//!
//! Invariant: the cost of requests that run and of replies that have not arrived stays within
//! [`RpcSettings::held_max`], that of one link's replies within [`RpcSettings::unread_max`]; what is beyond is refused,
//! never kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::event::{LinkEvent, LinkId};
use crate::frame::{Frame, FrameClass};
use crate::identity::PeerKey;

use super::RpcSettings;
use super::message::{Message, Refusal, class_of};

/// A link on which so many answers wait is closed: its peer asks without reading. More than one batch of the driver.
pub(super) const UNSENT_MAX: usize = 2048;
/// How often it is looked whether replies make progress.
const STALL_LOOK: Duration = Duration::from_secs(1);

/// Names one run of the handler.
pub(super) type RunId = u64;

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With a reply.
    Reply(Frame),
    /// Because it was asked to.
    Aborted,
    /// The handler broke down.
    Failed,
}

/// Something that the shell has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Run the handler; its end is due whatever happens.
    Run(RunId, PeerKey, Frame),
    /// Have a run end now.
    Abort(RunId),
    /// Give a peer credit back.
    Release(LinkId, FrameClass, u64),
    /// The peer broke the rules.
    Close(LinkId, &'static str),
}

/// A request whose handler runs.
#[derive(Debug)]
struct Running {
    link: LinkId,
    /// Its number on that link; `None` once nobody waits for the reply.
    id: Option<u64>,
    class: FrameClass,
    credit: u64,
}

/// A reply or refusal that waits for credit.
#[derive(Debug)]
struct Unsent {
    id: u64,
    frame: Frame,
    /// What is held for it.
    cost: u64,
}

/// One link.
#[derive(Debug)]
struct Peer {
    key: PeerKey,
    /// Requests taken whose replies have not left and that were not cancelled, with the run of each that has not ended.
    asked: HashMap<u64, Option<RunId>>,
    unsent: [VecDeque<Unsent>; 2],
    /// Tokens and costs of what was sent and has not arrived.
    unacked: [VecDeque<(u64, u64)>; 2],
    /// Cost of all replies, unsent or not arrived.
    unread: u64,
    /// When something last arrived, or began to wait.
    progress: Duration,
}

/// The requests of all links.
#[derive(Debug)]
pub(super) struct Intake {
    settings: RpcSettings,
    peers: BTreeMap<LinkId, Peer>,
    running: HashMap<RunId, Running>,
    last_run: RunId,
    last_token: u64,
    held: u64,
    /// Links that may have something to send.
    ready: BTreeSet<LinkId>,
    /// Links with unsent replies.
    waiting: BTreeSet<LinkId>,
    looked: Duration,
    is_ending: bool,
    outputs: VecDeque<Output>,
}

impl Intake {
    pub(super) fn new(settings: RpcSettings) -> Self {
        Self {
            settings,
            peers: BTreeMap::new(),
            running: HashMap::new(),
            last_run: 0,
            last_token: 0,
            held: 0,
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            looked: Duration::ZERO,
            is_ending: false,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// From now on every request is refused.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether nothing runs and no reply waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn on_event(&mut self, now: Duration, event: LinkEvent) {
        match event {
            LinkEvent::Established { link, peer, .. } => {
                let peer = Peer {
                    key: peer,
                    asked: HashMap::new(),
                    unsent: Default::default(),
                    unacked: Default::default(),
                    unread: 0,
                    progress: now,
                };
                self.peers.insert(link, peer);
            }
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } => match Message::parse(frame) {
                Ok(Message::Request(id, request)) => {
                    self.on_request(now, link, class, id, request, credit);
                }
                Ok(Message::Cancel(id)) => {
                    self.release(link, class, credit);
                    self.on_cancel(link, id);
                }
                _ => self.close(link, "neither a request nor a cancel came"),
            },
            LinkEvent::Acked { link, class, token } => self.on_acked(now, link, class, token),
            LinkEvent::Granted { link, .. } => {
                self.ready.insert(link);
            }
            LinkEvent::Closed { link, .. } => self.on_closed(link),
            _ => {}
        }
    }

    fn on_request(
        &mut self,
        now: Duration,
        link: LinkId,
        class: FrameClass,
        id: u64,
        request: Frame,
        credit: u64,
    ) {
        let running = self.running.len();
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if peer.asked.contains_key(&id) {
            return self.close(link, "a request came under the number of another");
        }
        if peer.unsent.iter().map(VecDeque::len).sum::<usize>() >= UNSENT_MAX {
            return self.close(link, "requests came, and no answer was taken");
        }
        let is_over = peer.asked.len() >= self.settings.in_flight_per_link
            || peer.unread > self.settings.unread_max
            || running >= self.settings.handlers_max
            || self.held + credit > self.settings.held_max;
        if self.is_ending || is_over {
            self.release(link, class, credit);
            let refusal = if self.is_ending {
                Refusal::Ending
            } else {
                Refusal::Overloaded
            };
            return self.refuse(now, link, id, refusal);
        }
        self.last_run += 1;
        self.held += credit;
        peer.asked.insert(id, Some(self.last_run));
        let run = Running {
            link,
            id: Some(id),
            class,
            credit,
        };
        self.running.insert(self.last_run, run);
        self.outputs
            .push_back(Output::Run(self.last_run, peer.key, request));
    }

    fn on_cancel(&mut self, link: LinkId, id: u64) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        match peer.asked.remove(&id) {
            Some(Some(run)) => self.abort(run),
            Some(None) => self.drop_unsent(link, id),
            // It was answered meanwhile.
            None => {}
        }
    }

    /// Nobody waits for this reply any more.
    fn drop_unsent(&mut self, link: LinkId, id: u64) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        for unsent in &mut peer.unsent {
            if let Some(index) = unsent.iter().position(|reply| reply.id == id) {
                let cost = unsent.remove(index).map_or(0, |reply| reply.cost);
                peer.unread -= cost;
                self.held -= cost;
            }
        }
        self.note_waiting(link);
    }

    fn abort(&mut self, run: RunId) {
        if let Some(running) = self.running.get_mut(&run) {
            running.id = None;
            self.outputs.push_back(Output::Abort(run));
        }
    }

    /// A run has ended and holds its request no more.
    pub(super) fn on_ended(&mut self, now: Duration, run: RunId, ended: Ended) {
        let Some(running) = self.running.remove(&run) else {
            return;
        };
        let Running {
            link,
            id,
            class,
            credit,
        } = running;
        self.held -= credit;
        self.release(link, class, credit);
        let Some(id) = id else { return };
        if let Some(asked) = self
            .peers
            .get_mut(&link)
            .and_then(|peer| peer.asked.get_mut(&id))
        {
            *asked = None;
        }
        match ended {
            Ended::Reply(reply) => self.reply(now, link, id, reply),
            Ended::Failed | Ended::Aborted => self.refuse(now, link, id, Refusal::Failed),
        }
    }

    fn reply(&mut self, now: Duration, link: LinkId, id: u64, reply: Frame) {
        let frame = Message::Reply(id, reply).into_frame();
        let (cost, held) = (frame.cost(), self.held);
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let unread = peer.unread + cost;
        if held + cost > self.settings.held_max || unread > self.settings.unread_max {
            return self.refuse(now, link, id, Refusal::NoRoom);
        }
        peer.unread = unread;
        self.held += cost;
        self.enqueue(now, link, Unsent { id, frame, cost });
    }

    fn refuse(&mut self, now: Duration, link: LinkId, id: u64, refusal: Refusal) {
        let frame = Message::Refusal(id, refusal).into_frame();
        // Bounded by the number of requests, so that nothing is counted for it.
        self.enqueue(now, link, Unsent { id, frame, cost: 0 });
    }

    fn enqueue(&mut self, now: Duration, link: LinkId, unsent: Unsent) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if self.waiting.insert(link) {
            peer.progress = now;
        }
        peer.unsent[class_of(&unsent.frame).index()].push_back(unsent);
        self.ready.insert(link);
    }

    /// A link to which something may be sent; each is named once after every change.
    pub(super) fn poll_ready(&mut self) -> Option<LinkId> {
        self.ready.pop_first()
    }

    /// The next message for `link`, with its token, if its cost is at most `room`, the credit in hand.
    ///
    /// A reply that costs more than `largest` would wait for ever, and becomes a refusal.
    pub(super) fn next(
        &mut self,
        link: LinkId,
        class: FrameClass,
        room: u64,
        largest: u64,
    ) -> Option<(u64, Frame)> {
        let peer = self.peers.get_mut(&link)?;
        let unsent = &mut peer.unsent[class.index()];
        let cost = unsent.front()?.frame.cost();
        if cost > room && cost <= largest {
            return None;
        }
        let Unsent { id, frame, cost } = unsent.pop_front()?;
        peer.asked.remove(&id);
        self.last_token += 1;
        peer.unacked[class.index()].push_back((self.last_token, cost));
        self.note_waiting(link);
        Some((self.last_token, frame))
    }

    /// The link did not take the message of this token, the last one polled: a reply gives way to a refusal.
    pub(super) fn on_unsent(
        &mut self,
        now: Duration,
        link: LinkId,
        class: FrameClass,
        frame: &Frame,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let cost = peer.unacked[class.index()]
            .pop_back()
            .map_or(0, |(_, cost)| cost);
        peer.unread -= cost;
        self.held -= cost;
        if let Ok(Message::Reply(id, _)) = Message::parse(frame.clone()) {
            self.refuse(now, link, id, Refusal::ReplyTooLarge);
        }
    }

    fn on_acked(&mut self, now: Duration, link: LinkId, class: FrameClass, token: u64) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.progress = now;
        let unacked = &mut peer.unacked[class.index()];
        while let Some((_, cost)) = unacked.pop_front_if(|(sent, _)| *sent <= token) {
            peer.unread -= cost;
            self.held -= cost;
        }
        self.ready.insert(link);
    }

    fn on_closed(&mut self, link: LinkId) {
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        self.held -= peer.unread;
        self.waiting.remove(&link);
        self.ready.remove(&link);
        for run in peer.asked.into_values().flatten() {
            self.abort(run);
        }
    }

    fn note_waiting(&mut self, link: LinkId) {
        let has_unsent = |peer: &Peer| peer.unsent.iter().any(|unsent| !unsent.is_empty());
        if !self.peers.get(&link).is_some_and(has_unsent) {
            self.waiting.remove(&link);
        }
    }

    fn release(&mut self, link: LinkId, class: FrameClass, credit: u64) {
        self.outputs.push_back(Output::Release(link, class, credit));
    }

    /// Closes a link; what still comes from it is not looked at.
    fn close(&mut self, link: LinkId, why: &'static str) {
        self.on_closed(link);
        self.outputs.push_back(Output::Close(link, why));
    }

    /// When to call [`Self::on_timeout`].
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.looked + STALL_LOOK)
    }

    /// Closes links whose peers do not take their replies.
    pub(super) fn on_timeout(&mut self, now: Duration) {
        if self.next_timeout().is_none_or(|due| due > now) {
            return;
        }
        self.looked = now;
        let stalled = |link: &&LinkId| {
            let peer = self.peers.get(link);
            peer.is_some_and(|peer| peer.progress + self.settings.stall_timeout <= now)
        };
        let stalled: Vec<LinkId> = self.waiting.iter().filter(stalled).copied().collect();
        for link in stalled {
            self.close(link, "replies were not taken");
        }
    }
}
