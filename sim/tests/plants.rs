//! Planted bugs: the checks of a run find each of them, and so would find the like.

use sc_sim::{Plant, Report, Scenario, Simulation, Violation};

fn run(seed: u64, plant: Plant) -> Report {
    let scenario = Scenario {
        plant: Some(plant),
        ..Scenario::calm()
    };
    Simulation::new(seed, scenario).run()
}

/// Runs a few seeds, in each of which some check has to find `plant` in a way that `found` accepts.
fn finds(plant: Plant, found: impl Fn(&Violation) -> bool) {
    for seed in 0..3 {
        let violations = run(seed, plant).violations;
        assert!(
            violations.iter().any(&found),
            "{plant}, seed {seed}: {violations:?}"
        );
    }
}

fn is_complaint_of(violation: &Violation, words: &str) -> bool {
    matches!(violation, Violation::Complaint { what, .. } if what.starts_with(words))
}

fn is_loss(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::NotDelivered { .. } | Violation::NotCovered { .. }
    )
}

#[test]
fn a_dropped_notice_is_found_by_the_gap_and_by_what_was_not_delivered() {
    finds(Plant::DropNotice, |found| is_complaint_of(found, "Missing"));
    finds(Plant::DropNotice, is_loss);
}

#[test]
fn a_notice_that_comes_twice_is_found() {
    finds(Plant::RepeatNotice, |found| {
        is_complaint_of(found, "NotTaken")
    });
}

#[test]
fn notices_of_two_consumers_that_changed_places_are_found() {
    finds(Plant::SwapNotices, |found| {
        is_complaint_of(found, "NotTaken")
    });
    finds(Plant::SwapNotices, is_loss);
}

#[test]
fn a_dropped_receipt_is_found() {
    finds(Plant::DropReceipt, |found| {
        is_complaint_of(found, "ReceiptNotAuthentic")
    });
}

#[test]
fn a_delivery_lost_in_silence_is_found() {
    finds(Plant::LoseDelivery, is_loss);
}

#[test]
fn a_delivery_made_twice_is_found() {
    finds(Plant::RepeatDelivery, |found| {
        matches!(found, Violation::DeliveredTwice { .. })
    });
}

#[test]
fn a_delivery_to_somebody_else_is_found() {
    finds(Plant::MisdirectDelivery, is_loss);
    finds(Plant::MisdirectDelivery, |found| {
        matches!(
            found,
            Violation::NotMatched { .. }
                | Violation::WrongSubscriptions { .. }
                | Violation::DeliveredTwice { .. }
        )
    });
}

#[test]
fn a_changed_payload_is_found() {
    finds(Plant::SpoilPayload, |found| {
        matches!(
            found,
            Violation::WrongPayload { .. } | Violation::Foreign { .. }
        )
    });
}

#[test]
fn a_delivery_for_another_subscription_is_found() {
    finds(Plant::ChangeSubscription, |found| {
        matches!(found, Violation::WrongSubscriptions { .. })
    });
}

#[test]
fn deliveries_in_the_wrong_order_are_found() {
    finds(Plant::SwapDeliveries, |found| {
        matches!(found, Violation::OutOfOrder { .. })
    });
}

#[test]
fn credit_that_is_not_given_back_is_found_on_either_side() {
    for plant in [Plant::HostKeepsCredit, Plant::ConsumerKeepsCredit] {
        finds(
            plant,
            |found| matches!(found, Violation::Stalled { what } if what.contains("may send")),
        );
    }
}

#[test]
fn every_plant_is_found_in_stormy_runs_too() {
    for plant in Plant::AT_ONCE {
        for seed in 0..5 {
            let mut scenario = Scenario {
                plant: Some(plant),
                publications: 60,
                consumers: 4,
                ..Scenario::draw(seed)
            };
            // A link that was lost explains the lack of a notice, whoever took it, and so do crashes and a hostile host.
            scenario.silences.retain(|silence| !silence.outage);
            scenario.trials.clear();
            scenario.malice = None;
            scenario.rereading = 0;
            let report = Simulation::new(seed, scenario).run();
            assert!(!report.violations.is_empty(), "{plant}, seed {seed}");
        }
    }
}
