//! Lists of fingerprints: whom an owner admits, and whom it lets publish.

use std::collections::BTreeSet;

use sc_crypto::OwnerPublic;

/// Whom a publisher admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admission {
    /// Anyone who asks.
    #[default]
    Open,
    /// The identities with these fingerprints.
    Listed(BTreeSet<String>),
}

impl Admission {
    /// Reads a list: one fingerprint a line, `#` begins a comment.
    ///
    /// # Errors
    /// The number of the first line, from 1, that is no fingerprint.
    pub fn parse(text: &str) -> Result<Self, usize> {
        parse(text).map(Self::Listed)
    }

    pub(crate) fn admits(&self, identity: &OwnerPublic) -> bool {
        match self {
            Self::Open => true,
            Self::Listed(listed) => listed.contains(&identity.fingerprint()),
        }
    }
}

/// Whom an owner lets publish in its domain; by default nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantList(BTreeSet<String>);

impl GrantList {
    /// Reads a list: one fingerprint a line, `#` begins a comment.
    ///
    /// # Errors
    /// The number of the first line, from 1, that is no fingerprint.
    pub fn parse(text: &str) -> Result<Self, usize> {
        parse(text).map(Self)
    }

    pub(crate) fn names(&self, identity: &OwnerPublic) -> bool {
        self.0.contains(&identity.fingerprint())
    }
}

fn parse(text: &str) -> Result<BTreeSet<String>, usize> {
    let mut listed = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        if !entry.starts_with("SHA256:") || entry.len() != "SHA256:".len() + 43 {
            return Err(number + 1);
        }
        listed.insert(entry.to_owned());
    }
    Ok(listed)
}
