//! Who watches the memory.
//!
//! Invariant: every access to what depends on subscriptions or headers is reported with its index: by
//! [`read()`] and [`write()`], or by [`Trace::touch`] beside it. What lies in a block is always touched
//! together. So what a test records is what the matcher touched.

/// An observer of accesses.
pub(super) trait Trace {
    /// Item `index` of `region` is read or written.
    fn touch(&mut self, region: Region, index: usize);
}

/// What lies together in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// The dictionary of names, by block.
    Sections,
    /// The dictionary of cuts, by block.
    Cuts,
    /// What rows need, by block.
    Rows,
    /// The tests of rows, by block and test.
    Tests,
    /// The names of a block.
    Names,
    /// The keys of the headers at hand.
    Values,
    /// The bits of rows that matched, by block.
    Matched,
    /// The blocks with matches on their way through the networks.
    Items,
    /// The slots of an answer.
    Ids,
}

/// Nobody watches: costs nothing.
pub(super) struct Unwatched;

impl Trace for Unwatched {
    #[inline(always)]
    fn touch(&mut self, _: Region, _: usize) {}
}

#[inline(always)]
pub(super) fn read<'t, T>(
    trace: &mut impl Trace,
    region: Region,
    items: &'t [T],
    index: usize,
) -> &'t T {
    trace.touch(region, index);
    &items[index]
}

#[inline(always)]
pub(super) fn write<'t, T>(
    trace: &mut impl Trace,
    region: Region,
    items: &'t mut [T],
    index: usize,
) -> &'t mut T {
    trace.touch(region, index);
    &mut items[index]
}
