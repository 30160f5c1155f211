//! The trace: everything that happens in a run, as a running hash and, when asked for, as text.
//!
//! Invariant: two runs have the same hash exactly if the same things happened to the same parties at the same times with the same
//! bytes, in the same order.

use std::fmt;
use std::time::Duration;

use sc_crypto::hash::sha256;
use sc_transport::{Datagram, Frame};

/// What a run's trace came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceHash([u8; 32]);

impl fmt::Display for TraceHash {
    /// Sixteen hexadecimal digits: enough to tell two runs apart.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", leading(&self.0))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TraceHash({self})")
    }
}

#[derive(Debug)]
pub(crate) struct Trace {
    hash: [u8; 32],
    line: Vec<u8>,
    /// The text, if it is wanted.
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep_text: bool) -> Self {
        Self {
            hash: [0; 32],
            line: Vec::new(),
            lines: keep_text.then(Vec::new),
        }
    }

    pub(crate) fn note(
        &mut self,
        now: Duration,
        party: impl fmt::Display,
        what: fmt::Arguments<'_>,
    ) {
        use std::io::Write as _;
        self.line.clear();
        self.line.extend_from_slice(&self.hash);
        let micros = now.as_micros();
        write!(
            self.line,
            "{:>4}.{:06} {party}: {what}",
            micros / 1_000_000,
            micros % 1_000_000
        )
        .expect("a vector takes all that is written to it");
        if let Some(lines) = &mut self.lines {
            lines.push(String::from_utf8_lossy(&self.line[self.hash.len()..]).into_owned());
        }
        self.hash = sha256(&self.line);
    }

    pub(crate) fn finish(self) -> (TraceHash, Vec<String>) {
        (TraceHash(self.hash), self.lines.unwrap_or_default())
    }
}

/// The beginning of the hash of some bytes, for a line of the trace.
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(leading(&sha256(bytes)))
    }

    pub(crate) fn of_datagram(datagram: &Datagram) -> Self {
        Self::of_parts(datagram.parts.iter().map(|part| &part[..]))
    }

    pub(crate) fn of_frame(frame: &Frame) -> Self {
        let attachments = frame.attachments.iter().map(|part| &part[..]);
        Self::of_parts([&frame.head[..]].into_iter().chain(attachments))
    }

    fn of_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let digests: Vec<u8> = parts.flat_map(sha256).collect();
        Self::of(&digests)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

fn leading(hash: &[u8; 32]) -> u64 {
    u64::from_be_bytes(hash[..8].try_into().expect("a hash is longer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::Party;

    fn hash(notes: &[(u64, Party, &str)]) -> TraceHash {
        let mut trace = Trace::new(false);
        for (millis, party, what) in notes {
            trace.note(
                Duration::from_millis(*millis),
                *party,
                format_args!("{what}"),
            );
        }
        trace.finish().0
    }

    #[test]
    fn time_party_text_and_order_change_the_hash() {
        let base = [(1, Party::Router, "a"), (2, Party::Router, "b")];

        assert_eq!(hash(&base), hash(&base));
        assert_ne!(
            hash(&base),
            hash(&[(1, Party::Router, "a"), (3, Party::Router, "b")])
        );
        assert_ne!(
            hash(&base),
            hash(&[(1, Party::Consumer(0), "a"), (2, Party::Router, "b")])
        );
        assert_ne!(
            hash(&base),
            hash(&[(1, Party::Router, "a"), (2, Party::Router, "c")])
        );
        assert_ne!(hash(&[base[1], base[0]]), hash(&base));
        assert_ne!(hash(&base[..1]), hash(&base));
    }

    #[test]
    fn the_parts_of_a_datagram_are_told_apart() {
        let digest = |parts: &[&'static str]| {
            let parts = parts
                .iter()
                .map(|part| bytes::Bytes::from_static(part.as_bytes()));
            Digest::of_datagram(&Datagram {
                parts: parts.collect(),
            })
            .0
        };

        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
    }
}
