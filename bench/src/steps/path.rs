//! The way of a publication through the real cores, without anything between them.
//!
//! Invariant: what one core wants sent, the next one gets, in order; credit is never short, so each batch goes through
//! at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{bail, ensure};
use bytes::Bytes;
use sc_attestation::Policy;
use sc_cbr::Engine;
use sc_client::{
    BatchBounds, Clock, Credit, Memory, OsEntropy, Output, Publisher, PublisherSettings, Roll,
    Subscriber, SubscriberSettings,
};
use sc_crypto::{Entropy, OwnerSecret};
use sc_enclave::{Program, SimulatedPlatform, simulation_development_key};
use sc_matching::{Publication, Subscription};
use sc_router::{Router, RouterSettings};
use sc_transport::{Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role};

use crate::cli::Mode;

/// The steps that are timed, in the order of the way.
pub(super) const STEPS: [&str; 6] = [
    "publisher: encode and seal headers, seal and hash payloads",
    "router: frame in, call out",
    "engine: open, decode, match, seal notice and receipt",
    "router: reply in, frames out",
    "subscriber: open notice, verify and open payloads",
    "publisher: open receipt, drop the batch",
];
const SEAL: usize = 0;
const ROUTER_IN: usize = 1;
const ENGINE: usize = 2;
const ROUTER_OUT: usize = 3;
const OPEN: usize = 4;
const RECEIPT: usize = 5;

/// One time for each step.
pub(super) type Times = [Duration; STEPS.len()];

/// After this long at the latest a consumer acknowledges what it has taken.
const ACK_AFTER: Duration = Duration::from_millis(5);
const PUBLISHER: LinkId = LinkId(1);
const SUBSCRIBER: LinkId = LinkId(2);
const PLENTY: Credit = Credit {
    control: u64::MAX,
    data: u64::MAX,
};

/// Publisher, router, engine and subscriber, joined.
pub(super) struct Path {
    publisher: Publisher,
    router: Router,
    engine: Engine,
    subscriber: Subscriber,
    begin: Instant,
    /// Time that was passed over.
    ahead: Duration,
    deliveries: u64,
    /// Frames on their way to the router.
    to_router: VecDeque<(LinkId, FrameClass, Frame)>,
    times: Times,
}

impl Path {
    /// Provisions the engine and admits the subscriptions.
    ///
    /// # Errors
    /// The cores did not agree.
    pub(super) fn open(
        mode: Mode,
        subscriptions: Vec<(u64, Subscription)>,
        batch: usize,
    ) -> anyhow::Result<Self> {
        let plain = mode == Mode::Plain;
        let owner = Arc::new(OwnerSecret::generate(&mut OsEntropy));
        let identity = Arc::new(OwnerSecret::generate(&mut OsEntropy));
        let settings = PublisherSettings {
            policy: Policy::development(),
            quota: subscriptions.len(),
            batch: BatchBounds {
                publications: batch,
                bytes: usize::MAX,
                linger: Duration::ZERO,
            },
            plain,
            ..PublisherSettings::default()
        };
        let (public, keys) = (owner.public().clone(), [peer(&owner), peer(&identity)]);
        let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
        let subscriber = Subscriber::new(
            public,
            identity,
            subscriptions,
            SubscriberSettings {
                plain,
                ..SubscriberSettings::default()
            },
            Memory::default(),
            Box::new(OsEntropy),
        );
        let mut path = Self {
            publisher: Publisher::new(owner, settings, Roll::default(), Box::new(OsEntropy)),
            router: Router::new(RouterSettings {
                plain,
                ..RouterSettings::default()
            }),
            engine: Engine::new(Box::new(platform)),
            subscriber,
            begin: Instant::now(),
            ahead: Duration::ZERO,
            deliveries: 0,
            to_router: VecDeque::new(),
            times: Times::default(),
        };
        path.connect(keys)?;
        Ok(path)
    }

    fn connect(&mut self, [publisher, subscriber]: [PeerKey; 2]) -> anyhow::Result<()> {
        for (link, peer, role) in [
            (PUBLISHER, publisher, Role::Publisher),
            (SUBSCRIBER, subscriber, Role::Subscriber),
        ] {
            self.router
                .on_event(Duration::ZERO, LinkEvent::Established { link, peer, role });
        }
        self.publisher.on_established();
        self.settle()?;
        self.subscriber.on_established();
        self.settle()?;
        ensure!(
            self.publisher.complete_consumers() == 1,
            "the subscriptions were not admitted"
        );
        Ok(())
    }

    /// (publication, subscription) pairs whose payload was opened so far.
    pub(super) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Sends one batch all the way. Never inlined, so that a profiler can be told to look at this alone.
    ///
    /// # Errors
    /// Something of it was refused, or has no receipt.
    #[inline(never)]
    pub(super) fn publish(&mut self, items: &[(Publication, Bytes)]) -> anyhow::Result<Times> {
        self.times = Times::default();
        let clock = self.clock();
        let begin = Instant::now();
        for (publication, payload) in items {
            self.publisher
                .publish(clock, publication, payload.clone())?;
        }
        self.publisher.flush();
        self.times[SEAL] = begin.elapsed();
        self.settle()?;
        // The consumer says a little later what it has taken; that time is not waited for.
        self.ahead += ACK_AFTER;
        self.settle()?;
        ensure!(self.publisher.is_drained(), "a batch is not settled");
        Ok(self.times)
    }

    /// Goes on until nobody wants anything.
    fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            self.pump_parties()?;
            let Some((link, class, frame)) = self.to_router.pop_front() else {
                return Ok(());
            };
            self.carry_in(link, class, frame)?;
        }
    }

    /// Takes what publisher and subscriber have to send.
    fn pump_parties(&mut self) -> anyhow::Result<()> {
        let clock = self.clock();
        let begin = Instant::now();
        self.publisher.pump(clock, PLENTY);
        let outputs = self.publisher.take_outputs();
        self.times[SEAL] += begin.elapsed();
        while self.publisher.poll_event().is_some() {}
        self.queue(PUBLISHER, outputs)?;

        self.subscriber.on_timeout(clock);
        while self.subscriber.poll_event().is_some() {}
        let outputs = self.subscriber.take_outputs();
        self.queue(SUBSCRIBER, outputs)
    }

    /// Journals are left out: records are dropped.
    fn queue(&mut self, from: LinkId, outputs: Vec<Output>) -> anyhow::Result<()> {
        for output in outputs {
            match output {
                Output::Send { class, frame } => self.to_router.push_back((from, class, frame)),
                Output::Close(reason) => bail!("{from} closes: {reason}"),
                _ => {}
            }
        }
        Ok(())
    }

    fn carry_in(&mut self, link: LinkId, class: FrameClass, frame: Frame) -> anyhow::Result<()> {
        let credit = frame.cost();
        let begin = Instant::now();
        let now = self.begin.elapsed();
        let arrived = LinkEvent::Frame {
            link,
            class,
            frame,
            credit,
        };
        self.router.on_event(now, arrived);
        let mut outputs = VecDeque::from(self.router.take_outputs());
        self.times[ROUTER_IN] += begin.elapsed();
        while let Some(output) = outputs.pop_front() {
            match output {
                sc_router::Output::Call { token, request } => {
                    outputs.extend(self.call(token, request));
                }
                sc_router::Output::Send {
                    link,
                    class,
                    frame,
                    token,
                } => {
                    self.carry_out(link, frame);
                    let begin = Instant::now();
                    let acked = LinkEvent::Acked { link, class, token };
                    self.router.on_event(self.begin.elapsed(), acked);
                    outputs.extend(self.router.take_outputs());
                    self.times[ROUTER_OUT] += begin.elapsed();
                }
                sc_router::Output::Close { link, reason } => bail!("{link} is closed: {reason}"),
                _ => {}
            }
        }
        Ok(())
    }

    fn call(&mut self, token: u64, request: Bytes) -> Vec<sc_router::Output> {
        let begin = Instant::now();
        let reply = self
            .engine
            .handle(request, &mut |bytes| OsEntropy.fill(bytes));
        let opened = Instant::now();
        self.router.on_reply(self.begin.elapsed(), token, reply);
        let outputs = self.router.take_outputs();
        self.times[ENGINE] += opened - begin;
        self.times[ROUTER_OUT] += opened.elapsed();
        outputs
    }

    fn carry_out(&mut self, link: LinkId, frame: Frame) {
        let clock = self.clock();
        let begin = Instant::now();
        if link == PUBLISHER {
            self.publisher.on_frame(clock, frame);
            self.times[RECEIPT] += begin.elapsed();
        } else {
            let deliveries = &mut self.deliveries;
            self.subscriber.on_frame(clock, frame, &mut |delivery| {
                *deliveries += delivery.subscriptions.len() as u64;
            });
            self.times[OPEN] += begin.elapsed();
        }
    }

    fn clock(&self) -> Clock {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            now: self.begin.elapsed() + self.ahead,
            wall_ms: wall.as_millis() as u64,
        }
    }
}

fn peer(identity: &OwnerSecret) -> PeerKey {
    PeerKey(*identity.signing_key().verifying_key().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Data;

    fn path(mode: Mode) -> (Path, Vec<(Publication, Bytes)>, u64) {
        let workload = Data::Bundled.workload(100).unwrap();
        let subscriptions = workload.subscriptions().unwrap();
        let publications = workload.publications().unwrap();
        let items: Vec<_> = publications
            .into_iter()
            .take(500)
            .map(|publication| (publication, Bytes::from_static(b"payload")))
            .collect();
        let pairs = items.iter().flat_map(|(publication, _)| {
            subscriptions
                .iter()
                .filter(move |(_, subscription)| subscription.matches(publication))
        });
        let expected = pairs.count() as u64;
        (
            Path::open(mode, subscriptions, 500).unwrap(),
            items,
            expected,
        )
    }

    fn delivers_what_matches_and_times_every_step(mode: Mode) {
        let (mut path, items, expected) = path(mode);

        let times = path.publish(&items).unwrap();

        assert!(expected > 0);
        assert_eq!(path.deliveries(), expected);
        assert!(times.iter().all(|time| !time.is_zero()), "{times:?}");
    }

    #[test]
    fn a_sealed_batch_delivers_what_matches_and_every_step_takes_time() {
        delivers_what_matches_and_times_every_step(Mode::Encrypted);
    }

    #[test]
    fn a_plain_batch_delivers_what_matches_and_every_step_takes_time() {
        delivers_what_matches_and_times_every_step(Mode::Plain);
    }

    #[test]
    fn batches_follow_one_another_on_one_path() {
        let (mut path, items, expected) = path(Mode::Encrypted);

        path.publish(&items).unwrap();
        path.publish(&items).unwrap();

        assert_eq!(path.deliveries(), 2 * expected);
    }
}
