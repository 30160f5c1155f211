//! A router that says nothing any more is noticed.

use std::time::Duration;

use sc_client::SubscriberEvent;

use crate::scripted::{HEARTBEAT_MS, Scripted, batch, heartbeat, origin};

const LIMIT: Duration = Duration::from_millis(2 * HEARTBEAT_MS + 2000);
const MOMENT: Duration = Duration::from_millis(1);

fn silences(scripted: &Scripted) -> usize {
    let is_silent = |event: &&SubscriberEvent| **event == SubscriberEvent::Silent;
    scripted.events.iter().filter(is_silent).count()
}

#[test]
fn two_heartbeats_and_two_seconds_without_a_notice_are_silence_and_less_is_not() {
    let mut scripted = Scripted::admitted();

    scripted.pass(LIMIT - MOMENT);
    assert_eq!(silences(&scripted), 0);
    assert_eq!(
        scripted.subscriber.next_timeout(),
        Some(scripted.clock.now + MOMENT)
    );
    scripted.pass(MOMENT);

    assert_eq!(silences(&scripted), 1);
}

#[test]
fn silence_is_told_once_until_a_notice_ends_it() {
    let mut scripted = Scripted::admitted();
    scripted.pass(LIMIT);
    scripted.pass(10 * LIMIT);
    assert_eq!(silences(&scripted), 1);

    scripted.hear(1, &heartbeat(origin(0, 0), origin(0, 0)));
    scripted.pass(LIMIT);

    assert_eq!(silences(&scripted), 2);
}

#[test]
fn each_genuine_notice_puts_silence_off_and_a_forged_or_repeated_one_does_not() {
    let mut scripted = Scripted::admitted();
    scripted.pass(LIMIT / 2);
    let genuine = scripted.notice(1, &batch(origin(1, 1)));
    scripted.hand(genuine.clone());
    scripted.pass(LIMIT - MOMENT);
    assert_eq!(silences(&scripted), 0);

    scripted.hand(genuine.clone());
    let mut forged = genuine;
    forged.attachments[0] = vec![1; 80].into();
    scripted.hand(forged);
    scripted.state(1);
    scripted.pass(MOMENT);

    assert_eq!(silences(&scripted), 1);
}

#[test]
fn nobody_expects_a_notice_without_a_link() {
    let mut scripted = Scripted::admitted();
    scripted.subscriber.on_closed();

    scripted.pass(10 * LIMIT);

    assert_eq!(silences(&scripted), 0);
    assert_eq!(scripted.subscriber.next_timeout(), None);
}

#[test]
fn a_new_link_has_the_whole_time_again() {
    let mut scripted = Scripted::admitted();
    scripted.subscriber.on_closed();
    scripted.pass(10 * LIMIT);
    scripted.link();

    // Measuring begins when this side is called for the first time, which is at once.
    assert!(scripted.subscriber.next_timeout() <= Some(scripted.clock.now));
    scripted.pass(Duration::ZERO);
    scripted.pass(LIMIT - MOMENT);
    assert_eq!(silences(&scripted), 0);
    scripted.pass(MOMENT);

    assert_eq!(silences(&scripted), 1);
}

#[test]
fn who_is_not_admitted_expects_no_notice() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);

    scripted.pass(10 * LIMIT);

    assert_eq!(silences(&scripted), 0);
}

#[test]
fn who_has_no_subscription_expects_no_heartbeat() {
    let mut scripted = Scripted::admitted();
    scripted.subscriber.unsubscribe(Vec::new());

    scripted.pass(LIMIT);

    assert_eq!(silences(&scripted), 0);
}

#[test]
fn an_owner_that_promises_no_heartbeat_is_never_silent() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    let mut verdict = scripted.admission(1);
    if let sc_client::Verdict::Admitted { heartbeat_ms, .. } = &mut verdict {
        *heartbeat_ms = 0;
    }
    scripted.say(0, 1, verdict);

    scripted.pass(100 * LIMIT);

    assert_eq!(silences(&scripted), 0);
}

#[test]
fn a_heartbeat_of_any_length_does_no_harm() {
    let mut scripted = Scripted::new();
    scripted.link();
    scripted.state(1);
    let mut verdict = scripted.admission(1);
    if let sc_client::Verdict::Admitted { heartbeat_ms, .. } = &mut verdict {
        *heartbeat_ms = u64::MAX;
    }
    scripted.say(0, 1, verdict);

    scripted.pass(100 * LIMIT);

    assert_eq!(silences(&scripted), 0);
}
