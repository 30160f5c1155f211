//! Connections to the server that are lost, at the worst moments too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sc_metadata::Catalog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::engines::{client, with_schema};
use crate::house::{House, version_id};

/// Where a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server has committed, and the client never hears of it.
    AfterCommit,
}

/// A way to the server on which some commits are cut.
struct Meddler {
    url: String,
    cuts: Arc<AtomicUsize>,
}

impl Meddler {
    /// Cuts the next `cuts` connections on which a commit comes by, once [`Meddler::begin`] has been called.
    async fn start(url: &str, cut: Cut) -> Self {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let port = config.get_ports()[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        tokio::spawn(accept(listener, port, cut, Arc::clone(&cuts)));
        Self {
            url: url.replace(&format!(":{port}/"), &format!(":{}/", here.port())),
            cuts,
        }
    }

    fn begin(&self, cuts: usize) {
        self.cuts.store(cuts, Ordering::SeqCst);
    }

    fn left(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, port: u16, cut: Cut, cuts: Arc<AtomicUsize>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        tokio::spawn(carry(client, port, cut, Arc::clone(&cuts)));
    }
}

async fn carry(mut client: TcpStream, port: u16, cut: Cut, cuts: Arc<AtomicUsize>) {
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut asked, mut answered) = ([0; 1 << 16], [0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let is_commit = asked[..length].windows(7).any(|window| window == b"COMMIT\0");
                let is_cut = is_commit
                    && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                if is_cut && cut == Cut::BeforeCommit {
                    return;
                }
                if server.write_all(&asked[..length]).await.is_err() {
                    return;
                }
                if is_cut {
                    // The answer is on its way: the server has committed.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Loses every other commit of what follows, and finds that each operation was done once.
async fn is_done_once(url: String, cut: Cut) {
    let meddler = Meddler::start(&url, cut).await;
    let catalog = Catalog::postgres(&meddler.url).await.unwrap();
    let house = House::new(catalog.clone(), false).await;

    for number in 1..=4 {
        meddler.begin(1);
        let version = house.begin("a", number).await;
        assert_eq!(meddler.left(), 0);
        meddler.begin(1);
        let committed = house.commit(version).await.unwrap();
        assert_eq!(meddler.left(), 0);
        assert!(committed.is_current);
        assert_eq!(committed.number, number);
        assert_eq!(committed.superseded.len(), usize::from(number > 1));
    }
    meddler.begin(1);
    let removed = house.delete("a", None).await;
    assert_eq!(
        (removed.number, &removed.versions[..]),
        (5, &[version_id(4)][..])
    );
    assert_eq!(catalog.removals(u64::MAX, 9).await.unwrap().len(), 4);
    assert_eq!(house.garbage().await.len(), 4);
    assert_eq!(house.datastore().await.used_bytes, 0);
}

#[test]
fn what_is_lost_before_its_commit_is_done_once() {
    with_schema(async |url| is_done_once(url, Cut::BeforeCommit).await);
}

#[test]
fn what_is_lost_after_its_commit_is_done_once() {
    with_schema(async |url| is_done_once(url, Cut::AfterCommit).await);
}

#[test]
fn operations_survive_that_the_server_ends_their_connections() {
    with_schema(async |url| {
        let catalog = Catalog::postgres(&url).await.unwrap();
        let house = House::new(catalog, true).await;
        let done = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (house, done) = (house.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    for turn in 0..20 {
                        house.put(&format!("key-{task}"), task * 100 + turn).await;
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let admin = client(&url).await;
        while !tasks.iter().all(JoinHandle::is_finished) {
            let before = done.load(Ordering::SeqCst);
            // Those that hold a lock on a table of this test.
            let sql = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
                WHERE l.pid <> pg_backend_pid() AND c.relnamespace = current_schema()::regnamespace LIMIT 2";
            admin.batch_execute(sql).await.unwrap();
            // However slow the machine is, there is progress between two blows.
            while done.load(Ordering::SeqCst) < before + 3
                && !tasks.iter().all(JoinHandle::is_finished)
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        for task in tasks {
            task.await.unwrap();
        }

        assert_eq!(house.versions().await.len(), 160);
        assert_eq!(house.datastore().await.used_bytes, 16_000);
        assert_eq!(house.garbage().await, []);
    });
}

#[test]
fn an_operation_given_up_half_way_is_done_or_not() {
    with_schema(async |url| {
        let catalog = Catalog::postgres(&url).await.unwrap();
        let house = House::new(catalog, true).await;
        for number in 0..40 {
            let version = house.begin("a", number).await;
            let patience = Duration::from_micros(100 * number);
            let _ = tokio::time::timeout(patience, house.commit(version)).await;
        }

        let versions = house.versions().await.len() as u64;
        assert_eq!(house.datastore().await.used_bytes, 100 * versions);
        for number in 0..40 {
            let version = version_id(number);
            let intent = house.catalog.intent(version).await.unwrap();
            let body = house.catalog.body(version).await.unwrap();
            assert_ne!(intent.is_some(), body.is_some());
        }
    });
}
