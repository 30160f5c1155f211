//! One broken rule: which, where, and what to do about it.

use std::fmt;

/// One broken rule, printed as `law 2: host/router/src/lib.rs:3: names …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule, as people call it: `law 1`, `licences`.
    pub rule: &'static str,
    /// A file with its line, a folder, or a package.
    pub place: String,
    /// The fact, and where it is not plain, the way out.
    pub what: String,
}

impl Violation {
    /// A violation of `rule` at `place`.
    pub fn new(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            rule,
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.place, self.what)
    }
}
