//! A header block being read.
//!
//! Invariant: reading a header allocates nothing once its [`Header`] has grown to the block's
//! widest.

use alloc::vec::Vec;

use super::LONG_INDEX;
use crate::binary::{DecodeError, Reader, name_len};
use crate::bound::{BLOCK_HEADERS_MAX, BLOCK_NAMES_MAX, ITEM_BYTES_MAX, LimitError};
use crate::value::ValueRef;

/// Position of a name in the table of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameIndex(pub u16);

/// A header block whose table of names is decoded; its headers are read by [`Self::headers`].
#[derive(Clone, Debug)]
pub struct HeaderBlock<'a> {
    names: Vec<&'a str>,
    count: u32,
    headers: Reader<'a>,
}

impl<'a> HeaderBlock<'a> {
    /// Decodes the table of names. Cost: O(names log names).
    ///
    /// # Errors
    /// [`DecodeError`]; the headers themselves are checked as they are read.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version()?;
        let names = take_names(&mut reader)?;
        let count = reader.u32()?;
        if usize::try_from(count).map_or(true, |count| count > BLOCK_HEADERS_MAX) {
            return Err(DecodeError::BlockHeaders {
                count: count as usize,
            });
        }
        Ok(Self {
            names,
            count,
            headers: reader,
        })
    }

    /// The table of names; a [`NameIndex`] counts from its start.
    #[must_use]
    pub fn names(&self) -> &[&'a str] {
        &self.names
    }

    /// The name at `index` of the table.
    #[must_use]
    pub fn name(&self, index: NameIndex) -> Option<&'a str> {
        self.names.get(usize::from(index.0)).copied()
    }

    /// How many headers the block claims to hold; reading them all proves it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Reads the headers from the first one on.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        let uses = self.names.iter().map(|name| NameUse {
            length: name_len(name),
            last: 0,
        });
        Headers {
            reader: self.headers.clone(),
            left: self.count,
            uses: uses.collect(),
            failed: None,
        }
    }
}

fn take_names<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, DecodeError> {
    let count = usize::from(reader.u16()?);
    if count > BLOCK_NAMES_MAX {
        return Err(DecodeError::BlockNames { count });
    }
    // A name takes two bytes or more, so the input is longer than what it makes us allocate (times
    // a constant).
    if count > reader.remaining() / 2 {
        return Err(DecodeError::Truncated);
    }
    let names = (0..count)
        .map(|_| reader.name())
        .collect::<Result<Vec<_>, _>>()?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(DecodeError::NameInTableTwice);
    }
    Ok(names)
}

/// One header of a block, reusable for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    attributes: Vec<(NameIndex, ValueRef<'a>)>,
}

impl<'a> Header<'a> {
    /// An empty header, to be filled by [`Headers::next_header`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The attributes, in the order of the publication.
    #[must_use]
    pub fn attributes(&self) -> &[(NameIndex, ValueRef<'a>)] {
        &self.attributes
    }
}

/// A cursor over the headers of a block.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: u32,
    uses: Vec<NameUse>,
    failed: Option<DecodeError>,
}

/// A name of the table.
#[derive(Clone, Debug)]
struct NameUse {
    /// Of its encoding.
    length: usize,
    /// The number, counted from the end of the block, of the last header that used it; 0 before any
    /// did.
    last: u32,
}

impl<'a> Headers<'a> {
    /// Reads the next header into `header`, in place of what was there; `false` when there is none.
    ///
    /// Only the `false` says that the block is whole: it comes after the check that nothing
    /// follows. A caller that must not act on part of a malformed block reads it twice, or acts
    /// after the end.
    ///
    /// # Errors
    /// [`DecodeError`], the same at every further call; `header` is then without meaning.
    pub fn next_header(&mut self, header: &mut Header<'a>) -> Result<bool, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.take_header(header);
        self.failed = result.err();
        result
    }

    fn take_header(&mut self, header: &mut Header<'a>) -> Result<bool, DecodeError> {
        header.attributes.clear();
        if self.left == 0 {
            return self.reader.end().map(|()| false);
        }
        let count = self.reader.u8()?;
        let mut length = 0;
        for _ in 0..count {
            let (index, name_length) = self.take_name()?;
            let before = self.reader.remaining();
            header.attributes.push((index, self.reader.value()?));
            length += name_length + before - self.reader.remaining();
        }
        if length > ITEM_BYTES_MAX {
            return Err(LimitError::ItemBytes.into());
        }
        self.left -= 1;
        Ok(true)
    }

    /// Takes the index of a name that this header has not used yet, and the length of the name's
    /// encoding.
    #[inline]
    fn take_name(&mut self) -> Result<(NameIndex, usize), DecodeError> {
        let index = self.take_index()?;
        let name = self
            .uses
            .get_mut(usize::from(index))
            .ok_or(DecodeError::NameIndex { index })?;
        if name.last == self.left {
            return Err(LimitError::NameTwice.into());
        }
        name.last = self.left;
        Ok((NameIndex(index), name.length))
    }

    #[inline]
    fn take_index(&mut self) -> Result<u16, DecodeError> {
        let first = self.reader.u8()?;
        if first < LONG_INDEX {
            return Ok(u16::from(first));
        }
        match self.reader.u8()? {
            0 => Err(DecodeError::NotShortest),
            high => Ok(u16::from(high) << 7 | u16::from(first & !LONG_INDEX)),
        }
    }
}
