//! Planted bugs against the promises that nothing is lost in silence: among the seeds of the test run some find each of them.
//!
//! Such a bug shows only when something else goes wrong: a crash, a full disk, a consumer that stays away. So the seeds are run, with
//! the bug, until one of them finds it.

use sc_sim::{Plant, Scenario, Simulation, Violation};

/// Seeds that the test run has.
const SEEDS: u64 = 1000;

/// The first seed with an honest host that finds `plant` in a way that `found` accepts.
fn finder(plant: Plant, found: impl Fn(&Violation) -> bool) -> Option<u64> {
    let honest = (0..SEEDS).filter(|seed| Scenario::draw(*seed).malice.is_none());
    let mut seeds = honest.into_iter();
    seeds.find(|seed| {
        let scenario = Scenario {
            plant: Some(plant),
            ..Scenario::draw(*seed)
        };
        let report = Simulation::new(*seed, scenario).run();
        report.violations.iter().any(&found)
    })
}

fn is_complaint(violation: &Violation, words: &str) -> bool {
    matches!(violation, Violation::Complaint { what, .. } if what.starts_with(words))
}

fn is_loss(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::NotDelivered { .. } | Violation::NotCovered { .. }
    )
}

#[test]
fn a_disk_that_stores_nothing_is_found() {
    let seed = finder(Plant::SettleBeforeStored, |found| {
        is_loss(found) || is_complaint(found, "Missing")
    });

    assert!(seed.is_some());
}

#[test]
fn an_acknowledgement_before_its_record_is_found() {
    let seed = finder(Plant::RecordLate, |found| {
        is_loss(found) || is_complaint(found, "Missing")
    });

    assert!(seed.is_some());
}

#[test]
fn settlement_before_anything_was_taken_is_found() {
    let seed = finder(Plant::SettleEarly, is_loss);

    assert!(seed.is_some());
}

#[test]
fn heartbeats_that_claim_too_much_are_found() {
    let seed = finder(Plant::CoverageTooFar, is_loss);

    assert!(seed.is_some());
}

#[test]
fn heartbeats_without_coverage_are_found() {
    let seed = finder(Plant::NoCoverage, is_loss);

    assert!(seed.is_some());
}

#[test]
fn the_end_of_a_suspension_without_a_count_is_found() {
    let seed = finder(Plant::NoMissed, |found| {
        matches!(found, Violation::NotNoticed { .. })
    });

    assert!(seed.is_some());
}

#[test]
fn a_publisher_registered_under_an_older_start_is_found() {
    let seed = finder(Plant::OldStart, |found| {
        is_complaint(found, "RouterRefused") || matches!(found, Violation::Stalled { .. })
    });

    assert!(seed.is_some());
}

#[test]
fn a_session_number_that_is_used_again_is_found() {
    let seed = finder(Plant::ReuseSession, |found| {
        matches!(
            found,
            Violation::SessionReused { .. }
                | Violation::NonceReused { .. }
                | Violation::Stalled { .. }
        )
    });

    assert!(seed.is_some());
}

#[test]
fn receipts_in_the_wrong_order_are_found() {
    let seed = finder(Plant::SwapReceipts, |found| {
        is_complaint(found, "ReceiptNotAuthentic")
    });

    assert!(seed.is_some());
}

#[test]
fn a_disk_that_is_read_backwards_is_found() {
    let seed = finder(Plant::SpillBackwards, |found| {
        is_complaint(found, "Missing") || is_loss(found) || is_complaint(found, "NotTaken")
    });

    assert!(seed.is_some());
}
