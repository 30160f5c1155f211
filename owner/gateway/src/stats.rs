//! What a gateway counts of itself, for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::http::StatusCode;

/// Counters of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Answers by the first digit of their status, from 1 to 5.
    answers: [AtomicU64; 5],
    /// Requests that were turned away since too many were served.
    pub(crate) turned_away: AtomicU64,
    /// Requests that are served now.
    pub(crate) under_way: AtomicU64,
    /// Connections that are open now.
    pub(crate) connections: AtomicU64,
}

impl Stats {
    /// Counts an answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.answers[class - 1].fetch_add(1, Relaxed);
    }

    /// Appends the counters in Prometheus' text format.
    pub(crate) fn render(&self, text: &mut String) {
        let name = "securecloud_gateway_answers_total";
        let _ = writeln!(text, "# HELP {name} Answers, by the class of their status.");
        let _ = writeln!(text, "# TYPE {name} counter");
        for (class, count) in (1..).zip(&self.answers) {
            let _ = writeln!(
                text,
                "{name}{{class=\"{class}xx\"}} {}",
                count.load(Relaxed)
            );
        }
        let numbers = [
            (
                "securecloud_gateway_turned_away_total",
                "counter",
                "Requests that were told to come back, since too many were served.",
                &self.turned_away,
            ),
            (
                "securecloud_gateway_requests",
                "gauge",
                "Requests that are served now.",
                &self.under_way,
            ),
            (
                "securecloud_gateway_connections",
                "gauge",
                "Connections that are open now.",
                &self.connections,
            ),
        ];
        for (name, kind, help, value) in numbers {
            let value = value.load(Relaxed);
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
    }
}

/// Counts one up while it lives.
pub(crate) struct Counted<F: Fn(&Stats) -> &AtomicU64>(std::sync::Arc<Stats>, F);

impl<F: Fn(&Stats) -> &AtomicU64> Counted<F> {
    pub(crate) fn new(stats: &std::sync::Arc<Stats>, of: F) -> Self {
        of(stats).fetch_add(1, Relaxed);
        Self(std::sync::Arc::clone(stats), of)
    }
}

impl<F: Fn(&Stats) -> &AtomicU64> Drop for Counted<F> {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Relaxed);
    }
}
