//! What one gateway bears at once, and how long it waits.

use std::time::Duration;

/// Bounds of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests that are served at once, signs of life aside; more are told to come back. Default 256; each may hold four segments of a body, so lower it where
    /// memory is short.
    pub requests: usize,
    /// Connections that are open at once; more wait to be accepted. Default 4096.
    pub connections: usize,
    /// Bytes of a request's line and headers. Default 64 KiB.
    pub header_bytes: usize,
    /// Bytes of an object or part; none: as many as the store takes. Default none.
    pub object_bytes: Option<u64>,
    /// For the whole head of a request, for a TLS handshake, and for which an idle connection is kept. Default 30 s.
    pub head_timeout: Duration,
    /// Between two pieces of a body, in either direction. Default 60 s.
    pub body_timeout: Duration,
    /// For requests under way when the gateway is told to stop. Default 10 s.
    pub patience: Duration,
    /// How long a token's record is believed before it is read again: so long a token that was deleted elsewhere lives. Default 15 s.
    pub token_memory: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 256,
            connections: 4096,
            header_bytes: 64 << 10,
            object_bytes: None,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            token_memory: Duration::from_secs(15),
        }
    }
}
