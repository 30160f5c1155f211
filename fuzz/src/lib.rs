//! One fuzz target per decoder of foreign bytes.
