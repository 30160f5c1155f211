//! What all parties share: the time, the network, what will happen, and the trace of what has.

use std::time::Duration;

use sc_client::Clock;
use sc_transport::{CloseReason, Datagram};

use crate::fault::Faults;
use crate::lives::Lives;
use crate::net::Network;
use crate::oracle::Oracle;
use crate::party::Party;
use crate::plant::Plants;
use crate::queue::{Happening, Queue};
use crate::trace::{Digest, Trace};
use crate::wall::{self, ClockTrouble};

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) plants: Plants,
    /// Links that ended at either end: whose it was, and why it ended.
    pub(crate) lost: Vec<(Party, String)>,
    /// And when.
    pub(crate) lost_since: Vec<(Duration, Party)>,
    /// When a link was last established.
    pub(crate) established: Duration,
    /// Which clocks are wrong, and when.
    pub(crate) clocks: Vec<ClockTrouble>,
    /// Who lives.
    pub(crate) lives: Lives,
    /// What passes the program's door, opened.
    pub(crate) oracle: Oracle,
}

/// Adds a line to the trace.
macro_rules! note {
    ($world:expr, $party:expr, $($what:tt)*) => {
        $world.trace.note($world.now, $party, format_args!($($what)*))
    };
}
pub(crate) use note;

impl World {
    /// The time as the clocks of `party` tell it.
    pub(crate) fn clock(&self, party: Party) -> Clock {
        Clock {
            now: self.now,
            wall_ms: match party {
                Party::Publisher(_) if self.plants.forgets_sessions() => 1,
                _ => wall::wall_ms(&self.clocks, party, self.now),
            },
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
        self.lost_since.push((self.now, of));
    }
}
