//! The calls of one requester: which wait, which have left, and what each came to.
//!
//! Invariant: a caller is answered once or has withdrawn; a request leaves only with credit in hand, so what has not
//! left is known not to have been begun.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::event::{LinkEvent, LinkId};
use crate::frame::{Frame, FrameClass};

use super::message::{Message, class_of};
use super::{RpcError, RpcSettings};

/// What a caller gets.
pub(super) type Outcome = Result<Frame, RpcError>;

/// Something that the shell has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output<W> {
    /// Tell the caller.
    Answer(W, Outcome),
    /// Give the peer credit back.
    Release(FrameClass, u64),
    /// The peer broke the rules.
    Close(&'static str),
}

/// A request that has not left.
#[derive(Debug)]
struct Waiting<W> {
    frame: Frame,
    waiter: W,
    /// When it was handed in, or the link was lost.
    since: Duration,
}

/// A request that has left.
#[derive(Debug)]
struct Sent<W> {
    waiter: W,
    class: FrameClass,
}

/// Calls, each with a `W` that stands for its caller. Numbers of calls rise and are never used again.
#[derive(Debug)]
pub(super) struct Calls<W> {
    in_flight_max: usize,
    patience: Duration,
    max_frame: u64,
    link: Option<LinkId>,
    waiting: [BTreeMap<u64, Waiting<W>>; 2],
    sent: HashMap<u64, Sent<W>>,
    /// Requests that have left and whose callers have not waited.
    cancels: [VecDeque<u64>; 2],
    outputs: VecDeque<Output<W>>,
}

impl<W> Calls<W> {
    pub(super) fn new(settings: &RpcSettings) -> Self {
        Self {
            in_flight_max: settings.in_flight_per_link,
            patience: settings.link_patience,
            max_frame: settings.max_frame,
            link: None,
            waiting: Default::default(),
            sent: HashMap::new(),
            cancels: Default::default(),
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        self.link
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<W>> {
        self.outputs.pop_front()
    }

    /// Takes a call.
    pub(super) fn submit(&mut self, now: Duration, id: u64, request: Frame, waiter: W) {
        let frame = Message::Request(id, request).into_frame();
        let waiting = Waiting {
            waiter,
            since: now,
            frame,
        };
        self.waiting[class_of(&waiting.frame).index()].insert(id, waiting);
    }

    /// The caller does not wait any more, and is not answered.
    pub(super) fn withdraw(&mut self, id: u64) {
        let _ = self.give_up(id);
    }

    /// The caller's deadline has passed.
    pub(super) fn expire(&mut self, id: u64) {
        if let Some((waiter, has_left)) = self.give_up(id) {
            let error = if has_left {
                RpcError::Deadline
            } else {
                RpcError::NotSent
            };
            self.answer(waiter, Err(error));
        }
    }

    /// Removes a call; returns who waited and whether its request has left.
    fn give_up(&mut self, id: u64) -> Option<(W, bool)> {
        if let Some(Sent { waiter, class }) = self.sent.remove(&id) {
            self.cancels[class.index()].push_back(id);
            return Some((waiter, true));
        }
        self.take_waiting(id).map(|waiting| (waiting.waiter, false))
    }

    fn take_waiting(&mut self, id: u64) -> Option<Waiting<W>> {
        self.waiting
            .iter_mut()
            .find_map(|waiting| waiting.remove(&id))
    }

    /// The next message to send, if its cost is at most `room`, the credit in hand; its call counts as sent.
    ///
    /// One that costs more than `largest` would wait for ever, and fails.
    pub(super) fn next(
        &mut self,
        class: FrameClass,
        room: u64,
        largest: u64,
    ) -> Option<(u64, Frame)> {
        self.link?;
        if let Some(&id) = self.cancels[class.index()].front() {
            let frame = Message::Cancel(id).into_frame();
            if frame.cost() > room {
                return None;
            }
            self.cancels[class.index()].pop_front();
            return Some((id, frame));
        }
        let is_full = self.in_flight() >= self.in_flight_max;
        loop {
            let first = self.waiting[class.index()].first_entry()?;
            let cost = first.get().frame.cost();
            if cost > largest {
                let (size, waiting) = (first.get().frame.len(), first.remove());
                let max = largest.saturating_sub(cost - size);
                self.answer(waiting.waiter, Err(RpcError::TooLarge { size, max }));
                continue;
            }
            if cost > room || is_full {
                return None;
            }
            let (id, Waiting { frame, waiter, .. }) = first.remove_entry();
            self.sent.insert(id, Sent { waiter, class });
            return Some((id, frame));
        }
    }

    /// Requests that the peer may be at work on.
    fn in_flight(&self) -> usize {
        self.sent.len() + self.cancels.iter().map(VecDeque::len).sum::<usize>()
    }

    /// The link did not take a request, which therefore has not left.
    pub(super) fn on_unsent(&mut self, id: u64, error: RpcError) {
        if let Some(Sent { waiter, .. }) = self.sent.remove(&id) {
            self.answer(waiter, Err(error));
        }
    }

    pub(super) fn on_event(&mut self, now: Duration, event: LinkEvent) {
        match event {
            LinkEvent::Established { link, .. } => self.link = Some(link),
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } if self.link == Some(link) => {
                self.outputs.push_back(Output::Release(class, credit));
                self.on_frame(frame);
            }
            LinkEvent::Closed { link, .. } if self.link == Some(link) => self.on_closed(now),
            _ => {}
        }
    }

    fn on_frame(&mut self, frame: Frame) {
        let (id, outcome) = match Message::parse(frame) {
            Ok(Message::Reply(id, reply)) => (id, Ok(reply)),
            Ok(Message::Refusal(id, refusal)) => (id, Err(refusal.error(self.max_frame))),
            _ => {
                let why = "neither a reply nor a refusal came";
                return self.outputs.push_back(Output::Close(why));
            }
        };
        // What is unknown was cancelled, and the reply left before the cancel came.
        if let Some(Sent { waiter, .. }) = self.sent.remove(&id) {
            self.answer(waiter, outcome);
        }
    }

    fn on_closed(&mut self, now: Duration) {
        self.link = None;
        self.cancels.iter_mut().for_each(VecDeque::clear);
        for (_, Sent { waiter, .. }) in self.sent.drain() {
            self.outputs
                .push_back(Output::Answer(waiter, Err(RpcError::Disconnected)));
        }
        for waiting in self.waiting.iter_mut().flat_map(BTreeMap::values_mut) {
            waiting.since = now;
        }
    }

    /// When to call [`Self::on_timeout`]: while there is no link, calls do not wait for ever.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        if self.link.is_some() {
            return None;
        }
        let first = |waiting: &BTreeMap<u64, Waiting<W>>| {
            waiting
                .first_key_value()
                .map(|(_, first)| first.since + self.patience)
        };
        self.waiting.iter().filter_map(first).min()
    }

    pub(super) fn on_timeout(&mut self, now: Duration) {
        if self.link.is_some() {
            return;
        }
        let patience = self.patience;
        for waiting in &mut self.waiting {
            while let Some(first) = waiting.first_entry() {
                if first.get().since + patience > now {
                    break;
                }
                let waiter = first.remove().waiter;
                self.outputs
                    .push_back(Output::Answer(waiter, Err(RpcError::NotSent)));
            }
        }
    }

    /// Answers every call: the requester ends.
    pub(super) fn end(&mut self) {
        let waiting = self.waiting.iter_mut().map(std::mem::take);
        let waiting = waiting
            .flat_map(BTreeMap::into_values)
            .map(|call| call.waiter);
        let sent = self.sent.drain().map(|(_, call)| call.waiter);
        self.outputs.extend(
            waiting
                .chain(sent)
                .map(|waiter| Output::Answer(waiter, Err(RpcError::Closed))),
        );
    }

    fn answer(&mut self, waiter: W, outcome: Outcome) {
        self.outputs.push_back(Output::Answer(waiter, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CloseReason, Role};
    use crate::identity::PeerKey;
    use crate::rpc::message::Refusal;

    const LINK: LinkId = LinkId(1);
    const ROOM: u64 = 1 << 20;

    fn now(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn established() -> LinkEvent {
        LinkEvent::Established {
            link: LINK,
            peer: PeerKey([1; 32]),
            role: Role::Store,
        }
    }

    fn arrived(message: Message) -> LinkEvent {
        let frame = message.into_frame();
        LinkEvent::Frame {
            link: LINK,
            class: FrameClass::Control,
            credit: frame.cost(),
            frame,
        }
    }

    fn linked(settings: &RpcSettings) -> Calls<u64> {
        let mut calls = Calls::new(settings);
        calls.on_event(now(0), established());
        calls
    }

    /// Takes a small call of each number, the number standing for its caller too.
    fn submit(calls: &mut Calls<u64>, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            calls.submit(now(0), id, Frame::new("request"), id);
        }
    }

    /// Numbers and messages of all that may be sent.
    fn sent(calls: &mut Calls<u64>) -> Vec<Message> {
        let mut sent = Vec::new();
        for class in FrameClass::ALL {
            while let Some((_, frame)) = calls.next(class, ROOM, ROOM) {
                sent.push(Message::parse(frame).unwrap());
            }
        }
        sent
    }

    fn answers(calls: &mut Calls<u64>) -> Vec<(u64, Outcome)> {
        let outputs = std::iter::from_fn(|| calls.poll_output());
        outputs
            .filter_map(|output| match output {
                Output::Answer(caller, outcome) => Some((caller, outcome)),
                _ => None,
            })
            .collect()
    }

    fn request(id: u64) -> Message {
        Message::Request(id, Frame::new("request"))
    }

    #[test]
    fn replies_go_to_whoever_asked_in_whatever_order_they_come() {
        let mut calls = linked(&RpcSettings::default());
        submit(&mut calls, [1, 2, 3]);
        assert_eq!(sent(&mut calls), [request(1), request(2), request(3)]);

        for id in [3, 1] {
            let reply = Frame::new(format!("reply {id}"));
            calls.on_event(now(1), arrived(Message::Reply(id, reply)));
        }
        let refusal = Message::Refusal(2, Refusal::Overloaded);
        calls.on_event(now(1), arrived(refusal));

        assert_eq!(
            answers(&mut calls),
            [
                (3, Ok(Frame::new("reply 3"))),
                (1, Ok(Frame::new("reply 1"))),
                (2, Err(RpcError::Overloaded)),
            ]
        );
    }

    #[test]
    fn a_reply_that_nobody_waits_for_is_ignored_and_its_credit_given_back() {
        let mut calls = linked(&RpcSettings::default());

        calls.on_event(now(0), arrived(Message::Reply(7, Frame::new("late"))));

        let cost = Message::Reply(7, Frame::new("late")).into_frame().cost();
        let released = Output::Release(FrameClass::Control, cost);
        assert_eq!(calls.poll_output(), Some(released));
        assert_eq!(calls.poll_output(), None);
    }

    #[test]
    fn whoever_sends_requests_or_garbage_to_a_requester_loses_the_link() {
        for message in [request(1), Message::Cancel(1)] {
            let mut calls = linked(&RpcSettings::default());

            calls.on_event(now(0), arrived(message));

            calls.poll_output();
            assert!(matches!(calls.poll_output(), Some(Output::Close(_))));
        }
    }

    #[test]
    fn an_expired_call_says_whether_its_request_had_left() {
        let settings = RpcSettings {
            in_flight_per_link: 1,
            ..RpcSettings::default()
        };
        let mut calls = linked(&settings);
        submit(&mut calls, [1, 2]);
        assert_eq!(sent(&mut calls), [request(1)]);

        calls.expire(2);
        calls.expire(1);

        assert_eq!(
            answers(&mut calls),
            [(2, Err(RpcError::NotSent)), (1, Err(RpcError::Deadline))]
        );
        assert_eq!(sent(&mut calls), [Message::Cancel(1)]);
    }

    #[test]
    fn a_cancel_does_not_overtake_its_request() {
        let mut calls = linked(&RpcSettings::default());
        let bulk = Frame::default().with(vec![0; 100_000]);
        calls.submit(now(0), 1, bulk, 1);
        assert!(calls.next(FrameClass::Data, ROOM, ROOM).is_some());

        calls.withdraw(1);

        assert!(calls.next(FrameClass::Control, ROOM, ROOM).is_none());
        assert!(calls.next(FrameClass::Data, ROOM, ROOM).is_some());
    }

    #[test]
    fn a_lost_link_loses_what_has_left_and_keeps_what_has_not() {
        let settings = RpcSettings {
            in_flight_per_link: 1,
            ..RpcSettings::default()
        };
        let mut calls = linked(&settings);
        submit(&mut calls, [1, 2]);
        sent(&mut calls);

        let reason = CloseReason::Forgotten;
        calls.on_event(now(10), LinkEvent::Closed { link: LINK, reason });

        assert_eq!(answers(&mut calls), [(1, Err(RpcError::Disconnected))]);
        assert_eq!(sent(&mut calls), []);
        assert_eq!(calls.next_timeout(), Some(now(10) + settings.link_patience));
        calls.on_event(now(20), established());
        assert_eq!(sent(&mut calls), [request(2)]);
    }

    #[test]
    fn without_a_link_patience_ends() {
        let settings = RpcSettings::default();
        let mut calls = Calls::new(&settings);
        submit(&mut calls, [1]);
        calls.submit(now(5), 2, Frame::new("request"), 2);

        calls.on_timeout(settings.link_patience);

        assert_eq!(answers(&mut calls), [(1, Err(RpcError::NotSent))]);
        calls.on_timeout(now(5) + settings.link_patience);
        assert_eq!(answers(&mut calls), [(2, Err(RpcError::NotSent))]);
        assert_eq!(calls.next_timeout(), None);
    }

    #[test]
    fn what_can_never_be_sent_fails_and_holds_up_nothing() {
        let mut calls = linked(&RpcSettings::default());
        let bulk = |bytes| Frame::default().with(vec![0; bytes]);
        calls.submit(now(0), 1, bulk(200_000), 1);
        calls.submit(now(0), 2, bulk(100_000), 2);

        let next = calls.next(FrameClass::Data, ROOM, 150_000);

        assert_eq!(next.map(|(id, _)| id), Some(2));
        assert!(matches!(
            answers(&mut calls)[..],
            [(1, Err(RpcError::TooLarge { .. }))]
        ));
    }
}
