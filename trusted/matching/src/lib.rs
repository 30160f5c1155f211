//! Content-based matching: language, codecs and index.
