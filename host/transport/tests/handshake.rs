//! How links open: proofs, forgeries, replays, replacement, bounds.

mod pair;

use std::time::Duration;

use pair::{Pair, key};
use sc_transport::{LinkEvent, LinkSigner, PeerKey, Role, Side};

#[test]
fn two_ends_establish_a_link_and_learn_each_others_key() {
    let mut pair = Pair::new();

    pair.run_for(Duration::from_millis(50));

    let (at_acceptor, at_initiator) = pair.established();
    assert_eq!(
        pair.acceptor_events,
        [LinkEvent::Established {
            link: at_acceptor,
            peer: PeerKey(key(2).public_key()),
            role: Role::Publisher
        }]
    );
    assert_eq!(
        pair.initiator_events,
        [LinkEvent::Established {
            link: at_initiator,
            peer: PeerKey(key(1).public_key()),
            role: Role::Router
        }]
    );
    assert!(pair.acceptor.is_drained());
}
