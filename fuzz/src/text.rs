//! Targets for the texts that an owner writes: a policy, a list of consumers.

use sc_attestation::Policy;
use sc_client::Admission;

/// A policy.
///
/// # Panics
/// When it allows simulation, which no text may, or an error names no line of the text.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Policy::parse(text) {
        Ok(policy) => assert!(!policy.allow_simulation),
        Err(error) => assert!((1..=text.lines().count()).contains(&error.line)),
    }
}

/// A list of admitted consumers.
///
/// # Panics
/// When it admits everybody, or an error names no line of the text.
pub fn list(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Admission::parse(text) {
        Ok(admission) => assert_ne!(admission, Admission::Open),
        Err(line) => assert!((1..=text.lines().count()).contains(&line)),
    }
}
