//! Requests and replies over real sockets: many at once, every way in which one fails, and what stays bounded.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test itself"
)]

mod desk;
mod rogues;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sc_transport::{
    Admission, Frame, Handler, LinkKeys, LinkState, PeerKey, Requester, Responder, Role, RpcError,
    RpcSettings, os_entropy,
};
use tokio::time::{sleep, timeout};

use crate::desk::{
    CLIENT, Desk, LONG, PATIENCE, STORE, Service, client_of, echo, key, only, peer, until_up,
};

#[tokio::test]
async fn a_reply_comes_back_with_its_attachments_on_every_kind_of_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", folder.path().join("store").display());
    for endpoint in ["localhost:0", &ipc, "inproc://requests"] {
        let endpoint = endpoint.parse().unwrap();
        let service = Service::at(&endpoint, None, RpcSettings::default()).await;
        let client = service.client().await;
        let request = Frame::new("echo").with(vec![1; 3 << 20]).with("").with("x");

        let reply = client.call(request.clone(), LONG).await;

        assert_eq!(reply, Ok(request), "{endpoint}");
        assert_eq!(client.peer(), Some(peer(STORE)));
        client.close().await;
        assert_eq!(client.call(echo(1), LONG).await, Err(RpcError::Closed));
    }
}

#[tokio::test]
async fn many_tasks_call_at_once_and_each_gets_its_own_reply() {
    let service = Service::new().await;
    let client = service.client().await;

    let calls = (0..2000).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { (number, client.call(echo(number), LONG).await) })
    });

    for joined in join_all(calls).await {
        let (number, reply) = joined.unwrap();
        assert_eq!(reply, Ok(echo(number)));
    }
}

#[tokio::test]
async fn a_slow_request_holds_up_no_other() {
    let service = Service::new().await;
    let client = service.client().await;
    let slow = client.call(Frame::new("wait"), LONG);

    let quick = async {
        for number in 0..10 {
            client.call(echo(number), LONG).await.unwrap();
        }
        service.desk.gate.0.add_permits(1);
    };

    let (slow, ()) = tokio::join!(slow, quick);
    assert_eq!(slow, Ok(Frame::new("wait")));
}

#[tokio::test]
async fn replies_come_in_any_order() {
    let service = Service::new().await;
    let client = service.client().await;
    until_up(&client).await;
    let order = std::sync::Mutex::new(Vec::new());
    let after = |ms: u64| {
        let reply = client.call(Frame::new(format!("after {ms}")), LONG);
        let order = &order;
        async move {
            reply.await.unwrap();
            order.lock().unwrap().push(ms);
        }
    };

    tokio::join!(after(300), after(150), after(1));

    assert_eq!(*order.lock().unwrap(), [1, 150, 300]);
}

#[tokio::test]
async fn after_its_deadline_a_call_ends_and_so_does_its_handler() {
    let service = Service::new().await;
    let client = service.client().await;
    until_up(&client).await;

    let reply = client
        .call(Frame::new("wait"), Duration::from_millis(200))
        .await;

    assert_eq!(reply, Err(RpcError::Deadline));
    assert_eq!(service.desk.begun.load(Ordering::SeqCst), 1);
    service.desk.until_at_work(0).await;
    assert_eq!(client.call(echo(1), LONG).await, Ok(echo(1)));
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_its_handler() {
    let service = Service::new().await;
    let client = service.client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .call(Frame::new("wait").with(vec![0; 1 << 20]), LONG)
                .await
        }
    });
    service.desk.until_at_work(1).await;

    call.abort();

    service.desk.until_at_work(0).await;
    assert_eq!(client.call(echo(1), LONG).await, Ok(echo(1)));
}

#[tokio::test]
async fn calls_without_a_peer_are_known_not_to_have_left() {
    let settings = RpcSettings {
        link_patience: Duration::from_millis(200),
        ..RpcSettings::default()
    };
    let nobody = "localhost:1".parse().unwrap();
    let client = client_of(&nobody, settings).await;

    let patient = client.call(echo(1), LONG);
    let hasty = client.call(echo(2), Duration::from_millis(20));

    let both = timeout(PATIENCE, async { tokio::join!(patient, hasty) }).await;
    assert_eq!(
        both.unwrap(),
        (Err(RpcError::NotSent), Err(RpcError::NotSent))
    );
}

#[tokio::test]
async fn a_service_that_comes_back_is_found_again_and_calls_in_flight_are_lost() {
    let service = Service::new().await;
    let client = service.client().await;
    let lost = tokio::spawn({
        let client = client.clone();
        async move { client.call(Frame::new("wait"), 3 * LONG).await }
    });
    service.desk.until_at_work(1).await;

    let endpoint = service.kill().await;
    let service = Service::at(&endpoint, None, RpcSettings::default()).await;

    let lost = timeout(PATIENCE, lost).await.expect("an outcome").unwrap();
    assert_eq!(lost, Err(RpcError::Disconnected));
    assert_eq!(client.call(echo(1), LONG).await, Ok(echo(1)));
    assert_eq!(service.desk.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_beyond_the_bound_of_a_link_are_refused() {
    let service = Service::with(RpcSettings {
        in_flight_per_link: 4,
        ..RpcSettings::default()
    })
    .await;
    let client = service.client().await;
    let calls: Vec<_> = (0..7)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call(Frame::new("wait"), LONG).await })
        })
        .collect();
    service.desk.until_at_work(4).await;

    assert_eq!(client.call(echo(0), LONG).await, Err(RpcError::Overloaded));
    service.desk.gate.0.add_permits(4);

    let replies = join_all(calls).await;
    let refused = replies
        .iter()
        .filter(|reply| *reply.as_ref().unwrap() == Err(RpcError::Overloaded));
    assert_eq!(refused.count(), 3);
    assert_eq!(client.call(echo(1), LONG).await, Ok(echo(1)));
}

#[tokio::test]
async fn requests_beyond_the_bound_of_all_links_are_refused() {
    let service = Service::with(RpcSettings {
        handlers_max: 3,
        ..RpcSettings::default()
    })
    .await;
    let clients = join_all((0..4).map(|_| service.client())).await;
    let calls = clients.iter().map(|client| {
        let client = client.clone();
        tokio::spawn(async move { client.call(Frame::new("wait"), LONG).await })
    });
    let calls: Vec<_> = calls.collect();
    service.desk.until_at_work(3).await;
    sleep(Duration::from_millis(50)).await;

    service.desk.gate.0.add_permits(3);

    let replies = join_all(calls).await;
    let served = replies
        .iter()
        .filter(|reply| reply.as_ref().unwrap().is_ok());
    assert_eq!(served.count(), 3);
}

#[tokio::test]
async fn a_requester_keeps_back_what_would_be_refused() {
    let service = Service::with(RpcSettings {
        in_flight_per_link: 4,
        ..RpcSettings::default()
    })
    .await;
    let settings = RpcSettings {
        in_flight_per_link: 4,
        ..RpcSettings::default()
    };
    let client = client_of(&service.endpoint, settings).await;

    let replies = join_all((0..100).map(|number| client.call(echo(number), LONG))).await;

    assert!(replies.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_is_larger_than_the_receiver_accepts_is_refused_and_the_link_lives() {
    let service = Service::with(RpcSettings {
        max_frame: 1 << 20,
        ..RpcSettings::default()
    })
    .await;
    let settings = RpcSettings {
        max_frame: 1 << 19,
        ..RpcSettings::default()
    };
    let client = client_of(&service.endpoint, settings).await;

    let request = Frame::new("echo").with(vec![0; 1 << 20]);
    let request = client.call(request, LONG).await;
    let reply = client.call(Frame::new("size 600000"), LONG).await;

    assert!(
        matches!(request, Err(RpcError::TooLarge { .. })),
        "{request:?}"
    );
    let max = 1 << 19;
    assert_eq!(reply, Err(RpcError::TooLarge { size: 0, max }));
    let largest = Frame::new("echo").with(vec![0; (1 << 19) - 4]);
    assert_eq!(client.call(largest.clone(), LONG).await, Ok(largest));
}

#[tokio::test]
async fn a_handler_that_breaks_down_fails_its_own_call_alone() {
    let service = Service::new().await;
    let client = service.client().await;

    assert_eq!(
        client.call(Frame::new("nonsense"), LONG).await,
        Err(RpcError::Failed)
    );
    assert_eq!(client.call(echo(1), LONG).await, Ok(echo(1)));
}

#[tokio::test]
async fn a_store_with_another_key_gets_no_request() {
    let service = Service::new().await;
    let client = Requester::connect(
        &service.endpoint,
        None,
        Role::Client,
        key(CLIENT),
        only(9),
        RpcSettings::default(),
    )
    .await
    .unwrap();

    assert_eq!(client.call(echo(1), LONG).await, Err(RpcError::NotSent));

    let LinkState::Down { why: Some(why) } = client.state().borrow().clone() else {
        panic!("no reason");
    };
    assert!(why.contains("not the expected one"), "{why}");
}

#[tokio::test]
async fn a_client_that_is_not_admitted_or_of_another_role_is_refused() {
    let responder = Responder::bind(
        &"localhost:0".parse().unwrap(),
        None,
        Role::Backend,
        key(STORE),
        only(CLIENT),
        RpcSettings::default(),
    )
    .await
    .unwrap();
    let endpoint = responder.endpoints()[0].clone();
    let served = responder.serve(Arc::new(Desk::default()), std::future::pending(), PATIENCE);
    let served = tokio::spawn(served);

    for (role, seed, why) in [
        (
            Role::Client,
            CLIENT,
            "a backend accepts no links of a client",
        ),
        (
            Role::Publisher,
            CLIENT,
            "a backend accepts no links of a publisher",
        ),
        (Role::Store, 3, "not admitted"),
    ] {
        let client = Requester::connect(
            &endpoint,
            None,
            role,
            key(seed),
            only(STORE),
            RpcSettings::default(),
        )
        .await
        .unwrap();
        let mut state = client.state();
        let told = state.wait_for(
            |state| matches!(state, LinkState::Down { why: Some(told) } if told.contains(why)),
        );
        timeout(PATIENCE, told).await.expect(why).unwrap();
    }
    served.abort();
}

#[tokio::test]
async fn clients_under_one_key_do_not_take_each_others_place() {
    let service = Service::new().await;
    let (one, other) = (service.client().await, service.client().await);

    for number in 0..3 {
        assert_eq!(one.call(echo(number), LONG).await, Ok(echo(number)));
        assert_eq!(other.call(echo(number), LONG).await, Ok(echo(number)));
    }
}

#[tokio::test]
async fn requests_are_encrypted_where_there_are_link_keys() {
    let (mut store, mut client) = (
        LinkKeys::generate(&mut os_entropy()),
        LinkKeys::generate(&mut os_entropy()),
    );
    store.peers = vec![client.public()];
    client.peers = vec![store.public()];
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let service = Service::at(&anywhere, Some(&store), RpcSettings::default()).await;
    let client = Requester::connect(
        &service.endpoint,
        Some(&client),
        Role::Client,
        key(CLIENT),
        only(STORE),
        RpcSettings::default(),
    )
    .await
    .unwrap();
    let request = Frame::new("echo").with(vec![1; 5 << 20]);

    assert_eq!(client.call(request.clone(), LONG).await, Ok(request));

    let plain = service.client().await;
    assert_eq!(plain.call(echo(1), LONG).await, Err(RpcError::NotSent));
}

#[tokio::test]
async fn a_responder_that_ends_answers_what_it_has_and_refuses_what_comes() {
    let mut service = Service::new().await;
    let client = service.client().await;
    let taken = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .call(Frame::new("wait").with(vec![1; 1 << 20]), LONG)
                .await
        }
    });
    service.desk.until_at_work(1).await;

    service.stop.take().unwrap().send(()).unwrap();
    sleep(Duration::from_millis(50)).await;
    let refused = client.call(echo(1), LONG).await;
    service.desk.gate.0.add_permits(1);

    assert_eq!(refused, Err(RpcError::NotSent));
    assert!(taken.await.unwrap().is_ok());
    let served = timeout(PATIENCE, service.served).await;
    assert!(served.expect("the end").unwrap().is_ok());
}

#[tokio::test]
async fn attachments_are_not_copied_on_their_way_within_a_process() {
    struct Keep(std::sync::Mutex<Option<Bytes>>);
    impl Handler for Keep {
        async fn handle(&self, _peer: PeerKey, request: Frame) -> Frame {
            *self.0.lock().unwrap() = request.attachments.first().cloned();
            Frame::default()
        }
    }
    let responder = Responder::bind(
        &"inproc://uncopied".parse().unwrap(),
        None,
        Role::Store,
        key(STORE),
        Admission::Any,
        RpcSettings::default(),
    )
    .await
    .unwrap();
    let endpoint = responder.endpoints()[0].clone();
    let keep = Arc::new(Keep(None.into()));
    let served = responder.serve(Arc::clone(&keep), std::future::pending(), PATIENCE);
    let served = tokio::spawn(served);
    let client = client_of(&endpoint, RpcSettings::default()).await;
    let bulk = Bytes::from(vec![5; 4 << 20]);

    client
        .call(Frame::new("").with(bulk.clone()), LONG)
        .await
        .unwrap();

    let kept = keep.0.lock().unwrap().take().unwrap();
    assert_eq!(kept.as_ptr(), bulk.as_ptr());
    served.abort();
}
