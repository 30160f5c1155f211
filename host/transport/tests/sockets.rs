//! Links over real sockets: both shapes, restarts, encryption, and strangers at the port.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

use std::time::Duration;

use sc_transport::{
    Attach, CloseReason, CurvePublic, Dialer, Driver, Endpoint, EndpointError, Frame, FrameClass,
    LinkEvent, LinkId, LinkKey, LinkKeys, LinkSettings, LinkSigner as _, Links, Note, PeerKey,
    RECONNECT_GRACE, Role, Side, os_entropy,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(8);

fn key(seed: u8) -> LinkKey {
    LinkKey::from_seed(&[seed; 32])
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn bind(text: &str) -> Attach {
    Attach::Bind(endpoint(text))
}

fn connect<S: Side>(to: &Driver<S>) -> Attach {
    Attach::Connect(to.endpoints().to_vec())
}

async fn acceptor(attach: &Attach, keys: Option<&LinkKeys>) -> Driver<Links> {
    Driver::acceptor(attach, keys, LinkSettings::default(), key(1))
        .await
        .unwrap()
}

async fn initiator(attach: &Attach, keys: Option<&LinkKeys>, seed: u8) -> Driver<Dialer> {
    let settings = LinkSettings::default();
    Driver::initiator(attach, keys, Role::Subscriber, settings, key(seed))
        .await
        .unwrap()
}

/// Both sides, of which one binds and the other connects.
async fn in_shape(acceptor_binds: bool) -> (Driver<Links>, Driver<Dialer>) {
    if acceptor_binds {
        let router = acceptor(&bind("localhost:0"), None).await;
        let peer = initiator(&connect(&router), None, 2).await;
        (router, peer)
    } else {
        let peer = initiator(&bind("localhost:0"), None, 2).await;
        let router = acceptor(&connect(&peer), None).await;
        (router, peer)
    }
}

/// Runs both until each has established a link.
async fn establish(
    acceptor: &mut Driver<Links>,
    initiator: &mut Driver<Dialer>,
) -> (LinkId, LinkId) {
    let (mut at_acceptor, mut at_initiator) = (None, None);
    let both = async {
        while at_acceptor.is_none() || at_initiator.is_none() {
            tokio::select! {
                event = acceptor.next() => if let LinkEvent::Established { link, .. } = event.unwrap() {
                    at_acceptor = Some(link);
                },
                event = initiator.next() => if let LinkEvent::Established { link, .. } = event.unwrap() {
                    at_initiator = Some(link);
                },
            }
        }
    };
    timeout(PATIENCE, both)
        .await
        .expect("both ends establish a link");
    (at_acceptor.unwrap(), at_initiator.unwrap())
}

/// Runs both until one frame has arrived at the acceptor.
async fn frame_at_acceptor(acceptor: &mut Driver<Links>, initiator: &mut Driver<Dialer>) -> Frame {
    let arrival = async {
        loop {
            tokio::select! {
                event = acceptor.next() => if let LinkEvent::Frame { frame, .. } = event.unwrap() {
                    return frame;
                },
                event = initiator.next() => drop(event.unwrap()),
            }
        }
    };
    timeout(PATIENCE, arrival).await.expect("the frame arrives")
}

/// Runs both until one frame has arrived at the initiator.
async fn frame_at_initiator(acceptor: &mut Driver<Links>, initiator: &mut Driver<Dialer>) -> Frame {
    let arrival = async {
        loop {
            tokio::select! {
                event = initiator.next() => if let LinkEvent::Frame { frame, .. } = event.unwrap() {
                    return frame;
                },
                event = acceptor.next() => drop(event.unwrap()),
            }
        }
    };
    timeout(PATIENCE, arrival).await.expect("the frame arrives")
}

async fn both_ways(acceptor: &mut Driver<Links>, initiator: &mut Driver<Dialer>) {
    let (at_acceptor, at_initiator) = establish(acceptor, initiator).await;
    let up = Frame::new("up").with(vec![1; 100_000]).with("");
    let down = Frame::new("down");

    initiator
        .send(at_initiator, FrameClass::Data, up.clone(), 1)
        .unwrap();
    assert_eq!(frame_at_acceptor(acceptor, initiator).await, up);
    acceptor
        .send(at_acceptor, FrameClass::Control, down.clone(), 1)
        .unwrap();
    assert_eq!(frame_at_initiator(acceptor, initiator).await, down);
}

#[tokio::test]
async fn frames_go_both_ways_when_the_acceptor_binds() {
    let mut acceptor = acceptor(&bind("*:0"), None).await;
    let mut initiator = initiator(&connect(&acceptor), None, 2).await;

    both_ways(&mut acceptor, &mut initiator).await;
}

#[tokio::test]
async fn frames_go_both_ways_when_the_acceptor_connects() {
    let mut initiator = initiator(&bind("localhost:0"), None, 2).await;
    let mut acceptor = acceptor(&connect(&initiator), None).await;

    both_ways(&mut acceptor, &mut initiator).await;
}

#[tokio::test]
async fn frames_go_both_ways_over_a_socket_file_that_only_its_user_may_open() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router");
    let mut acceptor = acceptor(&Attach::Bind(Endpoint::Ipc(path.clone())), None).await;
    let mut initiator = initiator(&connect(&acceptor), None, 2).await;

    both_ways(&mut acceptor, &mut initiator).await;

    assert_eq!(
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn frames_go_both_ways_within_the_process() {
    let mut acceptor = acceptor(&bind("inproc://both-ways"), None).await;
    let mut initiator = initiator(&connect(&acceptor), None, 2).await;

    both_ways(&mut acceptor, &mut initiator).await;
}

#[tokio::test]
async fn an_initiator_that_comes_first_waits_for_its_acceptor() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("127.0.0.1:{}", probe.local_addr().unwrap().port());
    drop(probe);
    let mut initiator = initiator(&Attach::Connect(vec![endpoint(&address)]), None, 2).await;
    assert!(
        timeout(Duration::from_millis(300), initiator.next())
            .await
            .is_err(),
        "nobody is there"
    );

    let mut acceptor = acceptor(&bind(&address), None).await;

    both_ways(&mut acceptor, &mut initiator).await;
}

#[tokio::test]
async fn a_router_that_connects_serves_several_listening_peers() {
    let mut one = initiator(&bind("localhost:0"), None, 2).await;
    let mut other = initiator(&bind("localhost:0"), None, 3).await;
    let peers = Attach::Connect([one.endpoints(), other.endpoints()].concat());
    let mut router = acceptor(&peers, None).await;

    let mut peers = Vec::new();
    let both = async {
        while peers.len() < 2 {
            tokio::select! {
                event = router.next() => if let LinkEvent::Established { peer, .. } = event.unwrap() {
                    peers.push(peer);
                },
                event = one.next() => drop(event.unwrap()),
                event = other.next() => drop(event.unwrap()),
            }
        }
    };
    timeout(PATIENCE, both)
        .await
        .expect("both peers establish a link");

    peers.sort_unstable();
    let mut expected = [key(2), key(3)].map(|key| PeerKey(key.public_key()));
    expected.sort_unstable();
    assert_eq!(peers, expected);
}

#[tokio::test]
async fn an_initiator_survives_the_restart_of_its_acceptor_in_either_shape() {
    for acceptor_binds in [true, false] {
        let (mut router, mut peer) = in_shape(acceptor_binds).await;
        establish(&mut router, &mut peer).await;
        let attach = if acceptor_binds {
            Attach::Bind(router.endpoints()[0].clone())
        } else {
            connect(&peer)
        };

        drop(router);
        let mut router = reopen(&attach).await;

        both_ways(&mut router, &mut peer).await;
    }
}

#[tokio::test]
async fn a_link_without_traffic_is_made_anew_as_soon_as_a_restarted_acceptor_is_connected() {
    for acceptor_binds in [true, false] {
        let (mut router, mut peer) = in_shape(acceptor_binds).await;
        establish(&mut router, &mut peer).await;
        let attach = if acceptor_binds {
            Attach::Bind(router.endpoints()[0].clone())
        } else {
            connect(&peer)
        };

        drop(router);
        let mut router = reopen(&attach).await;

        // Nobody sends anything, and the keepalive is due after 10 s only: the connection itself is what makes the peer speak. The carrier
        // tries again within two seconds.
        timeout(Duration::from_secs(4), establish(&mut router, &mut peer))
            .await
            .expect("long before the next word is due");
    }
}

/// Binds again as soon as the system has freed the port.
async fn reopen(attach: &Attach) -> Driver<Links> {
    for _ in 0..100 {
        match Driver::acceptor(attach, None, LinkSettings::default(), key(1)).await {
            Err(EndpointError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the port stays in use")
}

#[tokio::test]
async fn a_restarted_initiator_replaces_its_former_self_in_either_shape() {
    for acceptor_binds in [true, false] {
        let (mut router, mut peer) = in_shape(acceptor_binds).await;
        let (old, _) = establish(&mut router, &mut peer).await;
        let attach = if acceptor_binds {
            connect(&router)
        } else {
            Attach::Bind(peer.endpoints()[0].clone())
        };

        drop(peer);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut peer = initiator(&attach, None, 2).await;

        let mut closed = None;
        let replaced = async {
            loop {
                tokio::select! {
                    event = router.next() => match event.unwrap() {
                        LinkEvent::Closed { link, reason } => closed = Some((link, reason)),
                        LinkEvent::Established { .. } => return,
                        _ => {}
                    },
                    event = peer.next() => drop(event.unwrap()),
                }
            }
        };
        timeout(PATIENCE, replaced)
            .await
            .expect("the new link is established");
        assert_eq!(closed, Some((old, CloseReason::Replaced)));
    }
}

#[tokio::test]
async fn a_router_that_is_gone_for_good_is_noticed_long_before_it_would_count_as_silent() {
    let mut router = acceptor(&bind("localhost:0"), None).await;
    let mut peer = initiator(&connect(&router), None, 2).await;
    establish(&mut router, &mut peer).await;

    drop(router);
    let closed = async {
        loop {
            if let LinkEvent::Closed { reason, .. } = peer.next().await.unwrap() {
                return reason;
            }
        }
    };

    let reason = timeout(RECONNECT_GRACE + Duration::from_secs(3), closed)
        .await
        .expect("it is noticed in time");
    assert_eq!(reason, CloseReason::Disconnected(RECONNECT_GRACE));
}

fn curve_pair() -> (LinkKeys, LinkKeys) {
    let mut server = LinkKeys::generate(&mut os_entropy());
    let mut client = LinkKeys::generate(&mut os_entropy());
    server.peers = vec![client.public()];
    client.peers = vec![server.public()];
    (server, client)
}

#[tokio::test]
async fn link_keys_that_know_each_other_make_an_encrypted_link_in_either_shape() {
    let (server, client) = curve_pair();
    let mut router = acceptor(&bind("127.0.0.1:0"), Some(&server)).await;
    let mut peer = initiator(&connect(&router), Some(&client), 2).await;
    both_ways(&mut router, &mut peer).await;

    let mut peer = initiator(&bind("127.0.0.1:0"), Some(&server), 2).await;
    let mut router = acceptor(&connect(&peer), Some(&client)).await;
    both_ways(&mut router, &mut peer).await;
}

/// Whether a link comes up within a second.
async fn comes_up(router: &mut Driver<Links>, peer: &mut Driver<Dialer>) -> bool {
    let established = async {
        loop {
            let event = tokio::select! {
                event = router.next() => event.unwrap(),
                event = peer.next() => event.unwrap(),
            };
            if matches!(event, LinkEvent::Established { .. }) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(1), established).await.is_ok()
}

#[tokio::test]
async fn link_keys_that_do_not_know_each_other_make_no_link() {
    let (server, mut client) = curve_pair();
    let mut stranger = LinkKeys::generate(&mut os_entropy());
    stranger.peers = vec![server.public()];
    let mut router = acceptor(&bind("127.0.0.1:0"), Some(&server)).await;

    let mut unknown_client = initiator(&connect(&router), Some(&stranger), 2).await;
    assert!(
        !comes_up(&mut router, &mut unknown_client).await,
        "a client that is not admitted"
    );
    let mut plain_client = initiator(&connect(&router), None, 2).await;
    assert!(
        !comes_up(&mut router, &mut plain_client).await,
        "a client without keys"
    );
    let right = std::mem::replace(&mut client.peers, vec![CurvePublic([7; 32])]);
    let mut wrong_server = initiator(&connect(&router), Some(&client), 2).await;
    assert!(
        !comes_up(&mut router, &mut wrong_server).await,
        "a server with another key"
    );

    client.peers = right;
    let mut admitted = initiator(&connect(&router), Some(&client), 2).await;
    assert!(
        comes_up(&mut router, &mut admitted).await,
        "and the right ones still do"
    );
}

#[tokio::test]
async fn a_client_that_is_not_admitted_is_told_so() {
    let (server, client) = curve_pair();
    let mut stranger = LinkKeys::generate(&mut os_entropy());
    stranger.peers = client.peers;
    let mut router = acceptor(&bind("127.0.0.1:0"), Some(&server)).await;
    let mut peer = initiator(&connect(&router), Some(&stranger), 2).await;

    let refused = async {
        loop {
            tokio::select! {
                event = router.next() => panic!("{event:?}"),
                event = peer.next() => if let LinkEvent::Refused { reason } = event.unwrap() {
                    return reason;
                },
            }
        }
    };

    let reason = timeout(PATIENCE, refused)
        .await
        .expect("the refusal is reported");
    assert!(reason.contains("turned the connection away"), "{reason}");
}

#[tokio::test]
async fn a_client_that_has_link_keys_where_the_server_has_none_or_the_reverse_is_told_so() {
    let (server, client) = curve_pair();
    for (server, client, told) in [
        (
            Some(&server),
            None,
            "uses link keys, and this side was given none",
        ),
        (
            None,
            Some(&client),
            "uses no link keys, and this side was given some",
        ),
    ] {
        let mut router = acceptor(&bind("127.0.0.1:0"), server).await;
        let mut peer = initiator(&connect(&router), client, 2).await;

        let refused = async {
            loop {
                tokio::select! {
                    event = router.next() => panic!("{event:?}"),
                    event = peer.next() => if let LinkEvent::Refused { reason } = event.unwrap() {
                        return reason;
                    },
                }
            }
        };

        let reason = timeout(PATIENCE, refused).await.expect("it is reported");
        assert!(reason.contains(told), "{reason}");
    }
}

#[tokio::test]
async fn garbage_at_the_port_leaves_other_links_unharmed() {
    let mut router = acceptor(&bind("127.0.0.1:0"), None).await;
    let mut peer = initiator(&connect(&router), None, 2).await;
    establish(&mut router, &mut peer).await;
    let Endpoint::Tcp { port, .. } = router.endpoints()[0] else {
        panic!("tcp was asked for")
    };
    let greeting = {
        let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
        bytes.extend(b"NULL");
        bytes.resize(64, 0);
        bytes
    };
    let ready = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER";
    let announces = |size: u64| [&greeting[..], ready, &[2], &size.to_be_bytes()].concat();

    let garbage = [
        vec![0; 64],
        vec![0xff; 4096],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [&greeting[..], &[0xff; 73]].concat(),
        announces(1 << 62),
        announces(u64::MAX),
        [&greeting[..], ready, b"\x07\x03abc"].concat(),
    ];
    let mut strangers = Vec::new();
    for bytes in garbage {
        let mut stranger = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stranger.write_all(&bytes).await.unwrap();
        strangers.push(stranger);
    }
    let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    silent.write_all(&greeting[..20]).await.unwrap();
    for (number, mut stranger) in strangers.into_iter().enumerate() {
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stranger.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "stranger {number} is disconnected");
    }

    let link = peer.side().link().unwrap();
    let frame = Frame::new("still here");
    peer.send(link, FrameClass::Control, frame.clone(), 1)
        .unwrap();
    assert_eq!(frame_at_acceptor(&mut router, &mut peer).await, frame);
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let first = acceptor(&bind("127.0.0.1:0"), None).await;
    let attach = Attach::Bind(first.endpoints()[0].clone());

    let second = Driver::acceptor(&attach, None, LinkSettings::default(), key(1)).await;

    let error = second.unwrap_err();
    assert!(matches!(error, EndpointError::InUse { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("address in use: tcp://127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_file_in_use_is_named_and_one_left_behind_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (used, left) = (folder.path().join("used"), folder.path().join("left"));
    let _first = acceptor(&Attach::Bind(Endpoint::Ipc(used.clone())), None).await;
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());

    let open = |path| async move {
        let attach = Attach::Bind(Endpoint::Ipc(path));
        Driver::acceptor(&attach, None, LinkSettings::default(), key(1)).await
    };

    assert!(matches!(
        open(used).await.unwrap_err(),
        EndpointError::InUse { .. }
    ));
    assert!(open(left).await.is_ok());
    let data = folder.path().join("data");
    std::fs::write(&data, "precious").unwrap();
    assert!(matches!(
        open(data.clone()).await.unwrap_err(),
        EndpointError::Io { .. }
    ));
    assert_eq!(
        std::fs::read_to_string(data).unwrap(),
        "precious",
        "and is left alone"
    );
}

#[tokio::test]
async fn an_initiator_connects_to_one_endpoint_and_a_router_to_some() {
    let two = Attach::Connect(vec![endpoint("localhost:1"), endpoint("localhost:2")]);
    let none = Attach::Connect(vec![]);
    let settings = LinkSettings::default;

    let initiator = Driver::initiator(&two, None, Role::Publisher, settings(), key(2)).await;
    assert!(matches!(
        initiator.unwrap_err(),
        EndpointError::Count { count: 2 }
    ));
    let router = Driver::acceptor(&none, None, settings(), key(1)).await;
    assert!(matches!(
        router.unwrap_err(),
        EndpointError::Count { count: 0 }
    ));
    assert!(
        Driver::acceptor(&two, None, settings(), key(1))
            .await
            .is_ok()
    );
}

#[test]
fn two_threads_of_one_process_have_a_link_within_it() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let router = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut router = acceptor(&bind("inproc://threads"), None).await;
            loop {
                if let LinkEvent::Frame { frame, .. } = router.next().await.unwrap() {
                    return frame;
                }
            }
        })
    });
    let sent = Frame::new("from another thread");
    runtime().block_on(async {
        let to = Attach::Connect(vec![endpoint("inproc://threads")]);
        let mut peer = initiator(&to, None, 2).await;
        let arrived = async {
            loop {
                match peer.next().await.unwrap() {
                    LinkEvent::Established { link, .. } => {
                        peer.send(link, FrameClass::Control, sent.clone(), 1)
                            .unwrap();
                    }
                    LinkEvent::Acked { .. } => return,
                    _ => {}
                }
            }
        };
        // The router ends as soon as it has the frame, so that its acknowledgement may be lost.
        let _ = timeout(Duration::from_millis(500), arrived).await;
    });

    assert_eq!(router.join().unwrap(), sent);
}

#[tokio::test]
async fn binding_every_host_without_keys_is_noted() {
    let driver = acceptor(&bind("*:0"), None).await;

    assert_eq!(driver.notes(), [Note::LoopbackOnly { port: 0 }]);
    assert!(
        driver.endpoints()[0]
            .to_string()
            .starts_with("tcp://127.0.0.1:")
    );
}

#[tokio::test]
async fn link_keys_do_not_mix_with_endpoints_that_take_none() {
    let (_, client) = curve_pair();
    let mixed = Attach::Connect(vec![endpoint("localhost:1"), endpoint("inproc://x")]);

    let opened = Driver::acceptor(&mixed, Some(&client), LinkSettings::default(), key(1)).await;

    assert!(matches!(
        opened.unwrap_err(),
        EndpointError::MixedSecurity { .. }
    ));
}

#[tokio::test]
async fn shutting_down_delivers_what_was_queued_and_tells_the_peer() {
    let mut router = acceptor(&bind("127.0.0.1:0"), None).await;
    let mut peer = initiator(&connect(&router), None, 2).await;
    let (_, link) = establish(&mut router, &mut peer).await;
    for token in 0..500 {
        peer.send(link, FrameClass::Data, Frame::new(vec![0; 10_000]), token)
            .unwrap();
    }

    let leaving = tokio::spawn(async move { peer.shut_down("done", PATIENCE).await });

    let mut frames = 0;
    let end = async {
        loop {
            match router.next().await.unwrap() {
                LinkEvent::Frame {
                    link,
                    class,
                    credit,
                    ..
                } => {
                    frames += 1;
                    router.release(link, class, credit);
                }
                LinkEvent::Closed { reason, .. } => return reason,
                _ => {}
            }
        }
    };
    let reason = timeout(PATIENCE, end)
        .await
        .expect("the peer says that it leaves");
    assert_eq!(frames, 500);
    assert!(matches!(reason, CloseReason::ByPeer { reason, .. } if reason == "done"));
    assert!(leaving.await.unwrap(), "everything had arrived");
}

#[tokio::test]
async fn shutting_down_ends_promptly_when_nobody_is_there() {
    let mut router = acceptor(&bind("127.0.0.1:0"), None).await;
    let mut peer = initiator(&connect(&router), None, 2).await;
    let (_, link) = establish(&mut router, &mut peer).await;
    drop(router);
    peer.send(link, FrameClass::Data, Frame::new("into the void"), 1)
        .unwrap();

    let ended = timeout(
        Duration::from_secs(3),
        peer.shut_down("done", Duration::from_millis(300)),
    )
    .await;

    assert_eq!(ended, Ok(false), "in time, and honest about the frame");
}
