//! What all parties share: the time, the network, what will happen, and the trace of what has.

use std::time::Duration;

use sc_client::Clock;
use sc_transport::{CloseReason, Datagram};

use crate::fault::Faults;
use crate::net::Network;
use crate::party::Party;
use crate::plant::Plants;
use crate::queue::{Happening, Queue};
use crate::trace::{Digest, Trace};

/// When every run begins, in milliseconds since the Unix epoch.
const EPOCH_MS: u64 = 1_500_000_000_000;

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) plants: Plants,
    /// Links that ended at either end: whose it was, and why it ended.
    pub(crate) lost: Vec<(Party, String)>,
    /// When a link was last established.
    pub(crate) established: Duration,
}

/// Adds a line to the trace.
macro_rules! note {
    ($world:expr, $party:expr, $($what:tt)*) => {
        $world.trace.note($world.now, $party, format_args!($($what)*))
    };
}
pub(crate) use note;

impl World {
    /// The time as a party's clocks tell it.
    pub(crate) fn clock(&self) -> Clock {
        Clock {
            now: self.now,
            wall_ms: EPOCH_MS + self.now.as_millis() as u64,
        }
    }

    /// Puts a datagram on the wire.
    pub(crate) fn post(&mut self, from: Party, to: Party, datagram: Datagram) {
        let passages = self.network.send(self.now, from, to, &mut self.faults);
        let digest = Digest::of_datagram(&datagram);
        match passages.len() {
            0 => note!(self, from, "sends {digest} to {to}, which gets lost"),
            1 => note!(self, from, "sends {digest} to {to}"),
            _ => note!(self, from, "sends {digest} to {to}, which is doubled"),
        }
        for passage in passages {
            let happening = Happening::Arrival {
                from,
                to,
                number: passage.number,
                datagram: datagram.clone(),
            };
            self.queue.at(passage.arrives, happening);
        }
    }

    /// One end has given up the link between the router and `of`.
    pub(crate) fn on_lost(&mut self, at: Party, of: Party, reason: &CloseReason) {
        note!(self, at, "loses the link of {of}: {reason}");
        self.lost.push((of, reason.to_string()));
    }
}
