//! The router's host: the acceptor's links, the router's core, the door and the disk, in the order of the real loop. It may be hostile.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sc_proto::Message as _;
use sc_proto::cbr::{self, call, reply};
use sc_router::{Counters, Output, Recovered, Router, RouterSettings};
use sc_transport::{
    Datagram, Frame, FrameClass, LinkEvent, LinkId, LinkKey, LinkSettings, Links, PeerKey, Route,
    Side,
};

use crate::door::{Door, Enclave};
use crate::fault::Fault;
use crate::malice::{OWN_CALL, Outbound, Villain};
use crate::party::Party;
use crate::queue::Happening;
use crate::random::Random;
use crate::spill::SpillDisk;
use crate::trace::Digest;
use crate::world::{World, note};

/// A trusted program that has died is started again after so long at most.
const PROGRAM_PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct Host {
    links: Links,
    router: Router,
    pub(crate) door: Door,
    pub(crate) spill: SpillDisk,
    /// Whose key is whose.
    keys: BTreeMap<PeerKey, Party>,
    parties: BTreeMap<LinkId, Party>,
    pub(crate) villain: Option<Villain>,
    /// How often this router was started.
    life: usize,
    program_lost: bool,
}

/// What a host is made of, besides what its disk holds.
pub(crate) struct Parts {
    pub(crate) settings: LinkSettings,
    pub(crate) key: LinkKey,
    pub(crate) entropy: Random,
    pub(crate) door: Door,
    pub(crate) keys: BTreeMap<PeerKey, Party>,
    pub(crate) villain: Option<Villain>,
    pub(crate) life: usize,
}

impl Host {
    pub(crate) fn new(
        parts: Parts,
        spill: SpillDisk,
        recovered: Vec<Recovered>,
        now: Duration,
    ) -> Self {
        let mut door = parts.door;
        let mut router = Router::new(RouterSettings {
            has_store: true,
            ..RouterSettings::default()
        });
        router.on_program(describe(&mut door));
        router.recover(now, recovered);
        Self {
            links: Links::new(parts.settings, parts.key, parts.entropy.into_entropy()),
            router,
            door,
            spill,
            keys: parts.keys,
            parties: BTreeMap::new(),
            villain: parts.villain,
            life: parts.life,
            program_lost: false,
        }
    }

    pub(crate) fn on_datagram(&mut self, world: &mut World, from: Party, datagram: Datagram) {
        let route = Route::plain(from.route());
        self.links.on_datagram(world.now, &route, datagram);
        self.work(world);
    }

    /// The trusted program's next reply is here, if it is that program still.
    pub(crate) fn on_reply(&mut self, world: &mut World, life: usize) {
        if life != self.door.life {
            return;
        }
        let reply = self.door.reply(world);
        let (token, reply) = reply.expect("a reply happens once for each call");
        if token != OWN_CALL {
            self.router.on_reply(world.now, token, reply);
        }
        self.work(world);
    }

    /// The disk has something to say, if it is this router's still.
    pub(crate) fn on_spill(&mut self, world: &mut World, life: usize) {
        if life != self.life {
            return;
        }
        if let Some(event) = self.spill.next_event() {
            if let sc_router::SpillEvent::Failed { .. } = event {
                world.faults.count(Fault::SpillFull);
            }
            note!(world, Party::Router, "hears of its disk");
            self.router.on_spill(event);
            self.work(world);
        }
    }

    /// The trusted program dies, and `next` takes its place some time later.
    pub(crate) fn on_program_dead(
        &mut self,
        world: &mut World,
        next: Enclave,
        random: &mut Random,
    ) {
        note!(world, Party::Router, "loses its trusted program");
        self.door.renew(next);
        self.program_lost = true;
        self.router.on_program_lost();
        let at = random.time(world.now, PROGRAM_PAUSE);
        world.queue.at(at, Happening::Program(self.life));
        self.work(world);
    }

    /// Another trusted program is there.
    pub(crate) fn on_program(&mut self, world: &mut World, life: usize) {
        if life == self.life && self.program_lost {
            note!(world, Party::Router, "has another trusted program");
            self.program_lost = false;
            let tee = describe(&mut self.door);
            self.router.on_program(tee);
            self.work(world);
        }
    }

    /// One turn of the loop.
    pub(crate) fn work(&mut self, world: &mut World) {
        if !world.lives.lives(Party::Router) {
            return;
        }
        let is_due = |due: Option<Duration>| due.is_some_and(|due| due <= world.now);
        if is_due(self.links.next_timeout()) {
            self.links.on_timeout(world.now);
        }
        if is_due(self.router.next_timeout()) {
            self.router.on_timeout(world.now);
        }
        loop {
            while let Some(event) = self.links.poll_event() {
                self.on_event(world, event);
            }
            let outputs = self.router.take_outputs();
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                if world.lives.dies(Party::Router) {
                    return;
                }
                self.carry_out(world, output);
            }
        }
        while let Some((route, datagram)) = self.links.poll_transmit(world.now) {
            if let Some(to) = Party::of_route(&route) {
                world.post(Party::Router, to, datagram);
            }
        }
        let due = self.links.next_timeout().into_iter();
        if let Some(due) = due.chain(self.router.next_timeout()).min() {
            world.queue.wake(Party::Router, due.max(world.now));
        }
    }

    fn on_event(&mut self, world: &mut World, event: LinkEvent) {
        match event {
            LinkEvent::Established { link, peer, .. } => {
                if let Some(party) = self.keys.get(&peer) {
                    note!(world, Party::Router, "has {link} with {party}");
                    self.parties.insert(link, *party);
                }
                world.established = world.now;
            }
            LinkEvent::Closed { link, ref reason } => {
                if let Some(party) = self.parties.remove(&link) {
                    world.on_lost(Party::Router, party, reason);
                }
            }
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } => return self.on_frame(world, link, class, frame, credit),
            _ => {}
        }
        self.router.on_event(world.now, event);
    }

    /// A frame comes in, or what a hostile host makes of it.
    fn on_frame(
        &mut self,
        world: &mut World,
        link: LinkId,
        class: FrameClass,
        frame: Frame,
        credit: u64,
    ) {
        let digest = Digest::of_frame(&frame);
        note!(world, Party::Router, "takes frame {digest} from {link}");
        let from = self.parties.get(&link).copied();
        let (Some(villain), Some(from)) = (&mut self.villain, from) else {
            let event = LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            };
            return self.router.on_event(world.now, event);
        };
        self.links.release(world.now, link, class, credit);
        for (from, frame) in villain.inbound(world.now, from, frame, &mut world.faults) {
            let Some(link) = self.link_of(from) else {
                continue;
            };
            let event = LinkEvent::Frame {
                link,
                class,
                frame,
                credit: 0,
            };
            self.router.on_event(world.now, event);
        }
    }

    fn link_of(&self, party: Party) -> Option<LinkId> {
        let mut links = self.parties.iter().rev();
        links.find(|(_, of)| **of == party).map(|(link, _)| *link)
    }

    /// As the loop of the real router does.
    fn carry_out(&mut self, world: &mut World, output: Output) {
        let now = world.now;
        match output {
            Output::Send {
                link,
                class,
                frame,
                token,
            } => self.send(world, link, class, frame, token),
            Output::Call { token, request } => self.call(world, token, request),
            Output::Release { link, class, bytes } if !world.plants.keeps_credit(Party::Router) => {
                self.links.release(now, link, class, bytes);
            }
            Output::Close { link, reason } => self.links.close(now, link, reason),
            Output::Store {
                mailbox,
                token,
                record,
            } => {
                let full = world.lives.is_full(Party::Router, now);
                let due = if world.plants.stores_nothing() {
                    self.spill.pretend(now, mailbox, token)
                } else {
                    self.spill.append(now, mailbox, token, record, full)
                };
                world.queue.at(due, Happening::Spill(self.life));
                if let Some(victim) = self
                    .villain
                    .as_mut()
                    .and_then(|villain| villain.steals(now, &mut world.faults))
                {
                    self.spill.steal(victim);
                }
            }
            Output::Fetch { mailbox, bytes_max } => {
                let backwards = world.plants.reads_backwards();
                let due = self.spill.fetch(now, mailbox, bytes_max, backwards);
                world.queue.at(due, Happening::Spill(self.life));
            }
            Output::Rewind { mailbox } => self.spill.rewind(mailbox),
            Output::Trim {
                mailbox,
                session,
                counter,
            } => self.spill.trim(mailbox, session, counter),
            Output::Discard { mailbox } => self.spill.discard(mailbox),
            _ => {}
        }
    }

    fn call(&mut self, world: &mut World, token: u64, request: Bytes) {
        let digest = Digest::of(&request);
        note!(world, Party::Router, "makes call {token} {digest}");
        let calls = match &mut self.villain {
            None => vec![(token, request)],
            Some(villain) => villain.calls(world.now, token, request, &mut world.faults),
        };
        for (token, request) in calls {
            self.door.call(world, token, request);
        }
    }

    fn send(
        &mut self,
        world: &mut World,
        link: LinkId,
        class: FrameClass,
        frame: Frame,
        token: u64,
    ) {
        let to = self.parties.get(&link).copied();
        let (Some(villain), Some(to)) = (&mut self.villain, to) else {
            let Self { links, router, .. } = self;
            let send = |frame| links.send(world.now, link, class, frame, token);
            return router.deliver(link, class, frame, token, send);
        };
        let truth = frame.clone();
        let out = Outbound { to, class, frame };
        let mut was_sent = false;
        for Outbound { to, class, frame } in villain.outbound(world.now, out, &mut world.faults) {
            if frame == truth {
                was_sent = true;
                let Self { links, router, .. } = self;
                let send = |frame| links.send(world.now, link, class, frame, token);
                router.deliver(link, class, frame, token, send);
            } else if let Some(link) = self
                .parties
                .iter()
                .rev()
                .find(|(_, of)| **of == to)
                .map(|(link, _)| *link)
            {
                // A link that has no room for a lie is spared it.
                let _ = self.links.send(world.now, link, class, frame, OWN_CALL);
            }
        }
        if !was_sent {
            // The router is told that it has arrived.
            self.router
                .on_event(world.now, LinkEvent::Acked { link, class, token });
        }
    }

    /// Links that are not idle: something is unacknowledged, or credit is not back; there should be `all` of them.
    pub(crate) fn busy_links(&self, all: usize, full: impl Fn(FrameClass) -> u64) -> Vec<String> {
        let mut busy = Vec::new();
        for (link, party) in &self.parties {
            for class in FrameClass::ALL {
                let (has, full) = (self.links.available(*link, class), full(class));
                if has != full {
                    busy.push(format!(
                        "the router may send {party} {has} of {full} bytes of class {class:?}"
                    ));
                }
            }
        }
        let has = self.parties.len();
        if has < all {
            busy.push(format!("the router has links with {has} of {all}"));
        }
        if !self.links.is_drained() {
            busy.push("the router has frames that were not acknowledged".into());
        }
        if !self.door.is_idle() || self.program_lost {
            busy.push("a call waits for its reply".into());
        }
        busy
    }

    pub(crate) fn counters(&self) -> Counters {
        self.router.counters()
    }
}

/// Asks the program what it is, as the real loop does before anything else.
fn describe(door: &mut Door) -> String {
    let call = cbr::Call {
        call: Some(call::Call::Describe(cbr::Describe {})),
    };
    let reply = door.ask(Bytes::from(call.encode_to_vec()));
    match cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply) {
        Some(reply::Reply::Description(description)) => description.tee,
        _ => String::new(),
    }
}
