//! How links open: losses, forgeries, replays, reflections, garbage.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::time::Duration;

use bytes::Bytes;
use pair::{
    Dice, Pair, ROUTE, To, datagram, dialer, entropy, events, hello, is_established, key, kind,
    open, peer_key, transmits,
};
use sc_proto::link::{self, link_header::Kind};
use sc_transport::{
    CloseReason, Datagram, Dialer, LinkEvent, LinkId, LinkSettings, LinkSigner as _, Links, Role,
    Route, Side,
};

const SHORT: Duration = Duration::from_millis(50);

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
    let answers = transmits(&mut pair.acceptor, now);
    let [(_, answer)] = &answers[..] else {
        panic!("one answer: {answers:?}");
    };
    let Kind::Close(close) = kind(answer) else {
        panic!("it says so");
    };
    assert_eq!(close.code(), link::CloseCode::Refused);
    pair.acceptor
        .on_datagram(now, &route, datagram(Kind::HelloProof(proof.clone())));
    assert_eq!(transmits(&mut pair.acceptor, now).len(), 0, "once");

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
