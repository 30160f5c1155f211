//! What real connections do to links: cuts in mid-frame, peers that do not read.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

use std::sync::Arc;
use std::time::Duration;

use sc_transport::{
    Attach, Dialer, Driver, Endpoint, Frame, FrameClass, LinkEvent, LinkId, LinkKey, LinkSettings,
    Links, Role, SendError,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
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

/// Passes connections on to `port`. Once the switch is thrown, nothing that the far end says is read any more: its
/// receive window towards `port` closes.
async fn deafening_proxy(port: u16) -> (Endpoint, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let switch = Arc::new(Notify::new());
    let deaf = Arc::clone(&switch);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut client_reads, mut client_writes) = client.into_split();
        let (mut server_reads, mut server_writes) = server.into_split();
        let heard = async {
            tokio::select! {
                _ = tokio::io::copy(&mut server_reads, &mut client_writes) => {}
                () = deaf.notified() => std::future::pending().await,
            }
        };
        tokio::join!(
            heard,
            tokio::io::copy(&mut client_reads, &mut server_writes)
        )
    });
    (endpoint.parse().unwrap(), switch)
}

fn port(router: &Driver<Links>) -> u16 {
    match router.endpoints()[0] {
        Endpoint::Tcp { port, .. } => port,
        _ => panic!("tcp was asked for"),
    }
}

/// Runs all three until the lively peer has got so many frames.
async fn served(
    router: &mut Driver<Links>,
    deaf: &mut Driver<Dialer>,
    lively: &mut Driver<Dialer>,
    frames: usize,
) {
    let mut arrived = 0;
    let all = async {
        while arrived < frames {
            tokio::select! {
                event = router.next() => if let LinkEvent::Frame { link, class, credit, .. } = event.unwrap() {
                    router.release(link, class, credit);
                },
                event = deaf.next() => drop(event.unwrap()),
                event = lively.next() => if let LinkEvent::Frame { link, class, credit, .. } = event.unwrap() {
                    arrived += 1;
                    lively.release(link, class, credit);
                },
            }
        }
    };
    timeout(Duration::from_secs(5), all)
        .await
        .expect("the lively peer is served");
}

#[tokio::test]
async fn a_consumer_whose_receive_window_is_closed_costs_no_more_than_its_queue_and_holds_up_no_other()
 {
    let mut router = acceptor().await;
    let (endpoint, switch) = deafening_proxy(port(&router)).await;
    let mut deaf = initiator(endpoint, 2).await;
    let deaf_link = establish(&mut router, &mut deaf).await;
    let mut lively = initiator(router.endpoints()[0].clone(), 3).await;
    let lively_link = establish(&mut router, &mut lively).await;
    switch.notify_one();

    let mut taken = 0;
    for round in 0..100 {
        let frame = Frame::new("").with(vec![0; 1 << 20]);
        taken += match router.send(deaf_link, FrameClass::Data, frame, round) {
            Ok(()) => 1,
            Err(SendError::Full) => 0,
            Err(error) => panic!("{error}"),
        };
        let frame = Frame::new("for the lively one");
        router
            .send(lively_link, FrameClass::Data, frame, round)
            .unwrap();
        served(&mut router, &mut deaf, &mut lively, 1).await;
    }

    let queue = LinkSettings::default().data_queue;
    assert!(taken << 20 < queue, "{taken} MiB");
}

#[tokio::test]
async fn a_publisher_that_reads_nothing_runs_out_of_credit_and_holds_up_no_other() {
    let mut router = acceptor().await;
    let (endpoint, switch) = deafening_proxy(port(&router)).await;
    let mut deaf = initiator(endpoint, 2).await;
    establish(&mut router, &mut deaf).await;
    let mut lively = initiator(router.endpoints()[0].clone(), 3).await;
    let lively_link = establish(&mut router, &mut lively).await;
    switch.notify_one();

    let publishing = deaf.side().link().unwrap();
    for round in 0..100 {
        let frame = Frame::new("").with(vec![0; 1 << 18]);
        // Beyond its credit it may only queue, at its own cost.
        let _ = deaf.send(publishing, FrameClass::Data, frame, round);
        let frame = Frame::new("for the lively one");
        router
            .send(lively_link, FrameClass::Data, frame, round)
            .unwrap();
        served(&mut router, &mut deaf, &mut lively, 1).await;
    }

    assert_eq!(deaf.available(publishing, FrameClass::Data), 0);
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
