//! The door of a trusted program.
