//! The router's numbers under the names by which Prometheus knows them.

use sc_router::{Counters, Gauges};

use crate::metrics::Sample;

/// Name, what people are told of it, and where it stands.
type Number<T> = (&'static str, &'static str, fn(&T) -> u64);

const COUNTERS: [Number<Counters>; 33] = [
    (
        "securecloud_router_sessions_total",
        "Sessions opened.",
        |it| it.sessions,
    ),
    ("securecloud_router_batches_total", "Batches taken.", |it| {
        it.batches
    }),
    (
        "securecloud_router_publications_total",
        "Publications in them.",
        |it| it.publications,
    ),
    (
        "securecloud_router_controls_total",
        "Control messages taken.",
        |it| it.controls,
    ),
    (
        "securecloud_router_calls_total",
        "Calls made to the trusted program.",
        |it| it.calls,
    ),
    (
        "securecloud_router_programs_lost_total",
        "Times the trusted program was lost.",
        |it| it.programs_lost,
    ),
    (
        "securecloud_router_notices_total",
        "Notices sent, each time that one was.",
        |it| it.notices,
    ),
    (
        "securecloud_router_notice_bytes_total",
        "Bytes of the notices sent, with their payloads.",
        |it| it.notice_bytes,
    ),
    (
        "securecloud_router_payloads_total",
        "Payloads that went into notices.",
        |it| it.payloads,
    ),
    (
        "securecloud_router_queued_total",
        "Notices made by the program for a consumer.",
        |it| it.queued,
    ),
    (
        "securecloud_router_acked_total",
        "Notices that their consumer has taken.",
        |it| it.acked,
    ),
    (
        "securecloud_router_given_up_total",
        "Notices given up: their consumer will see the gap.",
        |it| it.given_up,
    ),
    (
        "securecloud_router_undeliverable_total",
        "Notices for which there was no mailbox and no room for one.",
        |it| it.undeliverable,
    ),
    (
        "securecloud_router_stored_total",
        "Notices written to the store.",
        |it| it.stored,
    ),
    (
        "securecloud_router_stored_bytes_total",
        "Bytes of these.",
        |it| it.stored_bytes,
    ),
    (
        "securecloud_router_fetched_total",
        "Notices read from the store.",
        |it| it.fetched,
    ),
    (
        "securecloud_router_store_failures_total",
        "Notices that the store did not take, for want of room or because the disk failed.",
        |it| it.store_failures,
    ),
    (
        "securecloud_router_store_losses_total",
        "Stored notices that could not be read again.",
        |it| it.store_losses,
    ),
    (
        "securecloud_router_suspended_total",
        "Consumers suspended.",
        |it| it.suspended,
    ),
    (
        "securecloud_router_resumed_total",
        "Consumers whose notices were made again.",
        |it| it.resumed,
    ),
    (
        "securecloud_router_expired_total",
        "Mailboxes whose retention has passed.",
        |it| it.expired,
    ),
    (
        "securecloud_router_acks_total",
        "Acknowledgements of consumers.",
        |it| it.acks,
    ),
    (
        "securecloud_router_acks_ahead_total",
        "Those of notices never sent, which count as naming the session alone.",
        |it| it.acks_ahead,
    ),
    (
        "securecloud_router_asks_total",
        "Requests passed on to owners.",
        |it| it.asks,
    ),
    (
        "securecloud_router_answers_total",
        "Answers passed on.",
        |it| it.answers,
    ),
    (
        "securecloud_router_links_total",
        "Links ever established.",
        |it| it.links,
    ),
    (
        "securecloud_router_disconnected_total",
        "Peers disconnected because they did not keep up, or do not take messages as large as theirs.",
        |it| it.disconnected,
    ),
    (
        "securecloud_router_refused_total",
        "Frames refused, for any cause.",
        |it| it.refused,
    ),
    (
        "securecloud_router_refused_malformed_total",
        "Of these: what did not decode or made no sense.",
        |it| it.refused_malformed,
    ),
    (
        "securecloud_router_refused_unknown_domain_total",
        "Of these: for a domain or session that is not open on that link.",
        |it| it.refused_unknown_domain,
    ),
    (
        "securecloud_router_refused_program_total",
        "Of these: by the trusted program.",
        |it| it.refused_program,
    ),
    (
        "securecloud_router_refused_limit_total",
        "Of these: beyond a bound.",
        |it| it.refused_limit,
    ),
    (
        "securecloud_router_refused_unreachable_total",
        "Of these: for a peer that is not connected.",
        |it| it.refused_unreachable,
    ),
];

const GAUGES: [Number<Gauges>; 7] = [
    (
        "securecloud_router_held_publishers",
        "Links of publishers.",
        |it| it.publishers,
    ),
    (
        "securecloud_router_held_subscribers",
        "Links of subscribers.",
        |it| it.subscribers,
    ),
    (
        "securecloud_router_held_domains",
        "Domains with an open session.",
        |it| it.domains,
    ),
    (
        "securecloud_router_held_mailboxes",
        "Consumers for which notices are kept.",
        |it| it.mailboxes,
    ),
    (
        "securecloud_router_held_memory_bytes",
        "Bytes that notices take in memory.",
        |it| it.memory_bytes,
    ),
    (
        "securecloud_router_held_store_bytes",
        "Bytes that notices take in the store; 0 without one.",
        |it| it.store_bytes,
    ),
    (
        "securecloud_router_held_calls",
        "Calls to the trusted program under way or waiting.",
        |it| it.calls,
    ),
];

/// One sample for each number.
pub(super) fn samples(counters: &Counters, gauges: &Gauges) -> Vec<Sample> {
    let counted = COUNTERS.map(|(name, help, of)| Sample::Counter(name, help, of(counters)));
    let held = GAUGES.map(|(name, help, of)| Sample::Gauge(name, help, of(gauges)));
    counted.into_iter().chain(held).collect()
}
