//! The router's numbers under the names by which Prometheus knows them.

use sc_router::{Counters, Gauges};

use crate::metrics::Sample;

/// One sample for each number.
pub(super) fn samples(counters: &Counters, gauges: &Gauges) -> Vec<Sample> {
    vec![
        Sample::Counter(
            "securecloud_router_sessions_total",
            "Sessions opened.",
            counters.sessions,
        ),
        Sample::Counter(
            "securecloud_router_batches_total",
            "Batches taken.",
            counters.batches,
        ),
        Sample::Counter(
            "securecloud_router_publications_total",
            "Publications in them.",
            counters.publications,
        ),
        Sample::Counter(
            "securecloud_router_controls_total",
            "Control messages taken.",
            counters.controls,
        ),
        Sample::Counter(
            "securecloud_router_calls_total",
            "Calls made to the trusted program.",
            counters.calls,
        ),
        Sample::Counter(
            "securecloud_router_programs_lost_total",
            "Times the trusted program was lost.",
            counters.programs_lost,
        ),
        Sample::Counter(
            "securecloud_router_notices_total",
            "Notices sent, each time that one was.",
            counters.notices,
        ),
        Sample::Counter(
            "securecloud_router_notice_bytes_total",
            "Bytes of the notices sent, with their payloads.",
            counters.notice_bytes,
        ),
        Sample::Counter(
            "securecloud_router_payloads_total",
            "Payloads that went into notices.",
            counters.payloads,
        ),
        Sample::Counter(
            "securecloud_router_queued_total",
            "Notices made by the program for a consumer.",
            counters.queued,
        ),
        Sample::Counter(
            "securecloud_router_acked_total",
            "Notices that their consumer has taken.",
            counters.acked,
        ),
        Sample::Counter(
            "securecloud_router_given_up_total",
            "Notices given up: their consumer will see the gap.",
            counters.given_up,
        ),
        Sample::Counter(
            "securecloud_router_undeliverable_total",
            "Notices for which there was no mailbox and no room for one.",
            counters.undeliverable,
        ),
        Sample::Counter(
            "securecloud_router_stored_total",
            "Notices written to the store.",
            counters.stored,
        ),
        Sample::Counter(
            "securecloud_router_stored_bytes_total",
            "Bytes of these.",
            counters.stored_bytes,
        ),
        Sample::Counter(
            "securecloud_router_fetched_total",
            "Notices read from the store.",
            counters.fetched,
        ),
        Sample::Counter(
            "securecloud_router_store_failures_total",
            "Notices that the store did not take, for want of room or because the disk failed.",
            counters.store_failures,
        ),
        Sample::Counter(
            "securecloud_router_store_losses_total",
            "Stored notices that could not be read again.",
            counters.store_losses,
        ),
        Sample::Counter(
            "securecloud_router_suspended_total",
            "Consumers suspended.",
            counters.suspended,
        ),
        Sample::Counter(
            "securecloud_router_resumed_total",
            "Consumers whose notices were made again.",
            counters.resumed,
        ),
        Sample::Counter(
            "securecloud_router_expired_total",
            "Mailboxes whose retention has passed.",
            counters.expired,
        ),
        Sample::Counter(
            "securecloud_router_acks_total",
            "Acknowledgements of consumers.",
            counters.acks,
        ),
        Sample::Counter(
            "securecloud_router_acks_ahead_total",
            "Those of notices never sent, which count as naming the session alone.",
            counters.acks_ahead,
        ),
        Sample::Counter(
            "securecloud_router_asks_total",
            "Requests passed on to owners.",
            counters.asks,
        ),
        Sample::Counter(
            "securecloud_router_answers_total",
            "Answers passed on.",
            counters.answers,
        ),
        Sample::Counter(
            "securecloud_router_links_total",
            "Links ever established.",
            counters.links,
        ),
        Sample::Counter(
            "securecloud_router_disconnected_total",
            "Peers disconnected because they did not keep up, or do not take messages as large as theirs.",
            counters.disconnected,
        ),
        Sample::Counter(
            "securecloud_router_refused_total",
            "Frames refused, for any cause.",
            counters.refused,
        ),
        Sample::Counter(
            "securecloud_router_refused_malformed_total",
            "Of these: what did not decode or made no sense.",
            counters.refused_malformed,
        ),
        Sample::Counter(
            "securecloud_router_refused_unknown_domain_total",
            "Of these: for a domain or session that is not open on that link.",
            counters.refused_unknown_domain,
        ),
        Sample::Counter(
            "securecloud_router_refused_program_total",
            "Of these: by the trusted program.",
            counters.refused_program,
        ),
        Sample::Counter(
            "securecloud_router_refused_limit_total",
            "Of these: beyond a bound.",
            counters.refused_limit,
        ),
        Sample::Counter(
            "securecloud_router_refused_unreachable_total",
            "Of these: for a peer that is not connected.",
            counters.refused_unreachable,
        ),
        Sample::Gauge(
            "securecloud_router_held_publishers",
            "Links of publishers.",
            gauges.publishers,
        ),
        Sample::Gauge(
            "securecloud_router_held_subscribers",
            "Links of subscribers.",
            gauges.subscribers,
        ),
        Sample::Gauge(
            "securecloud_router_held_domains",
            "Domains with an open session.",
            gauges.domains,
        ),
        Sample::Gauge(
            "securecloud_router_held_mailboxes",
            "Consumers for which notices are kept.",
            gauges.mailboxes,
        ),
        Sample::Gauge(
            "securecloud_router_held_memory_bytes",
            "Bytes that notices take in memory.",
            gauges.memory_bytes,
        ),
        Sample::Gauge(
            "securecloud_router_held_store_bytes",
            "Bytes that notices take in the store.",
            gauges.store_bytes,
        ),
        Sample::Gauge(
            "securecloud_router_held_calls",
            "Calls to the trusted program under way or waiting.",
            gauges.calls,
        ),
    ]
}
