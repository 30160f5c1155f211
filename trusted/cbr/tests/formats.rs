//! The worked example of docs/FORMATS.md, made and opened by this crate.
//!
//! The document's bytes were computed by another implementation, from its text alone, in Python with the library `cryptography`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use sc_cbr::{
    Batch, BatchWriter, DeliveryKeys, DomainKey, MessageKind, Notice, NoticeKind, Origin,
    PublisherKeys, Receipt, Scope, Status, control_cipher,
};
use sc_crypto::hash::sha256;
use sc_crypto::kdf::derive;
use sc_crypto::{AeadKey, DomainId, Nonce, Secret, VerifyingKey};
use sc_matching::{Name, Publication};

const TIME_MS: u64 = 1_700_000_000_000;
const COUNTER: u64 = 1;
const ORIGIN: Origin = Origin {
    start: 3,
    number: 1,
};

/// The sealed notice of the document: what the engine makes for the consumer 33….
const SEALED_NOTICE: &str = "\
    b216881708a9c51674cc9f11eca8257b68f9613c998d26133c44f067aa9298bd3b389649d12b1043a41b89c75227c4e8\
    0c49a1531dda9c1f6824446e48cf102a55067fe128ccafbdfb52aeda2e2474025ab5679687810980efbe8ed8fd7fb12c\
    d2c2f2b8099990d5666209c3b34f70cac396f3eb8a1554dd44683d533863b40414780182fd5b6a67d4b31a09dbe358fa\
    fd1a3fb5140c905a1734e5c0b1498b3275ea26";

/// Asserts that the example shows these bytes, whatever blanks and line ends stand between them.
fn assert_drawn(bytes: &[u8]) {
    let document = include_str!("../../../docs/FORMATS.md");
    let (_, example) = document.split_once("### A worked example").unwrap();
    let (example, _) = example.split_once("\n## ").unwrap();
    let is_bytes = |word: &&str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let drawn: String = example.split_whitespace().filter(is_bytes).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(drawn.contains(&hex), "docs/FORMATS.md does not show {hex}");
}

fn decode(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn publisher() -> Scope {
    Scope {
        domain: DomainId::from_bytes([0x11; 32]),
        session: 7,
        party: VerifyingKey::from_bytes([0x22; 32]),
        start: 3,
    }
}

fn consumer() -> Scope {
    Scope {
        party: VerifyingKey::from_bytes([0x33; 32]),
        start: 0,
        ..publisher()
    }
}

fn domain_key() -> DomainKey {
    DomainKey::new(Secret::from_bytes(core::array::from_fn(|at| at as u8)))
}

fn keys() -> PublisherKeys {
    PublisherKeys::new(&domain_key().publisher_secret(&publisher()), false)
}

fn payload_key() -> [u8; 32] {
    *keys().payload_key(COUNTER, 0).unwrap().expose()
}

fn sealed_payload() -> Vec<u8> {
    let mut sealed = Vec::new();
    let key = keys().payload_key(COUNTER, 0).unwrap();
    key.seal(publisher().payload_data(COUNTER).of(0), b"hi", &mut sealed);
    sealed
}

fn batch() -> Vec<u8> {
    let mut publication = Publication::new();
    let symbol = Name::new("symbol").unwrap();
    publication.push(symbol, "IBM".try_into().unwrap()).unwrap();
    let open = Name::new("open").unwrap();
    publication.push(open, 83.9.try_into().unwrap()).unwrap();
    let mut writer = BatchWriter::default();
    let hash = sha256(&sealed_payload());
    writer.push(&publication, Some(&hash)).unwrap();
    writer.finish(ORIGIN, TIME_MS)
}

#[test]
fn the_documented_keys_are_derived() {
    let secret = domain_key().publisher_secret(&publisher());

    assert_drawn(secret.expose());
    for label in ["batch", "receipt", "payload"] {
        assert_drawn(derive(&secret, label, &[]).expose());
    }
    assert_drawn(&payload_key());
}

#[test]
fn the_documented_key_seals_control_messages() {
    let scope = publisher();
    let context: [&[u8]; 4] = [
        scope.domain.as_bytes(),
        &scope.session.to_le_bytes(),
        scope.party.as_bytes(),
        &scope.start.to_le_bytes(),
    ];
    let documented = derive(domain_key().secret(), "control", &context);
    assert_drawn(documented.expose());

    let mut sealed = Vec::new();
    let cipher = control_cipher(&domain_key(), &scope, false);
    cipher.seal(&scope, MessageKind::Control, COUNTER, b"tick", &mut sealed);

    let aad = scope.associated_data(MessageKind::Control, COUNTER);
    let opened = AeadKey::new(&documented).open(Nonce::counter(COUNTER), &aad, &sealed);
    assert_eq!(opened, Ok(b"tick".to_vec()));
}

#[test]
fn the_documented_payload_and_batch_are_made() {
    let (scope, plaintext) = (publisher(), batch());
    let mut sealed = Vec::new();
    let cipher = keys().batch;
    cipher.seal(&scope, MessageKind::Batch, COUNTER, &plaintext, &mut sealed);

    assert_drawn(publisher().payload_data(COUNTER).of(0));
    assert_drawn(&sealed_payload());
    assert_drawn(&plaintext);
    assert_drawn(&sealed);
    assert_eq!(Batch::decode(&plaintext, false).unwrap().origin, ORIGIN);
}

#[test]
fn the_documented_receipt_is_made() {
    let receipt = Receipt {
        counter: COUNTER,
        status: Status::Taken,
        matched: 1,
        deliveries: 1,
    };
    let (scope, plaintext) = (publisher(), receipt.encode());
    let mut sealed = Vec::new();
    let cipher = keys().receipt;
    cipher.seal(
        &scope,
        MessageKind::Receipt,
        COUNTER,
        &plaintext,
        &mut sealed,
    );

    assert_drawn(&plaintext);
    assert_drawn(&sealed);
}

#[test]
fn the_documented_notice_opens_to_the_documented_entry() {
    let mut sealed = decode(SEALED_NOTICE);
    assert_drawn(&sealed);
    let cipher = DeliveryKeys::new(&Secret::from_bytes([0x44; 32]), &consumer(), false).notice;

    let opened = cipher.open(&consumer(), MessageKind::Notice, COUNTER, &mut sealed);
    let plaintext = opened.unwrap();
    assert_drawn(plaintext);
    let mut notice = Notice::decode(plaintext).unwrap();
    let mut ids = Vec::new();
    let entry = notice.next_entry(&mut ids).unwrap().unwrap();

    let matches = NoticeKind::Matches {
        publisher: publisher().party,
        start: 3,
        counter: COUNTER,
        origin: ORIGIN,
    };
    assert_eq!((notice.kind.clone(), notice.time_ms), (matches, TIME_MS));
    assert_eq!((entry.index, &ids[..]), (0, &[8945][..]));
    let hash = sha256(&sealed_payload());
    assert_eq!(entry.key_and_hash, Some((&payload_key(), &hash)));
    assert!(notice.next_entry(&mut ids).unwrap().is_none());
}
