//! Consumers that do not keep up: what finds no room in their link's queue waits in the router.
//!
//! A consumer whose publisher had chosen to wait for it was disconnected when the notices of a window of batches, which may be many
//! times larger than the batches, did not fit its link's queue.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

use sc_router::{Output, Router, RouterSettings};
use sc_transport::{CloseReason, Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role, SendError};

const LINK: LinkId = LinkId(1);
const DATA: FrameClass = FrameClass::Data;

fn router() -> Router {
    let mut router = Router::new(RouterSettings::default());
    router.on_event(LinkEvent::Established {
        link: LINK,
        peer: PeerKey([1; 32]),
        role: Role::Subscriber,
    });
    router
}

fn deliver(router: &mut Router, token: u64, result: Result<(), SendError>) -> bool {
    let mut tried = false;
    router.deliver(LINK, DATA, Frame::new(vec![0; 100]), token, 0, |_| {
        tried = true;
        result
    });
    tried
}

fn sent(router: &mut Router) -> Vec<u64> {
    let outputs = router.take_outputs().into_iter();
    let tokens = outputs.map(|output| match output {
        Output::Send { link, token, .. } if link == LINK => token,
        other => panic!("{other:?}"),
    });
    tokens.collect()
}

#[test]
fn what_finds_no_room_waits_with_all_that_follows_it_and_leaves_in_order() {
    let mut router = router();

    assert!(deliver(&mut router, 1, Ok(())));
    assert!(deliver(&mut router, 2, Err(SendError::Full)));
    assert!(!deliver(&mut router, 3, Ok(())), "not before the second");
    assert!(sent(&mut router).is_empty());
    router.on_event(LinkEvent::Writable {
        link: LINK,
        class: DATA,
    });

    assert_eq!(sent(&mut router), [2, 3]);
    assert!(deliver(&mut router, 2, Ok(())));
    assert_eq!(router.counters().disconnected, 0);
}

#[test]
fn what_finds_no_room_again_waits_again() {
    let mut router = router();
    for token in 1..=3 {
        deliver(&mut router, token, Err(SendError::Full));
    }
    router.on_event(LinkEvent::Writable {
        link: LINK,
        class: DATA,
    });
    assert_eq!(sent(&mut router), [1, 2, 3]);

    assert!(deliver(&mut router, 1, Ok(())));
    assert!(deliver(&mut router, 2, Err(SendError::Full)));
    assert!(!deliver(&mut router, 3, Ok(())));
    router.on_event(LinkEvent::Writable {
        link: LINK,
        class: DATA,
    });

    assert_eq!(sent(&mut router), [2, 3]);
}

#[test]
fn what_waited_for_a_link_goes_with_it() {
    let mut router = router();
    deliver(&mut router, 1, Err(SendError::Full));

    router.on_event(LinkEvent::Closed {
        link: LINK,
        reason: CloseReason::Forgotten,
    });
    router.on_event(LinkEvent::Writable {
        link: LINK,
        class: DATA,
    });

    assert!(sent(&mut router).is_empty());
}

#[test]
fn a_frame_that_the_peer_would_never_take_ends_the_link() {
    let mut router = router();

    deliver(
        &mut router,
        1,
        Err(SendError::TooLarge { size: 100, max: 10 }),
    );

    assert!(matches!(
        router.take_outputs()[..],
        [Output::Close { link: LINK, .. }]
    ));
    assert_eq!(router.counters().disconnected, 1);
}
