//! What happens to frames: order, loss, silence.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::time::Duration;

use pair::{Dice, Pair, ROUTE, To, WINDOW, Weather, credit_was_kept, numbered, tight};
use sc_transport::{
    CloseReason, Frame, FrameClass, LinkEvent, LinkId, RECONNECT_GRACE, SendError, Side,
};

const SHORT: Duration = Duration::from_millis(50);

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
