//! The end of the trusted program, and what outlives it.

use super::{Peer, Router};
use crate::outputs::Output;

/// What publishers are told when the program has ended.
const PROGRAM_LOST: &str =
    "the router's trusted program has ended, and every session with it: provision it anew";

impl Router {
    /// A trusted program is there, and says `tee` of its protection. Needed before the first one only to tell publishers that.
    pub fn on_program(&mut self, tee: String) {
        self.settings.tee = tee;
        self.program_lost = false;
        self.make_waiting_calls();
    }

    /// The trusted program has ended: its sessions are gone and its replies will not come. Publishers are sent away, to provision the next
    /// one; consumers stay, and take what was made for them. Calls made from
    /// now on wait for [`Router::on_program`].
    pub fn on_program_lost(&mut self) {
        self.counters.programs_lost += 1;
        self.waiting_calls.clear();
        self.under_way = 0;
        self.program_lost = true;
        for (id, domain) in self.domains.close_all() {
            // Peers have heard already of an owner that has left.
            if self.peers.contains_key(&domain.link) {
                self.tell_states(&id);
            }
            self.end_lanes(domain.into_lanes());
        }
        let mut calls: Vec<_> = core::mem::take(&mut self.calls).into_iter().collect();
        calls.sort_unstable_by_key(|(token, _)| *token);
        let debts = calls.into_iter().filter_map(|(_, call)| call.origin);
        debts.for_each(|(_, debt)| self.settle(debt));
        self.mailboxes
            .iter_mut()
            .for_each(|(_, mailbox)| mailbox.on_program_lost());
        let is_publisher = |peer: &Peer| matches!(peer, Peer::Publisher { .. });
        let links = self.peers.iter().filter(|(_, peer)| is_publisher(peer));
        let mut links: Vec<_> = links.map(|(link, _)| *link).collect();
        links.sort_unstable();
        for link in links {
            if self.closing.insert(link) {
                let reason = PROGRAM_LOST;
                self.outputs.push(Output::Close { link, reason });
            }
        }
    }
}
