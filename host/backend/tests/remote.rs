//! Fragments at a backend elsewhere: the suite over a real link, and what becomes of calls when the other side is gone, somebody else, or
//! hostile.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[macro_use]
mod suite;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use sc_backend::{
    Backend, BackendError, BackendService, Description, Fs, FsSettings, LocationId, Memory,
    REMOTE_BYTES_MAX, Remote, rpc_settings,
};
use sc_proto::backend as wire;
use sc_proto::backend::{reply, request};
use sc_transport::{
    Admission, Endpoint, Frame, Handler, LinkKey, LinkSigner as _, PeerKey, Responder, Role,
};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{sleep, timeout};

use self::suite::{Subject, body, name};

/// So long a test waits for what must come, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The deadline of calls that are not to reach it.
const DEADLINE: Duration = Duration::from_secs(60);
const STORE: u8 = 1;
const BACKEND: u8 = 2;
const STRANGER: u8 = 3;
const ID: LocationId = LocationId([1; 16]);

fn key(seed: u8) -> LinkKey {
    LinkKey::from_seed(&[seed; 32])
}

fn only(seed: u8) -> Admission {
    Admission::Only(BTreeSet::from([PeerKey(key(seed).public_key())]))
}

fn any_port() -> Endpoint {
    "localhost:0".parse().unwrap()
}

/// Something that answers stores at an endpoint.
struct Desk {
    endpoint: Endpoint,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Desk {
    async fn open(endpoint: &Endpoint, handler: impl Handler) -> Self {
        let settings = rpc_settings();
        let signer = key(BACKEND);
        let responder =
            Responder::bind(endpoint, None, Role::Backend, signer, only(STORE), settings);
        let responder = responder.await.unwrap();
        let endpoint = responder.endpoints()[0].clone();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(responder.serve(Arc::new(handler), stopped, PATIENCE));
        Self {
            endpoint,
            stop,
            served,
        }
    }

    async fn of(endpoint: &Endpoint, backend: impl Backend) -> Self {
        Self::open(endpoint, BackendService::new(Arc::new(backend))).await
    }

    /// Ends it as an operator would.
    async fn close(self) -> Endpoint {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        self.endpoint
    }

    /// Ends it as a crash would.
    async fn kill(self) -> Endpoint {
        self.served.abort();
        let _ = self.served.await;
        self.endpoint
    }
}

async fn remote_of(endpoint: &Endpoint, store: u8, backend: u8, deadline: Duration) -> Remote {
    let connected = Remote::connect(endpoint, None, key(store), only(backend), deadline);
    connected.await.unwrap()
}

/// A remote that knows what it is.
async fn remote(endpoint: &Endpoint) -> Remote {
    let remote = remote_of(endpoint, STORE, BACKEND, DEADLINE).await;
    remote.describe().await.unwrap();
    remote
}

/// Waits in a function that is not asynchronous.
fn wait<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

fn over_memory() -> Subject {
    wait(async {
        let desk = Desk::of(&any_port(), Memory::new(ID)).await;
        Subject {
            backend: Box::new(remote(&desk.endpoint).await),
            reopen: Box::new(move |_| {
                let _desk = &desk;
                unreachable!("it is not durable")
            }),
        }
    })
}

fn over_fs() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = FsSettings::new(folder.path().join("location"));
    settings.reserve_bytes = 0;
    let socket = folder.path().join("socket");
    let endpoint: Endpoint = format!("ipc://{}", socket.display()).parse().unwrap();
    let desk = wait(Desk::of(&endpoint, Fs::open(&settings).unwrap()));
    let backend = Box::new(wait(remote(&desk.endpoint)));
    let desk = Mutex::new(Some(desk));
    let reopen = move |backend| {
        let _folder = &folder;
        drop(backend);
        wait(async {
            let before = desk.lock().unwrap().take().unwrap();
            let endpoint = before.close().await;
            let after = Desk::of(&endpoint, Fs::open(&settings).unwrap()).await;
            let backend = remote(&after.endpoint).await;
            *desk.lock().unwrap() = Some(after);
            Box::new(backend) as Box<dyn Backend>
        })
    };
    Subject {
        backend,
        reopen: Box::new(reopen),
    }
}

mod memory {
    use super::{over_memory, suite};

    behaves!(over_memory);
}

mod folder {
    use super::{over_fs, suite};

    behaves!(over_fs);
}

/// The text of an unavailable location.
fn unavailable<T: Debug>(answer: Result<T, BackendError>) -> String {
    match answer {
        Err(BackendError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Makes a call until it is well.
async fn until_well<T>(call: impl AsyncFn() -> Result<T, BackendError>) -> T {
    let well = async {
        loop {
            match call().await {
                Ok(done) => return done,
                Err(BackendError::Unavailable(_)) => sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, well).await.expect("it comes back")
}

#[tokio::test]
async fn calls_to_a_backend_that_was_killed_are_unavailable_until_it_is_back() {
    let memory = Memory::new(ID);
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let remote = Arc::new(remote(&desk.endpoint).await);
    remote.put(&name("f"), body(1, 1000)).await.unwrap();
    memory.faults().set_hanging(true);
    let under_way = tokio::spawn({
        let remote = Arc::clone(&remote);
        async move { remote.put(&name("g"), body(2, 100_000)).await }
    });
    sleep(Duration::from_millis(100)).await;

    let endpoint = desk.kill().await;

    let why = unavailable(remote.get(&name("f")).await);
    assert!(why.starts_with(&endpoint.to_string()), "{why}");
    memory.faults().set_hanging(false);
    let _desk = Desk::of(&endpoint, memory.clone()).await;
    unavailable(timeout(PATIENCE, under_way).await.unwrap().unwrap());
    let read = until_well(async || remote.get(&name("f")).await).await;
    assert_eq!(read, body(1, 1000));
    remote.put(&name("g"), body(2, 100_000)).await.unwrap();
    assert_eq!(memory.faults().names(), [name("f"), name("g")]);
}

#[tokio::test]
async fn a_put_that_took_effect_unknown_to_its_caller_is_repeated() {
    let memory = Memory::new(ID);
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let remote = remote(&desk.endpoint).await;
    memory.faults().leave_unanswered(1);

    unavailable(remote.put(&name("f"), body(1, 1000)).await);

    assert_eq!(memory.faults().names(), [name("f")]);
    remote.put(&name("f"), body(1, 1000)).await.unwrap();
    let other = remote.put(&name("f"), body(2, 1000)).await;
    assert_eq!(other, Err(BackendError::Exists));
}

#[tokio::test]
async fn a_call_ends_with_its_deadline_and_later_ones_go_on() {
    let memory = Memory::new(ID);
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let deadline = Duration::from_secs(2);
    let remote = remote_of(&desk.endpoint, STORE, BACKEND, deadline).await;
    until_well(async || remote.describe().await).await;
    memory.faults().set_hanging(true);

    let hung = timeout(PATIENCE, remote.usage()).await.unwrap();

    let why = unavailable(hung);
    assert!(why.contains("deadline"), "{why}");
    memory.faults().set_hanging(false);
    until_well(async || remote.usage().await).await;
}

#[tokio::test]
async fn a_backend_that_proves_another_key_is_asked_nothing() {
    let memory = Memory::new(ID);
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let remote = remote_of(&desk.endpoint, STORE, STRANGER, DEADLINE).await;

    let why = unavailable(remote.put(&name("f"), body(1, 10)).await);

    assert!(why.starts_with(&desk.endpoint.to_string()), "{why}");
    assert!(why.contains("not the expected one"), "{why}");
    assert_eq!(memory.faults().names(), []);
}

#[tokio::test]
async fn a_store_that_is_not_admitted_reaches_nothing() {
    let memory = Memory::new(ID);
    memory.put(&name("f"), body(1, 10)).await.unwrap();
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let stranger = remote_of(&desk.endpoint, STRANGER, BACKEND, DEADLINE).await;

    unavailable(stranger.put(&name("g"), body(1, 10)).await);
    unavailable(stranger.get(&name("f")).await);
    unavailable(stranger.delete(&name("f")).await);
    unavailable(stranger.list(None, 10).await);

    assert_eq!(memory.faults().names(), [name("f")]);
    unavailable(stranger.describe().await);
}

#[tokio::test]
async fn a_backend_says_what_it_is() {
    let description = Description {
        id: ID,
        durable: true,
        computes: true,
    };
    let desk = Desk::of(&any_port(), Memory::posing_as(description)).await;

    let told = remote(&desk.endpoint).await.describe().await;

    assert_eq!(told, Ok(description));
}

#[tokio::test]
async fn where_another_location_answers_nothing_is_stored_read_or_deleted() {
    let other = Memory::new(LocationId([2; 16]));
    other.put(&name("f"), body(1, 10)).await.unwrap();
    let desk = Desk::of(&any_port(), Memory::new(ID)).await;
    let remote = remote(&desk.endpoint).await.only(ID);
    remote.put(&name("f"), body(2, 10)).await.unwrap();

    let endpoint = desk.kill().await;
    let desk = Desk::of(&endpoint, other.clone()).await;

    let put = async || remote.put(&name("g"), body(1, 10)).await;
    let refused = async {
        // While the link is down it is that which is told.
        while !unavailable(put().await).contains("mount the right disk") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("it is told");
    unavailable(remote.get(&name("f")).await);
    unavailable(remote.read(&name("f"), 0..1).await);
    unavailable(remote.delete(&name("f")).await);
    unavailable(remote.list(None, 10).await);
    unavailable(remote.usage().await);
    unavailable(remote.describe().await);
    assert_eq!(other.faults().names(), [name("f")]);
    drop(desk);
}

#[tokio::test]
async fn the_longest_body_travels_and_a_longer_one_is_too_large() {
    let memory = Memory::new(ID);
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let remote = remote(&desk.endpoint).await;
    let longest = Bytes::from(vec![1; usize::try_from(REMOTE_BYTES_MAX).unwrap()]);
    let longer = Bytes::from(vec![2; longest.len() + 1]);
    let too_large = BackendError::TooLarge {
        bytes: REMOTE_BYTES_MAX + 1,
    };

    remote.put(&name("f"), longest.clone()).await.unwrap();
    let refused = remote.put(&name("g"), longer.clone()).await;

    assert!(remote.get(&name("f")).await.unwrap() == longest);
    assert_eq!(refused, Err(too_large.clone()));
    // It got there without a link.
    memory.put(&name("g"), longer.clone()).await.unwrap();
    assert_eq!(remote.get(&name("g")).await, Err(too_large));
    let read = remote.read(&name("g"), 10..REMOTE_BYTES_MAX).await.unwrap();
    assert!(read == longer.slice(10..longest.len()));
}

#[tokio::test]
async fn a_long_listing_comes_in_pages() {
    let memory = Memory::new(ID);
    for at in 0..6000 {
        let name = name(&format!("{at:0>100}"));
        memory.put(&name, body(1, 1)).await.unwrap();
    }
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let remote = remote(&desk.endpoint).await;

    let listed = suite::list_all(&remote, usize::MAX).await;

    let names: Vec<_> = listed.into_iter().map(|listed| listed.name).collect();
    assert_eq!(names, memory.faults().names());
}

#[tokio::test]
async fn what_a_backend_says_of_itself_arrives_under_its_endpoint() {
    let memory = Memory::new(ID);
    let desk = Desk::of(&any_port(), memory.clone()).await;
    let remote = remote(&desk.endpoint).await;

    memory.faults().set_capacity(Some(5));
    let full = remote.put(&name("f"), body(1, 10)).await;
    assert_eq!(remote.usage().await.unwrap().free_bytes, Some(5));
    memory.faults().set_down(true);
    let down = remote.get(&name("f")).await;

    let endpoint = &desk.endpoint;
    let expected = BackendError::Full(format!("{endpoint}: told to be full"));
    assert_eq!(full, Err(expected));
    assert_eq!(unavailable(down), format!("{endpoint}: down"));
}

/// Answers every request with the same frame.
struct Parrot(Frame);

impl Handler for Parrot {
    async fn handle(&self, _peer: PeerKey, _request: Frame) -> Frame {
        self.0.clone()
    }
}

fn answer(reply: reply::Reply) -> Frame {
    let reply = Some(reply);
    Frame::new(wire::Reply { reply }.encode_to_vec())
}

fn page(names: &[&str]) -> Frame {
    let listed = names.iter().map(|name| wire::Listed {
        name: (*name).to_owned(),
        bytes: 1,
    });
    let fragments = listed.collect();
    answer(reply::Reply::Page(wire::Page { fragments }))
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_believed() {
    let bodied = answer(reply::Reply::Body(wire::Body {})).with("four");
    for frame in [
        Frame::default(),
        Frame::new("no message"),
        answer(reply::Reply::Stored(wire::Stored {})).with("more"),
        answer(reply::Reply::Problem(wire::Problem::default())),
        answer(reply::Reply::Body(wire::Body {})),
        page(&["../f"]),
    ] {
        let desk = Desk::open(&any_port(), Parrot(frame)).await;
        let remote = remote_of(&desk.endpoint, STORE, BACKEND, DEADLINE).await;

        unavailable(remote.put(&name("f"), body(1, 10)).await);
        unavailable(remote.get(&name("f")).await);
        unavailable(remote.read(&name("f"), 0..4).await);
        unavailable(remote.delete(&name("f")).await);
        unavailable(remote.list(None, 10).await);
        unavailable(remote.usage().await);
        unavailable(remote.describe().await);
    }

    let desk = Desk::open(&any_port(), Parrot(bodied)).await;
    let remote = remote_of(&desk.endpoint, STORE, BACKEND, DEADLINE).await;
    assert_eq!(remote.read(&name("f"), 1..5).await.unwrap(), "four");
    for range in [1..4, 1..6] {
        unavailable(remote.read(&name("f"), range).await);
    }
    unavailable(remote.put(&name("f"), body(1, 10)).await);
}

#[tokio::test]
async fn a_listing_that_would_go_round_is_not_believed() {
    let desk = Desk::open(&any_port(), Parrot(page(&["b", "c"]))).await;
    let remote = remote_of(&desk.endpoint, STORE, BACKEND, DEADLINE).await;

    assert_eq!(remote.list(Some(&name("a")), 2).await.unwrap().len(), 2);
    unavailable(remote.list(Some(&name("a")), 1).await);
    unavailable(remote.list(Some(&name("b")), 2).await);
    unavailable(remote.list(Some(&name("c")), 2).await);
}

/// Requests as a peer could make them that knows the format and keeps no rule.
fn requests() -> impl Strategy<Value = Bytes> {
    let names = prop_oneof![
        Just("f".to_owned()),
        Just(String::new()),
        Just("../../f".to_owned()),
        "\\PC{0,120}",
    ];
    let request = (names, 0_u8..9, any::<[u64; 2]>()).prop_map(|(name, kind, [one, other])| {
        let request = match kind {
            0 => request::Request::Put(wire::Put { name }),
            1 => request::Request::Get(wire::Get { name }),
            2 => request::Request::Read(wire::Read {
                name,
                start: one,
                end: other,
            }),
            3 => request::Request::Delete(wire::Delete { name }),
            4 => request::Request::List(wire::List {
                after: name,
                limit: one as u32,
            }),
            5 => request::Request::Usage(wire::GetUsage {}),
            6 => request::Request::Describe(wire::Describe {}),
            _ => return Bytes::from(wire::Request::default().encode_to_vec()),
        };
        let request = Some(request);
        let call = wire::Request {
            request,
            ..wire::Request::default()
        };
        call.encode_to_vec().into()
    });
    prop_oneof![request, vec(any::<u8>(), 0..200).prop_map(Bytes::from)]
}

proptest! {
    #[test]
    fn whatever_bytes_come_as_a_request_are_answered(
        heads in vec((requests(), vec(vec(any::<u8>(), 0..9), 0..3)), 1..20),
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let memory = Memory::new(ID);
        let service = BackendService::new(Arc::new(memory.clone()));

        for (head, attachments) in heads {
            let attachments = attachments.into_iter().map(Bytes::from).collect();
            let answered = runtime.block_on(service.answer(Frame { head, attachments }));

            let reply = wire::Reply::decode(answered.head).unwrap();
            prop_assert!(reply.reply.is_some());
        }
        let names = memory.faults().names();
        prop_assert!(names.iter().all(|name| !name.as_str().contains('/')));
    }
}
