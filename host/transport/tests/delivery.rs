//! What happens to frames: order, loss, credit, bounds, silence.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use pair::{Dice, Pair, ROUTE, To, WINDOW, Weather, kind, tight};
use sc_proto::link::link_header::Kind;
use sc_transport::{
    ATTACHMENTS_MAX, CloseReason, Datagram, FRAME_OVERHEAD, Frame, FrameClass, HEAD_MAX, LinkEvent,
    LinkId, RECONNECT_GRACE, SendError, Side,
};

const SHORT: Duration = Duration::from_millis(50);

/// A frame that tells its number.
fn numbered(number: u64, size: usize) -> Frame {
    Frame::new(number.to_le_bytes().to_vec()).with(vec![number as u8; size])
}

fn number(frame: &Frame) -> u64 {
    u64::from_le_bytes(frame.head[..].try_into().unwrap())
}

/// One direction's traffic: sends numbered frames of both classes and checks what comes out.
#[derive(Default)]
struct Stream {
    wanted: [u64; 2],
    sent: [u64; 2],
    got: [u64; 2],
    acked: [u64; 2],
}

impl Stream {
    fn of(count: u64) -> Self {
        Self {
            wanted: [count; 2],
            ..Self::default()
        }
    }

    fn fill(&mut self, now: Duration, side: &mut impl Side, link: LinkId, dice: &mut Dice) {
        for class in FrameClass::ALL {
            let at = class as usize;
            while self.sent[at] < self.wanted[at] {
                let frame = numbered(self.sent[at], dice.roll() as usize % 3000);
                match side.send(now, link, class, frame, self.sent[at]) {
                    Ok(()) => self.sent[at] += 1,
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn take(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Frame { class, frame, .. } => {
                assert_eq!(
                    number(frame),
                    self.got[*class as usize],
                    "once and in order"
                );
                self.got[*class as usize] += 1;
            }
            LinkEvent::Writable { .. } | LinkEvent::Granted { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn note_ack(&mut self, class: FrameClass, token: u64) {
        assert!(token + 1 > self.acked[class as usize] && token < self.sent[class as usize]);
        self.acked[class as usize] = token + 1;
    }

    fn is_done(&self) -> bool {
        self.acked == self.wanted && self.got == self.wanted
    }
}

/// Runs traffic both ways until all of it has arrived and is acknowledged.
fn exchange(
    pair: &mut Pair,
    at_acceptor: LinkId,
    at_initiator: LinkId,
    count: u64,
    limit: Duration,
) {
    let (mut up, mut down) = (Stream::of(count), Stream::of(count));
    let mut dice = Dice::new(pair.dice.roll());
    let until = pair.now + limit;
    while !(up.is_done() && down.is_done()) {
        assert!(pair.now < until, "all arrives within {limit:?}");
        up.fill(pair.now, &mut pair.initiator, at_initiator, &mut dice);
        down.fill(pair.now, &mut pair.acceptor, at_acceptor, &mut dice);
        pair.step(until);
        for event in std::mem::take(&mut pair.acceptor_events) {
            if let LinkEvent::Acked { class, token, .. } = event {
                down.note_ack(class, token);
                continue;
            }
            up.take(&event);
            if let LinkEvent::Frame {
                link,
                class,
                credit,
                ..
            } = event
            {
                pair.acceptor.release(pair.now, link, class, credit);
            }
        }
        for event in std::mem::take(&mut pair.initiator_events) {
            if let LinkEvent::Acked { class, token, .. } = event {
                up.note_ack(class, token);
                continue;
            }
            down.take(&event);
            if let LinkEvent::Frame {
                link,
                class,
                credit,
                ..
            } = event
            {
                pair.initiator.release(pair.now, link, class, credit);
            }
        }
    }
}

/// Reads the wire from its log: no sender ever went beyond what the receiver had granted by then.
fn credit_was_kept(log: &[(To, Datagram)], window: u64) {
    for to in [To::Acceptor, To::Initiator] {
        let (mut limits, mut charged) = ([window; 2], [0; 2]);
        let mut seen = BTreeSet::new();
        for (direction, datagram) in log {
            let (carry, ack) = match kind(datagram) {
                Kind::Carry(mut carry) => {
                    let ack = carry.ack.take();
                    (Some(carry), ack)
                }
                Kind::Ack(ack) => (None, Some(ack)),
                _ => continue,
            };
            if let Some(ack) = ack.filter(|_| *direction != to) {
                limits = [ack.control_limit, ack.data_limit];
            }
            if let Some(carry) =
                carry.filter(|carry| *direction == to && seen.insert(carry.sequence))
            {
                let class = carry.class as usize - 1;
                let (head, attachments) = (datagram.parts[1].clone(), datagram.parts[2..].to_vec());
                charged[class] += Frame { head, attachments }.cost();
                assert!(charged[class] <= limits[class], "{charged:?} of {limits:?}");
            }
        }
    }
}

#[test]
fn all_frames_arrive_once_and_in_order_whatever_the_weather() {
    for seed in 0..40 {
        let (mut pair, at_acceptor, at_initiator) = Pair::linked_with(tight(), tight());
        pair.dice = Dice::new(seed);
        pair.weather = Weather {
            drop: seed % 4 * 8,
            duplicate: seed % 3 * 10,
            jitter_ms: seed % 5 * 3,
        };

        exchange(
            &mut pair,
            at_acceptor,
            at_initiator,
            60,
            Duration::from_secs(600),
        );

        credit_was_kept(&pair.log, WINDOW);
    }
}

#[test]
fn in_fair_weather_nothing_is_sent_twice() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked_with(tight(), tight());

    exchange(
        &mut pair,
        at_acceptor,
        at_initiator,
        500,
        Duration::from_secs(60),
    );

    let counts = [pair.acceptor.counts(), pair.initiator.counts()];
    assert_eq!(
        counts.map(|counts| (counts.retransmitted, counts.duplicates, counts.gaps)),
        [(0, 0, 0); 2]
    );
}

#[test]
fn acknowledgements_are_few_when_many_frames_flow_one_way() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked();
    pair.log.clear();

    for number in 0..1000 {
        let frame = numbered(number, 100);
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, number)
            .unwrap();
    }
    pair.run_for(SHORT);

    let acks = pair
        .log
        .iter()
        .filter(|(to, _)| *to == To::Initiator)
        .count();
    assert_eq!(pair.acceptor_events.len(), 1000);
    assert!(acks <= 3, "{acks} for a thousand frames on {at_acceptor}");
}

#[test]
fn nothing_is_lost_when_the_carrier_is_away_for_a_while() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked_with(tight(), tight());
    exchange(
        &mut pair,
        at_acceptor,
        at_initiator,
        20,
        Duration::from_secs(10),
    );
    pair.weather.drop = 100;
    for number in 20..25 {
        let frame = numbered(number, 1000);
        pair.initiator
            .send(pair.now, at_initiator, FrameClass::Data, frame, number)
            .unwrap();
    }
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.acceptor_events, []);

    pair.weather.drop = 0;
    pair.run_for(Duration::from_secs(9));

    let numbers: Vec<u64> = pair
        .acceptor_events
        .iter()
        .filter_map(|event| match event {
            LinkEvent::Frame { frame, .. } => Some(number(frame)),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [20, 21, 22, 23, 24]);
}

#[test]
fn a_link_that_hears_nothing_for_the_idle_timeout_closes_and_is_opened_anew() {
    let (mut pair, at_acceptor, at_initiator) = Pair::linked();
    pair.weather.drop = 100;
    pair.run_for(Duration::from_secs(31));
    let silent = |link| LinkEvent::Closed {
        link,
        reason: CloseReason::Silent(Duration::from_secs(30)),
    };
    assert_eq!(pair.acceptor_events, [silent(at_acceptor)]);
    assert_eq!(pair.initiator_events, [silent(at_initiator)]);

    pair.weather.drop = 0;
    pair.run_for(Duration::from_secs(5));

    let (new_at_acceptor, new_at_initiator) = pair.established();
    assert!(
        new_at_acceptor > at_acceptor && new_at_initiator > at_initiator,
        "ids are not used again"
    );
}

#[test]
fn a_link_whose_connection_is_gone_waits_a_while_for_another_and_no_longer() {
    let (mut pair, _, link) = Pair::linked();
    let gone = pair.now;

    pair.initiator.on_disconnected(gone);
    pair.initiator.on_disconnected(gone + RECONNECT_GRACE / 2);
    assert_eq!(pair.initiator.next_timeout(), Some(gone + RECONNECT_GRACE));
    pair.initiator
        .on_timeout(gone + RECONNECT_GRACE - Duration::from_millis(1));
    assert_eq!(pair.initiator.link(), Some(link));
    pair.initiator.on_timeout(gone + RECONNECT_GRACE);

    let reason = CloseReason::Disconnected(RECONNECT_GRACE);
    assert_eq!(
        pair.initiator.poll_event(),
        Some(LinkEvent::Closed { link, reason })
    );
    assert_eq!(pair.initiator.link(), None);
}

#[test]
fn a_link_goes_on_over_a_connection_that_comes_in_time() {
    let (mut pair, _, link) = Pair::linked();

    pair.initiator.on_disconnected(pair.now);
    pair.now += RECONNECT_GRACE - Duration::from_millis(1);
    pair.initiator.on_connected(pair.now);
    pair.run_for(RECONNECT_GRACE * 2);

    assert_eq!(pair.initiator.link(), Some(link));
    assert_eq!(pair.initiator_events, []);
}

#[test]
fn a_reply_that_overtakes_word_of_its_connection_makes_a_link_that_lasts() {
    let mut pair = Pair::new();
    pair.initiator.on_disconnected(Duration::ZERO);
    pair.now = RECONNECT_GRACE * 2;

    pair.run_for(SHORT);
    pair.initiator.on_connected(pair.now);
    pair.run_for(RECONNECT_GRACE * 2);

    assert_eq!(
        pair.initiator_events.len(),
        1,
        "{:?}",
        pair.initiator_events
    );
    assert!(pair.initiator.link().is_some());
}

#[test]
fn an_idle_link_stays_up_with_few_words() {
    let (mut pair, ..) = Pair::linked();
    pair.log.clear();

    pair.run_for(Duration::from_secs(3600));

    assert_eq!(
        (pair.acceptor_events, pair.initiator_events),
        (vec![], vec![])
    );
    assert!(
        pair.log.len() <= 2 * 361,
        "{} datagrams in an hour",
        pair.log.len()
    );
}

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

#[test]
fn a_closed_link_takes_nothing() {
    let (mut pair, _, at_initiator) = Pair::linked();
    pair.initiator.close(pair.now, at_initiator, "done");

    let sent = pair.initiator.send(
        pair.now,
        at_initiator,
        FrameClass::Data,
        Frame::default(),
        0,
    );

    assert_eq!(sent, Err(SendError::Closed));
}

#[test]
fn a_held_route_is_not_polled_and_goes_on_afterwards() {
    let (mut pair, at_acceptor, _) = Pair::linked();
    let now = pair.now;
    pair.acceptor.hold(ROUTE, true);
    pair.acceptor
        .send(now, at_acceptor, FrameClass::Data, Frame::new("later"), 0)
        .unwrap();
    assert_eq!(pair.acceptor.poll_transmit(now), None);
    let due = pair.acceptor.next_timeout().unwrap();
    pair.acceptor.on_timeout(due);
    assert_eq!(pair.acceptor.poll_transmit(due), None);
    assert!(
        pair.acceptor.next_timeout().unwrap() > due,
        "waiting does not spin"
    );

    pair.acceptor.hold(ROUTE, false);
    pair.run_for(SHORT);

    assert!(
        matches!(&pair.initiator_events[..], [LinkEvent::Frame { frame, .. }] if frame.head == "later")
    );
}

#[test]
fn a_side_is_drained_once_everything_is_acknowledged() {
    let (mut pair, _, at_initiator) = Pair::linked();
    assert!(pair.initiator.is_drained());
    pair.initiator
        .send(pair.now, at_initiator, FrameClass::Data, Frame::new("x"), 0)
        .unwrap();
    assert!(!pair.initiator.is_drained());

    pair.run_for(SHORT);

    assert!(pair.initiator.is_drained());
}
