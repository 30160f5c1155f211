//! Targets for the plaintexts of sealed messages.
//!
//! Invariant: a decoder refuses bytes, or reads something that is written back as those very bytes.

use sc_cbr::{Batch, Control, DomainSecrets, Notice, Receipt};
use sc_matching::Header;

/// A control message.
///
/// # Panics
/// When bytes that decode are not what they encode to.
pub fn control(bytes: &[u8]) {
    if let Ok(control) = Control::decode(bytes) {
        assert_eq!(control.encode(), bytes);
    }
}

/// A receipt.
///
/// # Panics
/// When bytes that decode are not what they encode to.
pub fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = Receipt::decode(bytes) {
        assert_eq!(receipt.encode(), bytes);
    }
}

/// The secrets of a domain.
///
/// # Panics
/// When bytes that decode are not what they encode to.
pub fn domain_secrets(bytes: &[u8]) {
    if let Ok(secrets) = DomainSecrets::decode(bytes) {
        assert_eq!(*secrets.encode(), *bytes);
    }
}

/// A batch in both modes; every header is read.
///
/// # Panics
/// When a batch that reads to its end has not one hash for each header, or not none.
pub fn batch(bytes: &[u8]) {
    for plain in [false, true] {
        let Ok(batch) = Batch::decode(bytes, plain) else {
            continue;
        };
        let (mut headers, mut header) = (batch.headers.headers(), Header::new());
        let mut count = 0_u32;
        let is_whole = loop {
            match headers.next_header(&mut header) {
                Ok(true) => count += 1,
                Ok(false) => break true,
                Err(_) => break false,
            }
        };
        if is_whole {
            assert!((0..count).all(|index| batch.payload_hash(index).is_some() != plain));
            assert_eq!(batch.payload_hash(count), None);
        }
    }
}

/// A notice, read to its end.
///
/// # Panics
/// When it has more entries or ids than its bytes can hold, or its indexes go back.
pub fn notice(bytes: &[u8]) {
    let Ok(mut notice) = Notice::decode(bytes) else {
        return;
    };
    let (mut ids, mut entries, mut all_ids, mut last) = (Vec::new(), 0, 0, 0);
    let announced = notice.remaining();
    while let Ok(Some(entry)) = notice.next_entry(&mut ids) {
        assert_eq!(entry.key_and_hash.is_none(), notice.is_plain());
        assert!(entry.index >= last);
        last = entry.index;
        entries += 1;
        all_ids += ids.len();
    }
    assert!(entries <= announced && entries + all_ids <= bytes.len());
}
