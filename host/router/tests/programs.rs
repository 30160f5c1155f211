//! The loop around the core, with trusted programs that are not what they should be.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use sc_enclave::Program;
use sc_launcher::{Door, LaunchError, Platform};
use sc_proto::cbr::{self, reply::Reply};
use sc_router::{Counters, Router, RouterError, RouterNews, RouterSettings, serve};
use sc_transport::{Attach, Driver, LinkKey, LinkSettings, Links};
use tokio::sync::Notify;
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

/// Runs a router over what `launch` starts until `stop`; returns how it ended and what it told, but for the numbers.
async fn run(
    launch: impl FnMut() -> Result<Door, LaunchError>,
    stop: impl Future<Output = ()>,
) -> (Result<Counters, RouterError>, Vec<RouterNews>) {
    run_until(launch, stop, usize::MAX).await
}

/// The same, until a program has said what it is for the `programs`th time.
async fn run_until(
    launch: impl FnMut() -> Result<Door, LaunchError>,
    stop: impl Future<Output = ()>,
    programs: usize,
) -> (Result<Counters, RouterError>, Vec<RouterNews>) {
    let router = Router::new(RouterSettings::default());
    let mut news = Vec::new();
    let (said, mut ready) = (Notify::new(), 0);
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = said.notified() => {}
        }
    };
    let tell = |told| {
        ready += usize::from(matches!(told, RouterNews::Program { .. }));
        if ready >= programs {
            said.notify_one();
        }
        if !matches!(told, RouterNews::Measured { .. }) {
            news.push(told);
        }
    };
    let serving = serve(router, driver().await, launch, None, stop, tell);
    let ended = timeout(PATIENCE, serving).await.unwrap();
    (ended, news)
}

/// Starts these, one after another.
fn each(programs: impl IntoIterator<Item = Door>) -> impl FnMut() -> Result<Door, LaunchError> {
    let mut programs: Vec<Door> = programs.into_iter().collect();
    programs.reverse();
    move || Ok(programs.pop().expect("started more often than meant"))
}

#[tokio::test]
async fn the_routing_program_of_this_version_is_served_until_the_stop() {
    let launch = each([inline(describing("sc-cbr", VERSION))]);

    let (ended, news) = run_until(launch, pending(), 1).await;

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
        let (ended, news) = run(each([inline(program)]), pending()).await;

        assert!(matches!(ended, Err(RouterError::Unfit(_))), "{ended:?}");
        assert!(news.is_empty());
    }
}

#[tokio::test]
async fn a_program_that_ends_before_it_has_said_what_it_is_ends_the_router() {
    let door = Door::start(Platform::Process {
        binary: "/bin/false".into(),
        arguments: Vec::new(),
    });

    let (ended, _) = run(each([door.unwrap()]), pending()).await;

    assert!(matches!(ended, Err(RouterError::Program)), "{ended:?}");
}

#[tokio::test]
async fn a_program_that_does_not_start_ends_the_router_and_says_why() {
    let launch = || {
        Door::start(Platform::Process {
            binary: "/no/such/program".into(),
            arguments: Vec::new(),
        })
    };

    let (ended, _) = run(launch, pending()).await;

    assert!(matches!(ended, Err(RouterError::Launch(_))), "{ended:?}");
}

/// A child that says what it is, and ends.
fn ending() -> Door {
    let reply = describing("sc-cbr", VERSION).0;
    let mut frame = BytesMut::new();
    sc_launcher::push_frame(&mut frame, 0, &reply);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer");
    std::fs::write(&path, &frame).unwrap();
    let script = folder.path().join("program");
    let text = format!("#!/bin/sh\nexec cat {}\n", path.display());
    std::fs::write(&script, text).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, executable).unwrap();
    // The folder has to outlive the child's start.
    let _ = folder.keep();
    Door::start(Platform::Process {
        binary: script,
        arguments: Vec::new(),
    })
    .unwrap()
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_told_of_each_time() {
    let mut started = 0;
    let launch = move || {
        started += 1;
        if started == 3 {
            return Ok(inline(describing("sc-cbr", VERSION)));
        }
        Ok(ending())
    };

    let (ended, news) = run_until(launch, pending(), 3).await;

    assert_eq!(ended.unwrap().programs_lost, 2);
    let pauses: Vec<u64> = news
        .iter()
        .filter_map(|told| match told {
            RouterNews::ProgramLost { pause, .. } => Some(pause.as_secs()),
            _ => None,
        })
        .collect();
    assert_eq!(pauses, [0, 1]);
    let ready = |told: &&RouterNews| matches!(told, RouterNews::Program { .. });
    assert_eq!(news.iter().filter(ready).count(), 3);
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

    let (ended, _) = run(each([inline(Silent)]), sleep(Duration::from_millis(20))).await;

    assert!(ended.is_ok());
}
