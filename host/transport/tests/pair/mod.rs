//! Two ends and the scripted network between them.
//!
//! One seed is one run: the network drops, doubles, delays and so reorders datagrams as its generator says.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sc_proto::Message as _;
use sc_proto::link::{LinkHeader, link_header::Kind};
use sc_transport::{
    Datagram, Dialer, Entropy, Frame, LinkEvent, LinkId, LinkKey, LinkSettings, LinkSigner as _,
    Links, PeerKey, Role, Route, Side, Terms,
};

/// The routing id under which the acceptor knows the dialer.
pub(crate) const ROUTE: &[u8] = b"dealer";

/// A small generator (xorshift*), enough to script a network.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }
}

/// Nonces that a seed determines.
pub(crate) fn entropy(seed: u64) -> Entropy {
    let mut dice = Dice::new(seed);
    Box::new(move |buffer| buffer.fill_with(|| dice.roll() as u8))
}

pub(crate) fn key(seed: u8) -> LinkKey {
    LinkKey::from_seed(&[seed; 32])
}

/// What the network does to a datagram, in percent and milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) drop: u64,
    pub(crate) duplicate: u64,
    pub(crate) jitter_ms: u64,
}

/// Which end a datagram travels to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Acceptor,
    Initiator,
}

pub(crate) struct Pair {
    pub(crate) now: Duration,
    pub(crate) acceptor: Links,
    pub(crate) initiator: Dialer,
    pub(crate) weather: Weather,
    pub(crate) dice: Dice,
    pub(crate) route: Bytes,
    /// Everything that was put on the wire.
    pub(crate) log: Vec<(To, Datagram)>,
    pub(crate) keep_log: bool,
    /// The one datagram, counted from the first, that gets lost.
    pub(crate) lose: Option<u64>,
    posted: u64,
    wire: BTreeMap<(Duration, u64), (To, Datagram)>,
    serial: u64,
    pub(crate) acceptor_events: Vec<LinkEvent>,
    pub(crate) initiator_events: Vec<LinkEvent>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(LinkSettings::default(), LinkSettings::default())
    }

    pub(crate) fn with(acceptor: LinkSettings, initiator: LinkSettings) -> Self {
        Self {
            now: Duration::ZERO,
            acceptor: Links::new(acceptor, key(1), entropy(1)),
            initiator: Dialer::new(
                Duration::ZERO,
                Role::Publisher,
                initiator,
                key(2),
                entropy(2),
            ),
            weather: Weather::default(),
            dice: Dice::new(7),
            route: Bytes::from_static(ROUTE),
            log: Vec::new(),
            keep_log: true,
            lose: None,
            posted: 0,
            wire: BTreeMap::new(),
            serial: 0,
            acceptor_events: Vec::new(),
            initiator_events: Vec::new(),
        }
    }

    /// A pair whose link is established, its events taken.
    pub(crate) fn linked() -> (Self, LinkId, LinkId) {
        Self::linked_with(LinkSettings::default(), LinkSettings::default())
    }

    pub(crate) fn linked_with(
        acceptor: LinkSettings,
        initiator: LinkSettings,
    ) -> (Self, LinkId, LinkId) {
        let mut pair = Self::with(acceptor, initiator);
        pair.run_for(Duration::from_millis(50));
        let (at_acceptor, at_initiator) = pair.established();
        pair.acceptor_events.clear();
        pair.initiator_events.clear();
        (pair, at_acceptor, at_initiator)
    }

    /// The ids of the link that was established last, at the acceptor and at the initiator.
    pub(crate) fn established(&self) -> (LinkId, LinkId) {
        let last = |events: &[LinkEvent]| {
            events.iter().rev().find_map(|event| match event {
                LinkEvent::Established { link, .. } => Some(*link),
                _ => None,
            })
        };
        (
            last(&self.acceptor_events).expect("established at the acceptor"),
            last(&self.initiator_events).expect("established at the initiator"),
        )
    }

    /// Puts a datagram on the wire, as either end or a stranger would.
    pub(crate) fn post(&mut self, to: To, datagram: Datagram) {
        if self.keep_log {
            self.log.push((to, datagram.clone()));
        }
        self.posted += 1;
        if self.lose == Some(self.posted - 1) {
            return;
        }
        let copies = 1 + usize::from(self.dice.percent(self.weather.duplicate));
        for _ in 0..copies {
            if self.dice.percent(self.weather.drop) {
                continue;
            }
            let jitter = self.dice.roll() % (self.weather.jitter_ms * 1000 + 1);
            let at = self.now + Duration::from_micros(100 + jitter);
            self.serial += 1;
            self.wire.insert((at, self.serial), (to, datagram.clone()));
        }
    }

    /// Moves what both ends have to send onto the wire, and their events into the lists.
    pub(crate) fn pump(&mut self) {
        while let Some((route, datagram)) = self.acceptor.poll_transmit(self.now) {
            if route == self.route {
                self.post(To::Initiator, datagram);
            }
        }
        while let Some((_, datagram)) = self.initiator.poll_transmit(self.now) {
            self.post(To::Acceptor, datagram);
        }
        while let Some(event) = self.acceptor.poll_event() {
            self.acceptor_events.push(event);
        }
        while let Some(event) = self.initiator.poll_event() {
            self.initiator_events.push(event);
        }
    }

    /// Lets the next thing happen: an arrival or a timeout; `false` when nothing would before `until`.
    pub(crate) fn step(&mut self, until: Duration) -> bool {
        self.pump();
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let timers = [
            arrival,
            self.acceptor.next_timeout(),
            self.initiator.next_timeout(),
        ];
        let Some(next) = timers
            .into_iter()
            .flatten()
            .min()
            .filter(|next| *next <= until)
        else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(first) = self
            .wire
            .first_entry()
            .filter(|first| first.key().0 <= self.now)
        {
            let (to, datagram) = first.remove();
            match to {
                To::Acceptor => {
                    let route = Route::plain(self.route.clone());
                    self.acceptor.on_datagram(self.now, &route, datagram);
                }
                To::Initiator => {
                    self.initiator
                        .on_datagram(self.now, &Route::plain(Bytes::new()), datagram);
                }
            }
        }
        self.acceptor.on_timeout(self.now);
        self.initiator.on_timeout(self.now);
        self.pump();
        true
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }
}

pub(crate) fn kind(datagram: &Datagram) -> Kind {
    LinkHeader::decode(datagram.parts[0].clone())
        .unwrap()
        .kind
        .unwrap()
}

pub(crate) fn datagram(kind: Kind) -> Datagram {
    let header = LinkHeader {
        version: 1,
        kind: Some(kind),
    };
    Datagram {
        parts: vec![header.encode_to_vec().into()],
    }
}

pub(crate) fn peer_key(seed: u8) -> PeerKey {
    PeerKey(key(seed).public_key())
}

pub(crate) fn dialer(seed: u8, role: Role) -> Dialer {
    let settings = LinkSettings::default();
    Dialer::new(
        Duration::ZERO,
        role,
        settings,
        key(seed),
        entropy(u64::from(seed) + 100),
    )
}

pub(crate) fn hello(dialer: &mut Dialer, now: Duration) -> Datagram {
    dialer.on_timeout(now);
    dialer.poll_transmit(now).unwrap().1
}

pub(crate) fn events(side: &mut impl Side) -> Vec<LinkEvent> {
    std::iter::from_fn(|| side.poll_event()).collect()
}

pub(crate) fn transmits(side: &mut impl Side, now: Duration) -> Vec<(Bytes, Datagram)> {
    std::iter::from_fn(|| side.poll_transmit(now)).collect()
}

/// Opens a link between `dialer` and the pair's acceptor over a route of its own.
pub(crate) fn open(acceptor: &mut Links, dialer: &mut Dialer, route: &Route, now: Duration) {
    acceptor.on_datagram(now, route, hello(dialer, now));
    for (_, reply) in transmits(acceptor, now) {
        dialer.on_datagram(now, &Route::plain(""), reply);
    }
    for (_, proof) in transmits(dialer, now) {
        acceptor.on_datagram(now, route, proof);
    }
}

pub(crate) fn is_established(event: &LinkEvent) -> bool {
    matches!(event, LinkEvent::Established { .. })
}

pub(crate) const WINDOW: u64 = 20_000;

/// Small windows, so that credit matters.
pub(crate) fn tight() -> LinkSettings {
    LinkSettings {
        terms: Terms {
            control_window: WINDOW,
            data_window: WINDOW,
            max_frame: 10_000,
        },
        control_queue: 4 * WINDOW,
        data_queue: 4 * WINDOW,
        ..LinkSettings::default()
    }
}

/// A frame that tells its number.
pub(crate) fn numbered(number: u64, size: usize) -> Frame {
    Frame::new(number.to_le_bytes().to_vec()).with(vec![number as u8; size])
}

/// Reads the wire from its log: no sender ever went beyond what the receiver had granted by then.
pub(crate) fn credit_was_kept(log: &[(To, Datagram)], window: u64) {
    for to in [To::Acceptor, To::Initiator] {
        let (mut limits, mut charged) = ([window; 2], [0; 2]);
        let mut seen = BTreeSet::new();
        for (direction, datagram) in log {
            let (carry, ack) = match kind(datagram) {
                Kind::Carry(mut carry) => {
                    let ack = carry.ack.take();
                    (Some(carry), ack)
                }
                Kind::Ack(ack) => (None, Some(ack)),
                _ => continue,
            };
            if let Some(ack) = ack.filter(|_| *direction != to) {
                limits = [ack.control_limit, ack.data_limit];
            }
            if let Some(carry) =
                carry.filter(|carry| *direction == to && seen.insert(carry.sequence))
            {
                let class = carry.class as usize - 1;
                let (head, attachments) = (datagram.parts[1].clone(), datagram.parts[2..].to_vec());
                charged[class] += Frame { head, attachments }.cost();
                assert!(charged[class] <= limits[class], "{charged:?} of {limits:?}");
            }
        }
    }
}
