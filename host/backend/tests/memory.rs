//! Fragments in memory: the suite, and each fault.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[macro_use]
mod suite;

use std::time::Duration;

use sc_backend::{Backend, BackendError, Description, LocationId, Memory};
use tokio::time::{Instant, timeout};

use self::suite::{Subject, body, name};

const ID: LocationId = LocationId([1; 16]);

fn memory() -> Subject {
    Subject {
        backend: Box::new(Memory::new(ID)),
        reopen: Box::new(|_| unreachable!("it is not durable")),
    }
}

/// One that poses as durable: what was acknowledged outlasts its crashes.
fn crashing() -> Subject {
    let memory = Memory::posing_as(Description {
        id: ID,
        durable: true,
        computes: true,
    });
    let same = memory.clone();
    Subject {
        backend: Box::new(memory),
        reopen: Box::new(move |_| {
            same.faults().crash();
            Box::new(same.clone())
        }),
    }
}

mod plain {
    use super::{memory, suite};

    behaves!(memory);
}

mod posing {
    use super::{crashing, suite};

    behaves!(crashing);
}

fn is_unavailable<T>(answer: &Result<T, BackendError>) -> bool {
    matches!(answer, Err(BackendError::Unavailable(_)))
}

#[tokio::test]
async fn while_it_is_down_nothing_answers() {
    let memory = Memory::new(ID);
    memory.put(&name("f"), body(1, 10)).await.unwrap();

    memory.faults().set_down(true);

    assert!(is_unavailable(&memory.put(&name("g"), body(1, 10)).await));
    assert!(is_unavailable(&memory.get(&name("f")).await));
    assert!(is_unavailable(&memory.read(&name("f"), 0..1).await));
    assert!(is_unavailable(&memory.delete(&name("f")).await));
    assert!(is_unavailable(&memory.list(None, 10).await));
    assert!(is_unavailable(&memory.usage().await));

    memory.faults().set_down(false);
    assert_eq!(memory.get(&name("f")).await.unwrap(), body(1, 10));
    assert_eq!(memory.faults().names(), [name("f")]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_goes_on_when_it_is_released() {
    let memory = Memory::new(ID);
    memory.faults().set_hanging(true);
    let (name, body) = (name("f"), body(1, 10));
    let mut put = memory.put(&name, body.clone());
    assert!(timeout(Duration::from_secs(60), &mut put).await.is_err());
    assert_eq!(memory.faults().names(), []);

    memory.faults().set_hanging(false);

    put.await.unwrap();
    assert_eq!(memory.get(&name).await.unwrap(), body);
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_the_delay_it_is_given() {
    let memory = Memory::new(ID);
    memory.faults().set_delay(Duration::from_millis(70));
    let begun = Instant::now();

    memory.put(&name("f"), body(1, 10)).await.unwrap();

    assert_eq!(begun.elapsed(), Duration::from_millis(70));
}

#[tokio::test]
async fn so_many_puts_fail_as_were_told_to_and_leave_nothing() {
    let memory = Memory::new(ID);
    memory.faults().fail_puts(2);

    for _ in 0..2 {
        assert!(is_unavailable(&memory.put(&name("f"), body(1, 10)).await));
        assert_eq!(memory.faults().names(), []);
    }

    memory.put(&name("f"), body(1, 10)).await.unwrap();
}

#[tokio::test]
async fn a_torn_put_leaves_nothing() {
    let memory = Memory::new(ID);
    memory.faults().tear_after(25);

    memory.put(&name("f"), body(1, 10)).await.unwrap();
    memory.put(&name("g"), body(2, 15)).await.unwrap();
    assert!(is_unavailable(&memory.put(&name("h"), body(3, 1)).await));

    assert_eq!(memory.faults().names(), [name("f"), name("g")]);
    memory.put(&name("h"), body(3, 1)).await.unwrap();
}

#[tokio::test]
async fn an_unanswered_call_took_effect() {
    let memory = Memory::new(ID);
    memory.faults().leave_unanswered(2);

    assert!(is_unavailable(&memory.put(&name("f"), body(1, 10)).await));
    assert_eq!(memory.faults().stored(&name("f")), Some(body(1, 10)));
    assert!(is_unavailable(&memory.delete(&name("f")).await));

    assert_eq!(memory.faults().stored(&name("f")), None);
    assert!(!memory.delete(&name("f")).await.unwrap());
}

#[tokio::test]
async fn a_full_location_still_reads_and_deletes() {
    let memory = Memory::new(ID);
    memory.faults().set_capacity(Some(15));
    memory.put(&name("f"), body(1, 10)).await.unwrap();

    let refused = memory.put(&name("g"), body(1, 6)).await;

    assert!(matches!(refused, Err(BackendError::Full(_))));
    assert_eq!(memory.usage().await.unwrap().free_bytes, Some(5));
    assert_eq!(memory.get(&name("f")).await.unwrap(), body(1, 10));
    assert!(memory.delete(&name("f")).await.unwrap());
    memory.put(&name("g"), body(1, 6)).await.unwrap();
}

#[tokio::test]
async fn what_is_altered_reads_altered_and_without_an_error() {
    let memory = Memory::new(ID);
    let faults = memory.faults();
    for (text, seed) in [("f", 1), ("g", 2), ("h", 3), ("i", 4)] {
        memory.put(&name(text), body(seed, 10)).await.unwrap();
    }

    assert!(faults.corrupt(&name("f"), 9));
    assert!(faults.truncate(&name("g"), 4));
    assert!(faults.swap(&name("h"), &name("i")));

    let corrupted = memory.get(&name("f")).await.unwrap();
    assert_eq!(corrupted[..9], body(1, 10)[..9]);
    assert_ne!(corrupted[9], body(1, 10)[9]);
    assert_eq!(memory.get(&name("g")).await.unwrap(), body(2, 10)[..4]);
    assert_eq!(memory.get(&name("h")).await.unwrap(), body(4, 10));
    assert_eq!(memory.get(&name("i")).await.unwrap(), body(3, 10));
    assert_eq!(memory.usage().await.unwrap().bytes, 34);
}

#[tokio::test]
async fn what_is_lost_is_not_found() {
    let memory = Memory::new(ID);
    let faults = memory.faults();
    for text in ["f", "g", "h"] {
        memory.put(&name(text), body(1, 10)).await.unwrap();
    }

    assert!(faults.lose(&name("g")));
    assert!(!faults.lose(&name("g")));
    assert_eq!(memory.get(&name("g")).await, Err(BackendError::NotFound));
    assert_eq!(faults.names(), [name("f"), name("h")]);

    faults.lose_all();
    assert_eq!(memory.get(&name("f")).await, Err(BackendError::NotFound));
    assert_eq!(memory.usage().await.unwrap().bytes, 0);
}

#[tokio::test]
async fn an_alteration_of_what_is_not_there_says_so() {
    let memory = Memory::new(ID);
    memory.put(&name("f"), body(1, 10)).await.unwrap();
    let faults = memory.faults();

    assert!(!faults.corrupt(&name("f"), 10));
    assert!(!faults.corrupt(&name("g"), 0));
    assert!(!faults.truncate(&name("f"), 10));
    assert!(!faults.swap(&name("f"), &name("g")));

    assert_eq!(memory.get(&name("f")).await.unwrap(), body(1, 10));
}

#[tokio::test(start_paused = true)]
async fn a_crash_forgets_what_was_not_acknowledged_and_nothing_else() {
    let memory = Memory::new(ID);
    let (early, late) = (name("early"), name("late"));
    memory.put(&early, body(1, 10)).await.unwrap();
    memory.faults().set_delay(Duration::from_secs(1));
    let mut put = memory.put(&late, body(2, 10));
    let waiting = timeout(Duration::from_millis(500), &mut put).await;
    assert!(waiting.is_err());

    memory.faults().crash();

    assert!(is_unavailable(&put.await));
    assert_eq!(memory.faults().names(), [early]);
}
