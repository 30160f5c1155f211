//! The time since the last genuine notice.
//!
//! Invariant: a router that withholds everything is reported once, two heartbeats and [`ALLOWANCE`] after the last notice, while the
//! link stands and the owner has admitted this side.

use std::time::Duration;

/// Beyond two heartbeats: for the ways there.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// Measures silence.
#[derive(Debug, Default)]
pub(super) struct Silence {
    since: Option<Duration>,
    told: bool,
}

impl Silence {
    /// A genuine notice has come, or one can come only from now on.
    pub(super) fn end(&mut self, now: Duration) {
        self.since = Some(now);
        self.told = false;
    }

    /// Nothing can come: without a link, or without subscriptions.
    pub(super) fn suspend(&mut self) {
        self.since = None;
    }

    /// When [`Silence::is_too_long`] has something to do; at once if it has to begin to measure.
    pub(super) fn next_timeout(&self, heartbeat: Duration) -> Option<Duration> {
        if self.told || heartbeat.is_zero() {
            return None;
        }
        let limit = Self::limit(heartbeat);
        Some(
            self.since
                .map_or(Duration::ZERO, |since| since.saturating_add(limit)),
        )
    }

    /// Whether it has lasted too long, which is said once.
    pub(super) fn is_too_long(&mut self, now: Duration, heartbeat: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        if self.told || heartbeat.is_zero() {
            return false;
        }
        self.told = now >= since.saturating_add(Self::limit(heartbeat));
        self.told
    }

    fn limit(heartbeat: Duration) -> Duration {
        heartbeat.saturating_mul(2).saturating_add(ALLOWANCE)
    }
}
