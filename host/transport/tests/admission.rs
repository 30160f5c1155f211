//! Who gets a link and keeps it: replacement, refusal, bounds.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::collections::BTreeSet;
use std::time::Duration;

use pair::{
    Pair, ROUTE, datagram, dialer, entropy, events, hello, is_established, key, kind, open,
    peer_key, transmits,
};
use sc_proto::Message as _;
use sc_proto::link::{self, LinkHeader, link_header::Kind};
use sc_transport::{
    Admission, CloseCode, CloseReason, DISOWNED_PER_SECOND, Datagram, Dialer, Frame, FrameClass,
    LinkEvent, LinkId, LinkSettings, LinkSigner, Links, OUTBOX_MAX, PENDING_MAX, Role, Route,
    SendError, Side,
};

const SHORT: Duration = Duration::from_millis(50);

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

/// Says that it has the one key, and signs with another.
struct Broken;

impl LinkSigner for Broken {
    fn public_key(&self) -> [u8; 32] {
        key(2).public_key()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        key(3).sign(message)
    }
}

#[test]
fn a_peer_whose_signatures_do_not_fit_its_key_sees_words_and_asks_seldom() {
    let mut pair = Pair::new();
    pair.initiator = Dialer::new(
        Duration::ZERO,
        Role::Publisher,
        LinkSettings::default(),
        Broken,
        entropy(2),
    );

    pair.run_for(Duration::from_secs(9));

    assert_eq!(pair.acceptor_events, []);
    let told: Vec<_> = pair
        .initiator_events
        .iter()
        .filter_map(|event| match event {
            LinkEvent::Closed { reason, .. } => Some(reason.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 3, "at once and every 4 s: {told:?}");
    assert!(told[0].contains("the hello's key"), "{told:?}");
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

/// A change of a hello, and what is told of it.
type Fault = (&'static str, fn(&mut link::Hello));

/// What an acceptor answers to the hello of a dialer, changed by `change`.
fn answer_to(change: impl FnOnce(&mut link::Hello)) -> Kind {
    let mut acceptor = Links::new(LinkSettings::default(), key(1), entropy(1));
    let now = Duration::ZERO;
    let Kind::Hello(mut hello) = kind(&hello(&mut dialer(2, Role::Publisher), now)) else {
        panic!("a dialer begins with a hello")
    };
    change(&mut hello);
    acceptor.on_datagram(now, &Route::plain(ROUTE), datagram(Kind::Hello(hello)));
    kind(&acceptor.poll_transmit(now).unwrap().1)
}

#[test]
fn a_hello_that_no_link_can_come_of_is_told_why() {
    let faults: [Fault; 6] = [
        ("no room for any frame", |hello| hello.control_window = 0),
        ("no room for any frame", |hello| hello.data_window = 128),
        ("no room for any frame", |hello| hello.max_frame = 0),
        ("an unknown role", |hello| hello.role = 0),
        ("an unknown role", |hello| hello.role = 4711),
        ("anybody can sign", |hello| hello.key = vec![0; 32].into()),
    ];

    for (told, change) in faults {
        let Kind::Close(close) = answer_to(change) else {
            panic!("{told}")
        };
        assert_eq!(close.code(), link::CloseCode::Refused);
        assert!(close.reason.contains(told), "{}", close.reason);
        assert_eq!(
            close.hello_nonce.len(),
            32,
            "its sender knows which is meant"
        );
    }
}

#[test]
fn an_acceptor_whose_terms_leave_no_room_is_not_taken() {
    let mut settings = LinkSettings::default();
    settings.terms.data_window = 0;
    let mut pair = Pair::with(settings, LinkSettings::default());

    pair.run_for(SHORT);

    assert!(
        matches!(&pair.initiator_events[..], [LinkEvent::Refused { reason }] if reason.contains("no room for any frame")),
        "{:?}",
        pair.initiator_events
    );
}

#[test]
fn the_largest_windows_that_there_are_change_no_bound_of_this_side() {
    let mut boundless = LinkSettings::default();
    boundless.terms.control_window = u64::MAX;
    boundless.terms.data_window = u64::MAX;
    boundless.terms.max_frame = u64::MAX;
    let ours = LinkSettings::default();
    let queue = ours.data_queue;
    let mut pair = Pair::new();
    let mut greedy = Dialer::new(pair.now, Role::Subscriber, boundless, key(9), entropy(9));
    open(
        &mut pair.acceptor,
        &mut greedy,
        &Route::plain("greedy"),
        pair.now,
    );
    let link = LinkId(1);

    let mut sent = 0;
    let full = loop {
        let frame = Frame::new("").with(vec![0; 1 << 20]);
        sent += frame.cost();
        match pair
            .acceptor
            .send(pair.now, link, FrameClass::Data, frame, 0)
        {
            Ok(()) => {}
            Err(error) => break error,
        }
    };

    assert_eq!(full, SendError::Full);
    assert!(sent < queue + (2 << 20), "{sent}");
    assert_eq!(pair.acceptor.largest(link, FrameClass::Data), Some(queue));
}

#[test]
fn whoever_proves_itself_under_the_routing_id_of_another_does_not_keep_it_away() {
    let (mut pair, old, _) = Pair::linked();
    let mut thief = dialer(9, Role::Publisher);

    open(
        &mut pair.acceptor,
        &mut thief,
        &Route::plain(ROUTE),
        pair.now,
    );
    assert_eq!(
        events(&mut pair.acceptor)[0],
        LinkEvent::Closed {
            link: old,
            reason: CloseReason::Ousted
        }
    );
    pair.run_for(Duration::from_secs(15));

    assert!(!pair.initiator.is_finished());
    assert!(
        pair.initiator_events.contains(&LinkEvent::Closed {
            link: LinkId(1),
            reason: CloseReason::Forgotten
        }),
        "{:?}",
        pair.initiator_events
    );
    let link = pair.initiator.link();
    assert!(link.is_some_and(|link| link > LinkId(1)), "it is back");
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
