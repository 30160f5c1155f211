//! What may be sent, and what happens when it may not: credit, queues, bounds.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::time::Duration;

use bytes::Bytes;
use pair::{Pair, WINDOW, credit_was_kept, numbered, tight};
use sc_transport::{
    ATTACHMENTS_MAX, FRAME_OVERHEAD, Frame, FrameClass, HEAD_MAX, LinkEvent, LinkId, SendError,
    Side,
};

const SHORT: Duration = Duration::from_millis(50);

#[test]
fn without_release_a_sender_stops_at_the_window_and_goes_on_after_it() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    for number in 0..30 {
        let frame = numbered(number, 1000);
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, number)
            .unwrap();
    }
    let cost = numbered(0, 1000).cost();
    pair.run_for(Duration::from_secs(25));
    let first = frames(&pair);
    assert_eq!(
        first.len() as u64,
        WINDOW / cost,
        "as many as the window holds"
    );

    for (link, class, credit) in first {
        pair.acceptor.release(pair.now, link, class, credit);
    }
    pair.acceptor_events.clear();
    pair.run_for(SHORT);

    assert_eq!(frames(&pair).len() as u64, 30 - WINDOW / cost);
    credit_was_kept(&pair.log, WINDOW);
}

#[test]
fn credit_that_comes_back_is_reported_to_whoever_waits_for_it() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    let class = FrameClass::Data;
    let mut number = 0;
    while pair.initiator.available(at_initiator, class) >= numbered(number, 1000).cost() {
        let frame = numbered(number, 1000);
        let sent = pair
            .initiator
            .send(pair.now, at_initiator, class, frame, number);
        sent.unwrap();
        number += 1;
    }
    pair.run_for(Duration::from_secs(1));
    pair.initiator_events.clear();
    let short = pair.initiator.available(at_initiator, class);

    for (link, class, credit) in frames(&pair) {
        pair.acceptor.release(pair.now, link, class, credit);
    }
    pair.run_for(SHORT);

    assert!(pair.initiator.available(at_initiator, class) > short);
    let link = at_initiator;
    let granted = LinkEvent::Granted { link, class };
    assert!(
        pair.initiator_events.contains(&granted),
        "{:?}",
        pair.initiator_events
    );
}

fn frames(pair: &Pair) -> Vec<(LinkId, FrameClass, u64)> {
    pair.acceptor_events
        .iter()
        .filter_map(|event| match event {
            LinkEvent::Frame {
                link,
                class,
                credit,
                ..
            } => Some((*link, *class, *credit)),
            _ => None,
        })
        .collect()
}

#[test]
fn control_passes_data_that_is_halted() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    for number in 0..30 {
        let frame = numbered(number, 1000);
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, number)
            .unwrap();
    }
    pair.run_for(SHORT);
    pair.acceptor_events.clear();

    pair.initiator
        .send(
            pair.now,
            at_initiator,
            FrameClass::Control,
            Frame::new("urgent"),
            0,
        )
        .unwrap();
    pair.run_for(SHORT);

    let classes: Vec<_> = frames(&pair)
        .into_iter()
        .map(|(_, class, _)| class)
        .collect();
    assert_eq!(classes, [FrameClass::Control]);
}

#[test]
fn a_lost_grant_of_credit_is_found_out() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    for number in 0..30 {
        let frame = numbered(number, 1000);
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, number)
            .unwrap();
    }
    pair.run_for(SHORT);
    pair.weather.drop = 100;
    for (link, class, credit) in frames(&pair) {
        pair.acceptor.release(pair.now, link, class, credit);
    }
    pair.run_for(SHORT);
    pair.weather.drop = 0;

    pair.run_for(Duration::from_secs(1));

    assert_eq!(frames(&pair).len(), 30, "long before the keepalive says so");
}

#[test]
fn a_lost_grant_of_credit_is_told_again_on_a_link_that_is_never_silent() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked_with(tight(), tight());
    let full = pair.initiator.available(at_initiator, FrameClass::Data);
    let frame = numbered(0, 1000);
    pair.initiator
        .send(pair.now, at_initiator, FrameClass::Data, frame, 0)
        .unwrap();
    pair.run_for(SHORT);
    pair.weather.drop = 100;
    for (link, class, credit) in frames(&pair) {
        pair.acceptor.release(pair.now, link, class, credit);
    }
    pair.run_for(SHORT);
    pair.weather.drop = 0;
    assert!(pair.initiator.available(at_initiator, FrameClass::Data) < full);

    // The acceptor speaks more often than a keepalive would, and hears nothing that it would have to acknowledge.
    for number in 0..8 {
        let frame = numbered(number, 10);
        pair.acceptor
            .send(pair.now, at_acceptor, FrameClass::Data, frame, number)
            .unwrap();
        pair.run_for(Duration::from_secs(2));
    }

    let available = pair.initiator.available(at_initiator, FrameClass::Data);
    assert_eq!(available, full);
}

#[test]
fn what_is_available_is_sent_at_once_and_no_byte_more() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked_with(tight(), tight());
    let available = pair.initiator.available(at_initiator, FrameClass::Data);
    assert_eq!(available, WINDOW);
    let size = (available / 2 - FRAME_OVERHEAD) as usize;
    let half = Frame::new(vec![0; size]);

    for token in 0..2 {
        pair.initiator
            .send(
                pair.now,
                at_initiator,
                FrameClass::Data,
                half.clone(),
                token,
            )
            .unwrap();
    }
    assert_eq!(pair.initiator.available(at_initiator, FrameClass::Data), 0);
    pair.initiator
        .send(
            pair.now,
            at_initiator,
            FrameClass::Data,
            Frame::default(),
            2,
        )
        .unwrap();
    pair.run_for(SHORT);

    assert_eq!(frames(&pair).len(), 2, "on {at_acceptor}");
    assert_eq!(
        pair.initiator.available(LinkId(99), FrameClass::Data),
        0,
        "an unknown link has none"
    );
}

#[test]
fn a_full_queue_says_so_and_says_when_half_of_it_is_free() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    let mut sent = 0;
    let full = loop {
        let frame = numbered(sent, 1000);
        match pair
            .initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, sent)
        {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, SendError::Full);
    assert_eq!(
        sent,
        4 * WINDOW / numbered(0, 1000).cost(),
        "as many as the queue holds"
    );
    let control = pair.initiator.send(
        pair.now,
        at_initiator,
        FrameClass::Control,
        Frame::default(),
        0,
    );
    assert_eq!(control, Ok(()), "the classes have queues of their own");

    let mut acked = 0;
    let writable = LinkEvent::Writable {
        link: at_initiator,
        class: FrameClass::Data,
    };
    while !pair.initiator_events.contains(&writable) {
        assert!(pair.step(Duration::from_secs(10)), "room is reported");
        acked += frames(&pair).len() as u64;
        for (link, class, credit) in frames(&pair) {
            pair.acceptor.release(pair.now, link, class, credit);
        }
        pair.acceptor_events.clear();
    }

    assert!(acked >= sent / 2 && acked < sent, "{acked} of {sent}");
    pair.run_for(Duration::from_secs(1));
    let reports = pair
        .initiator_events
        .iter()
        .filter(|event| **event == writable)
        .count();
    assert_eq!(reports, 1, "once");
}

#[test]
fn a_frame_beyond_what_the_peer_takes_is_refused_for_good() {
    let (mut pair, _, at_initiator) = Pair::linked_with(tight(), tight());
    let mut send = |frame| {
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, 0)
    };

    assert_eq!(send(Frame::new(vec![0; 10_000])), Ok(()));
    assert_eq!(
        send(Frame::new(vec![0; 10_001])),
        Err(SendError::TooLarge {
            size: 10_001,
            max: 10_000
        })
    );
    let many = Frame {
        head: Bytes::new(),
        attachments: vec![Bytes::new(); 1000],
    };
    assert!(
        matches!(send(many), Err(SendError::TooLarge { .. })),
        "its parts cost more than the window"
    );
}

#[test]
fn heads_and_attachments_are_bounded_at_the_sender() {
    let (mut pair, _, at_initiator) = Pair::linked();
    let mut send = |frame| {
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, 0)
    };

    assert_eq!(send(Frame::new(vec![0; HEAD_MAX])), Ok(()));
    assert!(matches!(
        send(Frame::new(vec![0; HEAD_MAX + 1])),
        Err(SendError::TooLarge { .. })
    ));
    let parts = |count| Frame {
        head: Bytes::new(),
        attachments: vec![Bytes::new(); count],
    };
    assert_eq!(send(parts(ATTACHMENTS_MAX)), Ok(()));
    assert!(matches!(
        send(parts(ATTACHMENTS_MAX + 1)),
        Err(SendError::TooLarge { .. })
    ));
}
