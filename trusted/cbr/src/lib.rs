//! The routing engine that runs inside the trusted program.
