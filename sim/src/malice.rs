//! Malice: a host that does to its router's peers whatever a host can do.
//!
//! It sees every frame that comes and goes and every call of the trusted program. It holds no key but those that anybody can make for
//! himself. Invariant: each deed is counted when it is done; with the same random stream the same deeds are done.

mod forge;
mod kind;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sc_proto::Message as _;
use sc_proto::cbr::{self, call};
use sc_transport::{Frame, FrameClass, PeerKey};

use crate::fault::{Fault, Faults};
use crate::party::Party;
use crate::random::Random;
use forge::Forger;
use kind::Kind;
pub(crate) use kind::place;

/// Frames and calls that are remembered to be replayed.
const REMEMBERED: usize = 64;
/// The token of a call that the host makes on its own.
pub(crate) const OWN_CALL: u64 = u64::MAX;

/// What the host does, from when and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malice {
    /// Its schemes.
    pub schemes: Vec<Fault>,
    /// How likely it does a deed where it could, in parts of a thousand.
    pub chance: u32,
    /// From when.
    pub from: Duration,
    /// Until when: then an honest operator takes the machine over and starts the router again. `None`: to the end.
    pub until: Option<Duration>,
}

impl Malice {
    /// One to three schemes.
    pub(crate) fn draw(random: &mut Random, storm: Duration) -> Self {
        let count = random.within(1..4);
        let schemes = (0..count).map(|_| *random.pick(Fault::DEEDS)).collect();
        let from = random.time(Duration::from_millis(1), storm / 3);
        Self {
            schemes,
            chance: *random.pick(&[20, 150, 1000]),
            from,
            until: random.chance(800).then_some(storm),
        }
    }
}

/// Something that was kept from a party.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Withheld {
    pub(crate) at: Duration,
    pub(crate) from: Party,
    /// Session and counter of a notice.
    pub(crate) place: (u64, u64),
}

/// A frame on its way out.
pub(crate) struct Outbound {
    pub(crate) to: Party,
    pub(crate) class: FrameClass,
    pub(crate) frame: Frame,
}

/// The host at work.
pub(crate) struct Villain {
    plan: Malice,
    random: Random,
    keys: BTreeMap<Party, PeerKey>,
    forger: Forger,
    seen_out: VecDeque<(Party, FrameClass, Frame)>,
    seen_in: VecDeque<(Party, Frame)>,
    seen_calls: VecDeque<Bytes>,
    /// What waits to change places.
    held_notice: Option<(Party, Frame)>,
    held_in: Option<(Party, Frame)>,
    held_call: Option<(u64, Bytes)>,
    pub(crate) withheld: Vec<Withheld>,
}

impl Villain {
    pub(crate) fn new(plan: Malice, mut random: Random, keys: BTreeMap<Party, PeerKey>) -> Self {
        let forger = Forger::new(Random::new(random.draw(), "forger", 0));
        Self {
            plan,
            random,
            keys,
            forger,
            seen_out: VecDeque::new(),
            seen_in: VecDeque::new(),
            seen_calls: VecDeque::new(),
            held_notice: None,
            held_in: None,
            held_call: None,
            withheld: Vec::new(),
        }
    }

    fn is_at_work(&self, now: Duration) -> bool {
        self.plan.from <= now && self.plan.until.is_none_or(|until| now < until)
    }

    /// Whether it does this deed now.
    fn does(&mut self, deed: Fault, faults: &mut Faults) -> bool {
        let does = self.plan.schemes.contains(&deed) && self.random.chance(self.plan.chance);
        if does {
            faults.count(deed);
        }
        does
    }

    /// What the router sees of a frame that came from `from`, and from whom.
    pub(crate) fn inbound(
        &mut self,
        now: Duration,
        from: Party,
        frame: Frame,
        faults: &mut Faults,
    ) -> Vec<(Party, Frame)> {
        if !self.is_at_work(now) {
            return vec![(from, frame)];
        }
        let kind = Kind::inbound(from, &frame);
        let mut seen = Vec::new();
        if self.does(Fault::ReplayToRouter, faults)
            && let Some((from, old)) = pick(&mut self.random, &self.seen_in)
        {
            seen.push((*from, old.clone()));
        }
        remember(&mut self.seen_in, (from, frame.clone()));
        if kind == Kind::Ack && self.does(Fault::FalseAck, faults) {
            seen.extend(forge::ahead(&frame).map(|ahead| (from, ahead)));
        }
        let withholds = match kind {
            Kind::Control => self.does(Fault::WithholdControl, faults),
            Kind::Batch => self.does(Fault::WithholdBatch, faults),
            _ => false,
        };
        if withholds {
            return seen;
        }
        if kind == Kind::Batch && self.does(Fault::SwapBatches, faults) {
            let other = self.held_in.replace((from, frame));
            seen.extend(other);
            return seen;
        }
        let frame = match kind {
            Kind::Control | Kind::Batch | Kind::Ask | Kind::Answer
                if self.does(Fault::FlipInbound, faults) =>
            {
                self.forger.flip(frame)
            }
            _ => frame,
        };
        seen.push((from, frame));
        seen
    }

    /// What goes out instead of a frame for `to`.
    pub(crate) fn outbound(
        &mut self,
        now: Duration,
        out: Outbound,
        faults: &mut Faults,
    ) -> Vec<Outbound> {
        if !self.is_at_work(now) {
            return vec![out];
        }
        let Outbound { to, class, frame } = out;
        let kind = Kind::outbound(to, &frame);
        let mut sent = Vec::new();
        let mut send = |to, class, frame| sent.push(Outbound { to, class, frame });
        if self.does(Fault::ReplayToPeer, faults)
            && let Some((to, class, old)) = pick(&mut self.random, &self.seen_out)
        {
            send(*to, *class, old.clone());
        }
        remember(&mut self.seen_out, (to, class, frame.clone()));
        for (deed, words) in [
            (Fault::FalseRefused, forge::refused(to)),
            (Fault::FalseState, forge::state(to, &frame)),
            (Fault::FalseSettled, forge::settled(&frame)),
        ] {
            if let Some(words) = words
                && self.does(deed, faults)
            {
                send(to, FrameClass::Control, words);
            }
        }
        let withholds = match kind {
            Kind::Notice => self.does(Fault::WithholdNotice, faults),
            Kind::Receipt => self.does(Fault::WithholdReceipt, faults),
            Kind::Settled => self.does(Fault::WithholdSettled, faults),
            Kind::Answer => self.does(Fault::WithholdAnswer, faults),
            _ => false,
        };
        if withholds {
            if let Some(of) = place(&frame) {
                let withheld = Withheld {
                    at: now,
                    from: to,
                    place: of,
                };
                self.withheld.push(withheld);
            }
            return sent;
        }
        let mut frame = frame;
        if kind.is_sealed() && self.does(Fault::FlipOutbound, faults) {
            send(to, class, self.forger.flip(frame.clone()));
        }
        if kind.is_sealed() && self.does(Fault::ForgeRandom, faults) {
            send(to, class, self.forger.random(frame.clone()));
        }
        if kind.is_sealed() && self.does(Fault::ForgePlain, faults) {
            send(to, class, self.forger.plain(frame.clone()));
        }
        if kind.is_sealed() && self.does(Fault::ForgeForeign, faults) {
            let forged = self.forger.foreign(kind, to, &frame);
            forged
                .into_iter()
                .for_each(|forged| send(to, class, forged));
        }
        if kind == Kind::Notice {
            if self.does(Fault::SwapNotices, faults) {
                if let Some((other, held)) = self.held_notice.replace((to, frame)) {
                    // Each gets the other's.
                    let (_, mine) = self.held_notice.take().expect("it was just put there");
                    send(other, class, mine);
                    send(to, class, held);
                }
                return sent;
            }
            if self.does(Fault::SwapPayloads, faults)
                && let Some((_, _, old)) = self
                    .seen_out
                    .iter()
                    .rev()
                    .skip(1)
                    .find(|(_, _, old)| place(old).is_some())
            {
                frame = forge::with_payloads_of(frame, old);
            }
        }
        send(to, class, frame);
        sent
    }

    /// The calls that are made instead of one.
    pub(crate) fn calls(
        &mut self,
        now: Duration,
        token: u64,
        request: Bytes,
        faults: &mut Faults,
    ) -> Vec<(u64, Bytes)> {
        if !self.is_at_work(now) {
            return vec![(token, request)];
        }
        let mut calls = Vec::new();
        if self.does(Fault::ReplayCall, faults)
            && let Some(old) = pick(&mut self.random, &self.seen_calls)
        {
            calls.push((OWN_CALL, old.clone()));
        }
        remember(&mut self.seen_calls, request.clone());
        if self.does(Fault::ForgeCall, faults) {
            calls.extend(self.forger.call(&request).map(|forged| (OWN_CALL, forged)));
        }
        if self.does(Fault::NeedlessSuspension, faults) {
            calls.extend(self.suspension(&request).map(|call| (OWN_CALL, call)));
        }
        if self.does(Fault::ReorderCalls, faults) {
            calls.extend(self.held_call.replace((token, request)));
            return calls;
        }
        calls.push((token, request));
        calls
    }

    /// A suspension of somebody in the domain that `request` is for.
    fn suspension(&mut self, request: &Bytes) -> Option<Bytes> {
        let call = cbr::Call::decode(request.clone()).ok()?.call?;
        let call::Call::Batch(sealed) = call else {
            return None;
        };
        let parties = self.keys.iter();
        let consumers = parties.filter(|(party, _)| matches!(party, Party::Consumer(_)));
        let keys: Vec<_> = consumers.map(|(_, key)| *key).collect();
        if keys.is_empty() {
            return None;
        }
        let key = *self.random.pick(&keys);
        let suspend = cbr::Suspend {
            domain: sealed.domain,
            session: sealed.session,
            consumer: Bytes::copy_from_slice(&key.0),
        };
        let call = cbr::Call {
            call: Some(call::Call::Suspend(suspend)),
        };
        Some(call.encode_to_vec().into())
    }

    /// Whether it takes records from the router's disk now.
    pub(crate) fn steals(&mut self, now: Duration, faults: &mut Faults) -> Option<usize> {
        (self.is_at_work(now) && self.does(Fault::DropSpill, faults)).then(|| self.random.below(4))
    }

    /// Whether it shows everything to a second enclave.
    pub(crate) fn has_second_enclave(&self) -> bool {
        self.plan.schemes.contains(&Fault::TwoEnclaves)
    }
}

fn pick<'a, T>(random: &mut Random, seen: &'a VecDeque<T>) -> Option<&'a T> {
    (!seen.is_empty()).then(|| &seen[random.below(seen.len())])
}

fn remember<T>(seen: &mut VecDeque<T>, one: T) {
    seen.push_back(one);
    if seen.len() > REMEMBERED {
        seen.pop_front();
    }
}
