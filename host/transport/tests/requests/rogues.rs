//! Peers that break the rules on a proved link, or do not read.

use std::time::Duration;

use sc_transport::{
    Attach, CloseReason, Driver, Endpoint, Frame, FrameClass, LinkEvent, LinkSettings, Role,
    RpcSettings, Terms,
};
use tokio::time::{sleep, timeout};

use crate::desk::{LONG, PATIENCE, Service, echo, key};

/// A peer that says what it likes on a proved link.
struct Rogue {
    driver: Driver<sc_transport::Dialer>,
    link: sc_transport::LinkId,
}

impl Rogue {
    async fn at(endpoint: &Endpoint, data_window: u64) -> Self {
        let terms = Terms {
            control_window: 64 * 1024,
            data_window,
            max_frame: 17 << 20,
        };
        let settings = LinkSettings {
            terms,
            control_queue: 64 << 20,
            data_queue: 64 << 20,
            ..LinkSettings::default()
        };
        let attach = Attach::Connect(vec![endpoint.clone()]);
        let mut driver = Driver::initiator(&attach, None, Role::Client, settings, key(7))
            .await
            .unwrap();
        loop {
            let event = timeout(PATIENCE, driver.next()).await.unwrap().unwrap();
            if let LinkEvent::Established { link, .. } = event {
                return Self { driver, link };
            }
        }
    }

    fn say(&mut self, kind: u8, id: u64, rest: &str) {
        let head = [&[kind], &id.to_le_bytes()[..], rest.as_bytes()].concat();
        self.driver
            .send(self.link, FrameClass::Control, Frame::new(head), 0)
            .unwrap();
    }

    /// What the other side says on closing the link.
    async fn turned_out(&mut self) -> String {
        let closed = async {
            loop {
                if let LinkEvent::Closed { reason, .. } = self.driver.next().await.unwrap() {
                    return reason;
                }
            }
        };
        match timeout(PATIENCE, closed).await.expect("the link closes") {
            CloseReason::ByPeer { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_turned_out_and_others_are_served() {
    let service = Service::new().await;
    let client = service.client().await;
    let two: [(u8, u64, &str); 2] = [(1, 5, "wait"), (1, 5, "wait")];
    for (says, why) in [
        (&two[..], "the number of another"),
        (&[(2, 1, "a reply")], "neither a request nor a cancel"),
        (&[(4, 1, "\x01")], "neither a request nor a cancel"),
        (&[(0, 1, "")], "neither a request nor a cancel"),
        (&[(3, 1, "too long")], "neither a request nor a cancel"),
    ] {
        let mut rogue = Rogue::at(&service.endpoint, 1 << 20).await;
        for (kind, id, rest) in says {
            rogue.say(*kind, *id, rest);
        }

        let reason = rogue.turned_out().await;

        assert!(reason.contains(why), "{reason}");
    }
    service.desk.until_at_work(0).await;
    assert_eq!(client.call(echo(1), LONG).await, Ok(echo(1)));
}

#[tokio::test]
async fn a_frame_too_short_for_a_header_turns_its_sender_out() {
    let service = Service::new().await;
    let mut rogue = Rogue::at(&service.endpoint, 1 << 20).await;
    let short = Frame::new("short");

    rogue
        .driver
        .send(rogue.link, FrameClass::Control, short, 0)
        .unwrap();

    rogue.turned_out().await;
}

#[tokio::test]
async fn a_cancel_of_what_nobody_asked_is_ignored() {
    let service = Service::new().await;
    let mut rogue = Rogue::at(&service.endpoint, 1 << 20).await;

    rogue.say(3, 77, "");
    rogue.say(1, 78, "echo");

    let reply = async {
        loop {
            if let LinkEvent::Frame { frame, .. } = rogue.driver.next().await.unwrap() {
                return frame;
            }
        }
    };
    let reply = timeout(PATIENCE, reply).await.unwrap();
    assert_eq!(reply.head[..], *b"\x02\x4e\0\0\0\0\0\0\0echo");
}

#[tokio::test]
async fn replies_that_are_not_read_are_bounded_and_others_are_served() {
    let unread_max = 8 << 20;
    let service = Service::with(RpcSettings {
        unread_max,
        stall_timeout: Duration::from_secs(1),
        ..RpcSettings::default()
    })
    .await;
    let client = service.client().await;
    // It grants credit for one reply and never releases any.
    let mut rogue = Rogue::at(&service.endpoint, 2 << 20).await;
    for id in 0..64 {
        rogue.say(1, id, "size 1048576");
    }

    let turned_out = rogue.turned_out();
    let served = async {
        let mut number = 0;
        loop {
            number += 1;
            assert_eq!(client.call(echo(number), LONG).await, Ok(echo(number)));
            sleep(Duration::from_millis(10)).await;
        }
    };

    let reason = tokio::select! {
        reason = turned_out => reason,
        () = served => unreachable!(),
    };
    assert!(reason.contains("replies were not taken"), "{reason}");
}

#[tokio::test]
async fn a_peer_that_asks_without_reading_refusals_is_turned_out() {
    let service = Service::with(RpcSettings {
        in_flight_per_link: 1,
        ..RpcSettings::default()
    })
    .await;
    let mut rogue = Rogue::at(&service.endpoint, 1 << 20).await;
    for id in 0..10_000 {
        rogue.say(1, id, "wait");
    }

    let reason = rogue.turned_out().await;

    assert!(reason.contains("no answer was taken"), "{reason}");
}
