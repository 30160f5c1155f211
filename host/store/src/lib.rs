//! The untrusted store: datastores, policies, placement, quorum.
