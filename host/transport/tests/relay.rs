//! A rogue between an initiator and the true acceptor: a real relay of datagrams, with sockets of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{Message, Options, Socket, SocketType};
use pair::{datagram, entropy, key, kind, peer_key};
use sc_proto::link::link_header::Kind;
use sc_transport::{
    Attach, Datagram, Dialer, Driver, Endpoint, Frame, FrameClass, LinkEvent, LinkKeys,
    LinkSettings, Links, PeerKey, Role, Route, Side as _, os_entropy,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(8);
/// How long a link that must not come up is waited for.
const WHILE: Duration = Duration::from_millis(1500);

/// What a relay does to a datagram: pass it on, changed or not, or answer it in the far end's place.
enum Act {
    Pass(Datagram),
    Answer(Vec<Datagram>),
}

fn message(datagram: Datagram) -> Message {
    Message::multipart(datagram.parts)
}

fn parts(message: &Message) -> Datagram {
    let parts = (0..message.len()).filter_map(|part| message.part_bytes(part));
    Datagram {
        parts: parts.collect(),
    }
}

/// Relays between whoever connects to the returned endpoint and the acceptor at `to`.
async fn relay(
    to: &Endpoint,
    mut to_acceptor: impl FnMut(Datagram) -> Act + Send + 'static,
    mut to_initiator: impl FnMut(Datagram) -> Datagram + Send + 'static,
) -> Endpoint {
    let near = Socket::new(SocketType::Router, Options::default());
    let far = Socket::new(
        SocketType::Dealer,
        Options::default().identity(b"relay".to_vec()),
    );
    let bound = near
        .bind("tcp://127.0.0.1:0".parse::<omq_tokio::Endpoint>().unwrap())
        .await
        .unwrap();
    far.connect(to.to_string().parse::<omq_tokio::Endpoint>().unwrap())
        .await
        .unwrap();
    tokio::spawn(async move {
        let mut initiator = Bytes::new();
        loop {
            tokio::select! {
                Ok(mut heard) = near.recv() => {
                    initiator = heard.pop_identity().unwrap().to_bytes();
                    match to_acceptor(parts(&heard)) {
                        Act::Pass(datagram) => far.send(message(datagram)).await.unwrap(),
                        Act::Answer(datagrams) => for datagram in datagrams {
                            near.send_to(&initiator, message(datagram)).await.unwrap();
                        },
                    }
                }
                Ok(heard) = far.recv() => {
                    let changed = message(to_initiator(parts(&heard)));
                    // An initiator that has gone hears nothing.
                    let _ = near.send_to(&initiator, changed).await;
                }
            }
        }
    });
    bound.to_string().parse().unwrap()
}

async fn router(keys: Option<&LinkKeys>) -> Driver<Links> {
    let attach = Attach::Bind("127.0.0.1:0".parse().unwrap());
    Driver::acceptor(&attach, keys, LinkSettings::default(), key(1))
        .await
        .unwrap()
}

async fn consumer(to: Endpoint, keys: Option<&LinkKeys>) -> Driver<Dialer> {
    let (attach, settings) = (Attach::Connect(vec![to]), LinkSettings::default());
    Driver::initiator(&attach, keys, Role::Subscriber, settings, key(2))
        .await
        .unwrap()
}

/// Runs both ends for `time` or until `enough` events have come; returns the events of each.
async fn run(
    router: &mut Driver<Links>,
    consumer: &mut Driver<Dialer>,
    time: Duration,
    enough: impl Fn(&[LinkEvent], &[LinkEvent]) -> bool,
) -> (Vec<LinkEvent>, Vec<LinkEvent>) {
    let (mut at_router, mut at_consumer) = (Vec::new(), Vec::new());
    let both = async {
        while !enough(&at_router, &at_consumer) {
            tokio::select! {
                event = router.next() => at_router.push(event.unwrap()),
                event = consumer.next() => at_consumer.push(event.unwrap()),
            }
        }
    };
    // Whether it was enough is up to the caller.
    let _ = timeout(time, both).await;
    (at_router, at_consumer)
}

fn proved(events: &[LinkEvent]) -> Vec<PeerKey> {
    let keys = events.iter().filter_map(|event| match event {
        LinkEvent::Established { peer, .. } => Some(*peer),
        _ => None,
    });
    keys.collect()
}

fn both_established(at_router: &[LinkEvent], at_consumer: &[LinkEvent]) -> bool {
    !proved(at_router).is_empty() && !proved(at_consumer).is_empty()
}

#[tokio::test]
async fn a_relay_that_changes_nothing_is_a_wire_between_the_true_ends() {
    let mut router = router(None).await;
    let through = relay(&router.endpoints()[0], Act::Pass, |datagram| datagram).await;
    let mut consumer = consumer(through, None).await;

    let (at_router, at_consumer) =
        run(&mut router, &mut consumer, PATIENCE, both_established).await;

    assert_eq!(proved(&at_router), [peer_key(2)]);
    assert_eq!(proved(&at_consumer), [peer_key(1)]);
}

#[tokio::test]
async fn a_relay_that_presents_itself_as_the_router_cannot_present_itself_as_the_consumer() {
    let mut router = router(None).await;
    // It answers the consumer under its own key, and passes its hello and proof on to the true router.
    let mut rogue = Links::new(LinkSettings::default(), key(9), entropy(9));
    let mut passed_hello = false;
    let through = relay(
        &router.endpoints()[0],
        move |datagram| {
            let (now, route) = (Duration::ZERO, Route::plain("victim"));
            match kind(&datagram) {
                Kind::Hello(_) if !passed_hello => {
                    passed_hello = true;
                    Act::Pass(datagram)
                }
                Kind::HelloProof(_) => Act::Pass(datagram),
                _ => {
                    rogue.on_datagram(now, &route, datagram);
                    let answers = std::iter::from_fn(|| rogue.poll_transmit(now));
                    Act::Answer(answers.map(|(_, answer)| answer).collect())
                }
            }
        },
        |reply| match kind(&reply) {
            // What the true router says is kept from the consumer.
            Kind::HelloReply(_) => datagram(Kind::HelloReply(Default::default())),
            _ => reply,
        },
    )
    .await;
    let mut consumer = consumer(through, None).await;

    let (at_router, at_consumer) = run(&mut router, &mut consumer, WHILE, |_, _| false).await;

    assert_eq!(
        proved(&at_consumer).first(),
        Some(&peer_key(9)),
        "the consumer sees whose key it was that answered"
    );
    assert_eq!(proved(&at_router), [], "and the router sees no consumer");
}

#[tokio::test]
async fn a_relay_that_puts_its_own_key_into_hello_or_reply_makes_no_link() {
    let mut router = router(None).await;
    let rogue = Bytes::copy_from_slice(&peer_key(9).0);
    let key_of_rogue = rogue.clone();
    let through = relay(
        &router.endpoints()[0],
        move |heard| match kind(&heard) {
            Kind::Hello(mut hello) => {
                hello.key = rogue.clone();
                Act::Pass(datagram(Kind::Hello(hello)))
            }
            _ => Act::Pass(heard),
        },
        move |heard| match kind(&heard) {
            Kind::HelloReply(mut reply) => {
                reply.key = key_of_rogue.clone();
                datagram(Kind::HelloReply(reply))
            }
            _ => heard,
        },
    )
    .await;
    let mut consumer = consumer(through, None).await;

    let (at_router, at_consumer) = run(&mut router, &mut consumer, WHILE, |_, _| false).await;

    assert_eq!((proved(&at_router), proved(&at_consumer)), (vec![], vec![]));
    assert!(consumer.counts().unproved > 0);
}

#[tokio::test]
async fn a_relay_that_changes_what_rules_a_frame_delivers_none() {
    // The sequence, the class, the link id: whatever byte of the header it changes.
    for place in 0..26 {
        let mut router = router(None).await;
        let through = relay(
            &router.endpoints()[0],
            move |mut heard| {
                if matches!(kind(&heard), Kind::Carry(_)) && place < heard.parts[0].len() {
                    let mut header = heard.parts[0].to_vec();
                    header[place] ^= 0x20;
                    heard.parts[0] = header.into();
                }
                Act::Pass(heard)
            },
            |heard| heard,
        )
        .await;
        let mut consumer = consumer(through, None).await;
        run(&mut router, &mut consumer, PATIENCE, both_established).await;

        let link = consumer.side().link().unwrap();
        consumer
            .send(link, FrameClass::Control, Frame::new("sealed"), 1)
            .unwrap();
        let (at_router, _) = run(
            &mut router,
            &mut consumer,
            Duration::from_millis(60),
            |at_router, _| !at_router.is_empty(),
        )
        .await;

        let delivered = |event: &LinkEvent| matches!(event, LinkEvent::Frame { .. });
        assert!(!at_router.iter().any(delivered), "byte {place}");
    }
}

#[tokio::test]
async fn with_link_keys_a_relay_makes_no_link_at_all() {
    let mut server = LinkKeys::generate(&mut os_entropy());
    let mut client = LinkKeys::generate(&mut os_entropy());
    server.peers = vec![client.public()];
    client.peers = vec![server.public()];
    let mut router = router(Some(&server)).await;
    let rogue = LinkKeys::generate(&mut os_entropy());
    // A rogue with keys of its own, which neither end has named.
    let attach = Attach::Bind("127.0.0.1:0".parse().unwrap());
    let mut near = Driver::acceptor(&attach, Some(&rogue), LinkSettings::default(), key(9))
        .await
        .unwrap();
    let mut towards_router = rogue;
    towards_router.peers = vec![server.public()];
    let to = Attach::Connect(router.endpoints().to_vec());
    let (settings, role) = (LinkSettings::default(), Role::Subscriber);
    let mut far = Driver::initiator(&to, Some(&towards_router), role, settings, key(9))
        .await
        .unwrap();
    let mut consumer = consumer(near.endpoints()[0].clone(), Some(&client)).await;

    let links = async {
        loop {
            let event = tokio::select! {
                event = router.next() => event,
                event = consumer.next() => event,
                event = near.next() => event,
                event = far.next() => event,
            };
            if let Ok(LinkEvent::Established { peer, .. }) = event {
                return peer;
            }
        }
    };

    assert!(timeout(WHILE, links).await.is_err(), "no link is made");
}
