//! What an identity promises to those who hold its public half.

use sc_crypto::{OwnerPublic, OwnerSecret, Secret};

fn owner(byte: u8) -> OwnerSecret {
    OwnerSecret::from_seed(Secret::from_bytes([byte; 32]))
}

#[test]
fn what_is_sealed_to_an_owner_is_opened_by_that_owner() {
    let envelope = owner(1)
        .public()
        .seal(b"context", b"plaintext", &mut |bytes: &mut [u8]| {
            bytes.fill(9)
        });

    let opened = owner(1).open(b"context", &envelope).unwrap();

    assert_eq!(*opened, b"plaintext");
}

#[test]
fn printed_key_files_are_read_back_to_the_same_identity() {
    let owner = owner(1);

    let private = OwnerSecret::from_pem(&owner.to_pem()).unwrap();
    let public = OwnerPublic::from_pem(&owner.public().to_pem()).unwrap();

    assert_eq!(private.public(), owner.public());
    assert_eq!(&public, owner.public());
}
