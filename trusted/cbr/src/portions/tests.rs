//! The bounds of sharing, which are few in these tests, and workers that stop where they stand.

use std::thread;

use sc_crypto::Secret;
use sc_matching::{Publication, Subscription};

use super::*;
use crate::batch::{BatchWriter, Origin};
use crate::consumers::Place;
use crate::recipients::{Holding, Recipients};
use crate::workers::{Alone, Processors};

/// A batch of `headers` publications that each match all of `subscriptions`.
fn task(headers: u32, subscriptions: u64) -> Task {
    let mut writer = BatchWriter::default();
    for _ in 0..headers {
        writer.push(&Publication::new(), Some(&[9; 32])).unwrap();
    }
    let mut recipients = Recipients::new(1, &Processors::default());
    for id in (0..subscriptions).rev() {
        let holding = Holding {
            id,
            consumer: Place::FIRST,
            bytes: 1,
        };
        recipients.insert(&Subscription::new([]).unwrap(), holding);
    }
    Task {
        plaintext: Plaintext::new(writer.finish(Origin::default(), 1)),
        plain: false,
        view: recipients.view(),
        keys: Arc::new(PublisherKeys::new(&Secret::from_bytes([1; 32]), false)),
        counter: 1,
    }
}

/// For each publication taken, in order, its number and its recipients' ids.
type Taken = Vec<(u32, Vec<u64>)>;

fn take(taken: &mut Taken, portion: &Portion) {
    for (matched, recipients) in portion.matched() {
        assert!(matched.key.is_some());
        let ids = recipients.iter().map(|row| row.id);
        taken.push((matched.number, ids.collect()));
    }
}

fn expected(headers: u32, subscriptions: u64) -> Taken {
    let ids: Vec<_> = (0..subscriptions).collect();
    (0..headers).map(|number| (number, ids.clone())).collect()
}

/// Leads until all is taken.
fn led(sharing: &Sharing) -> Taken {
    let mut taken = Taken::new();
    let done = sharing.lead(&mut |_, portion| take(&mut taken, portion));
    assert_eq!(done, Ok(()));
    taken
}

#[test]
fn every_header_is_taken_once_and_in_order_however_many_match() {
    // A portion has at most three headers, and ends early with eight recipients.
    for (headers, subscriptions) in [(0, 1), (1, 1), (3, 2), (4, 3), (100, 5), (10, 30)] {
        let mut taken = Taken::new();

        let done = match_batch(&Alone, task(headers, subscriptions), |_, portion| {
            take(&mut taken, portion);
        });

        assert_eq!(done, Ok(()));
        assert_eq!(taken, expected(headers, subscriptions));
        let sharing = Sharing::new(task(headers, subscriptions)).unwrap();
        assert_eq!(led(&sharing), taken);
    }
}

#[test]
fn publications_without_recipients_are_not_taken() {
    let mut taken = Taken::new();

    let done = match_batch(&Alone, task(20, 0), |_, portion| take(&mut taken, portion));

    assert_eq!((done, taken), (Ok(()), Taken::new()));
}

#[test]
fn a_worker_that_stops_in_the_middle_leaves_its_portion_to_the_caller() {
    let sharing = Sharing::new(task(20, 2)).unwrap();
    let (first, _) = sharing.await_claim().unwrap();
    let (second, _) = sharing.await_claim().unwrap();
    let (third, portion) = sharing.await_claim().unwrap();
    let batch = sharing.task.batch().unwrap();
    third.carry_out(&mut Matcher::new(&sharing.task, &batch), portion);

    thread::scope(|scope| {
        let dies = scope.spawn(move || {
            let _claimed = (first, second);
            panic!("as this test wants it");
        });
        let taken = led(&sharing);

        assert!(dies.join().is_err());
        assert_eq!(taken, expected(20, 2));
    });
}

#[test]
fn workers_are_no_further_ahead_than_the_bound() {
    let sharing = Sharing::new(task(3 * 100, 1)).unwrap();
    let batch = sharing.task.batch().unwrap();
    let mut matcher = Matcher::new(&sharing.task, &batch);
    for _ in 0..AHEAD_MAX {
        let place = sharing.next_free(&mut sharing.desk()).unwrap();
        Claim::new(&sharing, place).carry_out(&mut matcher, Portion::default());
    }

    assert_eq!(sharing.next_free(&mut sharing.desk()), None);
    assert_eq!(sharing.desk().ahead.len(), AHEAD_MAX);
    assert_eq!(led(&sharing), expected(3 * 100, 1));
    assert_eq!(sharing.desk().waiting_rows, 0);
}

#[test]
fn workers_end_with_the_caller_even_if_it_takes_nothing() {
    let sharing = Arc::new(Sharing::new(task(3 * 100, 1)).unwrap());
    let work = helping(&sharing);
    let worker = thread::spawn(move || work());

    drop(Over(&sharing));

    worker.join().unwrap();
}

#[test]
fn a_worker_that_goes_back_reads_from_the_beginning() {
    let sharing = Sharing::new(task(9, 1)).unwrap();
    let batch = sharing.task.batch().unwrap();
    let mut matcher = Matcher::new(&sharing.task, &batch);
    let mut portion = Portion::default();
    let mut numbers = Vec::new();

    for first in [6, 0, 3] {
        matcher
            .match_headers(first..first + 3, &mut portion)
            .unwrap();
        numbers.extend(portion.matched().map(|(matched, _)| matched.number));
    }

    assert_eq!(numbers, [6, 7, 8, 0, 1, 2, 3, 4, 5]);
}
