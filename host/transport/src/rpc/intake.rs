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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CloseReason, Role};

    const LINK: LinkId = LinkId(1);
    const ROOM: u64 = 1 << 30;

    fn now(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn frame(link: LinkId, message: Message) -> LinkEvent {
        let frame = message.into_frame();
        LinkEvent::Frame {
            link,
            class: class_of(&frame),
            credit: frame.cost(),
            frame,
        }
    }

    fn bulk(bytes: usize) -> Frame {
        Frame::default().with(vec![0; bytes])
    }

    fn request(id: u64, bytes: usize) -> LinkEvent {
        frame(LINK, Message::Request(id, bulk(bytes)))
    }

    fn establish(intake: &mut Intake, link: LinkId) {
        let established = LinkEvent::Established {
            link,
            peer: PeerKey([1; 32]),
            role: Role::Client,
        };
        intake.on_event(now(0), established);
    }

    fn linked(settings: RpcSettings) -> Intake {
        let mut intake = Intake::new(settings);
        establish(&mut intake, LINK);
        intake
    }

    fn outputs(intake: &mut Intake) -> Vec<Output> {
        std::iter::from_fn(|| intake.poll_output()).collect()
    }

    fn runs(intake: &mut Intake) -> Vec<RunId> {
        let run = |output| match output {
            Output::Run(run, ..) => Some(run),
            _ => None,
        };
        outputs(intake).into_iter().filter_map(run).collect()
    }

    /// What is sent with ample credit.
    fn sent(intake: &mut Intake) -> Vec<Message> {
        let mut sent = Vec::new();
        for class in FrameClass::ALL {
            while let Some((_, frame)) = intake.next(LINK, class, ROOM, ROOM) {
                sent.push(Message::parse(frame).unwrap());
            }
        }
        sent
    }

    #[test]
    fn credit_goes_back_when_the_handler_is_done() {
        let mut intake = linked(RpcSettings::default());
        intake.on_event(now(0), request(5, 100_000));
        let [Output::Run(run, ..)] = outputs(&mut intake)[..] else {
            panic!("it runs, and nothing is released");
        };

        intake.on_ended(now(1), run, Ended::Reply(Frame::new("done")));

        let cost = Message::Request(5, bulk(100_000)).into_frame().cost();
        let released = Output::Release(LINK, FrameClass::Data, cost);
        assert_eq!(outputs(&mut intake), [released]);
        assert_eq!(sent(&mut intake), [Message::Reply(5, Frame::new("done"))]);
    }

    #[test]
    fn requests_beyond_the_bytes_held_are_refused_and_not_begun() {
        let mut intake = linked(RpcSettings {
            held_max: 250_000,
            ..RpcSettings::default()
        });

        for id in 1..=3 {
            intake.on_event(now(0), request(id, 100_000));
        }

        assert_eq!(runs(&mut intake).len(), 2);
        assert_eq!(
            sent(&mut intake),
            [Message::Refusal(3, Refusal::Overloaded)]
        );
    }

    #[test]
    fn a_reply_without_room_gives_way_to_a_refusal() {
        let mut intake = linked(RpcSettings {
            unread_max: 250_000,
            ..RpcSettings::default()
        });
        for id in 1..=3 {
            intake.on_event(now(0), request(id, 0));
        }

        for run in runs(&mut intake) {
            intake.on_ended(now(0), run, Ended::Reply(bulk(100_000)));
        }

        let no_room = Message::Refusal(3, Refusal::NoRoom);
        assert_eq!(sent(&mut intake)[0], no_room);
    }

    #[test]
    fn a_cancelled_request_ends_and_is_not_answered() {
        let mut intake = linked(RpcSettings::default());
        intake.on_event(now(0), request(1, 0));
        intake.on_event(now(0), request(2, 0));
        let [first, second] = runs(&mut intake)[..] else {
            panic!("two run");
        };
        intake.on_ended(now(0), second, Ended::Reply(bulk(100_000)));
        outputs(&mut intake);

        intake.on_event(now(0), frame(LINK, Message::Cancel(1)));
        intake.on_event(now(0), frame(LINK, Message::Cancel(2)));
        intake.on_event(now(0), frame(LINK, Message::Cancel(3)));

        assert!(outputs(&mut intake).contains(&Output::Abort(first)));
        intake.on_ended(now(0), first, Ended::Aborted);
        assert_eq!(sent(&mut intake), []);
        assert_eq!(intake.held, 0);
        assert!(intake.is_quiet());
    }

    #[test]
    fn a_number_is_free_again_once_its_reply_has_left_and_not_before() {
        let mut intake = linked(RpcSettings::default());
        intake.on_event(now(0), request(1, 0));
        let run = runs(&mut intake)[0];
        intake.on_ended(now(0), run, Ended::Reply(Frame::default()));
        sent(&mut intake);

        intake.on_event(now(0), request(1, 0));
        assert_eq!(runs(&mut intake).len(), 1);
        intake.on_event(now(0), request(1, 0));

        assert!(matches!(
            outputs(&mut intake)[..],
            [Output::Abort(_), Output::Close(LINK, _)]
        ));
    }

    #[test]
    fn a_lost_link_ends_its_requests_and_what_is_held_for_it() {
        let mut intake = linked(RpcSettings::default());
        intake.on_event(now(0), request(1, 100_000));
        intake.on_event(now(0), request(2, 0));
        let running = runs(&mut intake);
        intake.on_ended(now(0), running[1], Ended::Reply(bulk(100_000)));
        outputs(&mut intake);

        let reason = CloseReason::Forgotten;
        intake.on_event(now(0), LinkEvent::Closed { link: LINK, reason });

        assert_eq!(outputs(&mut intake), [Output::Abort(running[0])]);
        intake.on_ended(now(0), running[0], Ended::Aborted);
        assert_eq!(intake.held, 0);
        assert!(intake.is_quiet());
    }

    #[test]
    fn replies_that_make_no_progress_cost_the_link() {
        let settings = RpcSettings::default();
        let mut intake = linked(settings);
        intake.on_event(now(0), request(1, 0));
        let run = runs(&mut intake)[0];
        intake.on_ended(now(0), run, Ended::Reply(bulk(100_000)));
        outputs(&mut intake);

        intake.on_timeout(settings.stall_timeout - now(1));
        assert_eq!(outputs(&mut intake), []);
        intake.on_timeout(settings.stall_timeout + STALL_LOOK);

        assert!(matches!(outputs(&mut intake)[..], [Output::Close(LINK, _)]));
        assert_eq!(intake.next_timeout(), None);
    }

    #[test]
    fn what_is_held_is_what_is_there_and_within_its_bounds_whatever_happens() {
        let settings = RpcSettings {
            in_flight_per_link: 6,
            handlers_max: 12,
            held_max: 400_000,
            unread_max: 150_000,
            ..RpcSettings::default()
        };
        let mut intake = Intake::new(settings);
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
        let mut roll = move |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let (mut running, mut tokens) = (Vec::new(), [[0; 2]; 4]);
        for step in 0..200_000 {
            let (at, link) = (now(step), roll(4));
            let id = LinkId(link);
            let class = FrameClass::ALL[roll(2) as usize];
            let bytes = roll(40_000) as usize;
            match roll(8) {
                0 if !intake.peers.contains_key(&id) => {
                    establish(&mut intake, id);
                    tokens[link as usize] = [0; 2];
                }
                1 | 2 => intake.on_event(at, frame(id, Message::Request(step, bulk(bytes)))),
                3 => intake.on_event(at, frame(id, Message::Cancel(step - roll(30).min(step)))),
                4 | 5 if !running.is_empty() => {
                    let run = running.swap_remove(roll(running.len() as u64) as usize);
                    intake.on_ended(at, run, Ended::Reply(bulk(bytes)));
                }
                6 => {
                    if let Some((token, _)) = intake.next(id, class, roll(60_000), 30_000) {
                        tokens[link as usize][class.index()] = token;
                    }
                }
                7 => {
                    let token = tokens[link as usize][class.index()];
                    let reason = CloseReason::Forgotten;
                    intake.on_event(
                        at,
                        match roll(20) {
                            0 => LinkEvent::Closed { link: id, reason },
                            _ => LinkEvent::Acked {
                                link: id,
                                class,
                                token,
                            },
                        },
                    );
                }
                _ => {}
            }
            running.extend(runs(&mut intake));

            let requests: u64 = intake.running.values().map(|run| run.credit).sum();
            let unread: u64 = intake.peers.values().map(|peer| peer.unread).sum();
            assert_eq!(intake.held, requests + unread);
            assert!(intake.held <= settings.held_max);
            assert!(intake.running.len() <= settings.handlers_max);
            for peer in intake.peers.values() {
                assert!(peer.unread <= settings.unread_max);
                assert!(peer.asked.len() <= settings.in_flight_per_link);
                let unsent = peer.unsent.iter().map(VecDeque::len).sum::<usize>();
                assert!(unsent <= UNSENT_MAX + settings.in_flight_per_link);
            }
        }
    }
}
