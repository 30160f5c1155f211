//! Authenticated links with credit over ZeroMQ.
