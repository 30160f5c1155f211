//! Targets for what owners and operators write and keep: policies of storage, settings of locations, credentials, roots.

use sc_client::kv::{Credentials, Roots};
use sc_coder::CoderRoots;
use sc_store::{LocationSettings, Policy};

/// A storage policy.
///
/// # Panics
/// When it does not read back as it is kept, or allows what cannot be.
pub fn storage_policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let Ok(policy) = Policy::parse(text) else {
        return;
    };
    let code = policy.code();
    assert!(
        (usize::from(code.data())..=usize::from(code.total())).contains(&policy.write_quorum())
    );
    assert_eq!(Policy::parse(&policy.definition()), Ok(policy));
}

/// The settings of a location.
///
/// # Panics
/// When they do not read back as they are kept.
pub fn location_settings(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(settings) = LocationSettings::parse(text) {
        assert_eq!(LocationSettings::parse(&settings.to_text()), Ok(settings));
    }
}

/// A file of credentials.
///
/// # Panics
/// When it does not read back as it is written, or an error shows anything of it.
pub fn credentials(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(credentials) = Credentials::parse(text) {
        let written = credentials.to_text();
        let again = Credentials::parse(&written).map(|it| it.to_text());
        assert_eq!(again.as_deref(), Ok(&*written));
    }
}

/// A file of roots.
///
/// # Panics
/// When it does not read back as it is written.
pub fn roots(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(roots) = Roots::parse(text) {
        let written = roots.to_text();
        let again = Roots::parse(&written).map(|it| it.to_text());
        assert_eq!(again.as_deref(), Ok(&*written));
    }
}

/// Roots as they travel to a coder.
///
/// # Panics
/// When they do not read back as they are written.
pub fn coder_roots(bytes: &[u8]) {
    if let Ok(roots) = CoderRoots::decode(bytes) {
        assert_eq!(&roots.encode()[..], bytes);
    }
}
