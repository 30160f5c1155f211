//! What real connections do to links: cuts in mid-frame, peers that do not read.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

use std::time::Duration;

use sc_transport::{
    Attach, Dialer, Driver, Endpoint, Frame, FrameClass, LinkEvent, LinkId, LinkKey, LinkSettings,
    Links, Role,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn acceptor() -> Driver<Links> {
    let attach = Attach::Bind("127.0.0.1:0".parse().unwrap());
    let key = LinkKey::from_seed(&[1; 32]);
    Driver::acceptor(&attach, None, LinkSettings::default(), key)
        .await
        .unwrap()
}

async fn initiator(endpoint: Endpoint, seed: u8) -> Driver<Dialer> {
    let attach = Attach::Connect(vec![endpoint]);
    let (settings, key) = (LinkSettings::default(), LinkKey::from_seed(&[seed; 32]));
    Driver::initiator(&attach, None, Role::Subscriber, settings, key)
        .await
        .unwrap()
}

/// Runs both until the link is established, and returns the acceptor's id of it.
async fn establish(acceptor: &mut Driver<Links>, initiator: &mut Driver<Dialer>) -> LinkId {
    let established = async {
        loop {
            tokio::select! {
                event = acceptor.next() => if let LinkEvent::Established { link, .. } = event.unwrap() {
                    return link;
                },
                event = initiator.next() => drop(event.unwrap()),
            }
        }
    };
    timeout(PATIENCE, established)
        .await
        .expect("the link is established")
}

fn number(frame: &Frame) -> u64 {
    u64::from_le_bytes(frame.head[..].try_into().unwrap())
}

/// Passes connections on to `port`, and cuts each after so many bytes, until the list is used up.
async fn cutting_proxy(port: u16, cuts: Vec<u64>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let limit = cuts.next().unwrap_or(u64::MAX);
            let (mut client_reads, mut client_writes) = client.into_split();
            let (server_reads, mut server_writes) = server.into_split();
            let mut server_reads = tokio::io::AsyncReadExt::take(server_reads, limit);
            tokio::select! {
                _ = tokio::io::copy(&mut server_reads, &mut client_writes) => {}
                _ = tokio::io::copy(&mut client_reads, &mut server_writes) => {}
            }
        }
    });
    endpoint.parse().unwrap()
}

#[tokio::test]
async fn a_link_outlives_its_connections_and_loses_no_frame() {
    let mut router = acceptor().await;
    let Endpoint::Tcp { port, .. } = router.endpoints()[0] else {
        panic!("tcp was asked for")
    };
    let cuts = vec![300_000, 50_000, 1_000_000, 123_456];
    let mut peer = initiator(cutting_proxy(port, cuts).await, 2).await;
    let link = establish(&mut router, &mut peer).await;
    for token in 0..400u64 {
        let frame = Frame::new(token.to_le_bytes().to_vec()).with(vec![7; 10_000]);
        router.send(link, FrameClass::Data, frame, token).unwrap();
    }

    let mut numbers = Vec::new();
    let arrival = async {
        while numbers.len() < 400 {
            tokio::select! {
                event = router.next() => if let LinkEvent::Closed { reason, .. } = event.unwrap() {
                    panic!("{reason}");
                },
                event = peer.next() => match event.unwrap() {
                    LinkEvent::Frame { link, class, frame, credit } => {
                        numbers.push(number(&frame));
                        peer.release(link, class, credit);
                    }
                    LinkEvent::Closed { reason, .. } => panic!("{reason}"),
                    _ => {}
                },
            }
        }
    };
    timeout(PATIENCE, arrival)
        .await
        .expect("every frame arrives");

    assert_eq!(numbers, (0..400).collect::<Vec<u64>>());
    assert!(router.counts().retransmitted > 0, "the cuts did lose some");
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_no_other() {
    let mut router = acceptor().await;
    let endpoint = router.endpoints()[0].clone();
    let mut stalled = initiator(endpoint.clone(), 2).await;
    let stalled_link = establish(&mut router, &mut stalled).await;
    let mut lively = initiator(endpoint, 3).await;
    let lively_link = establish(&mut router, &mut lively).await;
    for token in 0..20_000u64 {
        let frame = Frame::new(token.to_le_bytes().to_vec());
        router
            .send(stalled_link, FrameClass::Data, frame, token)
            .unwrap();
    }
    for token in 0..100u64 {
        let frame = Frame::new(token.to_le_bytes().to_vec());
        router
            .send(lively_link, FrameClass::Data, frame, token)
            .unwrap();
    }

    let mut at_lively = 0;
    let others = async {
        while at_lively < 100 {
            tokio::select! {
                event = router.next() => drop(event.unwrap()),
                event = lively.next() => if let LinkEvent::Frame { .. } = event.unwrap() {
                    at_lively += 1;
                },
            }
        }
    };
    timeout(Duration::from_secs(5), others)
        .await
        .expect("the lively peer is served");

    let mut at_stalled = 0;
    let late = async {
        while at_stalled < 20_000 {
            tokio::select! {
                event = router.next() => drop(event.unwrap()),
                event = stalled.next() => if let LinkEvent::Frame { frame, .. } = event.unwrap() {
                    assert_eq!(number(&frame), at_stalled);
                    at_stalled += 1;
                },
            }
        }
    };
    timeout(PATIENCE, late)
        .await
        .expect("and the other once it reads");
}
