//! A station: one publisher or consumer, with its link, its disk and its core, in the order of the real loop.

use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{MessageKind, Scope};
use sc_client::{Clock, Credit, IdentitySigner, Output};
use sc_crypto::{DomainId, VerifyingKey};
use sc_proto::Message as _;
use sc_proto::routing::{FromPublisher, from_publisher};
use sc_transport::{
    Datagram, Dialer, Frame, FrameClass, LinkEvent, LinkId, LinkSettings, LinkSigner as _, Role,
    Route, SendError, Side,
};

use crate::disk::{Death, Disk};
use crate::fault::Fault;
use crate::lives::End;
use crate::oracle::{self, Seal};
use crate::party::Party;
use crate::random::Random;
use crate::trace::Digest;
use crate::world::{World, note};

/// What a station's loop asks of the core inside.
pub(crate) trait Core {
    fn on_established(&mut self);
    fn on_closed(&mut self);
    fn on_frame(&mut self, clock: Clock, frame: Frame);
    /// Does what is due and may be done with the credit in hand.
    fn work(&mut self, clock: Clock, credit: Credit);
    fn take_outputs(&mut self) -> Vec<Output>;
    /// A record was written, as the last of so many.
    fn on_record(&mut self, record: &[u8], records: usize);
    fn next_timeout(&self) -> Option<Duration>;
}

pub(crate) struct Station<C> {
    party: Party,
    key: VerifyingKey,
    /// The domain that its identity owns, if it publishes there.
    domain: [u8; 32],
    pub(crate) core: C,
    dialer: Dialer,
    link: Option<LinkId>,
    pub(crate) disk: Disk,
}

impl<C: Core> Station<C> {
    pub(crate) fn new(
        party: Party,
        core: C,
        settings: LinkSettings,
        signer: IdentitySigner,
        entropy: Random,
        disk: Disk,
        now: Duration,
    ) -> Self {
        let role = match party {
            Party::Publisher(_) | Party::Grantee(_) => Role::Publisher,
            _ => Role::Subscriber,
        };
        let key = VerifyingKey::from_bytes(signer.public_key());
        let domain = *signer.0.public().domain_id().as_bytes();
        let entropy = entropy.into_entropy();
        let dialer = Dialer::new(now, role, settings, signer, entropy);
        Self {
            party,
            key,
            domain,
            core,
            dialer,
            link: None,
            disk,
        }
    }

    pub(crate) fn on_datagram(&mut self, world: &mut World, datagram: Datagram) {
        let route = Route::plain(Bytes::new());
        self.dialer.on_datagram(world.now, &route, datagram);
        self.work(world);
    }

    /// The carrier has a new connection.
    pub(crate) fn on_connected(&mut self, world: &mut World) {
        self.dialer.on_connected(world.now);
        self.work(world);
    }

    /// The carrier has none any more.
    pub(crate) fn on_disconnected(&mut self, world: &mut World) {
        self.dialer.on_disconnected(world.now);
        self.work(world);
    }

    /// One turn of the loop.
    pub(crate) fn work(&mut self, world: &mut World) {
        if !world.lives.lives(self.party) {
            return;
        }
        if self
            .dialer
            .next_timeout()
            .is_some_and(|due| due <= world.now)
        {
            self.dialer.on_timeout(world.now);
        }
        loop {
            while let Some(event) = self.dialer.poll_event() {
                self.on_event(world, event);
            }
            self.core.work(world.clock(self.party), self.credit());
            let outputs = world.plants.outputs(self.party, self.core.take_outputs());
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                if world.lives.dies(self.party) {
                    return;
                }
                self.carry_out(world, output);
            }
            if !world.lives.lives(self.party) {
                return;
            }
        }
        while let Some((_, datagram)) = self.dialer.poll_transmit(world.now) {
            world.post(self.party, Party::Router, datagram);
        }
        if let Some(due) = self.next_timeout() {
            world.queue.wake(self.party, due.max(world.now));
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        let own = self.core.next_timeout();
        own.into_iter().chain(self.dialer.next_timeout()).min()
    }

    fn credit(&self) -> Credit {
        let available = |class| {
            self.link
                .map_or(0, |link| self.dialer.available(link, class))
        };
        Credit {
            control: available(FrameClass::Control),
            data: available(FrameClass::Data),
        }
    }

    fn on_event(&mut self, world: &mut World, event: LinkEvent) {
        match event {
            LinkEvent::Established { link, .. } => {
                note!(world, self.party, "has {link}");
                world.established = world.now;
                self.link = Some(link);
                self.core.on_established();
            }
            LinkEvent::Closed { reason, .. } => {
                world.on_lost(self.party, self.party, &reason);
                self.link = None;
                self.core.on_closed();
            }
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } => {
                note!(
                    world,
                    self.party,
                    "takes frame {}",
                    Digest::of_frame(&frame)
                );
                for frame in world.plants.frames(self.party, frame) {
                    self.core.on_frame(world.clock(self.party), frame);
                }
                if !world.plants.keeps_credit(self.party) {
                    self.dialer.release(world.now, link, class, credit);
                }
            }
            LinkEvent::Refused { reason } => note!(world, self.party, "is refused: {reason}"),
            _ => {}
        }
    }

    fn carry_out(&mut self, world: &mut World, output: Output) {
        match (output, self.link) {
            (Output::Record(record), _) => {
                if world.lives.is_full(self.party, world.now) {
                    return self.fail(world);
                }
                note!(world, self.party, "records {}", Digest::of(&record));
                self.core.on_record(&record, self.disk.records().len() + 1);
                self.disk.append(record);
            }
            (Output::Send { class, frame }, Some(link)) => {
                self.disk.sync();
                self.note_seals(world, &frame);
                match self.dialer.send(world.now, link, class, frame, 0) {
                    Ok(()) | Err(SendError::Closed) => {}
                    Err(error) => self.close(world, link, &error.to_string()),
                }
            }
            (Output::Close(reason), Some(link)) => self.close(world, link, &reason),
            _ => {}
        }
    }

    /// The disk takes nothing: the party ends with its error, and is started again.
    fn fail(&self, world: &mut World) {
        note!(world, self.party, "has no room on its disk");
        world.faults.count(Fault::DiskFull);
        let end = End {
            death: Death::Killed,
            down: Duration::from_millis(700),
        };
        world.lives.kill(self.party, end);
    }

    /// Everything that is sealed under a counter is noted where it leaves, whether it arrives or not.
    fn note_seals(&self, world: &mut World, frame: &Frame) {
        let key = self.key;
        let message = FromPublisher::decode(frame.head.clone());
        let message = message.ok().and_then(|message| message.frame);
        if let Some(from_publisher::Frame::Secrets(_)) = message {
            let wall_ms = world.clock(self.party).wall_ms;
            return world.oracle.on_entrusting(self.domain, wall_ms);
        }
        let seals = &mut world.oracle.seals;
        let (Some(message), Some(first)) = (message, frame.attachments.first()) else {
            return;
        };
        let scope = |domain: &[u8], session, start| Scope {
            domain: DomainId::from_bytes(oracle::array(domain)),
            session,
            party: key,
            start,
        };
        match message {
            from_publisher::Frame::Control(head) => {
                let scope = scope(&head.domain, head.session, head.start);
                seals.note(Seal::new(MessageKind::Control, &scope, head.counter), first);
            }
            from_publisher::Frame::Batch(head) => {
                let scope = scope(&head.domain, head.session, head.start);
                seals.note(Seal::new(MessageKind::Batch, &scope, head.counter), first);
                if let Some(payloads) = frame.attachments.get(1) {
                    let seal = Seal::new(MessageKind::Payload, &scope, head.counter);
                    seals.note(seal, payloads);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, world: &mut World, link: LinkId, reason: &str) {
        note!(world, self.party, "closes {link}: {reason}");
        self.dialer.close(world.now, link, reason);
    }

    /// Why the link is not idle, if it is not: something is unacknowledged, or credit is not back.
    pub(crate) fn busy_link(&self, full: impl Fn(FrameClass) -> u64) -> Vec<String> {
        let party = self.party;
        let Some(link) = self.link else {
            return vec![format!("{party} has no link")];
        };
        let mut busy = Vec::new();
        for class in FrameClass::ALL {
            let (has, full) = (self.dialer.available(link, class), full(class));
            if has != full {
                busy.push(format!(
                    "{party} may send {has} of {full} bytes of class {class:?}"
                ));
            }
        }
        if !self.dialer.is_drained() {
            busy.push(format!("{party} has frames that were not acknowledged"));
        }
        busy
    }
}
