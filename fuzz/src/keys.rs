//! Targets for key files and encoded keys.

use sc_crypto::{OwnerPublic, OwnerSecret};

/// A key file, private or public.
///
/// # Panics
/// When a file is taken for both, or what it holds does not print and read back as the same identity.
pub fn file(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let (secret, public) = (OwnerSecret::from_pem(text), OwnerPublic::from_pem(text));
    assert!(secret.is_err() || public.is_err());
    if let Ok(secret) = secret {
        let again = OwnerSecret::from_pem(&secret.to_pem()).expect("what is printed reads back");
        assert_eq!(again.public(), secret.public());
    }
    if let Ok(public) = public {
        let again = OwnerPublic::from_pem(&public.to_pem()).expect("what is printed reads back");
        assert_eq!(again, public);
    }
}

/// A public key as messages carry it.
///
/// # Panics
/// When bytes that are taken are not what the key encodes to.
pub fn bytes(bytes: &[u8]) {
    if let Ok(public) = OwnerPublic::from_bytes(bytes) {
        assert_eq!(public.to_bytes(), bytes);
    }
}
