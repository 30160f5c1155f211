//! The headers of one batch in portions, each matched by whoever is free first.
//!
//! Invariants: a portion is a function of its place, the batch and the view alone, and portions are given out in their order; so what
//! comes of a batch does not depend on who matched what. A worker that stops in the middle leaves its portion to the caller.
//! At most [`AHEAD_MAX`] portions wait at once, each with the recipients of at most `finder::TOGETHER` headers beyond [`PORTION_ROWS_MAX`].

mod finder;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use sc_crypto::{PayloadKey, Plaintext};
use sc_matching::{Header, Headers};

use crate::Malformed;
use crate::batch::Batch;
use crate::keys::PublisherKeys;
use crate::recipients::{Row, View};
use crate::workers::{Work, Workers};
use finder::Finder;

/// Headers of one portion. Few in this crate's unit tests, so that a batch has many portions.
const PORTION_HEADERS: u32 = if cfg!(test) { 3 } else { 32 };
/// Portions that are matched or wait before the caller takes the first of them.
const AHEAD_MAX: usize = 16;
/// With so many recipients a portion ends early; the caller matches what is left of it.
const PORTION_ROWS_MAX: usize = if cfg!(test) { 8 } else { 1 << 16 };
/// With so many recipients waiting no worker begins a further portion.
const WAITING_ROWS_MAX: usize = 1 << 20;
/// With fewer headers than this the caller is done before a worker has woken, if subscriptions are few.
const SHARED_HEADERS_MIN: usize = if cfg!(test) { 4 } else { 256 };
/// With less work for each header than this the caller does all of it: whoever helps reads every header, its own or not, which is half of
/// what few subscriptions cost, and to wake it costs too. It pays where matching is most of the work.
const SHARED_WORK_MIN: usize = if cfg!(test) { 1 } else { 4 };

/// What is to be matched against what, and which keys the matching publications have.
pub(crate) struct Task {
    /// The opened batch.
    pub(crate) plaintext: Plaintext,
    pub(crate) plain: bool,
    pub(crate) view: Arc<View>,
    pub(crate) keys: Arc<PublisherKeys>,
    pub(crate) counter: u64,
}

/// One publication that matched.
pub(crate) struct Matched {
    pub(crate) number: u32,
    pub(crate) key: Option<PayloadKey>,
    /// Where its recipients end among those of its portion.
    end: usize,
}

/// Some consecutive headers, matched.
#[derive(Default)]
pub(crate) struct Portion {
    matched: Vec<Matched>,
    recipients: Vec<Row>,
    /// The first header that was not matched any more.
    end: u32,
}

impl Portion {
    /// The publications that matched, in order, each with its recipients in ascending order.
    pub(crate) fn matched(&self) -> impl Iterator<Item = (&Matched, &[Row])> {
        let mut begin = 0;
        self.matched.iter().map(move |matched| {
            let recipients = &self.recipients[begin..matched.end];
            begin = matched.end;
            (matched, recipients)
        })
    }

    /// Forgets everything, keys first of all, and keeps the memory.
    fn clear(&mut self) {
        self.matched.clear();
        self.recipients.clear();
    }
}

/// How far a portion is.
enum State {
    Free,
    Begun,
    Done(Result<Portion, Malformed>),
}

/// What the caller and its workers share.
struct Desk {
    /// The first portion that the caller has not taken, and how far it and those behind it are.
    first: u32,
    ahead: VecDeque<State>,
    /// Recipients in the portions that are done.
    waiting_rows: usize,
    /// Portions whose memory waits for its next use.
    spare: Vec<Portion>,
    /// Those who wait for a change: where nobody does, nobody is told, for that is a call of the system.
    waiting: usize,
    /// The caller wants nothing more.
    is_over: bool,
}

/// A batch that is being matched.
struct Sharing {
    task: Task,
    count: u32,
    desk: Mutex<Desk>,
    /// Told whenever a portion is done, left or taken.
    changed: Condvar,
}

/// Matches a batch and hands `take` its portions in order; returns when all are taken.
///
/// # Errors
/// [`Malformed`], whatever was taken before: some header does not decode, or bytes follow the last.
pub(crate) fn match_batch(
    workers: &dyn Workers,
    task: Task,
    mut take: impl FnMut(&Batch<'_>, &Portion),
) -> Result<(), Malformed> {
    if workers.count() == 0 || !task.is_worth_sharing()? {
        return task.match_alone(&mut take);
    }
    let sharing = Arc::new(Sharing::new(task)?);
    let mut done = Ok(());
    workers.beside(helping(&sharing), &mut || {
        done = sharing.lead(&mut take);
    });
    done
}

fn helping(sharing: &Arc<Sharing>) -> Work {
    let sharing = Arc::clone(sharing);
    Arc::new(move || {
        // A batch that does not decode is the caller's to refuse: it decodes the same bytes.
        let _ = sharing.help();
    })
}

impl Task {
    fn batch(&self) -> Result<Batch<'_>, Malformed> {
        Batch::decode(&self.plaintext, self.plain)
    }

    fn is_worth_sharing(&self) -> Result<bool, Malformed> {
        let work = self.view.work();
        let count = self.batch()?.headers.count();
        Ok(count > PORTION_HEADERS as usize
            && work >= SHARED_WORK_MIN
            && count * work >= SHARED_HEADERS_MIN)
    }

    /// Matches all portions in order, in the memory of one.
    fn match_alone(&self, take: &mut impl FnMut(&Batch<'_>, &Portion)) -> Result<(), Malformed> {
        let batch = self.batch()?;
        let count = batch.headers.count() as u32;
        let mut matcher = Matcher::new(self, &batch);
        let mut portion = Portion::default();
        loop {
            let end = count.min(portion.end + PORTION_HEADERS);
            matcher.match_headers(portion.end..end, &mut portion)?;
            take(&batch, &portion);
            if portion.end == count {
                return Ok(());
            }
        }
    }
}

impl Sharing {
    fn new(task: Task) -> Result<Self, Malformed> {
        let count = task.batch()?.headers.count() as u32;
        Ok(Self {
            task,
            count,
            desk: Mutex::new(Desk {
                first: 0,
                ahead: VecDeque::new(),
                waiting_rows: 0,
                spare: Vec::new(),
                waiting: 0,
                is_over: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// Takes the portions in order, and matches those that nobody else has.
    fn lead(&self, take: &mut impl FnMut(&Batch<'_>, &Portion)) -> Result<(), Malformed> {
        let _over = Over(self);
        let batch = self.task.batch()?;
        let mut matcher = Matcher::new(&self.task, &batch);
        for place in 0..self.portions() {
            let mut portion = self.obtain(place, &mut matcher)?;
            take(&batch, &portion);
            while portion.end < self.end_of(place) {
                let rest = portion.end..self.end_of(place);
                matcher.match_headers(rest, &mut portion)?;
                take(&batch, &portion);
            }
            self.put_back(portion);
        }
        Ok(())
    }

    /// Matches portions until the caller wants nothing more.
    fn help(&self) -> Result<(), Malformed> {
        let batch = self.task.batch()?;
        let mut matcher = Matcher::new(&self.task, &batch);
        while let Some((claim, portion)) = self.await_claim() {
            claim.carry_out(&mut matcher, portion);
        }
        Ok(())
    }

    fn portions(&self) -> u32 {
        // One for a batch without headers, too: that nothing follows them is checked at their end.
        self.count.div_ceil(PORTION_HEADERS).max(1)
    }

    fn end_of(&self, place: u32) -> u32 {
        ((place + 1) * PORTION_HEADERS).min(self.count)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no holder of this lock panics")
    }

    fn wait<'d>(&self, mut desk: MutexGuard<'d, Desk>) -> MutexGuard<'d, Desk> {
        desk.waiting += 1;
        let woken = self.changed.wait(desk);
        let mut desk = woken.expect("no holder of this lock panics");
        desk.waiting -= 1;
        desk
    }

    /// Tells whoever waits that something has changed.
    fn tell(&self, desk: MutexGuard<'_, Desk>) {
        let is_awaited = desk.waiting > 0;
        drop(desk);
        if is_awaited {
            self.changed.notify_all();
        }
    }

    /// The portion at `place`, which is the next; while another is at it, matches those behind it.
    fn obtain(&self, place: u32, matcher: &mut Matcher<'_>) -> Result<Portion, Malformed> {
        let mut desk = self.desk();
        debug_assert_eq!(desk.first, place, "portions are taken in order");
        loop {
            if let Some(State::Done(_)) = desk.ahead.front() {
                return self.take_first(desk);
            }
            let Some(place) = self.next_free(&mut desk) else {
                desk = self.wait(desk);
                continue;
            };
            let portion = desk.spare.pop().unwrap_or_default();
            drop(desk);
            Claim::new(self, place).carry_out(matcher, portion);
            desk = self.desk();
        }
    }

    fn take_first(&self, mut desk: MutexGuard<'_, Desk>) -> Result<Portion, Malformed> {
        let Some(State::Done(portion)) = desk.ahead.pop_front() else {
            unreachable!("the caller has looked");
        };
        desk.first += 1;
        if let Ok(portion) = &portion {
            desk.waiting_rows -= portion.recipients.len();
        }
        self.tell(desk);
        portion
    }

    fn put_back(&self, mut portion: Portion) {
        portion.clear();
        self.desk().spare.push(portion);
    }

    /// The first portion that nobody has begun, which is begun then; none when enough are ahead.
    fn next_free(&self, desk: &mut Desk) -> Option<u32> {
        let free = |state: &State| matches!(state, State::Free);
        if let Some(at) = desk.ahead.iter().position(free) {
            desk.ahead[at] = State::Begun;
            return Some(desk.first + at as u32);
        }
        let place = desk.first + desk.ahead.len() as u32;
        let is_first = desk.ahead.is_empty();
        let has_room = desk.ahead.len() < AHEAD_MAX && desk.waiting_rows < WAITING_ROWS_MAX;
        if place >= self.portions() || !(is_first || has_room) {
            return None;
        }
        desk.ahead.push_back(State::Begun);
        Some(place)
    }

    /// A portion for a worker, as soon as there is one; none when the caller wants nothing more.
    fn await_claim(&self) -> Option<(Claim<'_>, Portion)> {
        let mut desk = self.desk();
        loop {
            let all_begun = desk.first + desk.ahead.len() as u32 == self.portions();
            let is_any_free = desk.ahead.iter().any(|it| matches!(it, State::Free));
            if desk.is_over || (all_begun && !is_any_free) {
                return None;
            }
            if let Some(place) = self.next_free(&mut desk) {
                let portion = desk.spare.pop().unwrap_or_default();
                return Some((Claim::new(self, place), portion));
            }
            desk = self.wait(desk);
        }
    }

    fn set(&self, place: u32, state: State) {
        let mut desk = self.desk();
        if let State::Done(Ok(portion)) = &state {
            desk.waiting_rows += portion.recipients.len();
        }
        let at = (place - desk.first) as usize;
        desk.ahead[at] = state;
        self.tell(desk);
    }
}

/// Tells the workers, at its end, that the caller wants nothing more.
struct Over<'s>(&'s Sharing);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let mut desk = self.0.desk();
        desk.is_over = true;
        self.0.tell(desk);
    }
}

/// A portion that somebody is at; free again if that one does not come to its end.
struct Claim<'s> {
    sharing: &'s Sharing,
    place: u32,
    is_done: bool,
}

impl<'s> Claim<'s> {
    fn new(sharing: &'s Sharing, place: u32) -> Self {
        Self {
            sharing,
            place,
            is_done: false,
        }
    }

    fn carry_out(mut self, matcher: &mut Matcher<'_>, mut portion: Portion) {
        let headers = self.place * PORTION_HEADERS..self.sharing.end_of(self.place);
        let done = matcher.match_headers(headers, &mut portion);
        self.is_done = true;
        self.sharing
            .set(self.place, State::Done(done.map(|()| portion)));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.sharing.set(self.place, State::Free);
        }
    }
}

/// One worker's place in a batch, and the memory of matching.
struct Matcher<'a> {
    task: &'a Task,
    batch: &'a Batch<'a>,
    headers: Headers<'a>,
    /// The number of the header that is read next.
    at: u32,
    header: Header<'a>,
    finder: Finder<'a>,
}

impl<'a> Matcher<'a> {
    fn new(task: &'a Task, batch: &'a Batch<'a>) -> Self {
        Self {
            task,
            batch,
            headers: batch.headers.headers(),
            at: 0,
            header: Header::new(),
            finder: Finder::new(&task.view, &batch.headers),
        }
    }

    /// Sets `portion` to what matches these headers, or the first of them when recipients are many. Those before them are read as well,
    /// unless they were; of the last of all also that nothing follows it.
    fn match_headers(
        &mut self,
        headers: Range<u32>,
        portion: &mut Portion,
    ) -> Result<(), Malformed> {
        portion.clear();
        self.seek(headers.start)?;
        portion.end = headers.start;
        while portion.end < headers.end && portion.recipients.len() < PORTION_ROWS_MAX {
            self.match_next(headers.end, portion)?;
        }
        if portion.end as usize == self.batch.headers.count() && self.next_header()? {
            return Err(Malformed("it has more headers than it says"));
        }
        Ok(())
    }

    /// Matches as many headers as go together, up to `end`.
    fn match_next(&mut self, end: u32, portion: &mut Portion) -> Result<(), Malformed> {
        let begin = portion.end;
        portion.end = end.min(begin + self.finder.together());
        for _ in begin..portion.end {
            self.read()?;
            self.finder.take(&self.header);
        }
        let mut number = begin;
        let Task { keys, counter, .. } = self.task;
        self.finder.find(&self.header, |rows| {
            let before = portion.recipients.len();
            rows(&mut portion.recipients);
            if portion.recipients.len() > before {
                portion.matched.push(Matched {
                    number,
                    key: keys.payload_key(*counter, number),
                    end: portion.recipients.len(),
                });
            }
            number += 1;
        });
        Ok(())
    }

    fn seek(&mut self, number: u32) -> Result<(), Malformed> {
        if number < self.at {
            self.headers = self.batch.headers.headers();
            self.at = 0;
        }
        while self.at < number {
            self.read()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Malformed> {
        match self.next_header()? {
            true => self.at += 1,
            false => return Err(Malformed("it has fewer headers than it says")),
        }
        Ok(())
    }

    fn next_header(&mut self) -> Result<bool, Malformed> {
        let read = self.headers.next_header(&mut self.header);
        read.map_err(|_| Malformed("a header does not decode"))
    }
}

#[cfg(test)]
mod tests;
