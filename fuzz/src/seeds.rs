//! The inputs that fuzzing starts from: for each target, good ones of each kind.
//!
//! Invariant: they follow from this file alone, so that `corpus/` can be written anew by `cargo run -p sc-fuzz --bin seeds`, and a test
//! sees when it was forgotten.

use bytes::Bytes;
use sc_cbr::{BatchWriter, Control, ControlBody, Origin, Receipt, SlowPolicy, Status, push_bytes};
use sc_client::{Answer, Ask, Operation, Refusal, Verdict};
use sc_crypto::{OwnerPublic, Secret, VerifyingKey};
use sc_matching::ascii::{self, Line};
use sc_matching::binary::encode_subscription;
use sc_matching::{HeaderBlockWriter, Publication, Subscription};
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::link::{self, link_header::Kind};
use sc_proto::routing::{self, from_publisher, from_subscriber, to_publisher, to_subscriber};
use sc_proto::{Message, provision};

use crate::cores::{Entropy, consumer, domain_secrets, owner};
use crate::pieces;

/// One kept input: its target, its name, its bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

const PUBLICATION: &str = "0 0 P i symbol \"IBM\" i open 83.9 i volume 7250000 i \"\\u{e9}\" \"\"";
const SUBSCRIPTION: &str =
    "0 7 S i symbol in {\"IBM\", 29} i open >= 132 i s ^= \"x\" i v exists i w != -1.5";

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
    door(&mut seeds);
    links(&mut seeds);
    router(&mut seeds);
    client(&mut seeds);
    texts(&mut seeds);
    seeds
}

fn publication() -> Publication {
    match ascii::parse(PUBLICATION) {
        Ok(Line::Publication(publication)) => publication,
        other => unreachable!("the line is a publication: {other:?}"),
    }
}

fn subscription() -> Subscription {
    match ascii::parse(SUBSCRIPTION) {
        Ok(Line::Subscription { subscription, .. }) => subscription,
        other => unreachable!("the line is a subscription: {other:?}"),
    }
}

fn matching(seeds: &mut Vec<Seed>) {
    seeds.push(("ascii_line", "publication", PUBLICATION.into()));
    seeds.push(("ascii_line", "subscription", SUBSCRIPTION.into()));
    let both = format!("{PUBLICATION}\n\n{SUBSCRIPTION}\r\n");
    seeds.push(("ascii_lines", "both", both.into_bytes()));
    let encoded = encode_subscription(&subscription());
    seeds.push(("subscription", "five_constraints", encoded));
    let mut writer = HeaderBlockWriter::new();
    for _ in 0..2 {
        writer
            .push(&publication())
            .unwrap_or_else(|_| unreachable!("two headers fit a block"));
    }
    seeds.push(("header_block", "two_headers", writer.finish()));
}

fn key() -> VerifyingKey {
    consumer().signing_key().verifying_key()
}

fn controls() -> [(&'static str, Vec<u8>); 5] {
    let consumer = key();
    let admit = ControlBody::Admit {
        consumer,
        delivery_key: Secret::from_bytes([4; 32]),
        lease_until_ms: 5000,
        slow: SlowPolicy::Block,
        replace: true,
        subscriptions: vec![(7, subscription()), (8, subscription())],
    };
    let ids = vec![7, 9];
    let renew = ControlBody::Renew {
        consumer,
        lease_until_ms: 9000,
    };
    [
        ("admit", admit),
        ("renew", renew),
        ("withdraw", ControlBody::Withdraw { consumer, ids }),
        ("tick", ControlBody::Tick),
        ("revoke", ControlBody::Revoke { consumer }),
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
            .push(&publication(), hash)
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
}

/// A notice up to its entries.
fn notice_head(kind: u8, entries: u32, with_keys: bool) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&2000_u64.to_le_bytes());
    out.push(kind);
    if kind == 0 {
        out.extend_from_slice(owner().signing_key().verifying_key().as_bytes());
        for number in [1_u64, 3, 1, 2] {
            out.extend_from_slice(&number.to_le_bytes());
        }
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
        replace: true,
        remaining: 1,
        subscriptions: vec![(7, subscription())],
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

fn domain() -> Bytes {
    Bytes::copy_from_slice(owner().public().domain_id().as_bytes())
}

fn challenge() -> provision::Challenge {
    provision::Challenge {
        nonce: vec![7; 32].into(),
        owner_key: Bytes::copy_from_slice(owner().signing_key().verifying_key().as_bytes()),
        purpose: "cbr".into(),
    }
}

fn secrets() -> provision::Secrets {
    provision::Secrets {
        nonce: vec![7; 32].into(),
        encapsulated: vec![1; 40].into(),
        ciphertext: vec![2; 40].into(),
        signature: vec![3; 64].into(),
    }
}

fn door(seeds: &mut Vec<Seed>) {
    let sealed = cbr::Sealed {
        domain: domain(),
        session: 1,
        publisher: challenge().owner_key,
        start: 1,
        counter: 1,
        ciphertext: "sealed".into(),
    };
    let close = cbr::Close {
        domain: domain(),
        session: 1,
    };
    for (name, call) in [
        ("describe", Call::Describe(cbr::Describe {})),
        ("challenge", Call::Challenge(challenge())),
        ("secrets", Call::Secrets(secrets())),
        ("control", Call::Control(sealed.clone())),
        ("batch", Call::Batch(sealed)),
        ("close", Call::Close(close)),
    ] {
        let call = cbr::Call { call: Some(call) };
        seeds.push(("door_call", name, call.encode_to_vec()));
    }
    let mut session = Vec::new();
    for (number, (_, control)) in controls().into_iter().enumerate() {
        session.push(0);
        pieces::push(&mut session, &control);
        if number % 2 == 0 {
            session.push(1);
            pieces::push(&mut session, &batch(None));
        }
    }
    seeds.push(("door_session", "a_life", session));
    let mut stream = Vec::new();
    for (token, body) in [(1_u64, &b"first"[..]), (2, b""), (u64::MAX, &[7; 40])] {
        stream.extend_from_slice(&(body.len() as u32).to_le_bytes());
        stream.extend_from_slice(&token.to_le_bytes());
        stream.extend_from_slice(body);
    }
    seeds.push(("frames", "three", stream));
}

/// An input of datagrams with one part each.
fn datagrams(headers: &[link::LinkHeader]) -> Vec<u8> {
    let mut out = Vec::new();
    for header in headers {
        out.push(1);
        pieces::push(&mut out, &header.encode_to_vec());
    }
    out
}

fn links(seeds: &mut Vec<Seed>) {
    let header = |kind| link::LinkHeader {
        version: 1,
        kind: Some(kind),
    };
    let bytes = |value, count| Bytes::from(vec![value; count]);
    let hello = header(Kind::Hello(link::Hello {
        role: link::Role::Publisher.into(),
        key: bytes(1, 32),
        nonce: bytes(2, 32),
        curve_key: Bytes::new(),
        control_window: 1 << 20,
        data_window: 8 << 20,
        max_frame: 4 << 20,
    }));
    let reply = header(Kind::HelloReply(link::HelloReply {
        role: link::Role::Router.into(),
        key: bytes(1, 32),
        nonce: bytes(2, 32),
        curve_key: Bytes::new(),
        control_window: 1 << 20,
        data_window: 8 << 20,
        max_frame: 4 << 20,
        signature: bytes(3, 64),
        hello_nonce: bytes(4, 32),
    }));
    let proof = header(Kind::HelloProof(link::HelloProof {
        link_id: bytes(5, 16),
        signature: bytes(6, 64),
    }));
    let ack = link::Ack {
        link_id: bytes(5, 16),
        received: 3,
        control_limit: 4,
        data_limit: 5,
        ask: 6,
        answer: 7,
        gap: true,
    };
    let reset = link::Reset {
        link_id: bytes(5, 16),
    };
    let close = link::Close {
        link_id: bytes(5, 16),
        reason: "done".into(),
        code: link::CloseCode::Done.into(),
        hello_nonce: Bytes::new(),
    };
    let others = [
        header(Kind::Ack(ack.clone())),
        header(Kind::Reset(reset)),
        header(Kind::Close(close)),
    ];
    seeds.push((
        "datagrams",
        "hello_and_proof",
        datagrams(&[hello.clone(), hello, proof]),
    ));
    seeds.push(("datagrams", "hello_reply", datagrams(&[reply])));
    seeds.push(("datagrams", "established", datagrams(&others)));
    let carry = header(Kind::Carry(link::Carry {
        link_id: bytes(5, 16),
        sequence: 1,
        class: link::FrameClass::Data.into(),
        ack: Some(ack),
    }));
    let mut carried = vec![3];
    for part in [&carry.encode_to_vec()[..], b"head", b"attachment"] {
        pieces::push(&mut carried, part);
    }
    seeds.push(("datagrams", "carry", carried));
}

fn from_publisher_head(frame: from_publisher::Frame) -> Vec<u8> {
    routing::FromPublisher { frame: Some(frame) }.encode_to_vec()
}

fn reply(reply: Reply) -> Vec<u8> {
    cbr::Reply { reply: Some(reply) }.encode_to_vec()
}

/// Provisioning, an attachment, a request and its answer, a batch with a notice.
fn router(seeds: &mut Vec<Seed>) {
    let consumer = Bytes::from(vec![2; 32]);
    let opened = cbr::Opened {
        confirmation: None,
        domain: domain(),
        session: 1,
        owner_key: challenge().owner_key,
        plain: false,
    };
    let batch = routing::Batch {
        domain: domain(),
        session: 1,
        start: 1,
        counter: 1,
        payload_sizes: vec![1, 2],
    };
    let outcome = cbr::Outcome {
        receipt: "receipt".into(),
        notices: vec![cbr::Notice {
            consumer: consumer.clone(),
            counter: 1,
            ciphertext: "notice".into(),
            payloads: vec![1],
        }],
        admitted: Some(cbr::Admitted {
            consumer: consumer.clone(),
            slow: cbr::SlowPolicy::Disconnect.into(),
        }),
    };
    let from_subscriber_head =
        |frame| routing::FromSubscriber { frame: Some(frame) }.encode_to_vec();
    let attach = from_subscriber::Frame::Attach(routing::Attach { domain: domain() });
    let ask = from_subscriber::Frame::Ask(routing::Ask {
        domain: domain(),
        consumer: Bytes::new(),
    });
    let answer = from_publisher::Frame::Answer(routing::Answer {
        domain: domain(),
        consumer,
    });
    let secrets = from_publisher::Frame::Secrets(routing::Secrets {
        secrets: Some(secrets()),
        plain: false,
    });
    let mut out = Vec::new();
    let mut step = |kind: u8, parts: &[&[u8]]| {
        out.push(kind | (parts.len() as u8 - 1) << 3);
        parts.iter().for_each(|part| pieces::push(&mut out, part));
    };
    step(
        0,
        &[&from_publisher_head(from_publisher::Frame::Challenge(
            challenge(),
        ))],
    );
    step(5, &[&reply(Reply::Offer(provision::Offer::default()))]);
    step(0, &[&from_publisher_head(secrets)]);
    step(5, &[&reply(Reply::Opened(opened))]);
    step(2, &[&from_subscriber_head(attach)]);
    step(2, &[&from_subscriber_head(ask), b"ask"]);
    step(0, &[&from_publisher_head(answer), b"answer"]);
    step(
        0x80,
        &[
            &from_publisher_head(from_publisher::Frame::Batch(batch)),
            b"batch",
            b"abb",
        ],
    );
    step(5, &[&reply(Reply::Outcome(outcome))]);
    out.extend_from_slice(&[7, 7, 7, 7]);
    seeds.push(("router_frames", "a_session", out));
}

/// Frames for a core of the owner's side, each with its attachments.
fn frames(parts: &[(Vec<u8>, &[&[u8]])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (head, attachments) in parts {
        pieces::push(&mut out, head);
        out.push(attachments.len() as u8);
        attachments
            .iter()
            .for_each(|part| pieces::push(&mut out, part));
    }
    out
}

fn client(seeds: &mut Vec<Seed>) {
    let receipt = routing::Receipt {
        domain: domain(),
        session: 1,
        start: 1,
        counter: 1,
    };
    let offer = to_publisher::Frame::Offer(routing::Offer {
        offer: Some(provision::Offer {
            kem_key: Bytes::copy_from_slice(&owner().public().to_bytes()[33..]),
            evidence: None,
        }),
        tee: "a line".into(),
    });
    let opened = to_publisher::Frame::Opened(routing::Opened {
        confirmation: Some(provision::Confirmation {
            mac: vec![1; 32].into(),
        }),
        domain: domain(),
        session: 1,
    });
    let ask = to_publisher::Frame::Ask(routing::Ask {
        domain: domain(),
        consumer: Bytes::copy_from_slice(key().as_bytes()),
    });
    let refused = routing::Refused {
        cause: routing::refused::Cause::Program.into(),
        what: "no".into(),
        ..routing::Refused::default()
    };
    let head = |frame| routing::ToPublisher { frame: Some(frame) }.encode_to_vec();
    let plain = plain_ask(&asks()[0].1);
    let to_publisher = [
        (head(offer), &[][..]),
        (head(opened), &[]),
        (
            head(to_publisher::Frame::Receipt(receipt)),
            &[&b"receipt"[..]],
        ),
        (head(ask), &[&plain[..]]),
        (head(to_publisher::Frame::Refused(refused.clone())), &[]),
    ];
    seeds.push(("publisher_frames", "each_kind", frames(&to_publisher)));

    let state = to_subscriber::Frame::DomainState(routing::DomainState {
        domain: domain(),
        open: true,
        session: 1,
    });
    let answer = to_subscriber::Frame::Answer(routing::Answer {
        domain: domain(),
        consumer: Bytes::copy_from_slice(key().as_bytes()),
    });
    let notice_head = to_subscriber::Frame::Notice(routing::Notice {
        domain: domain(),
        session: 1,
        counter: 1,
        payload_sizes: vec![2],
    });
    let head = |frame| routing::ToSubscriber { frame: Some(frame) }.encode_to_vec();
    let plain = plain_answer(&answers()[0].1);
    let notice = notice(false);
    let to_subscriber = [
        (head(state), &[][..]),
        (head(answer), &[&plain[..]]),
        (head(notice_head), &[&notice[..], b"hi"]),
        (head(to_subscriber::Frame::Refused(refused)), &[]),
    ];
    seeds.push(("subscriber_frames", "each_kind", frames(&to_subscriber)));
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

fn texts(seeds: &mut Vec<Seed>) {
    let digits = "ab".repeat(32);
    let policy = format!("# mine\nsimulation-key {digits}\n\nmeasurement {digits} # v1\n");
    seeds.push(("policy", "both_rules", policy.into_bytes()));
    let list = format!("# mine\n{}  # one\n", consumer().public().fingerprint());
    seeds.push(("list", "one", list.into_bytes()));
    let mut prefixed = Vec::new();
    push_bytes(&mut prefixed, b"text");
    seeds.push(("list", "no_text", prefixed));
}
