//! Bars over bytes that move: on a terminal alone, and only once the work turns out to be long.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is over before that shows no bar.
const PATIENCE: Duration = Duration::from_millis(400);

/// What is shown of the work under way; gone when dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    began: Instant,
    may_show: AtomicBool,
}

impl Progress {
    /// A bar over so many bytes, or a count of them where their number is not known. `is_wanted`: unless told to be quiet.
    pub(crate) fn new(bytes: Option<u64>, is_wanted: bool) -> Self {
        let template = match bytes {
            Some(_) => "{msg}{bar:40} {percent}% {bytes_per_sec} {eta}",
            None => "{msg}{spinner} {bytes} {bytes_per_sec}",
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::with_draw_target(bytes, ProgressDrawTarget::hidden())
                .with_style(style),
            began: Instant::now(),
            may_show: AtomicBool::new(is_wanted && stderr().is_terminal()),
        }
    }

    /// A bar over a whole of so many equal shares.
    pub(crate) fn of_shares(shares: u64, is_wanted: bool) -> Self {
        let progress = Self::new(Some(shares), is_wanted);
        let style = ProgressStyle::with_template("{bar:40} {percent}% {eta}");
        progress
            .bar
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        progress
    }

    /// So many shares are done.
    pub(crate) fn stands_at(&self, shares: u64) {
        self.bar.set_position(shares);
        self.moved(0);
    }

    /// So many bytes more have moved.
    pub(crate) fn moved(&self, bytes: usize) {
        self.bar.inc(bytes as u64);
        if self.may_show.load(Relaxed) && self.began.elapsed() >= PATIENCE {
            self.may_show.store(false, Relaxed);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// How many things of how many are done.
    pub(crate) fn count(&self, done: usize, all: usize) {
        if all > 1 {
            self.bar.set_message(format!("{done}/{all} "));
        }
    }

    /// Prints something without tearing the bar.
    pub(crate) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
