//! One fuzz target per decoder of foreign bytes.

pub mod matching;
