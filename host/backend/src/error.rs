//! Why a backend did not do what it was asked.

use std::io;

use rustix::io::Errno;

/// Why a backend did not do what it was asked. The texts are for an operator and carry nothing of a fragment but its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No fragment has this name: read others, and repair.
    #[error("no fragment has this name")]
    NotFound,
    /// Another fragment has this name, and stays: draw a new name. Drawn at random, it means that something is broken.
    #[error("another fragment has this name")]
    Exists,
    /// The range does not lie within the fragment: the caller is mistaken, or the fragment is not what it expects.
    #[error("the range leaves a fragment of {length} bytes")]
    OutOfRange {
        /// How long the fragment is, in bytes.
        length: u64,
    },
    /// The body is longer than any fragment: never retry, anywhere.
    #[error("a body of {bytes} bytes is longer than a fragment may be")]
    TooLarge {
        /// How long the body is.
        bytes: u64,
    },
    /// No room: store elsewhere. Reads and deletes go on.
    #[error("no room: {0}")]
    Full(String),
    /// The location does not answer as it should: go elsewhere, or come back later. Whether a put or delete took effect is open until the
    /// same call succeeds.
    #[error("not available: {0}")]
    Unavailable(String),
    /// The location cannot do this, or not with this fragment: do it elsewhere.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The location says itself that what it holds is damaged: read others, and repair. Retrying helps nothing.
    #[error("damaged: {0}")]
    Corrupt(String),
}

impl BackendError {
    /// Who must act on a failure of the disk.
    pub(crate) fn of_io(what: &str, error: &io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full(format!("{what}: {error}")),
            _ => Self::Unavailable(format!("{what}: {error}")),
        }
    }

    /// Who must act on a failure of the disk while reading: what it cannot read will not be readable later.
    pub(crate) fn of_read(what: &str, error: &io::Error) -> Self {
        let unreadable = error.kind() == io::ErrorKind::UnexpectedEof
            || error.raw_os_error() == Some(Errno::IO.raw_os_error());
        if unreadable {
            return Self::Corrupt(format!("{what}: {error}"));
        }
        Self::of_io(what, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_full_whatever_it_calls_that() {
        for error in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            let error = BackendError::of_io("a", &error.into());

            assert!(matches!(error, BackendError::Full(_)), "{error}");
        }
    }

    #[test]
    fn a_bad_sector_is_damage_and_a_refused_call_is_not() {
        let bad = BackendError::of_read("a", &Errno::IO.into());
        let refused = BackendError::of_read("a", &Errno::MFILE.into());

        assert!(matches!(bad, BackendError::Corrupt(_)));
        assert!(matches!(refused, BackendError::Unavailable(_)));
    }
}
