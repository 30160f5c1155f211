//! Credit: whoever cannot keep up holds its publisher back, and nothing is lost.
//!
//! The router disconnected a slow consumer as soon as the notices of a window of batches, many times larger than the batches, did not
//! fit its link's queue.

use std::time::Duration;

use sc_client::BatchBounds;
use sc_sim::{Party, Scenario, Silence, Simulation};
use sc_transport::Terms;

/// Far more publications than the windows hold, to consumers that most of them match many times over.
fn flood() -> Scenario {
    Scenario {
        consumers: 2,
        subscriptions_max: 900,
        publications: 3000,
        payload_max: 0,
        pause_max: Duration::from_micros(100),
        batch: BatchBounds {
            publications: 16,
            bytes: 4 << 10,
            linger: Duration::from_millis(1),
        },
        terms: Terms {
            control_window: 256 << 10,
            data_window: 128 << 10,
            max_frame: 100 << 10,
        },
        queue: 256 << 10,
        storm: Duration::from_secs(20),
        ..Scenario::calm()
    }
}

#[test]
fn a_consumer_that_is_silent_for_a_while_holds_its_publisher_back_and_loses_nothing() {
    let silence = Silence {
        party: Party::Consumer(0),
        from: Duration::from_millis(100),
        until: Duration::from_secs(12),
        outage: false,
        reconnects: false,
    };
    let scenario = Scenario {
        silences: vec![silence],
        ..flood()
    };

    let report = Simulation::new(1, scenario).run();
    assert_eq!(report.violations, []);
}
