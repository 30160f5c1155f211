//! Threads that wait for work, as many as were asked for at the start.
//!
//! Invariant: no work is held, and none under way, once [`Workers::beside`] has returned; a panic ends one work and no thread, so nobody
//! waits for one that is gone.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use sc_cbr::{Work, Workers};

/// Threads that one program has at most, the one that serves among them.
pub const THREADS_MAX: usize = 256;

/// What the threads share.
#[derive(Default)]
struct Board {
    /// Work that threads may begin.
    posted: Option<Work>,
    /// Grows with each work that is posted, so that a thread begins each once.
    number: u64,
    /// Threads that are at it.
    busy: usize,
    /// The pool goes.
    is_closing: bool,
}

#[derive(Default)]
struct Shared {
    board: Mutex<Board>,
    /// Told when work is posted, or the pool goes.
    posted: Condvar,
    /// Told when the last busy thread has ended its work.
    idle: Condvar,
}

/// Threads that help whoever serves.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool for a program of `threads` in all, at most [`THREADS_MAX`]: one of them is the caller's, the others are started.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn start(threads: usize) -> io::Result<Self> {
        let mut pool = Self {
            shared: Arc::default(),
            threads: Vec::new(),
        };
        for _ in 1..threads.min(THREADS_MAX) {
            let shared = Arc::clone(&pool.shared);
            let builder = thread::Builder::new().name("worker".into());
            pool.threads.push(builder.spawn(move || shared.work())?);
        }
        Ok(pool)
    }
}

impl Workers for Pool {
    fn count(&self) -> usize {
        self.threads.len()
    }

    /// While others have posted work, the caller gets no help.
    fn beside(&self, work: Work, own: &mut dyn FnMut()) {
        let _posted = self.shared.post(work);
        own();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.board().is_closing = true;
        self.shared.posted.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker catches what panics");
        }
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("no holder of this lock panics")
    }

    fn post(&self, work: Work) -> Option<Posted<'_>> {
        let mut board = self.board();
        if board.posted.is_some() || board.busy > 0 {
            return None;
        }
        board.posted = Some(work);
        board.number += 1;
        drop(board);
        self.posted.notify_all();
        Some(Posted(self))
    }

    /// One thread's life.
    fn work(&self) {
        let mut last = 0;
        while let Some((number, work)) = self.next(last) {
            last = number;
            // Whoever posted it finds it not done; what it was about is in no state that only half of it explains.
            let _ = catch_unwind(AssertUnwindSafe(|| work()));
            drop(work);
            let mut board = self.board();
            board.busy -= 1;
            if board.busy == 0 {
                self.idle.notify_all();
            }
        }
    }

    /// Work that this thread has not begun yet, as soon as there is some; none when the pool goes.
    fn next(&self, last: u64) -> Option<(u64, Work)> {
        let mut board = self.board();
        loop {
            if board.is_closing {
                return None;
            }
            if board.number != last
                && let Some(work) = board.posted.clone()
            {
                board.busy += 1;
                return Some((board.number, work));
            }
            let woken = self.posted.wait(board);
            board = woken.expect("no holder of this lock panics");
        }
    }
}

/// Work that is posted until this goes, which waits for those who are at it.
struct Posted<'p>(&'p Shared);

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        let mut board = self.0.board();
        board.posted = None;
        while board.busy > 0 {
            let woken = self.0.idle.wait(board);
            board = woken.expect("no holder of this lock panics");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn every_thread_begins_a_work_once() {
        let pool = Pool::start(4).unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(Barrier::new(4));
        let work: Work = {
            let (begun, all) = (Arc::clone(&begun), Arc::clone(&all));
            Arc::new(move || {
                begun.fetch_add(1, SeqCst);
                all.wait();
            })
        };

        for round in 1..=3 {
            pool.beside(Arc::clone(&work), &mut || {
                all.wait();
            });

            assert_eq!(begun.load(SeqCst), 3 * round);
        }
        assert_eq!(pool.count(), 3);
    }

    #[test]
    fn nobody_holds_a_work_that_is_over() {
        let pool = Pool::start(4).unwrap();
        let work: Work = Arc::new(|| {});

        for _ in 0..1000 {
            pool.beside(Arc::clone(&work), &mut || {});

            assert_eq!(Arc::strong_count(&work), 1);
        }
    }

    #[test]
    fn a_work_that_panics_holds_nobody_up_and_leaves_the_pool_whole() {
        let pool = Pool::start(3).unwrap();
        let begun = Arc::new(Barrier::new(3));
        let fails: Work = {
            let begun = Arc::clone(&begun);
            Arc::new(move || {
                begun.wait();
                panic!("as this test wants it");
            })
        };

        for _ in 0..3 {
            pool.beside(Arc::clone(&fails), &mut || {
                begun.wait();
            });
        }
    }

    #[test]
    fn a_caller_that_panics_waits_for_its_workers_and_leaves_the_pool_whole() {
        let pool = Pool::start(2).unwrap();
        let begun = Arc::new(Barrier::new(2));
        let ended = Arc::new(AtomicUsize::new(0));
        let work: Work = {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            Arc::new(move || {
                begun.wait();
                ended.fetch_add(1, SeqCst);
            })
        };

        for round in 1..=2 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.beside(Arc::clone(&work), &mut || {
                    begun.wait();
                    panic!("as this test wants it");
                });
            }));

            assert!(caught.is_err());
            assert_eq!(ended.load(SeqCst), round);
        }
    }

    #[test]
    fn a_second_caller_gets_no_help_and_does_not_wait() {
        let pool = Pool::start(2).unwrap();
        let mut done = false;

        pool.beside(Arc::new(|| {}), &mut || {
            pool.beside(Arc::new(|| {}), &mut || done = true);
        });

        assert!(done);
    }

    #[test]
    fn a_program_of_one_thread_starts_none() {
        assert_eq!(Pool::start(1).unwrap().count(), 0);
        assert_eq!(Pool::start(0).unwrap().count(), 0);
    }
}
