//! Starts a trusted program on a platform and carries calls to it.
