//! A domain that is matched without showing what matches: it answers as any other, and refuses what it has no room for.

use std::num::NonZeroUsize;

use sc_cbr::{ControlBody, OBLIVIOUS_SHAPE, Processors, Receipt, Status};
use sc_proto::cbr;

use crate::consumer::Consumer;
use crate::owner::{Enclave, Session, identity, subscription};

fn enclave(slots: usize) -> Enclave {
    Enclave::with_processors(Processors {
        oblivious: NonZeroUsize::new(slots),
        ..Processors::default()
    })
}

fn admission(consumer: &Consumer, replace: bool, filters: &[(u64, String)]) -> ControlBody {
    let filters = filters.iter().map(|(id, it)| (*id, subscription(it)));
    consumer.admission_of(replace, filters.collect())
}

/// All that is said in a session in which consumers and filters come, are replaced and go between batches.
fn a_session_of_changes(enclave: &mut Enclave) -> Vec<(Receipt, Vec<cbr::Notice>)> {
    let mut session = Session::open(enclave, &identity(1), 1);
    let consumers: Vec<_> = (1..=5).map(Consumer::new).collect();
    let numbered = |first: u64| -> Vec<(u64, String)> {
        let filter = |n: u64| match n % 3 {
            0 => format!("i a >= {n}"),
            1 => format!("i a < {n} i text ^= \"x\""),
            _ => format!("i a in {{{n}, 7, 9}}"),
        };
        (first..first + 20)
            .map(|n| (n * 7 % 41, filter(n)))
            .collect()
    };
    let mut said = Vec::new();
    let publish = |session: &mut Session, enclave: &mut Enclave, said: &mut Vec<_>| {
        let fields: Vec<_> = (0..19)
            .map(|n| format!("i a {n} i text \"x{n}\""))
            .collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let (receipt, notices, _) = session.publish(enclave, &fields);
        said.push((receipt, notices));
    };
    for (first, consumer) in (0..).step_by(5).zip(&consumers) {
        said.push(session.tell(enclave, admission(consumer, false, &numbered(first))));
        publish(&mut session, enclave, &mut said);
    }
    let changes = [
        admission(&consumers[0], true, &numbered(3)[..2]),
        admission(&consumers[1], false, &numbered(9)),
        ControlBody::Withdraw {
            consumer: consumers[2].key,
            ids: (0..30).collect(),
        },
        ControlBody::Revoke {
            consumer: consumers[3].key,
        },
        admission(&consumers[3], false, &numbered(1)),
    ];
    for change in changes {
        said.push(session.tell(enclave, change));
        publish(&mut session, enclave, &mut said);
    }
    said
}

#[test]
fn what_an_engine_answers_while_filters_come_and_go_is_the_same() {
    let expected = a_session_of_changes(&mut Enclave::new());
    let deliveries = expected.iter().map(|(receipt, _)| receipt.deliveries);
    assert!(deliveries.sum::<u64>() > 500);

    for slots in [1, 16, 1000] {
        assert!(a_session_of_changes(&mut enclave(slots)) == expected);
    }
}

#[test]
fn a_publication_that_matches_more_than_there_are_slots_loses_nothing() {
    let mut enclave = enclave(4);
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let consumer = Consumer::new(1);
    let filters: Vec<_> = (0..100).map(|id| (id, format!("i a >= {id}"))).collect();
    session.tell(&mut enclave, admission(&consumer, false, &filters));

    let (receipt, notices, _) = session.publish(&mut enclave, &["i a 2", "i a 99", "i b 1"]);

    assert_eq!((receipt.matched, receipt.deliveries), (2, 103));
    let notice = consumer.open(&session.scope, &notices[0]);
    let all: Vec<u64> = (0..100).collect();
    assert_eq!(notice.matches(), [(0, &[0, 1, 2][..]), (1, &all)]);
}

#[test]
fn filters_that_are_too_wide_to_be_hidden_are_refused_whole_and_change_nothing() {
    let tests = OBLIVIOUS_SHAPE.tests_per_row;
    let list = |count: usize| {
        let values: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        format!("i a in {{{}}}", values.join(", "))
    };
    let text = |length: usize| format!("i b = \"{}\"", "x".repeat(length));
    let consumer = Consumer::new(1);
    for too_wide in [list(tests + 1), text(OBLIVIOUS_SHAPE.text_bytes + 1)] {
        let mut enclave = enclave(4);
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let mut admit = |filters: &[(u64, String)]| {
            let told = session.tell(&mut enclave, admission(&consumer, true, filters));
            told.0.status
        };
        let widest = [(1, list(tests)), (2, text(OBLIVIOUS_SHAPE.text_bytes))];

        assert_eq!(admit(&widest), Status::Taken);
        assert_eq!(
            admit(&[(1, "i a = 1".into()), (3, too_wide)]),
            Status::Limit
        );

        let (receipt, ..) = session.publish(&mut enclave, &["i a 3", "i b \"x\""]);
        assert_eq!(receipt.deliveries, 1, "the first are still there");
    }
}
