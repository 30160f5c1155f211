//! Why a backend did not do what it was asked.

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
    /// The location says itself that what it holds is damaged: read others, and repair. Retrying helps nothing.
    #[error("damaged: {0}")]
    Corrupt(String),
}
