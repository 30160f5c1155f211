//! Seeds of the storage system.

use bytes::Bytes;
use sc_client::kv::{Credentials, Roots};
use sc_coder::{CoderRoots, tenant_id};
use sc_crypto::Secret;
use sc_proto::Message as _;
use sc_proto::coder::{self, call::Call};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::{self, request::Request};

use super::Seed;
use crate::cores::{Entropy, owner};
use crate::pieces;

const POLICIES: [(&str, &str); 3] = [
    (
        "replication",
        r#"{"redundancy":{"kind":"replication","copies":3},"placement":{"regions":["a"],"per_provider":2},"read":"nearest"}"#,
    ),
    (
        "reed_solomon",
        r#"{"redundancy":{"kind":"rs","data":4,"parity":2},"write_ack_beyond_data":1,"tier":{"after_idle_days":3,"policy":"cold"}}"#,
    ),
    (
        "rlnc",
        r#"{"redundancy":{"kind":"rlnc","data":4,"total":6,"subpackets":2},"placement":{"required_locations":["x"],"classes":["hot"]}}"#,
    ),
];
const LOCATIONS: [(&str, &str); 3] = [
    (
        "fs",
        r#"{"backend":{"kind":"fs","path":"a/b"},"region":"north","zone":"1","provider":"one","class":"cold","cost_per_gb_month":0.01,"cost_per_gb_read":1e-3}"#,
    ),
    ("memory", r#"{"backend":{"kind":"memory"}}"#),
    (
        "remote",
        r#"{"backend":{"kind":"remote","endpoint":"tcp://host:1","key":"ab"}}"#,
    ),
];

pub(super) fn seeds(seeds: &mut Vec<Seed>) {
    texts(seeds);
    doors(seeds);
    for (name, operation) in operations() {
        let mut input = Vec::new();
        pieces::push(&mut input, &operation);
        pieces::push(&mut input, &[]);
        pieces::push(&mut input, b"content");
        seeds.push(("store_operation", name, input));
    }
    for (kind, (name, operation)) in (0..).zip(operations()) {
        let mut input = vec![kind];
        pieces::push(&mut input, &operation);
        pieces::push(&mut input, b"");
        pieces::push(&mut input, b"content");
        pieces::push(&mut input, &[7; 16]);
        pieces::push(&mut input, &[9; 60]);
        seeds.push(("coder_request", name, input));
    }
    for (name, field) in [
        ("datastore", 0_u8),
        ("head", 1),
        ("body", 2),
        ("fragments", 3),
        ("replaced", 0x81),
    ] {
        let mut input = vec![field];
        pieces::push(&mut input, &[5, 0, 1, 0, 0, 3]);
        seeds.push(("stored_object", name, input));
    }
    seeds.push(("stored_object", "nothing", Vec::new()));
}

fn texts(seeds: &mut Vec<Seed>) {
    for (name, text) in POLICIES {
        seeds.push(("storage_policy", name, text.into()));
    }
    for (name, text) in LOCATIONS {
        seeds.push(("location_settings", name, text.into()));
    }
    let root = Secret::from_bytes([2; 32]);
    let signer = owner();
    let mut entropy = Entropy::new(1);
    let credentials = Credentials::issue_all(signer.signing_key(), &root, "label", 1, &mut entropy);
    let text = credentials.to_text().as_bytes().to_vec();
    seeds.push(("credentials", "all", text));
    let mut roots = Roots::of(1, root.duplicate());
    seeds.push(("roots", "one", roots.to_text().as_bytes().to_vec()));
    roots.rotate(&mut entropy);
    seeds.push(("roots", "two", roots.to_text().as_bytes().to_vec()));
    let two = vec![(1, root.duplicate()), (7, Secret::from_bytes([3; 32]))];
    if let Ok(roots) = CoderRoots::new(1000, 7, two) {
        seeds.push(("coder_roots", "two", roots.encode().to_vec()));
    }
}

fn operation(kind: Kind) -> Vec<u8> {
    let tenant = tenant_id(owner().signing_key().verifying_key());
    let operation = storage::Operation {
        tenant: Bytes::copy_from_slice(&tenant),
        operation: Some(kind),
    };
    operation.encode_to_vec()
}

/// One of each kind, in the order of the calls that they are made for as far as there is one.
fn operations() -> [(&'static str, Vec<u8>); 14] {
    let (datastore, key) = ("data".to_owned(), Bytes::from_static(b"k"));
    let version = Bytes::from_static(&[7; 16]);
    [
        ("usage", Kind::GetUsage(storage::GetUsage {})),
        (
            "create_datastore",
            Kind::CreateDatastore(storage::CreateDatastore {
                datastore: "more".into(),
                policy: "hot".into(),
                versioning: true,
                quota_bytes: 1000,
            }),
        ),
        (
            "put",
            Kind::PutObject(storage::PutObject {
                datastore: datastore.clone(),
                key: key.clone(),
                version: version.clone(),
                bytes: 7,
                policy: "cold".into(),
                condition: None,
            }),
        ),
        (
            "commit",
            Kind::CommitObject(storage::CommitObject {
                datastore: datastore.clone(),
                key: key.clone(),
                version: version.clone(),
                bytes: 7,
                condition: None,
            }),
        ),
        (
            "get",
            Kind::GetObject(storage::GetObject {
                datastore: datastore.clone(),
                key: key.clone(),
                version: Bytes::new(),
                offset: 1,
                length: 5,
            }),
        ),
        (
            "list",
            Kind::ListObjects(storage::ListObjects {
                datastore: datastore.clone(),
                prefix: key.clone(),
                delimiter: Bytes::from_static(b"/"),
                cursor: Bytes::from_static(&[0, b'a']),
                limit: 10,
                versions: false,
            }),
        ),
        (
            "delete",
            Kind::DeleteObject(storage::DeleteObject {
                datastore: datastore.clone(),
                key: key.clone(),
                version: Bytes::new(),
                condition: None,
                marker: Bytes::from_static(&[5; 16]),
            }),
        ),
        (
            "put_record",
            Kind::PutRecord(storage::PutRecord {
                kind: "token".into(),
                id: "a".into(),
                only_if_absent: true,
            }),
        ),
        (
            "list_records",
            Kind::ListRecords(storage::ListRecords {
                kind: "token".into(),
                after: String::new(),
                limit: 5,
            }),
        ),
        (
            "search",
            Kind::SearchObjects(storage::SearchObjects {
                datastore: datastore.clone(),
                cursor: Bytes::new(),
                limit: 5,
            }),
        ),
        (
            "commit_part",
            Kind::CommitPart(storage::CommitPart {
                datastore: datastore.clone(),
                key: key.clone(),
                version: version.clone(),
                part: 1,
                bytes: 7,
                segments: vec![Bytes::from_static(&[1; 32])],
            }),
        ),
        (
            "create_upload",
            Kind::CreateUpload(storage::CreateUpload {
                datastore,
                key,
                version,
                policy: "coded".into(),
            }),
        ),
        (
            "put_policy",
            Kind::PutPolicy(storage::PutPolicy {
                name: "mine".into(),
                definition: POLICIES[1].1.into(),
                simulate: true,
            }),
        ),
        (
            "put_location",
            Kind::PutLocation(storage::PutLocation {
                name: "site9".into(),
                settings: LOCATIONS[1].1.into(),
                state: "active".into(),
            }),
        ),
    ]
    .map(|(name, kind)| (name, operation(kind)))
}

fn doors(seeds: &mut Vec<Seed>) {
    let tenant = Bytes::copy_from_slice(&tenant_id(owner().signing_key().verifying_key()));
    let request = coder::Request {
        operation: operations()[4].1.clone().into(),
        ticket: Bytes::from_static(&[1; 100]),
        number: 1,
        sealed: Bytes::from_static(&[2; 16]),
    };
    let session = coder::OpenSession {
        tenant: tenant.clone(),
        encapsulated: Bytes::from_static(&[3; 1120]),
        ciphertext: Bytes::from_static(&[4; 100]),
    };
    let calls = [
        ("describe", Call::Describe(coder::Describe {})),
        ("open_session", Call::OpenSession(session.clone())),
        (
            "authorize",
            Call::Authorize(coder::Authorize {
                request: Some(request.clone()),
            }),
        ),
    ];
    for (name, call) in calls {
        let call = coder::Call { call: Some(call) };
        let mut message = Vec::new();
        sc_coder::join(&mut message, &call.encode_to_vec());
        seeds.push(("coder_call", name, message));
    }
    let challenge = sc_proto::provision::Challenge {
        nonce: Bytes::from_static(&[7; 32]),
        owner_key: Bytes::copy_from_slice(owner().signing_key().verifying_key().as_bytes()),
        purpose: "coder".into(),
    };
    let frames = [
        ("describe", Request::Describe(store::Describe { tenant })),
        (
            "open_session",
            Request::OpenSession(store::OpenSession {
                session: Some(session),
            }),
        ),
        ("operation", Request::Operation(request)),
        (
            "challenge",
            Request::Provision(store::Provision {
                coder: "coder".into(),
                step: Some(store::provision::Step::Challenge(challenge)),
            }),
        ),
    ];
    for (name, request) in frames {
        let request = store::Request {
            request: Some(request),
        };
        let mut input = Vec::new();
        pieces::push(&mut input, &request.encode_to_vec());
        pieces::push(&mut input, b"an attachment");
        seeds.push(("store_frame", name, input));
    }
}
