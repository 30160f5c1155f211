//! Counters are given out only for what the credit in hand can carry, and nothing is lost while there is none.

use std::time::Duration;

use bytes::Bytes;
use sc_client::{
    BatchBounds, Clock, Credit, Output, PublishError, PublisherEvent, PublisherSettings,
};
use sc_matching::{Name, Publication};
use sc_proto::Message;
use sc_proto::routing::{self, from_publisher};
use sc_transport::FrameClass;

use crate::world::{IBM, WANTS_IBM, World, publication, settings};

const NONE: Credit = Credit {
    control: 0,
    data: 0,
};
const PLENTY: Credit = Credit {
    control: 1 << 20,
    data: 8 << 20,
};

/// The counters of the sealed messages among `frames`, in the order in which they were sent.
fn counters(frames: &[from_publisher::Frame]) -> Vec<u64> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            from_publisher::Frame::Control(head) => Some(head.counter),
            from_publisher::Frame::Batch(head) => Some(head.counter),
            _ => None,
        })
        .collect()
}

#[test]
fn without_credit_nothing_gets_a_counter_and_with_it_none_is_left_out() {
    let mut world = World::admitted();
    let before = counters(&world.sent).len() as u64;
    world.credit = NONE;
    world.publish(IBM, "first");
    world.parties[0].subscriber.unsubscribe(vec![99]);
    world.run();
    assert_eq!(counters(&world.sent).len() as u64, before);

    world.credit = PLENTY;
    world.run();
    world.publish_and_run(IBM, "second");

    let all = counters(&world.sent);
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(all, expected);
    assert_eq!(world.parties[0].payloads(), ["first", "second"]);
}

#[test]
fn control_passes_while_data_waits() {
    let mut world = World::admitted();
    world.credit = Credit { data: 0, ..PLENTY };
    world.publish(IBM, "waits");
    world.parties[0].subscriber.unsubscribe(vec![]);
    world.run();
    assert_eq!(world.parties[0].payloads(), [""; 0]);

    world.credit = PLENTY;
    world.run();

    // The withdrawal went first, so the publication finds nobody: control never waits behind halted data.
    assert_eq!(world.parties[0].payloads(), [""; 0]);
    assert!(world.publisher.is_drained());
}

/// A publication of `attributes` attributes, whose names are long and its own.
fn wide(number: usize, attributes: usize) -> Publication {
    let mut publication = Publication::new();
    for at in 0..attributes {
        let name = format!("{number:04}-{at:04}-{}", "n".repeat(200));
        publication
            .push(Name::new(&name).unwrap(), 1.5.try_into().unwrap())
            .unwrap();
    }
    publication
}

#[test]
fn no_batch_costs_more_than_the_credit_it_was_sent_with() {
    for available in (0..120_000).step_by(7_001) {
        let mut world = World::open(PublisherSettings {
            batch: BatchBounds {
                publications: 4,
                bytes: 40_000,
                linger: Duration::ZERO,
            },
            ..settings()
        });
        for number in 0..10 {
            let publication = if number % 3 == 0 {
                publication(IBM)
            } else {
                wide(number, 60)
            };
            world
                .publisher
                .publish(
                    world.clock,
                    &publication,
                    Bytes::from(vec![7; 100 * number]),
                )
                .unwrap();
        }
        world.publisher.flush();

        let credit = Credit {
            data: available,
            ..PLENTY
        };
        world.publisher.pump(world.clock, credit);
        let outputs = world.publisher.take_outputs();

        let cost: u64 = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Send {
                    class: FrameClass::Data,
                    frame,
                } => Some(frame.cost()),
                _ => None,
            })
            .sum();
        assert!(cost <= available, "{cost} of {available}");
    }
}

#[test]
fn answers_on_their_way_are_paid_for_before_counters_are_given_out() {
    let ask = {
        let mut other = World::open(settings());
        other.join(2, &[(1, WANTS_IBM)]);
        other.asks[0].clone()
    };
    for control in (0..10_000).step_by(250) {
        let mut world = World::open(settings());
        world.publisher.on_frame(world.clock, ask.clone());

        world
            .publisher
            .pump(world.clock, Credit { control, ..PLENTY });

        let outputs = world.publisher.take_outputs();
        let costs = outputs.iter().filter_map(|output| match output {
            Output::Send { frame, .. } => {
                let head = routing::FromPublisher::decode(frame.head.clone()).unwrap();
                let is_counted = matches!(head.frame, Some(from_publisher::Frame::Control(_)));
                Some((is_counted, frame.cost()))
            }
            _ => None,
        });
        let (counted, all) = costs.fold((0, 0), |(counted, all), (is_counted, cost)| {
            (counted + u64::from(is_counted), all + cost)
        });
        assert!(counted == 0 || all <= control, "{all} of {control}");
    }
}

#[test]
fn a_publisher_that_holds_as_much_as_it_may_says_so_and_loses_nothing() {
    let mut world = World::open(PublisherSettings {
        queue_bytes: 3000,
        ..settings()
    });
    world.join(2, &[(1, WANTS_IBM)]);
    world.credit = NONE;
    let mut taken = 0;
    let payload = |number: u32| Bytes::from(format!("payload {number}"));
    while world
        .publisher
        .publish(world.clock, &publication(IBM), payload(taken))
        .is_ok()
    {
        taken += 1;
    }
    assert!((10..100).contains(&taken));
    assert!(world.publisher.is_full());
    assert_eq!(
        world
            .publisher
            .publish(world.clock, &publication(IBM), payload(taken)),
        Err(PublishError::Full)
    );

    world.credit = PLENTY;
    world.run();

    assert!(!world.publisher.is_full());
    let expected: Vec<_> = (0..taken)
        .map(|number| format!("payload {number}"))
        .collect();
    assert_eq!(world.parties[0].payloads(), expected);
}

#[test]
fn a_batch_is_closed_by_number_by_bytes_by_time_and_by_word() {
    let bounds = BatchBounds {
        publications: 3,
        bytes: 1000,
        linger: Duration::from_millis(10),
    };
    let mut world = World::open(PublisherSettings {
        batch: bounds,
        ..settings()
    });
    let batches = |world: &World| {
        let is_batch =
            |frame: &&from_publisher::Frame| matches!(frame, from_publisher::Frame::Batch(_));
        world.sent.iter().filter(is_batch).count()
    };

    for _ in 0..3 {
        world.publish_and_run(IBM, "by number");
    }
    assert_eq!(batches(&world), 1);
    world.publish(IBM, &"x".repeat(600));
    world.publish_and_run(IBM, &"x".repeat(600));
    assert_eq!(batches(&world), 2, "the second would not fit");
    world.advance(Duration::from_millis(9));
    world.run();
    assert_eq!(batches(&world), 2);
    world.advance(Duration::from_millis(1));
    world.run();
    assert_eq!(batches(&world), 3);
    world.publish(IBM, "by word");
    world.publisher.flush();
    world.run();
    assert_eq!(batches(&world), 4);
    world.publisher.flush();
    world.run();
    assert_eq!(batches(&world), 4, "nothing is no batch");
}

#[test]
fn bounds_beyond_what_a_batch_can_hold_do_no_harm() {
    let mut world = World::open(PublisherSettings {
        batch: BatchBounds {
            publications: usize::MAX,
            bytes: usize::MAX,
            linger: Duration::ZERO,
        },
        queue_bytes: usize::MAX,
        ..settings()
    });
    world.credit.data = 1 << 40;
    for number in 0..70_000 {
        let wide = number % 1000 == 0;
        let publication = if wide {
            wide_names(number)
        } else {
            publication(IBM)
        };
        world
            .publisher
            .publish(world.clock, &publication, Bytes::new())
            .unwrap();
    }
    world.publisher.flush();

    world.run();

    assert!(world.publisher.is_drained());
    assert!(world.closed.is_empty());
    let published: usize = world
        .take_events()
        .iter()
        .map(|event| match event {
            PublisherEvent::Published { publications, .. } => *publications,
            _ => 0,
        })
        .sum();
    assert_eq!(published, 70_000);
}

/// 255 names that no other publication has.
fn wide_names(number: usize) -> Publication {
    let mut publication = Publication::new();
    for at in 0..255 {
        let name = Name::new(&format!("n{number}-{at}")).unwrap();
        publication.push(name, 1.5.try_into().unwrap()).unwrap();
    }
    publication
}

#[test]
fn a_table_of_names_is_never_overfilled_by_publications_that_repeat_them() {
    let mut world = World::open(PublisherSettings {
        batch: BatchBounds {
            publications: usize::MAX,
            bytes: usize::MAX,
            linger: Duration::ZERO,
        },
        queue_bytes: usize::MAX,
        ..settings()
    });
    world.credit.data = 1 << 40;
    // 128 times 255 names leave room for fewer than one more publication, even of names that the table has.
    for number in 0..140 {
        for _ in 0..2 {
            world
                .publisher
                .publish(world.clock, &wide_names(number), Bytes::new())
                .unwrap();
        }
    }
    world.publisher.flush();

    world.run();

    assert!(world.publisher.is_drained());
}

#[test]
fn long_subscriptions_are_admitted_anew_within_an_ordinary_window() {
    let texts: Vec<String> = (0..30)
        .map(|number| format!("i a = \"{number}{}\"", "x".repeat(60_000)))
        .collect();
    let wanted: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(id, text)| (id as u64, &text[..]))
        .collect();
    let mut world = World::open(settings());
    world.join(2, &wanted);
    let asks = world.asks.len();

    world.connect();

    assert!(
        asks > 5,
        "1.8 MB of subscriptions are asked for in portions"
    );
    let attributes = texts[29].replace("= ", "");
    world.publish_and_run(&attributes, "found");
    assert_eq!(world.parties[0].payloads(), ["found"]);
    // And they are in the journal, each record within its bound.
    world.journal = world.publisher.roll().records().collect();
    assert!(world.journal.iter().all(|record| record.len() < 1 << 20));
}

#[test]
fn a_router_that_gives_no_credit_for_control_is_left() {
    let mut world = World::open(PublisherSettings {
        tick: Duration::from_millis(1),
        ..settings()
    });
    world.credit = NONE;
    let mut pumps = 0;
    while world.closed.is_empty() {
        pumps += 1;
        assert!(pumps < 400_000, "the queue has no bound");
        world.clock = Clock {
            now: world.clock.now + Duration::from_millis(1),
            ..world.clock
        };
        world.publisher.pump(world.clock, NONE);
        world.collect_publisher();
    }

    assert!(pumps > 250_000);
}

#[test]
fn requests_that_wait_for_credit_take_a_bounded_room_and_none_is_lost() {
    // Each request carries 240 kB, and 32 MiB may wait.
    let texts: Vec<String> = (0..4)
        .map(|number| format!("i a = \"{number}{}\"", "x".repeat(60_000)))
        .collect();
    let wanted: Vec<_> = (0..).zip(texts.iter().map(|text| &text[..])).collect();
    let mut world = World::open(PublisherSettings {
        lease: Duration::from_secs(10_000_000),
        ..settings()
    });
    world.credit = NONE;
    world.join(2, &wanted);
    let requests = 160;
    for _ in 0..requests {
        world.advance(Duration::from_secs(600));
        world.work_subscribers();
        world.deliver_to_publisher();
    }
    assert!(world.asks.len() >= requests);
    assert!(world.closed.is_empty());
    let before = world.sent.len();

    world.credit = PLENTY;
    world.run();

    let messages = counters(&world.sent[before..]).len();
    let ticks = requests + 1;
    assert!(messages < ticks + 142, "{messages} messages");
    world.publish_and_run(&texts[3].replace("= ", ""), "found");
    assert_eq!(world.parties[0].payloads(), ["found"]);
}
