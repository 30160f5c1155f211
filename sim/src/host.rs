//! The router's host: the acceptor's links, the router's core and the door, in the order of the real loop.

use std::collections::BTreeMap;

use bytes::Bytes;
use sc_proto::Message as _;
use sc_proto::cbr::{self, call, reply};
use sc_router::{Counters, Output, Router, RouterSettings};
use sc_transport::{
    Datagram, FrameClass, LinkEvent, LinkId, LinkKey, LinkSettings, Links, PeerKey, Route, Side,
};

use crate::door::Door;
use crate::party::Party;
use crate::random::Random;
use crate::trace::Digest;
use crate::world::{World, note};

pub(crate) struct Host {
    links: Links,
    router: Router,
    door: Door,
    /// Whose key is whose.
    keys: BTreeMap<PeerKey, Party>,
    parties: BTreeMap<LinkId, Party>,
}

impl Host {
    pub(crate) fn new(
        settings: LinkSettings,
        mut random: Random,
        mut door: Door,
        keys: BTreeMap<PeerKey, Party>,
    ) -> Self {
        let key = LinkKey::from_seed(&random.seed());
        let mut router = Router::new(RouterSettings::default());
        router.on_program(describe(&mut door));
        Self {
            links: Links::new(settings, key, random.into_entropy()),
            router,
            door,
            keys,
            parties: BTreeMap::new(),
        }
    }

    pub(crate) fn on_datagram(&mut self, world: &mut World, from: Party, datagram: Datagram) {
        let route = Route::plain(from.route());
        self.links.on_datagram(world.now, &route, datagram);
        self.work(world);
    }

    /// The trusted program's next reply is here.
    pub(crate) fn on_reply(&mut self, world: &mut World) {
        let (token, reply) = self
            .door
            .reply()
            .expect("a reply happens once for each call");
        note!(
            world,
            Party::Router,
            "gets reply {token} {}",
            Digest::of(&reply)
        );
        self.router.on_reply(world.now, token, reply);
        self.work(world);
    }

    /// One turn of the loop.
    pub(crate) fn work(&mut self, world: &mut World) {
        if self
            .links
            .next_timeout()
            .is_some_and(|due| due <= world.now)
        {
            self.links.on_timeout(world.now);
        }
        if self
            .router
            .next_timeout()
            .is_some_and(|due| due <= world.now)
        {
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
            outputs
                .into_iter()
                .for_each(|output| self.carry_out(world, output));
        }
        while let Some((route, datagram)) = self.links.poll_transmit(world.now) {
            if let Some(to) = Party::of_route(&route) {
                world.post(Party::Router, to, datagram);
            }
        }
        let timeouts = [self.links.next_timeout(), self.router.next_timeout()];
        if let Some(due) = timeouts.into_iter().flatten().min() {
            world.queue.wake(Party::Router, due.max(world.now));
        }
    }

    fn on_event(&mut self, world: &mut World, event: LinkEvent) {
        match &event {
            LinkEvent::Established { link, peer, .. } => {
                if let Some(party) = self.keys.get(peer) {
                    note!(world, Party::Router, "has {link} with {party}");
                    self.parties.insert(*link, *party);
                }
                world.established = world.now;
            }
            LinkEvent::Closed { link, reason } => {
                if let Some(party) = self.parties.remove(link) {
                    world.on_lost(Party::Router, party, reason);
                }
            }
            LinkEvent::Frame { link, frame, .. } => {
                note!(
                    world,
                    Party::Router,
                    "takes frame {} from {link}",
                    Digest::of_frame(frame)
                );
            }
            _ => {}
        }
        self.router.on_event(world.now, event);
    }

    /// As the loop of the real router does.
    fn carry_out(&mut self, world: &mut World, output: Output) {
        match output {
            Output::Send {
                link,
                class,
                frame,
                token,
            } => {
                let Self { links, router, .. } = self;
                let send = |frame| links.send(world.now, link, class, frame, token);
                router.deliver(link, class, frame, token, send);
            }
            Output::Call { token, request } => {
                note!(
                    world,
                    Party::Router,
                    "makes call {token} {}",
                    Digest::of(&request)
                );
                self.door.call(world, token, request);
            }
            Output::Release { link, class, bytes } => {
                if !world.plants.keeps_credit(Party::Router) {
                    self.links.release(world.now, link, class, bytes);
                }
            }
            Output::Close { link, reason } => self.links.close(world.now, link, reason),
            // This host keeps nothing on a disk, and its router knows.
            _ => {}
        }
    }

    /// Links that are not idle: something is unacknowledged, or credit is not back.
    pub(crate) fn busy_links(&self, full: impl Fn(FrameClass) -> u64) -> Vec<String> {
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
        if self.parties.len() < self.keys.len() {
            let (has, all) = (self.parties.len(), self.keys.len());
            busy.push(format!("the router has links with {has} of {all}"));
        }
        if !self.links.is_drained() {
            busy.push("the router has frames that were not acknowledged".into());
        }
        if !self.door.is_idle() {
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
