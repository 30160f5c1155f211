//! Tests of one mailbox.
