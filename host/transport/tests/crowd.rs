//! Ten thousand links of one acceptor, in virtual time: what an event costs does not grow with their number.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod pair;

use std::time::{Duration, Instant};

use pair::{Dice, entropy, key, transmits};
use sc_transport::{
    Dialer, Frame, FrameClass, LinkEvent, LinkId, LinkKey, LinkSettings, Links, Role, Route, Side,
};

/// An acceptor and its initiators, with a network that delivers at once.
struct Crowd {
    acceptor: Links,
    dialers: Vec<Dialer>,
    routes: Vec<Route>,
    now: Duration,
    frames: usize,
}

impl Crowd {
    fn of(size: usize) -> Self {
        let settings = LinkSettings::default();
        let dialer = |number: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let (key, entropy) = (LinkKey::from_seed(&seed), entropy(number as u64));
            let settings = LinkSettings::default();
            Dialer::new(Duration::ZERO, Role::Subscriber, settings, key, entropy)
        };
        let mut crowd = Self {
            acceptor: Links::new(settings, key(1), entropy(1)),
            dialers: (0..size).map(dialer).collect(),
            routes: (0..size)
                .map(|number| Route::plain(format!("{number:016}")))
                .collect(),
            now: Duration::ZERO,
            frames: 0,
        };
        for number in 0..size {
            let now = crowd.now;
            crowd.dialers[number].on_timeout(now);
            crowd.speak(number);
            crowd.deliver();
        }
        assert_eq!(crowd.acceptor.len(), size);
        crowd
    }

    /// Brings what a dialer has to say to the acceptor, and takes its events.
    fn speak(&mut self, number: usize) {
        let (now, dialer) = (self.now, &mut self.dialers[number]);
        for (_, datagram) in transmits(dialer, now) {
            self.acceptor
                .on_datagram(now, &self.routes[number], datagram);
        }
        while let Some(event) = dialer.poll_event() {
            if let LinkEvent::Frame {
                link,
                class,
                credit,
                ..
            } = event
            {
                self.frames += 1;
                dialer.release(now, link, class, credit);
            }
        }
    }

    /// Brings what the acceptor has to say to the dialers, and back what they answer, until nobody has more.
    fn deliver(&mut self) {
        while let Some((route, datagram)) = self.acceptor.poll_transmit(self.now) {
            let number: usize = std::str::from_utf8(&route).unwrap().parse().unwrap();
            self.dialers[number].on_datagram(self.now, &Route::plain(""), datagram);
            self.speak(number);
        }
        while self.acceptor.poll_event().is_some() {}
    }

    /// One frame to one of the links after another, each with all that comes of it at the acceptor; returns the time
    /// that the acceptor's side took for each, the least of several rounds.
    fn cost_per_event(&mut self) -> Duration {
        const EVENTS: u32 = 2000;
        let mut dice = Dice::new(3);
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let mut spent = Duration::ZERO;
            for _ in 0..EVENTS {
                self.now += Duration::from_micros(10);
                let number = dice.roll() as usize % self.dialers.len();
                let link = LinkId(number as u64 + 1);
                let begin = Instant::now();
                self.acceptor
                    .send(self.now, link, FrameClass::Data, Frame::new("head"), 1)
                    .unwrap();
                let (_, datagram) = self.acceptor.poll_transmit(self.now).unwrap();
                let due = self.acceptor.next_timeout().unwrap();
                self.acceptor.on_timeout(self.now.min(due));
                spent += begin.elapsed();
                let dialer = &mut self.dialers[number];
                dialer.on_datagram(self.now, &Route::plain(""), datagram);
                while let Some(event) = dialer.poll_event() {
                    if let LinkEvent::Frame {
                        link,
                        class,
                        credit,
                        ..
                    } = event
                    {
                        dialer.release(self.now, link, class, credit);
                    }
                }
                dialer.on_timeout(self.now + Duration::from_millis(2));
                let answers = transmits(dialer, self.now + Duration::from_millis(2));
                let begin = Instant::now();
                for (_, answer) in answers {
                    self.acceptor
                        .on_datagram(self.now, &self.routes[number], answer);
                }
                while self.acceptor.poll_event().is_some() {}
                spent += begin.elapsed();
            }
            least = least.min(spent / EVENTS);
        }
        least
    }
}

#[test]
fn the_cost_of_an_event_does_not_grow_with_the_number_of_links() {
    let few = Crowd::of(100).cost_per_event();
    let many = Crowd::of(10_000).cost_per_event();

    println!("an event costs {few:.2?} with 100 links, {many:.2?} with 10,000");
    // A scan of all links would cost a hundred times as much; caches alone may cost some.
    assert!(
        many < few * 10,
        "{few:?} with 100 links, {many:?} with 10,000"
    );
}

#[test]
fn ten_thousand_links_stay_up_for_a_minute_and_each_gets_its_frame() {
    const LINKS: usize = 10_000;
    let mut crowd = Crowd::of(LINKS);
    let mut wakeups = 0;

    while crowd.now < Duration::from_secs(60) {
        crowd.now += Duration::from_millis(100);
        let now = crowd.now;
        if crowd.acceptor.next_timeout().is_some_and(|due| due <= now) {
            wakeups += 1;
            crowd.acceptor.on_timeout(now);
        }
        for number in 0..LINKS {
            if crowd.dialers[number]
                .next_timeout()
                .is_some_and(|due| due <= now)
            {
                crowd.dialers[number].on_timeout(now);
                crowd.speak(number);
            }
        }
        crowd.deliver();
    }

    for link in 1..=LINKS as u64 {
        let frame = Frame::new("head").with(vec![0; 200]);
        crowd
            .acceptor
            .send(crowd.now, LinkId(link), FrameClass::Data, frame, 1)
            .unwrap();
    }
    crowd.deliver();

    assert_eq!(crowd.acceptor.len(), LINKS);
    assert_eq!(crowd.frames, LINKS);
    assert!(
        wakeups < 60,
        "{wakeups} wake-ups, of all links that are due together"
    );
}
