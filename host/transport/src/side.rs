//! The two sides of a socket behind one shape, so that one driver serves both.

use std::time::Duration;

use bytes::Bytes;

use crate::event::{LinkEvent, LinkId, Route, SendError};
use crate::frame::{Frame, FrameClass};
use crate::table::{Counts, Table};
use crate::wire::Datagram;

/// One side's links: [`crate::Links`] at an acceptor, [`crate::Dialer`] at an initiator.
///
/// Reads no clock and touches no socket: `now` is the time since any fixed start and never goes back, datagrams are
/// handed in and polled out. After every call there may be events and datagrams to poll, and another next timeout.
pub trait Side {
    /// The links of this side, for what both sides do alike.
    #[doc(hidden)]
    fn table(&self) -> &Table;

    /// See [`Self::table`].
    #[doc(hidden)]
    fn table_mut(&mut self) -> &mut Table;

    /// Takes one datagram that came from `route`.
    fn on_datagram(&mut self, now: Duration, route: &Route, datagram: Datagram);

    /// Queues `frame`; `token` comes back when it has arrived.
    ///
    /// # Errors
    /// `Full`: wait for [`LinkEvent::Writable`]. `Closed`: the link is gone. `TooLarge`: never retry.
    fn send(
        &mut self,
        now: Duration,
        link: LinkId,
        class: FrameClass,
        frame: Frame,
        token: u64,
    ) -> Result<(), SendError> {
        self.table_mut().send(now, link, class, frame, token)
    }

    /// Cost of frames, in bytes, that would be sent at once with the credit in hand; 0 for an unknown link.
    fn available(&self, link: LinkId, class: FrameClass) -> u64 {
        self.table().available(link, class)
    }

    /// Cost of the largest frame that this link will ever have credit for; `None` for an unknown link. Whoever waits for
    /// [`Self::available`] before it sends looks here first, because for a larger frame it would wait for ever.
    fn largest(&self, link: LinkId, class: FrameClass) -> Option<u64> {
        self.table().largest(link, class)
    }

    /// Gives the peer `bytes` of credit back; ignored for an unknown link.
    fn release(&mut self, now: Duration, link: LinkId, class: FrameClass, bytes: u64) {
        self.table_mut().release(now, link, class, bytes);
    }

    /// Closes a link, dropping what is queued; ignored for an unknown link. Reported as [`LinkEvent::Closed`].
    fn close(&mut self, now: Duration, link: LinkId, reason: &str);

    /// Closes every link and opens none again.
    fn shut_down(&mut self, now: Duration, reason: &str);

    /// The next datagram to send and the routing id it goes to.
    fn poll_transmit(&mut self, now: Duration) -> Option<(Bytes, Datagram)> {
        self.table_mut().poll_transmit(now)
    }

    /// The next event.
    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.table_mut().poll_event()
    }

    /// When to call [`Self::on_timeout`], if nothing else happens.
    fn next_timeout(&self) -> Option<Duration>;

    /// Does what has become due.
    fn on_timeout(&mut self, now: Duration);

    /// While `held`, the carrier takes nothing for this routing id, and nothing is polled for its link.
    fn hold(&mut self, route: &[u8], held: bool) {
        self.table_mut().hold(route, held);
    }

    /// The carrier has a new connection: an initiator says at once who it is.
    fn on_connected(&mut self, now: Duration);

    /// The carrier has no connection any more: an initiator gives up its link unless one comes soon.
    fn on_disconnected(&mut self, now: Duration);

    /// Whether every frame sent has been acknowledged.
    fn is_drained(&self) -> bool {
        self.table().is_drained()
    }

    /// What has happened so far.
    fn counts(&self) -> Counts {
        self.table().counts
    }
}
