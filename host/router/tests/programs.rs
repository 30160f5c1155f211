//! The loop around the core, with trusted programs that are not what they should be.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_enclave::Program;
use sc_launcher::{Door, Platform};
use sc_proto::cbr::{self, reply::Reply};
use sc_router::{Counters, Router, RouterError, RouterNews, RouterSettings, serve};
use sc_transport::{Attach, Driver, LinkKey, LinkSettings, Links};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes; what hangs fails by it.
const PATIENCE: Duration = Duration::from_secs(20);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Says this of itself and nothing else.
struct Saying(Bytes);

impl Program for Saying {
    fn handle(&self, _: Bytes, _: &mut dyn FnMut(&mut [u8])) -> Bytes {
        self.0.clone()
    }
}

fn describing(program: &str, version: &str) -> Saying {
    let description = cbr::Description {
        program: program.into(),
        version: version.into(),
        tee: "a line".into(),
    };
    let reply = cbr::Reply {
        reply: Some(Reply::Description(description)),
    };
    Saying(reply.encode_to_vec().into())
}

fn inline(program: impl Program + 'static) -> Door {
    Door::start(Platform::Inline {
        program: Arc::new(program),
        entropy: |bytes| bytes.fill(0),
    })
    .unwrap()
}

async fn driver() -> Driver<Links> {
    let attach = Attach::Bind("tcp://127.0.0.1:0".parse().unwrap());
    let key = LinkKey::from_seed(&[1; 32]);
    Driver::acceptor(&attach, None, LinkSettings::default(), key)
        .await
        .unwrap()
}

/// Runs a router over `door` until `stop`; returns how it ended and what it told.
async fn run(
    door: Door,
    stop: impl Future<Output = ()>,
) -> (Result<Counters, RouterError>, Vec<RouterNews>) {
    let router = Router::new(RouterSettings::default());
    let mut news = Vec::new();
    let serving = serve(router, driver().await, door, stop, |told| news.push(told));
    let ended = timeout(PATIENCE, serving).await.unwrap();
    (ended, news)
}

#[tokio::test]
async fn the_routing_program_of_this_version_is_served_until_the_stop() {
    let stop = sleep(Duration::from_millis(20));

    let (ended, news) = run(inline(describing("sc-cbr", VERSION)), stop).await;

    assert_eq!(ended.unwrap(), Counters::default());
    assert!(matches!(
        &news[..],
        [RouterNews::Program { program, tee }]
            if program.starts_with("sc-cbr") && tee == "a line"
    ));
}

#[tokio::test]
async fn another_program_or_version_is_not_served() {
    let unfit = [
        describing("sc-coder", VERSION),
        describing("sc-cbr", "0.0.0"),
        describing("", ""),
        Saying(Bytes::new()),
        Saying("garbage".into()),
        Saying(
            cbr::Reply {
                reply: Some(Reply::Closed(cbr::Closed {})),
            }
            .encode_to_vec()
            .into(),
        ),
    ];
    for program in unfit {
        let (ended, news) = run(inline(program), pending()).await;

        assert!(matches!(ended, Err(RouterError::Unfit(_))), "{ended:?}");
        assert!(news.is_empty());
    }
}

#[tokio::test]
async fn a_program_that_is_gone_ends_the_router() {
    let door = Door::start(Platform::Process {
        binary: "/bin/false".into(),
    });

    let (ended, _) = run(door.unwrap(), pending()).await;

    assert!(matches!(ended, Err(RouterError::Program(_))), "{ended:?}");
}

#[tokio::test]
async fn a_silent_program_does_not_keep_a_router_from_ending() {
    struct Silent;
    impl Program for Silent {
        fn handle(&self, _: Bytes, _: &mut dyn FnMut(&mut [u8])) -> Bytes {
            std::thread::sleep(PATIENCE);
            Bytes::new()
        }
    }

    let (ended, _) = run(inline(Silent), sleep(Duration::from_millis(20))).await;

    assert!(ended.is_ok());
}
