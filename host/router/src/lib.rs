//! The untrusted router: carries sealed frames to the trusted program and its notices to consumers.
