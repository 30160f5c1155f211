//! A station: one publisher or consumer, with its link, its disk and its core, in the order of the real loop.

use std::time::Duration;

use bytes::Bytes;
use sc_client::{Clock, Credit, IdentitySigner, Output};
use sc_transport::{
    Datagram, Dialer, Frame, FrameClass, LinkEvent, LinkId, LinkSettings, Role, Route, SendError,
    Side,
};

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
    fn next_timeout(&self) -> Option<Duration>;
}

/// What a party has written down. What is not synced yet a crash would lose.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: Vec<Vec<u8>>,
    synced: usize,
}

impl Disk {
    fn append(&mut self, record: Vec<u8>) {
        self.records.push(record);
    }

    fn sync(&mut self) {
        self.synced = self.records.len();
    }

    /// What the next start finds.
    pub(crate) fn records(&self) -> &[Vec<u8>] {
        &self.records[..self.synced]
    }
}

pub(crate) struct Station<C> {
    party: Party,
    pub(crate) core: C,
    dialer: Dialer,
    link: Option<LinkId>,
    disk: Disk,
}

impl<C: Core> Station<C> {
    pub(crate) fn new(
        party: Party,
        core: C,
        settings: LinkSettings,
        signer: IdentitySigner,
        entropy: Random,
        disk: Disk,
    ) -> Self {
        let role = match party {
            Party::Publisher(_) => Role::Publisher,
            _ => Role::Subscriber,
        };
        let entropy = entropy.into_entropy();
        let dialer = Dialer::new(Duration::ZERO, role, settings, signer, entropy);
        Self {
            party,
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

    /// One turn of the loop.
    pub(crate) fn work(&mut self, world: &mut World) {
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
            self.core.work(world.clock(), self.credit());
            let outputs = self.core.take_outputs();
            if outputs.is_empty() {
                break;
            }
            outputs
                .into_iter()
                .for_each(|output| self.carry_out(world, output));
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
                    self.core.on_frame(world.clock(), frame);
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
                note!(world, self.party, "records {}", Digest::of(&record));
                self.disk.append(record);
            }
            (Output::Send { class, frame }, Some(link)) => {
                self.disk.sync();
                match self.dialer.send(world.now, link, class, frame, 0) {
                    Ok(()) | Err(SendError::Closed) => {}
                    Err(error) => self.close(world, link, &error.to_string()),
                }
            }
            (Output::Close(reason), Some(link)) => self.close(world, link, &reason),
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
