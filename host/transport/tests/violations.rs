//! What a peer that breaks the rules of an established link gets.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::time::Duration;

use bytes::Bytes;
use pair::{Pair, ROUTE, To, WINDOW, kind, tight};
use sc_proto::Message as _;
use sc_proto::link::{self, LinkHeader, link_header::Kind};
use sc_transport::{
    ATTACHMENTS_MAX, CloseReason, Datagram, Frame, FrameClass, LinkEvent, Route, Side, Violation,
};

const SHORT: Duration = Duration::from_millis(50);

/// Sends hand-made frames on an established link and returns why the acceptor closed it.
fn closed_by(carries: impl IntoIterator<Item = (link::Carry, Frame)>) -> CloseReason {
    let (mut pair, ..) = Pair::linked_with(tight(), tight());
    let link_id = pair
        .log
        .iter()
        .find_map(|(_, datagram)| match kind(datagram) {
            Kind::HelloProof(proof) => Some(proof.link_id),
            _ => None,
        });
    for (mut carry, frame) in carries {
        carry.link_id = link_id.clone().unwrap();
        let header = LinkHeader {
            version: 1,
            kind: Some(Kind::Carry(carry)),
        };
        let mut parts = vec![header.encode_to_vec().into(), frame.head];
        parts.extend(frame.attachments);
        pair.post(To::Acceptor, Datagram { parts });
    }
    pair.run_for(SHORT);
    let closed = pair
        .acceptor_events
        .into_iter()
        .find_map(|event| match event {
            LinkEvent::Closed { reason, .. } => Some(reason),
            _ => None,
        });
    let reason = closed.expect("the acceptor closes the link");
    let told = pair
        .initiator_events
        .into_iter()
        .find_map(|event| match event {
            LinkEvent::Closed {
                reason: CloseReason::ByPeer { reason, .. },
                ..
            } => Some(reason),
            _ => None,
        });
    assert_eq!(told, Some(reason.to_string()), "and says why");
    reason
}

fn carry(sequence: u64) -> link::Carry {
    link::Carry {
        sequence,
        class: link::FrameClass::Data.into(),
        ..Default::default()
    }
}

#[test]
fn a_frame_beyond_the_credit_closes_the_link() {
    let frame = Frame::new(vec![0; 9000]);
    let cost = frame.cost();

    let reason = closed_by((1..=3).map(|sequence| (carry(sequence), frame.clone())));

    let violation = Violation::OverCredit {
        cost,
        granted: WINDOW - 2 * cost,
    };
    assert_eq!(reason, CloseReason::Violation(violation));
}

#[test]
fn a_frame_beyond_the_terms_closes_the_link() {
    let violation = Violation::FrameTooLarge {
        size: 10_001,
        max: 10_000,
    };

    assert_eq!(
        closed_by([(carry(1), Frame::new(vec![0; 10_001]))]),
        violation.into()
    );
    assert_eq!(
        closed_by([(carry(5), Frame::new(vec![0; 10_001]))]),
        violation.into(),
        "even out of order"
    );
}

#[test]
fn a_frame_with_too_many_attachments_closes_the_link() {
    let count = ATTACHMENTS_MAX + 1;
    let frame = Frame {
        head: Bytes::new(),
        attachments: vec![Bytes::new(); count],
    };

    assert_eq!(
        closed_by([(carry(1), frame)]),
        Violation::TooManyParts(count).into()
    );
}

#[test]
fn an_acknowledgement_of_frames_never_sent_closes_the_link() {
    let ack = Some(link::Ack {
        received: 7,
        ..Default::default()
    });

    let reason = closed_by([(link::Carry { ack, ..carry(1) }, Frame::default())]);

    assert_eq!(
        reason,
        Violation::AckOfUnsent {
            received: 7,
            sent: 0
        }
        .into()
    );
}

#[test]
fn a_limit_that_goes_back_takes_no_credit_away() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    let link_id = pair
        .log
        .iter()
        .find_map(|(_, datagram)| match kind(datagram) {
            Kind::HelloProof(proof) => Some(proof.link_id),
            _ => None,
        });
    let ack = link::Ack {
        link_id: link_id.unwrap(),
        ..Default::default()
    };
    let header = LinkHeader {
        version: 1,
        kind: Some(Kind::Ack(ack)),
    };

    pair.post(
        To::Initiator,
        Datagram {
            parts: vec![header.encode_to_vec().into()],
        },
    );
    pair.run_for(SHORT);

    assert_eq!(
        pair.initiator.available(at_initiator, FrameClass::Data),
        WINDOW
    );
}

#[test]
fn frames_of_a_known_link_are_not_taken_from_another_route() {
    let (mut pair, _, at_initiator) = Pair::linked();
    let now = pair.now;
    pair.initiator
        .send(now, at_initiator, FrameClass::Data, Frame::new("mine"), 0)
        .unwrap();
    let (_, datagram) = pair.initiator.poll_transmit(now).unwrap();

    pair.acceptor
        .on_datagram(now, &Route::plain("thief"), datagram.clone());
    assert_eq!(pair.acceptor.poll_event(), None);
    let relayed = Route {
        id: ROUTE.into(),
        curve_key: Some([1; 32]),
    };
    pair.acceptor.on_datagram(now, &relayed, datagram.clone());
    assert_eq!(
        pair.acceptor.poll_event(),
        None,
        "nor from another CURVE key"
    );

    pair.acceptor
        .on_datagram(now, &Route::plain(ROUTE), datagram);
    assert!(matches!(
        pair.acceptor.poll_event(),
        Some(LinkEvent::Frame { .. })
    ));
}
