//! Authority: certificates that have run out, are void, are another owner's, or another client's.

use sc_client::kv::{Credentials, KvClient};
use sc_crypto::{Secret, SigningKey};
use sc_proto::coder::{refusal::Reason, reply::Reply};
use sc_proto::storage::CertificateBody;
use sc_proto::store::problem::Code;
use sc_sim::storage::{Direct, World};

use crate::{SMALL, code, content, put, read, world};

const KEY: (&str, &str) = ("data", "k");
/// Long after any clock of today.
const LATE_MS: u64 = 1 << 50;

fn body(serial: u64, not_after_ms: u64) -> CertificateBody {
    CertificateBody {
        serial,
        not_after_ms,
        rights: sc_coder::Rights::ALL.0,
        datastores: vec!["*".into()],
        ..CertificateBody::default()
    }
}

async fn stored() -> World {
    let world = world().await;
    put(&world.client, KEY, "cold", content(1, SMALL)).await;
    world
}

fn client(world: &World, text: &str) -> KvClient {
    let credentials = Credentials::parse(text).unwrap();
    KvClient::new(Direct(world.store.clone()), credentials)
}

/// The text of some credentials with a field of others.
fn mixed(own: &str, field: &str, other: &str) -> String {
    let is_field = |line: &&str| line.starts_with(&format!("{field} ="));
    let foreign = other.lines().find(is_field).unwrap();
    let lines = own
        .lines()
        .map(|line| if is_field(&line) { foreign } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_has_run_out_opens_no_session_and_ends_those_that_are_open() {
    let world = stored().await;
    let client = world.client_with(body(9, LATE_MS));
    assert!(read(&client, KEY, None).await.is_ok());

    assert!(matches!(
        world.tell(LATE_MS - 1, vec![]),
        Reply::Advanced(_)
    ));
    assert!(read(&client, KEY, None).await.is_ok());
    assert!(matches!(world.tell(LATE_MS, vec![]), Reply::Advanced(_)));

    assert_eq!(
        code(client.head("data", b"k", None).await),
        Some(Code::Session)
    );
    let fresh = world.client_with(body(9, LATE_MS));
    assert_eq!(code(fresh.check().await), Some(Code::Session));
    assert!(read(&world.client, KEY, None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_void_certificate_opens_no_session_and_ends_those_that_are_open() {
    let world = stored().await;
    let client = world.client_with(body(9, 0));
    assert!(read(&client, KEY, None).await.is_ok());

    assert!(matches!(world.tell(LATE_MS, vec![9]), Reply::Advanced(_)));

    assert_eq!(
        code(client.head("data", b"k", None).await),
        Some(Code::Session)
    );
    let fresh = world.client_with(body(9, 0));
    assert_eq!(code(fresh.check().await), Some(Code::Session));
}

#[tokio::test]
async fn an_older_word_of_the_owner_is_refused() {
    let world = stored().await;
    assert!(matches!(world.tell(LATE_MS, vec![9]), Reply::Advanced(_)));

    let Reply::Refusal(refusal) = world.tell(LATE_MS - 1, vec![]) else {
        panic!("time went back");
    };
    assert_eq!(refusal.reason(), Reason::Stale);
}

#[tokio::test]
async fn a_certificate_of_another_owner_opens_no_session() {
    let world = stored().await;
    let own = world.credentials(body(9, 0)).to_text();
    let stranger = SigningKey::from_seed(&[99; 32]);
    let root = Secret::from_bytes([98; 32]);
    let mut entropy = sc_client::OsEntropy;
    let foreign = Credentials::issue(&stranger, &root, body(9, 0), &mut entropy).to_text();
    assert!(client(&world, &own).check().await.is_ok());

    // Their certificate and their key, with this tenant's coder key and id.
    let mut text = foreign.to_string();
    for field in ["tenant", "coder_key"] {
        text = mixed(&text, field, &own);
    }
    assert_eq!(
        code(client(&world, &text).check().await),
        Some(Code::NotAuthentic)
    );
}

#[tokio::test]
async fn a_certificate_is_good_with_its_own_key_alone() {
    let world = stored().await;
    let own = world.credentials(body(9, 0)).to_text();
    let other = world.credentials(body(10, 0)).to_text();

    let stolen = mixed(&other, "certificate", &own);

    assert_eq!(
        code(client(&world, &stolen).check().await),
        Some(Code::NotAuthentic)
    );
}

#[tokio::test]
async fn a_request_for_a_session_with_another_tenant_is_refused() {
    let world = stored().await;
    world.another_tenant(7).await;
    let other = SigningKey::from_seed(&[7; 32]);
    let root = Secret::from_bytes([7 ^ 0x80; 32]);
    let mut entropy = sc_client::OsEntropy;
    let theirs = Credentials::issue(&other, &root, body(9, 0), &mut entropy).to_text();
    let ours = world.credentials(body(9, 0)).to_text();

    for field in ["tenant", "coder_key", "certificate"] {
        let text = mixed(&ours, field, &theirs);
        let refused = code(client(&world, &text).check().await);
        assert_eq!(refused, Some(Code::NotAuthentic), "{field}");
    }
}

#[tokio::test]
async fn rights_end_at_the_datastores_that_the_certificate_names() {
    let world = stored().await;
    crate::make(&world.client, "more", false).await;
    put(&world.client, ("more", "k"), "cold", content(2, SMALL)).await;
    let client = world.client_with(CertificateBody {
        datastores: vec!["data".into()],
        ..body(9, 0)
    });

    assert!(read(&client, KEY, None).await.is_ok());
    let refused = read(&client, ("more", "k"), None).await;
    assert_eq!(code(refused), Some(Code::Forbidden));
}
