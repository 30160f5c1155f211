//! Seeds of what is carried in the open: calls and replies, datagrams, frames between router and owners.

use bytes::Bytes;
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::link::{self, link_header::Kind};
use sc_proto::routing::{self, from_publisher, from_subscriber, to_publisher, to_subscriber};
use sc_proto::{Message, provision};

use super::{Seed, answers, asks, batch, controls, key, notice, plain_answer, plain_ask};
use crate::cores::owner;
use crate::pieces;

pub(super) fn seeds(seeds: &mut Vec<Seed>) {
    door(seeds);
    links(seeds);
    router(seeds);
    client(seeds);
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
    let suspend = cbr::Suspend {
        domain: domain(),
        session: 1,
        consumer: Bytes::copy_from_slice(key().as_bytes()),
    };
    let resume = cbr::Resume {
        domain: domain(),
        session: 1,
        consumer: suspend.consumer.clone(),
    };
    for (name, call) in [
        ("describe", Call::Describe(cbr::Describe {})),
        ("challenge", Call::Challenge(challenge())),
        ("secrets", Call::Secrets(secrets())),
        ("control", Call::Control(sealed.clone())),
        ("batch", Call::Batch(sealed)),
        ("close", Call::Close(close)),
        ("suspend", Call::Suspend(suspend)),
        ("resume", Call::Resume(resume)),
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
    let mut shared = Vec::new();
    let [admit, .., register, dismiss] = controls().map(|(_, control)| control);
    let batch = batch(None);
    for (kind, plaintext) in [
        (0, &admit[..]),
        (2, &batch),
        (0, &register),
        (2, &batch),
        (3, &[]),
        (2, &batch),
        (1, &batch),
        (4, &[]),
        (0, &dismiss),
        (2, &batch),
    ] {
        shared.push(kind);
        pieces::push(&mut shared, plaintext);
    }
    seeds.push(("door_session", "a_further_publisher", shared));
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
        registered: None,
        receipt: "receipt".into(),
        notices: vec![cbr::Notice {
            consumer: consumer.clone(),
            counter: 1,
            ciphertext: "notice".into(),
            payloads: vec![1],
        }],
        admitted: Some(cbr::Admitted {
            retention_ms: 0,
            consumer: consumer.clone(),
            slow: cbr::SlowPolicy::Disconnect.into(),
        }),
    };
    let from_subscriber_head =
        |frame| routing::FromSubscriber { frame: Some(frame) }.encode_to_vec();
    let attach = from_subscriber::Frame::Attach(routing::Attach { domain: domain() });
    let ask = from_subscriber::Frame::Ask(routing::Ask {
        publisher: false,
        domain: domain(),
        consumer: Bytes::new(),
    });
    let answer = from_publisher::Frame::Answer(routing::Answer {
        publisher: false,
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
        publisher: false,
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
        publisher: false,
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
}
