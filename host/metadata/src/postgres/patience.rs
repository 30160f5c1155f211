//! How long an operation is tried again.

use core::time::Duration;

use tokio::time::{Instant, sleep};

use crate::CatalogError;

/// After this long without success the caller is told: longer than a server takes to start again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first pause; each is twice as long as the one before, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The time left for one operation.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            until: Instant::now() + PATIENCE,
            pause: PAUSE_MIN,
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// `error`, why the last one failed, when there is no time left.
    pub(super) async fn wait(&mut self, error: CatalogError) -> Result<(), CatalogError> {
        if Instant::now() + self.pause > self.until {
            return Err(error);
        }
        tracing::debug!(%error, "an operation of the catalogue is tried again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}
