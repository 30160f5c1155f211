//! The loops around the cores, on real sockets.
//!
//! A source that had batches in hand when its own core closed the link ended with "a message of 300 bytes exceeds the 0 that the router
//! accepts": the loop asked a link that was gone what it would carry.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

use std::sync::Arc;
use std::time::Duration;

use sc_client::{
    IdentitySigner, Journal, LinkNews, News, OsEntropy, Publisher, PublisherLoop,
    PublisherSettings, Roll,
};
use sc_crypto::{OwnerSecret, Secret};
use sc_matching::Publication;
use sc_transport::{
    Attach, Dialer, Driver, Frame, FrameClass, LinkEvent, LinkKey, LinkSettings, Links, Role,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn router() -> Driver<Links> {
    let attach = Attach::Bind("tcp://127.0.0.1:0".parse().unwrap());
    let key = LinkKey::from_seed(&[1; 32]);
    Driver::acceptor(&attach, None, LinkSettings::default(), key)
        .await
        .unwrap()
}

async fn dial(router: &Driver<Links>, identity: &Arc<OwnerSecret>) -> Driver<Dialer> {
    let attach = Attach::Connect(router.endpoints().to_vec());
    let signer = IdentitySigner(Arc::clone(identity));
    Driver::initiator(
        &attach,
        None,
        Role::Publisher,
        LinkSettings::default(),
        signer,
    )
    .await
    .unwrap()
}

/// Answers whatever comes with a frame that no publisher understands.
async fn answer_with_nonsense(mut router: Driver<Links>) {
    loop {
        if let LinkEvent::Frame { link, .. } = router.next().await.unwrap() {
            let nonsense = Frame::new(vec![0xff; 8]);
            router
                .send(link, FrameClass::Control, nonsense, 0)
                .unwrap_or_default();
            router.flush().unwrap();
        }
    }
}

#[tokio::test]
async fn a_publisher_with_batches_in_hand_survives_that_it_closes_its_link() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("journal")).unwrap();
    let identity = Arc::new(OwnerSecret::from_seed(Secret::from_bytes([2; 32])));
    let router = router().await;
    let driver = dial(&router, &identity).await;
    let settings = PublisherSettings::default();
    let roll = Roll::default();
    let publisher = Publisher::new(Arc::clone(&identity), settings, roll, Box::new(OsEntropy));
    let mut publishing = PublisherLoop::new(publisher, driver, journal);
    let clock = publishing.clock();
    publishing
        .publish(clock, &Publication::new(), vec![7; 100].into())
        .unwrap();
    publishing.publisher().flush();

    let mut connected = 0;
    let twice = async {
        while connected < 2 {
            match publishing.next().await.unwrap() {
                News::Link(LinkNews::Connected) => connected += 1,
                _ => continue,
            }
        }
    };
    tokio::select! {
        done = timeout(PATIENCE, twice) => done.expect("it connects again"),
        () = answer_with_nonsense(router) => {}
    }

    assert_eq!(connected, 2);
}
