//! How links open: proofs, forgeries, replays, replacement, bounds.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use pair::{Dice, Pair, ROUTE, To, entropy, key};
use sc_proto::Message as _;
use sc_proto::link::{self, LinkHeader, link_header::Kind};
use sc_transport::{
    Admission, CloseCode, CloseReason, DISOWNED_PER_SECOND, Datagram, Dialer, LinkEvent, LinkId,
    LinkSettings, LinkSigner as _, Links, OUTBOX_MAX, PENDING_MAX, PeerKey, Role, Route, Side,
};

const SHORT: Duration = Duration::from_millis(50);

fn kind(datagram: &Datagram) -> Kind {
    LinkHeader::decode(datagram.parts[0].clone())
        .unwrap()
        .kind
        .unwrap()
}

fn datagram(kind: Kind) -> Datagram {
    let header = LinkHeader {
        version: 1,
        kind: Some(kind),
    };
    Datagram {
        parts: vec![header.encode_to_vec().into()],
    }
}

fn peer_key(seed: u8) -> PeerKey {
    PeerKey(key(seed).public_key())
}

fn dialer(seed: u8, role: Role) -> Dialer {
    let settings = LinkSettings::default();
    Dialer::new(
        Duration::ZERO,
        role,
        settings,
        key(seed),
        entropy(u64::from(seed) + 100),
    )
}

fn hello(dialer: &mut Dialer, now: Duration) -> Datagram {
    dialer.on_timeout(now);
    dialer.poll_transmit(now).unwrap().1
}

fn events(side: &mut impl Side) -> Vec<LinkEvent> {
    std::iter::from_fn(|| side.poll_event()).collect()
}

fn transmits(side: &mut impl Side, now: Duration) -> Vec<(Bytes, Datagram)> {
    std::iter::from_fn(|| side.poll_transmit(now)).collect()
}

/// Opens a link between `dialer` and the pair's acceptor over a route of its own.
fn open(acceptor: &mut Links, dialer: &mut Dialer, route: &Route, now: Duration) {
    acceptor.on_datagram(now, route, hello(dialer, now));
    for (_, reply) in transmits(acceptor, now) {
        dialer.on_datagram(now, &Route::plain(""), reply);
    }
    for (_, proof) in transmits(dialer, now) {
        acceptor.on_datagram(now, route, proof);
    }
}

fn is_established(event: &LinkEvent) -> bool {
    matches!(event, LinkEvent::Established { .. })
}

#[test]
fn two_ends_establish_a_link_and_learn_each_others_key() {
    let mut pair = Pair::new();

    pair.run_for(SHORT);

    let (at_acceptor, at_initiator) = pair.established();
    let (peer, role) = (peer_key(2), Role::Publisher);
    assert_eq!(
        pair.acceptor_events,
        [LinkEvent::Established {
            link: at_acceptor,
            peer,
            role
        }]
    );
    let (peer, role) = (peer_key(1), Role::Router);
    assert_eq!(
        pair.initiator_events,
        [LinkEvent::Established {
            link: at_initiator,
            peer,
            role
        }]
    );
}

#[test]
fn a_link_opens_whichever_of_its_first_datagrams_is_lost() {
    for lost in 0..6 {
        let mut pair = Pair::new();
        pair.lose = Some(lost);

        pair.run_for(Duration::from_secs(2));

        let (at_acceptor, at_initiator) = pair.established();
        assert_eq!(
            (at_acceptor, at_initiator),
            (LinkId(1), LinkId(1)),
            "datagram {lost} lost"
        );
    }
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let run = || {
        let mut pair = Pair::new();
        pair.weather.jitter_ms = 20;
        pair.run_for(Duration::from_secs(20));
        pair.log
    };

    assert_eq!(run(), run());
}

#[test]
fn a_hello_that_claims_a_key_of_another_proves_nothing() {
    let mut pair = Pair::new();
    let mut victim = dialer(9, Role::Publisher);
    let route = Route::plain("thief");
    let now = Duration::ZERO;
    pair.acceptor
        .on_datagram(now, &route, hello(&mut victim, now));
    let (_, reply) = pair.acceptor.poll_transmit(now).unwrap();
    victim.on_datagram(now, &Route::plain(""), reply);
    let (_, proof) = victim.poll_transmit(now).unwrap();
    let Kind::HelloProof(mut proof) = kind(&proof) else {
        panic!("a proof follows a reply")
    };

    let right = proof.signature.clone();
    proof.signature = key(8).sign(b"anything").to_vec().into();
    pair.acceptor
        .on_datagram(now, &route, datagram(Kind::HelloProof(proof.clone())));
    assert_eq!(events(&mut pair.acceptor), []);
    assert_eq!(pair.acceptor.counts().unproved, 1);

    proof.signature = right;
    pair.acceptor
        .on_datagram(now, &route, datagram(Kind::HelloProof(proof)));
    assert!(
        is_established(&events(&mut pair.acceptor)[0]),
        "while the right signature proves it"
    );
}

#[test]
fn a_proof_is_taken_from_the_route_of_its_hello_alone() {
    let mut pair = Pair::new();
    let mut honest = dialer(9, Role::Publisher);
    let now = Duration::ZERO;
    pair.acceptor
        .on_datagram(now, &Route::plain("honest"), hello(&mut honest, now));
    let (_, reply) = pair.acceptor.poll_transmit(now).unwrap();
    honest.on_datagram(now, &Route::plain(""), reply);
    let (_, proof) = honest.poll_transmit(now).unwrap();

    pair.acceptor
        .on_datagram(now, &Route::plain("thief"), proof);

    assert_eq!(events(&mut pair.acceptor), []);
}

#[test]
fn a_replayed_handshake_makes_no_link() {
    let (mut pair, ..) = Pair::linked();
    let recorded: Vec<_> = pair
        .log
        .iter()
        .filter(|(to, _)| *to == To::Acceptor)
        .cloned()
        .collect();
    let now = pair.now;

    for route in [Route::plain("thief"), Route::plain(ROUTE)] {
        for (_, datagram) in &recorded {
            pair.acceptor.on_datagram(now, &route, datagram.clone());
        }
    }

    assert_eq!(events(&mut pair.acceptor), []);
}

#[test]
fn a_reply_with_any_byte_changed_makes_no_link() {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let mut initiator = dialer(2, Role::Publisher);
    let now = Duration::ZERO;
    acceptor.on_datagram(now, &Route::plain(ROUTE), hello(&mut initiator, now));
    let (_, reply) = acceptor.poll_transmit(now).unwrap();

    for place in 0..reply.parts[0].len() {
        let mut bytes = reply.parts[0].to_vec();
        bytes[place] ^= 0x21;
        let changed = Datagram {
            parts: vec![bytes.into()],
        };
        initiator.on_datagram(now, &Route::plain(""), changed);
        assert_eq!(events(&mut initiator), [], "byte {place}");
    }

    initiator.on_datagram(now, &Route::plain(""), reply);
    assert!(
        is_established(&events(&mut initiator)[0]),
        "while the true reply makes one"
    );
}

#[test]
fn a_hello_with_any_byte_changed_on_the_way_makes_no_link() {
    let now = Duration::ZERO;
    let original = hello(&mut dialer(2, Role::Publisher), now);

    for place in 0..original.parts[0].len() {
        let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
        let mut initiator = dialer(2, Role::Publisher);
        hello(&mut initiator, now);
        let mut bytes = original.parts[0].to_vec();
        bytes[place] ^= 0x21;

        acceptor.on_datagram(
            now,
            &Route::plain(ROUTE),
            Datagram {
                parts: vec![bytes.into()],
            },
        );
        for (_, reply) in transmits(&mut acceptor, now) {
            initiator.on_datagram(now, &Route::plain(""), reply);
        }

        assert!(
            !events(&mut initiator).iter().any(is_established),
            "byte {place}"
        );
    }
}

#[test]
fn a_signature_of_the_initiator_cannot_be_reflected_as_the_acceptors() {
    let (pair, ..) = Pair::linked();
    let kinds: Vec<Kind> = pair
        .log
        .iter()
        .map(|(_, datagram)| kind(datagram))
        .collect();
    let reply = kinds.iter().find_map(|kind| match kind {
        Kind::HelloReply(reply) => Some(reply.clone()),
        _ => None,
    });
    let proof = kinds.iter().find_map(|kind| match kind {
        Kind::HelloProof(proof) => Some(proof.clone()),
        _ => None,
    });
    let mut initiator = Pair::new().initiator;
    let now = Duration::ZERO;
    hello(&mut initiator, now);

    let (mut reply, proof) = (reply.unwrap(), proof.unwrap());
    let own = reply.signature.clone();
    reply.signature = proof.signature;
    initiator.on_datagram(
        now,
        &Route::plain(""),
        datagram(Kind::HelloReply(reply.clone())),
    );
    assert_eq!(events(&mut initiator), []);
    assert_eq!(initiator.counts().unproved, 1);

    reply.signature = own;
    initiator.on_datagram(now, &Route::plain(""), datagram(Kind::HelloReply(reply)));
    assert!(
        is_established(&events(&mut initiator)[0]),
        "the same bytes with the right signature"
    );
}

#[test]
fn a_hello_sent_back_is_no_reply() {
    let mut initiator = dialer(2, Role::Publisher);
    let now = Duration::ZERO;
    let own = hello(&mut initiator, now);

    initiator.on_datagram(now, &Route::plain(""), own);

    assert_eq!(events(&mut initiator), []);
    assert_eq!(initiator.counts().unproved, 1);
}

#[test]
fn a_reply_to_an_older_hello_is_ignored() {
    let (pair, ..) = Pair::linked();
    let (_, stale) = pair
        .log
        .iter()
        .find(|(to, _)| *to == To::Initiator)
        .cloned()
        .unwrap();
    let mut later = dialer(2, Role::Publisher);
    hello(&mut later, Duration::ZERO);

    later.on_datagram(Duration::ZERO, &Route::plain(""), stale);

    assert_eq!(events(&mut later), []);
    assert_eq!(later.counts().unproved, 1);
}

#[test]
fn a_forgotten_link_is_reset_and_opened_again() {
    let (mut pair, _, old) = Pair::linked();
    pair.acceptor = Links::new(LinkSettings::default(), key(1), entropy(77));

    pair.initiator.on_connected(pair.now);
    pair.run_for(SHORT);

    let (_, new) = pair.established();
    let (peer, role) = (peer_key(1), Role::Router);
    assert_eq!(
        pair.initiator_events,
        [
            LinkEvent::Closed {
                link: old,
                reason: CloseReason::Forgotten
            },
            LinkEvent::Established {
                link: new,
                peer,
                role
            },
        ]
    );
}

#[test]
fn a_reset_of_another_link_is_ignored() {
    let (mut pair, ..) = Pair::linked();
    let reset = |byte| {
        datagram(Kind::Reset(link::Reset {
            link_id: vec![byte; 16].into(),
        }))
    };

    for byte in 0..=255 {
        pair.post(To::Initiator, reset(byte));
        pair.post(To::Acceptor, reset(byte));
    }
    pair.run_for(SHORT);

    assert_eq!(
        (pair.acceptor_events, pair.initiator_events),
        (vec![], vec![])
    );
}

#[test]
fn a_newer_connection_that_proves_the_same_key_replaces_the_older() {
    let (mut pair, old, at_initiator) = Pair::linked();
    let mut newer = dialer(2, Role::Publisher);

    open(
        &mut pair.acceptor,
        &mut newer,
        &Route::plain("newer"),
        pair.now,
    );
    pair.run_for(SHORT);

    let (new, _) = (pair.acceptor_events.iter().rev())
        .find_map(|event| match event {
            LinkEvent::Established { link, peer, .. } => Some((*link, *peer)),
            _ => None,
        })
        .unwrap();
    let (peer, role) = (peer_key(2), Role::Publisher);
    assert_eq!(
        pair.acceptor_events,
        [
            LinkEvent::Closed {
                link: old,
                reason: CloseReason::Replaced
            },
            LinkEvent::Established {
                link: new,
                peer,
                role
            },
        ]
    );
    let reason = "replaced by a newer connection".to_owned();
    let reason = CloseReason::ByPeer {
        code: CloseCode::Replaced,
        reason,
    };
    assert_eq!(
        pair.initiator_events,
        [LinkEvent::Closed {
            link: at_initiator,
            reason
        }]
    );
    assert!(
        pair.initiator.is_finished(),
        "it does not come back to replace its successor"
    );
}

#[test]
fn a_replaced_initiator_that_missed_its_close_is_told_again_and_does_not_come_back() {
    let (mut pair, ..) = Pair::linked();
    let mut newer = dialer(2, Role::Publisher);
    open(
        &mut pair.acceptor,
        &mut newer,
        &Route::plain("newer"),
        pair.now,
    );
    transmits(&mut pair.acceptor, pair.now);

    pair.run_for(Duration::from_secs(60));

    assert!(pair.initiator.is_finished());
    assert_eq!(
        pair.acceptor_events
            .iter()
            .filter(|event| is_established(event))
            .count(),
        1
    );
}

#[test]
fn a_connection_that_only_claims_the_key_leaves_the_older_alone() {
    let (mut pair, ..) = Pair::linked();
    let mut claimant = dialer(2, Role::Publisher);
    let now = pair.now;

    pair.acceptor
        .on_datagram(now, &Route::plain("claimant"), hello(&mut claimant, now));
    pair.run_for(SHORT);

    assert_eq!(pair.acceptor_events, []);
    assert_eq!(pair.acceptor.len(), 1);
}

#[test]
fn one_key_may_have_a_link_in_each_role() {
    let (mut pair, ..) = Pair::linked();
    let mut subscriber = dialer(2, Role::Subscriber);

    open(
        &mut pair.acceptor,
        &mut subscriber,
        &Route::plain("subscriber"),
        pair.now,
    );

    assert_eq!(pair.acceptor.len(), 2);
}

#[test]
fn a_key_that_is_not_admitted_is_refused_after_its_proof() {
    let admission = Admission::Only(BTreeSet::from([peer_key(9)]));
    let settings = LinkSettings {
        admission,
        ..LinkSettings::default()
    };
    let mut pair = Pair::with(settings, LinkSettings::default());

    pair.run_for(SHORT);

    assert_eq!(pair.acceptor_events, []);
    let reason = "this key is not admitted here".to_owned();
    let reason = CloseReason::ByPeer {
        code: CloseCode::Refused,
        reason,
    };
    let link = pair.initiator_events[0].clone();
    assert!(is_established(&link), "the acceptor itself was proved");
    assert_eq!(
        pair.initiator_events[1..],
        [LinkEvent::Closed {
            link: LinkId(1),
            reason
        }]
    );
}

#[test]
fn an_acceptor_with_another_key_than_the_expected_one_is_refused() {
    let admission = Admission::Only(BTreeSet::from([peer_key(9)]));
    let settings = LinkSettings {
        admission,
        ..LinkSettings::default()
    };
    let mut pair = Pair::with(LinkSettings::default(), settings);

    pair.run_for(Duration::from_secs(3));

    assert_eq!(pair.acceptor_events, []);
    let [LinkEvent::Refused { reason }] = &pair.initiator_events[..] else {
        panic!("{:?}", pair.initiator_events)
    };
    assert!(reason.contains(&peer_key(1).to_string()), "{reason}");
}

#[test]
fn an_acceptor_that_is_full_says_so_and_still_takes_back_those_it_knows() {
    let settings = LinkSettings {
        links_max: 2,
        ..LinkSettings::default()
    };
    let mut acceptor = Links::new(settings, key(1), entropy(1));
    let now = Duration::ZERO;
    for seed in [2, 3] {
        let route = Route::plain(vec![seed]);
        open(
            &mut acceptor,
            &mut dialer(seed, Role::Publisher),
            &route,
            now,
        );
    }

    let mut third = dialer(4, Role::Publisher);
    open(&mut acceptor, &mut third, &Route::plain("third"), now);
    for (_, close) in transmits(&mut acceptor, now) {
        third.on_datagram(now, &Route::plain(""), close);
    }
    open(
        &mut acceptor,
        &mut dialer(3, Role::Publisher),
        &Route::plain("back"),
        now,
    );

    assert_eq!(acceptor.len(), 2);
    let closed = events(&mut third)
        .into_iter()
        .find_map(|event| match event {
            LinkEvent::Closed {
                reason: CloseReason::ByPeer { code, .. },
                ..
            } => Some(code),
            _ => None,
        });
    assert_eq!(closed, Some(CloseCode::Full));
    assert_eq!(
        events(&mut acceptor)
            .iter()
            .filter(|event| is_established(event))
            .count(),
        3
    );
}

#[test]
fn beyond_the_bound_of_pending_handshakes_the_oldest_gives_way() {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let mut callers = [dialer(2, Role::Publisher), dialer(3, Role::Publisher)];
    let now = Duration::ZERO;
    let mut proofs = Vec::new();
    let template = hello(&mut dialer(4, Role::Publisher), now);
    let Kind::Hello(template) = kind(&template) else {
        panic!("a dialer begins with a hello")
    };
    for serial in 0..=PENDING_MAX {
        if let Some(caller) = [1, PENDING_MAX].iter().position(|place| *place == serial) {
            let route = Route::plain(format!("caller {caller}"));
            acceptor.on_datagram(now, &route, hello(&mut callers[caller], now));
            let (_, reply) = acceptor.poll_transmit(now).unwrap();
            callers[caller].on_datagram(now, &Route::plain(""), reply);
            proofs.push((route, callers[caller].poll_transmit(now).unwrap().1));
        } else {
            let hello = datagram(Kind::Hello(template.clone()));
            acceptor.on_datagram(now, &Route::plain(format!("stranger {serial}")), hello);
            transmits(&mut acceptor, now);
        }
    }
    let one_more = datagram(Kind::Hello(template));
    acceptor.on_datagram(now, &Route::plain("one more"), one_more);
    transmits(&mut acceptor, now);

    for (route, proof) in proofs {
        acceptor.on_datagram(now, &route, proof);
    }

    let peers: Vec<_> = events(&mut acceptor)
        .into_iter()
        .map(|event| match event {
            LinkEvent::Established { peer, .. } => peer,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(peers, [peer_key(3)], "caller 0 was among the oldest two");
}

#[test]
fn a_peer_of_another_version_is_told_so() {
    let mut initiator = dialer(2, Role::Publisher);
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let now = Duration::ZERO;
    let hello = kind(&hello(&mut initiator, now));
    let header = LinkHeader {
        version: 2,
        kind: Some(hello),
    };

    let newer = Datagram {
        parts: vec![header.encode_to_vec().into()],
    };
    acceptor.on_datagram(now, &Route::plain(ROUTE), newer);
    let (_, refusal) = acceptor.poll_transmit(now).unwrap();
    initiator.on_datagram(now, &Route::plain(""), refusal);

    let reason = "another version of the link layer".to_owned();
    assert_eq!(events(&mut initiator), [LinkEvent::Refused { reason }]);
}

#[test]
fn a_hello_in_the_role_of_a_router_is_refused() {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let now = Duration::ZERO;
    let Kind::Hello(mut hello) = kind(&hello(&mut dialer(2, Role::Publisher), now)) else {
        panic!("a dialer begins with a hello")
    };
    hello.set_role(link::Role::Router);

    acceptor.on_datagram(now, &Route::plain(ROUTE), datagram(Kind::Hello(hello)));

    let (_, answer) = acceptor.poll_transmit(now).unwrap();
    let Kind::Close(close) = kind(&answer) else {
        panic!("a refusal is a close")
    };
    assert_eq!(close.code(), link::CloseCode::Refused);
}

#[test]
fn a_hello_with_another_curve_key_than_the_connection_is_refused() {
    let settings = LinkSettings {
        curve_key: Some([5; 32]),
        ..LinkSettings::default()
    };
    let now = Duration::ZERO;
    let honest = Route {
        id: ROUTE.into(),
        curve_key: Some([5; 32]),
    };
    let relayed = Route {
        id: ROUTE.into(),
        curve_key: Some([6; 32]),
    };
    for (route, expected) in [
        (&honest, true),
        (&relayed, false),
        (&Route::plain(ROUTE), false),
    ] {
        let mut initiator = Dialer::new(now, Role::Publisher, settings.clone(), key(2), entropy(2));
        let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));

        open(&mut acceptor, &mut initiator, route, now);

        assert_eq!(acceptor.len() == 1, expected, "{route:?}");
    }
}

#[test]
fn an_acceptor_with_another_curve_key_than_the_connection_is_not_taken() {
    let settings = LinkSettings {
        curve_key: Some([5; 32]),
        ..LinkSettings::default()
    };
    let now = Duration::ZERO;
    for (curve_key, expected) in [(Some([5; 32]), true), (Some([6; 32]), false), (None, false)] {
        let mut initiator = dialer(2, Role::Publisher);
        let mut acceptor = Links::new(settings.clone(), key(1), entropy(1));
        acceptor.on_datagram(now, &Route::plain(ROUTE), hello(&mut initiator, now));
        let (_, reply) = acceptor.poll_transmit(now).unwrap();

        initiator.on_datagram(
            now,
            &Route {
                id: Bytes::new(),
                curve_key,
            },
            reply,
        );

        assert_eq!(initiator.link().is_some(), expected, "{curve_key:?}");
    }
}

#[test]
fn strangers_that_name_unknown_links_get_a_bounded_number_of_answers() {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let count = DISOWNED_PER_SECOND as usize + 100;
    let mut answers = 0;

    for serial in 0..count {
        let mut link_id = vec![0; 16];
        link_id[..8].copy_from_slice(&serial.to_le_bytes());
        let ack = link::Ack {
            link_id: link_id.into(),
            ..Default::default()
        };
        acceptor.on_datagram(
            Duration::ZERO,
            &Route::plain(ROUTE),
            datagram(Kind::Ack(ack)),
        );
        answers += transmits(&mut acceptor, Duration::ZERO).len();
    }

    assert_eq!(answers, DISOWNED_PER_SECOND as usize);
    assert_eq!(acceptor.counts().unanswered, 100);
}

#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let again = hello(&mut dialer(2, Role::Publisher), Duration::ZERO);

    for _ in 0..OUTBOX_MAX + 10 {
        acceptor.on_datagram(Duration::ZERO, &Route::plain(ROUTE), again.clone());
    }

    assert_eq!(transmits(&mut acceptor, Duration::ZERO).len(), OUTBOX_MAX);
    assert_eq!(acceptor.counts().unanswered, 10);
}

#[test]
fn a_repeated_hello_gets_the_same_reply() {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let again = hello(&mut dialer(2, Role::Publisher), Duration::ZERO);

    acceptor.on_datagram(Duration::ZERO, &Route::plain(ROUTE), again.clone());
    acceptor.on_datagram(Duration::ZERO, &Route::plain(ROUTE), again);

    let replies = transmits(&mut acceptor, Duration::ZERO);
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn garbage_is_counted_and_dropped() {
    let (mut pair, ..) = Pair::linked();
    let mut dice = Dice::new(5);
    let mut random = |len: usize| Bytes::from_iter((0..len).map(|_| dice.roll() as u8));
    let ack = datagram(Kind::Ack(link::Ack {
        link_id: vec![0; 16].into(),
        ..Default::default()
    }));
    let carry = link::Carry {
        link_id: vec![0; 16].into(),
        sequence: 1,
        class: 1,
        ack: None,
    };
    let without = |change: fn(&mut link::Carry)| {
        let mut carry = carry.clone();
        change(&mut carry);
        let mut datagram = datagram(Kind::Carry(carry));
        datagram.parts.push(Bytes::new());
        datagram
    };
    let mut garbage: Vec<Datagram> = (0..200)
        .map(|len| Datagram {
            parts: vec![random(len)],
        })
        .collect();
    garbage.extend([
        Datagram { parts: vec![] },
        Datagram {
            parts: vec![vec![0; 2000].into()],
        },
        Datagram {
            parts: vec![ack.parts[0].clone(), Bytes::new()],
        },
        datagram(Kind::Carry(carry.clone())),
        without(|carry| carry.sequence = 0),
        without(|carry| carry.class = 0),
        without(|carry| carry.class = 7),
        without(|carry| carry.link_id = vec![0; 15].into()),
    ]);
    let count = garbage.len() as u64;

    for datagram in garbage {
        pair.post(To::Acceptor, datagram.clone());
        pair.post(To::Initiator, datagram);
    }
    pair.run_for(SHORT);

    assert_eq!(pair.acceptor.counts().malformed, count);
    assert_eq!(pair.initiator.counts().malformed, count);
    assert_eq!(
        (pair.acceptor_events, pair.initiator_events),
        (vec![], vec![])
    );
}

#[test]
fn an_acceptor_that_was_shut_down_opens_no_link_again() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked();

    pair.acceptor.shut_down(pair.now, "maintenance");
    pair.run_for(Duration::from_secs(10));

    let reason = CloseReason::Asked("maintenance".into());
    assert_eq!(
        pair.acceptor_events,
        [LinkEvent::Closed {
            link: at_acceptor,
            reason
        }]
    );
    let reason = CloseReason::ByPeer {
        code: CloseCode::Done,
        reason: "maintenance".into(),
    };
    assert_eq!(
        pair.initiator_events,
        [LinkEvent::Closed {
            link: at_initiator,
            reason
        }]
    );
}

#[test]
fn the_reason_of_a_close_is_cut_and_made_printable() {
    let (mut pair, at_acceptor, _) = Pair::linked();

    pair.acceptor.close(
        pair.now,
        at_acceptor,
        &format!("\u{1b}[2J{}", "é".repeat(300)),
    );
    pair.run_for(SHORT);

    let Some(LinkEvent::Closed {
        reason: CloseReason::ByPeer { reason, .. },
        ..
    }) = pair.initiator_events.first()
    else {
        panic!("{:?}", pair.initiator_events)
    };
    assert!(reason.starts_with("?[2Jé"), "{reason}");
    assert!(reason.len() <= sc_transport::REASON_MAX);
}
