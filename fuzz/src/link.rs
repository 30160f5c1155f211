//! A target for the datagrams of the link layer, at either end.

use std::time::Duration;

use bytes::Bytes;
use sc_transport::{Datagram, Dialer, LinkEvent, LinkKey, LinkSettings, Links, Role, Route, Side};

use crate::cores::Entropy;
use crate::pieces::Pieces;

/// More datagrams than this nobody sends who has been sent so few.
const ANSWERS_MAX: usize = 64;

fn entropy(seed: u64) -> sc_transport::Entropy {
    let mut entropy = Entropy::new(seed);
    Box::new(move |bytes| entropy.fill(bytes))
}

/// Datagrams of a peer that knows no key: to a side that waits for links, and to one that opens one.
///
/// # Panics
/// When a link is established or a frame taken without a proof, or a side answers more than it was sent.
pub fn datagrams(bytes: &[u8]) {
    let settings = LinkSettings::default();
    let now = Duration::from_secs(1);
    let key = |seed| LinkKey::from_seed(&[seed; 32]);
    let mut links = Links::new(settings.clone(), key(1), entropy(1));
    let mut dialer = Dialer::new(now, Role::Publisher, settings, key(2), entropy(2));
    dialer.on_connected(now);
    hostile(&mut links, bytes, now);
    hostile(&mut dialer, bytes, now);
}

fn hostile(side: &mut impl Side, bytes: &[u8], mut now: Duration) {
    let mut pieces = Pieces::new(bytes);
    let (mut taken, mut answered) = (0, 0);
    while let Some(shape) = pieces.byte() {
        // Up to three parts each, over one of two routes.
        let parts = (0..shape % 4)
            .map_while(|_| pieces.piece().map(Bytes::copy_from_slice))
            .collect();
        let route = Route::plain(vec![shape >> 7]);
        now += Duration::from_millis(u64::from(shape & 0x70));
        side.on_datagram(now, &route, Datagram { parts });
        taken += 1;
        answered += drain(side, now);
    }
    side.on_timeout(now + Duration::from_secs(60));
    answered += drain(side, now + Duration::from_secs(60));
    assert!(answered <= ANSWERS_MAX + 2 * taken);
}

/// Takes out what the side reports and sends; returns how many datagrams that is.
fn drain(side: &mut impl Side, now: Duration) -> usize {
    while let Some(event) = side.poll_event() {
        assert!(!matches!(
            event,
            LinkEvent::Established { .. } | LinkEvent::Frame { .. }
        ));
    }
    let mut count = 0;
    while side.poll_transmit(now).is_some() {
        count += 1;
        assert!(count <= ANSWERS_MAX);
    }
    count
}
