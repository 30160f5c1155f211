//! The inputs that fuzzing starts from: for each target, good ones of each kind.
//!
//! Invariant: they follow from this file alone, so that `corpus/` can be written anew by `cargo run -p sc-fuzz --bin seeds`, and a test
//! sees when it was forgotten.

mod carried;
mod fragments;
mod spilled;
mod storage;

use sc_cbr::{BatchWriter, Control, ControlBody, Origin, Receipt, SlowPolicy, Status, push_bytes};
use sc_client::{Answer, Ask, Operation, Refusal, Verdict};
use sc_crypto::{OwnerPublic, Secret, VerifyingKey};
use sc_matching::ascii::{self, Line};
use sc_matching::binary::encode_subscription;
use sc_matching::{HeaderBlockWriter, Publication, Subscription};

use crate::cores::{Entropy, consumer, domain_secrets, owner};
use crate::evidence;
use crate::pieces;

/// One kept input: its target, its name, its bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

const PUBLICATION: &str = "0 0 P i symbol \"IBM\" i open 83.9 i volume 7250000 i \"\\u{e9}\" \"\"";
const SUBSCRIPTION: &str =
    "0 7 S i symbol in {\"IBM\", 29} i open >= 132 i s ^= \"x\" i v exists i w != -1.5";
/// Integers that no double is, in both kinds of line.
const WIDE_PUBLICATION: &str = "0 0 P i id 9007199254740993 i low -9223372036854775807 i open 83.9";
const WIDE_SUBSCRIPTION: &str = "0 7 S i id >= 9007199254740993 i low in {9223372036854775807, 29}";

/// Key files of other makes, good and refused.
const KEY_FILES: [(&str, &[u8]); 4] = [
    (
        "rsa_private_pkcs1",
        include_bytes!("../../trusted/crypto/tests/vectors/rsa2048-pkcs1.prv"),
    ),
    (
        "rsa_private_pkcs8",
        include_bytes!("../../trusted/crypto/tests/vectors/rsa2048.prv"),
    ),
    (
        "ed25519_encrypted",
        include_bytes!("../../trusted/crypto/tests/vectors/ed25519-encrypted.prv"),
    ),
    (
        "elliptic_curve",
        include_bytes!("../../trusted/crypto/tests/vectors/ec-pkcs8.prv"),
    ),
];

/// Every seed.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    matching(&mut seeds);
    sealed(&mut seeds);
    requests(&mut seeds);
    keys(&mut seeds);
    carried::seeds(&mut seeds);
    journals(&mut seeds);
    spilled::seeds(&mut seeds);
    fragments::seeds(&mut seeds);
    texts(&mut seeds);
    hardware(&mut seeds);
    storage::seeds(&mut seeds);
    seeds
}

fn publication(line: &str) -> Publication {
    match ascii::parse(line) {
        Ok(Line::Publication(publication)) => publication,
        other => unreachable!("the line is a publication: {other:?}"),
    }
}

fn subscription(line: &str) -> Subscription {
    match ascii::parse(line) {
        Ok(Line::Subscription { subscription, .. }) => subscription,
        other => unreachable!("the line is a subscription: {other:?}"),
    }
}

fn matching(seeds: &mut Vec<Seed>) {
    seeds.push(("ascii_line", "publication", PUBLICATION.into()));
    seeds.push(("ascii_line", "subscription", SUBSCRIPTION.into()));
    seeds.push(("ascii_line", "wide_publication", WIDE_PUBLICATION.into()));
    seeds.push(("ascii_line", "wide_subscription", WIDE_SUBSCRIPTION.into()));
    let both = format!("{PUBLICATION}\n\n{SUBSCRIPTION}\r\n");
    seeds.push(("ascii_lines", "both", both.into_bytes()));
    let encoded = encode_subscription(&subscription(SUBSCRIPTION));
    seeds.push(("subscription", "five_constraints", encoded));
    let wide = encode_subscription(&subscription(WIDE_SUBSCRIPTION));
    seeds.push(("subscription", "wide_integers", wide));
    let block = |lines: [&str; 2]| {
        let mut writer = HeaderBlockWriter::new();
        for line in lines {
            writer
                .push(&publication(line))
                .unwrap_or_else(|_| unreachable!("two headers fit a block"));
        }
        writer.finish()
    };
    let two = block([PUBLICATION, PUBLICATION]);
    seeds.push(("header_block", "two_headers", two));
    let wide = block([WIDE_PUBLICATION, PUBLICATION]);
    seeds.push(("header_block", "wide_integers", wide));
}

fn key() -> VerifyingKey {
    consumer().signing_key().verifying_key()
}

fn controls() -> [(&'static str, Vec<u8>); 7] {
    let consumer = key();
    let admit = ControlBody::Admit {
        retention_ms: 0,
        consumer,
        delivery_key: Secret::from_bytes([4; 32]),
        lease_until_ms: 5000,
        slow: SlowPolicy::Block,
        replace: true,
        subscriptions: vec![
            (7, subscription(SUBSCRIPTION)),
            (8, subscription(SUBSCRIPTION)),
        ],
    };
    let ids = vec![7, 9];
    let renew = ControlBody::Renew {
        consumer,
        lease_until_ms: 9000,
    };
    let register = ControlBody::Register {
        publisher: consumer,
        start: 1,
        floor: Origin {
            start: 1,
            number: u64::MAX,
        },
    };
    [
        ("admit", admit),
        ("renew", renew),
        ("withdraw", ControlBody::Withdraw { consumer, ids }),
        ("tick", ControlBody::Tick),
        ("revoke", ControlBody::Revoke { consumer }),
        ("register", register),
        (
            "dismiss",
            ControlBody::Dismiss {
                publisher: consumer,
            },
        ),
    ]
    .map(|(name, body)| {
        let control = Control {
            time_ms: 2000,
            body,
        };
        (name, control.encode())
    })
}

fn batch(hash: Option<&[u8; 32]>) -> Vec<u8> {
    let mut writer = BatchWriter::default();
    for _ in 0..2 {
        writer
            .push(&publication(PUBLICATION), hash)
            .unwrap_or_else(|_| unreachable!("two headers fit a batch"));
    }
    let origin = Origin {
        start: 1,
        number: 1,
    };
    writer.finish(origin, 2000)
}

fn sealed(seeds: &mut Vec<Seed>) {
    for (name, control) in controls() {
        seeds.push(("control", name, control));
    }
    seeds.push(("batch", "sealed", batch(Some(&[6; 32]))));
    seeds.push(("batch", "plain", batch(None)));
    let receipt = Receipt {
        counter: 3,
        status: Status::Taken,
        matched: 2,
        deliveries: 4,
    };
    seeds.push(("receipt", "taken", receipt.encode()));
    seeds.push((
        "domain_secrets",
        "ed25519",
        domain_secrets(false).encode().to_vec(),
    ));
    seeds.push(("notice", "matches", notice(true)));
    seeds.push(("notice", "plain", notice(false)));
    seeds.push(("notice", "heartbeat", notice_head(1, 0, false)));
    seeds.push(("notice", "suspended", notice_head(4, 0, true)));
    seeds.push(("notice", "missed", notice_head(5, 0, true)));
}

/// A notice up to its entries.
fn notice_head(kind: u8, entries: u32, with_keys: bool) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&2000_u64.to_le_bytes());
    out.push(kind);
    let numbers: &[u64] = match kind {
        1 => {
            out.extend_from_slice(&1_u32.to_le_bytes());
            &[1, 3, 1, 2]
        }
        0 => &[1, 3, 1, 2],
        5 => &[1, 3],
        _ => &[],
    };
    if kind < 2 {
        out.extend_from_slice(owner().signing_key().verifying_key().as_bytes());
    }
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(u8::from(!with_keys));
    out.extend_from_slice(&entries.to_le_bytes());
    out
}

/// A notice of two entries: indexes 1 and 3, ids 7 and 300.
fn notice(with_keys: bool) -> Vec<u8> {
    let mut out = notice_head(0, 2, with_keys);
    for entry in [&[1, 1, 7][..], &[2, 2, 7, 0xac, 0x02]] {
        out.extend_from_slice(entry);
        if with_keys {
            out.extend_from_slice(&[5; 64]);
        }
    }
    out
}

fn asks() -> [(&'static str, Ask); 3] {
    let ask = |sequence, operation| Ask {
        consumer: consumer().public().clone(),
        sequence,
        operation,
    };
    let subscribe = Operation::Subscribe {
        retention_ms: 0,
        replace: true,
        remaining: 1,
        subscriptions: vec![(7, subscription(SUBSCRIPTION))],
    };
    [
        ("subscribe", ask(1, subscribe)),
        (
            "unsubscribe",
            ask(2, Operation::Unsubscribe { ids: vec![7] }),
        ),
        ("renew", ask(3, Operation::Renew)),
    ]
}

fn answers() -> [(&'static str, Answer); 2] {
    let answer = |verdict| Answer {
        request: [8; 32],
        session: 1,
        verdict,
    };
    let admitted = Verdict::Admitted {
        heartbeat_ms: 1000,
        lapsed: true,
        covered: Origin {
            start: 3,
            number: 7,
        },
        earlier: vec![(0, Secret::from_bytes([5; 32]))],
        retention_ms: 0,
        delivery_key: Secret::from_bytes([4; 32]),
        lease_until_ms: 5000,
        lease_ms: 3000,
        slow: SlowPolicy::Disconnect,
    };
    [
        ("admitted", answer(admitted)),
        ("refused", answer(Verdict::Refused(Refusal::Quota))),
    ]
}

fn plain_ask(ask: &Ask) -> Vec<u8> {
    ask.seal(&consumer(), owner().public(), true, &mut Entropy::new(1))
        .0
}

fn plain_answer(answer: &Answer) -> Vec<u8> {
    answer.seal(&owner(), consumer().public(), true, &mut Entropy::new(1))
}

/// What stands between the first `before` bytes of a signed message and its signature.
fn body(plain: &[u8], before: usize) -> Vec<u8> {
    plain[before..plain.len() - 64].to_vec()
}

fn requests(seeds: &mut Vec<Seed>) {
    for (name, ask) in asks() {
        let before = 1 + 1 + 4 + ask.consumer.to_bytes().len();
        seeds.push(("ask_body", name, body(&plain_ask(&ask), before)));
    }
    let [(_, ask), ..] = asks();
    seeds.push(("ask", "plain", plain_ask(&ask)));
    let sealed = ask
        .seal(&consumer(), owner().public(), false, &mut Entropy::new(1))
        .0;
    seeds.push(("ask", "sealed", sealed));
    for (name, answer) in answers() {
        let before = 1 + 1 + 32 + 4;
        seeds.push(("answer_body", name, body(&plain_answer(&answer), before)));
    }
    let [(_, answer), _] = answers();
    seeds.push(("answer", "plain", plain_answer(&answer)));
    let sealed = answer.seal(&owner(), consumer().public(), false, &mut Entropy::new(1));
    seeds.push(("answer", "sealed", sealed));
}

/// An RSA public key: what matters is its shape, so its modulus is any odd number of 2048 bits.
fn rsa_public() -> Vec<u8> {
    let mut modulus = vec![0; 257];
    Entropy::new(5).fill(&mut modulus[1..]);
    modulus[1] |= 0x80;
    modulus[256] |= 1;
    let mut out = vec![2, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01];
    out.extend_from_slice(&modulus);
    out.extend_from_slice(&[0x02, 0x03, 0x01, 0x00, 0x01]);
    out
}

fn keys(seeds: &mut Vec<Seed>) {
    seeds.push((
        "key_file",
        "ed25519_private",
        owner().to_pem().as_bytes().to_vec(),
    ));
    let public = owner().public().to_pem();
    seeds.push(("key_file", "ed25519_public", public.into_bytes()));
    if let Ok(rsa) = OwnerPublic::from_bytes(&rsa_public()) {
        seeds.push(("key_file", "rsa_public", rsa.to_pem().into_bytes()));
    }
    for (name, file) in KEY_FILES {
        seeds.push(("key_file", name, file.to_vec()));
    }
    seeds.push(("key_bytes", "ed25519", owner().public().to_bytes()));
    seeds.push(("key_bytes", "rsa", rsa_public()));
}

fn journals(seeds: &mut Vec<Seed>) {
    seeds.push(("roll", "each_record", roll()));
}

/// A journal with each kind of record.
fn roll() -> Vec<u8> {
    let ask = plain_ask(&asks()[0].1);
    let mut taken = vec![3];
    taken.extend_from_slice(&5000_u64.to_le_bytes());
    taken.extend_from_slice(&[8; 32]);
    taken.extend_from_slice(&ask[1..ask.len() - 64]);
    let number = |kind: u8, number: u64| [&[kind][..], &number.to_le_bytes()].concat();
    let identity = |kind: u8| [&[kind][..], key().as_bytes()].concat();
    let mut out = Vec::new();
    for record in [number(1, 3), number(2, 9), taken, identity(5), identity(4)] {
        pieces::push(&mut out, &record);
    }
    out
}

fn hardware(seeds: &mut Vec<Seed>) {
    let names = ["sgx", "tdx", "sev_snp"];
    for (name, bytes) in names.into_iter().zip(evidence::seeds()) {
        seeds.push(("evidence", name, bytes));
    }
    let names = ["sgx", "tdx", "amd_chain", "amd_chip"];
    for (name, bytes) in names.into_iter().zip(evidence::COLLATERAL) {
        seeds.push(("collateral", name, bytes.to_vec()));
    }
}

fn texts(seeds: &mut Vec<Seed>) {
    let digits = "ab".repeat(32);
    let policy = format!("# mine\nsimulation-key {digits}\n\nmeasurement {digits} # v1\n");
    seeds.push(("policy", "both_rules", policy.into_bytes()));
    let hardware = format!(
        "tdx {0} rtmr1 {0} rtmr2 {0}\nsev-snp {0} svn 1\nsgx-enclave {digits} svn 2\nowner-pinned\n\
         amd-tcb snp 8 microcode 115\nmachine {1}\nstatus OutOfDate\ncollateral a.json\n",
        "cd".repeat(48),
        "ef".repeat(16)
    );
    seeds.push(("policy", "hardware", hardware.into_bytes()));
    let list = format!("# mine\n{}  # one\n", consumer().public().fingerprint());
    seeds.push(("list", "one", list.into_bytes()));
    let mut prefixed = Vec::new();
    push_bytes(&mut prefixed, b"text");
    seeds.push(("list", "no_text", prefixed));
}
