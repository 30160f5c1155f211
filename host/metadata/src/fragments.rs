//! Fragments: the pieces of a segment, and how a segment's row holds them.

use crate::CatalogError;

/// Bytes that the name of a fragment, or that of its location, may have.
pub const NAME_BYTES_MAX: usize = 255;

/// One piece of a segment, at one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Which of the segment's fragments it is.
    pub index: u8,
    /// The name of its location, at most [`NAME_BYTES_MAX`] bytes.
    pub location: String,
    /// Its name there, at most [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Whether it is there.
    pub state: FragmentState,
}

/// Whether a fragment is where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FragmentState {
    /// The location has acknowledged it.
    Stored,
    /// It has still to be made or written.
    Owed,
    /// It is being copied here from where another entry of its index is stored.
    Coming,
}

impl Fragment {
    /// All fragments of a segment in one value: for each its index, its state (0 stored, 1 owed, 2 coming), and location and name, both with a byte
    /// for their length before them.
    pub(crate) fn pack(fragments: &[Self]) -> Result<Vec<u8>, CatalogError> {
        let mut packed = Vec::with_capacity(fragments.len() * 64);
        for fragment in fragments {
            packed.push(fragment.index);
            packed.push(match fragment.state {
                FragmentState::Stored => 0,
                FragmentState::Owed => 1,
                FragmentState::Coming => 2,
            });
            for name in [&fragment.location, &fragment.name] {
                let length = u8::try_from(name.len()).map_err(|_| {
                    CatalogError::Invalid("names of fragments and locations have 255 bytes at most")
                })?;
                packed.push(length);
                packed.extend_from_slice(name.as_bytes());
            }
        }
        Ok(packed)
    }

    pub(crate) fn unpack(mut packed: &[u8]) -> Result<Vec<Self>, CatalogError> {
        let mut fragments = Vec::new();
        while !packed.is_empty() {
            let fragment = Self::unpack_one(&mut packed);
            fragments.push(fragment.ok_or_else(|| {
                CatalogError::Corrupt("the fragments of a segment do not decode".to_owned())
            })?);
        }
        Ok(fragments)
    }

    fn unpack_one(packed: &mut &[u8]) -> Option<Self> {
        let index = *packed.split_off_first()?;
        let state = match packed.split_off_first()? {
            0 => FragmentState::Stored,
            1 => FragmentState::Owed,
            2 => FragmentState::Coming,
            _ => return None,
        };
        let mut name = || {
            let length = usize::from(*packed.split_off_first()?);
            let bytes = packed.split_off(..length)?;
            core::str::from_utf8(bytes).ok().map(str::to_owned)
        };
        Some(Self {
            index,
            location: name()?,
            name: name()?,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragments() -> Vec<Fragment> {
        let fragment = |index, location: &str, state| Fragment {
            index,
            location: location.to_owned(),
            name: "n".repeat(usize::from(index)),
            state,
        };
        vec![
            fragment(0, "", FragmentState::Stored),
            fragment(7, "site", FragmentState::Owed),
            fragment(7, "other", FragmentState::Coming),
            fragment(255, "site", FragmentState::Stored),
        ]
    }

    #[test]
    fn fragments_are_unpacked_as_they_were_packed() {
        let packed = Fragment::pack(&fragments()).unwrap();

        assert_eq!(Fragment::unpack(&packed).unwrap(), fragments());
        assert_eq!(Fragment::unpack(&[]).unwrap(), []);
    }

    #[test]
    fn what_is_cut_short_does_not_unpack_as_if_it_were_whole() {
        let packed = Fragment::pack(&fragments()).unwrap();

        for length in 0..packed.len() {
            let unpacked = Fragment::unpack(&packed[..length]);
            assert!(unpacked.is_err() || unpacked.unwrap().len() < fragments().len());
        }
    }

    #[test]
    fn states_and_names_that_there_are_not_are_corruption() {
        for packed in [&[0, 3, 0, 0][..], &[0, 0, 1, 0xff, 0], &[0, 0, 9, b'a', 0]] {
            let unpacked = Fragment::unpack(packed);
            assert!(
                matches!(unpacked, Err(CatalogError::Corrupt(_))),
                "{packed:?}"
            );
        }
    }
}
