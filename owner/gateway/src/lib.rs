//! The gateway: translates REST into sealed requests, nothing more.
