//! Who may open which domain here, and what each kind of peer may say.

use sc_proto::cbr::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::routing::{self, refused::Cause, to_publisher, to_subscriber};
use sc_router::RouterSettings;
use sc_transport::{Frame, FrameClass, LinkId, Role};

use crate::house::{ALICE, BOB, COST, House, OWNER, Sent, domain, key, opened, refusal};

const STRANGER: LinkId = LinkId(51);

fn with_owner(settings: RouterSettings) -> House {
    let mut house = House::new(settings);
    house.establish(OWNER, Role::Publisher);
    house
}

#[test]
fn provisioning_passes_through_and_opens_the_domain_for_its_subscribers() {
    let mut house = with_owner(RouterSettings {
        tee: "a line".into(),
        ..RouterSettings::default()
    });
    house.establish(ALICE, Role::Subscriber);
    house.attach(ALICE, OWNER);
    house.challenge(OWNER, key(OWNER));
    let done = house.done();
    let (token, call) = done.call();
    assert!(matches!(call, Call::Challenge(_)));
    house.reply(token, Reply::Offer(sc_proto::provision::Offer::default()));
    let offered = house.done();
    house.secrets(OWNER, false);
    let done_secrets = house.done();
    let (token, _) = done_secrets.call();
    house.reply(token, opened(OWNER, 9));
    let done_opened = house.done();

    assert!(matches!(
        &offered.sent[0],
        Sent::ToPublisher(OWNER, to_publisher::Frame::Offer(offer), _) if offer.tee == "a line"
    ));
    let states = |done: &crate::house::Done| {
        done.sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::ToSubscriber(ALICE, to_subscriber::Frame::DomainState(state), _) => {
                    Some((state.open, state.session))
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&done), [(false, 0)]);
    assert_eq!(states(&done_opened), [(true, 9)]);
    assert_eq!(house.router.counters().sessions, 1);
}

#[test]
fn a_router_has_no_use_for_another() {
    let mut house = House::new(RouterSettings::default());

    house.establish(STRANGER, Role::Router);

    assert_eq!(house.done().closed, [STRANGER]);
    assert_eq!(house.router.peers(), (0, 0));
}

#[test]
fn a_frame_of_a_peer_without_a_role_is_dropped_and_its_credit_given_back() {
    let mut house = House::new(RouterSettings::default());
    house.establish(STRANGER, Role::Router);
    house.done();

    house.challenge(STRANGER, key(STRANGER));
    house.challenge(LinkId(60), key(LinkId(60)));

    let done = house.done();
    assert!(done.calls.is_empty() && done.sent.is_empty());
    let credit = |link| (link, FrameClass::Control, COST);
    assert_eq!(done.released, [credit(STRANGER), credit(LinkId(60))]);
}

#[test]
fn a_challenge_for_another_owner_than_the_link_proved_is_refused() {
    let mut house = with_owner(RouterSettings::default());

    house.challenge(OWNER, key(ALICE));

    let done = house.done();
    assert!(done.calls.is_empty());
    assert_eq!(done.causes(), [Cause::Malformed]);
}

#[test]
fn a_domain_is_not_given_to_a_link_that_did_not_prove_its_owner() {
    let mut house = House::open();
    house.establish(STRANGER, Role::Publisher);
    house.secrets(STRANGER, false);
    let (token, _) = house.done().call();

    house.reply(token, opened(OWNER, 2));
    let done = house.done();
    house.control(STRANGER, 2, 1);

    assert_eq!(done.causes(), [Cause::Program]);
    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);
    house.control(OWNER, 1, 1);
    assert_eq!(house.done().calls.len(), 1, "the owner goes on");
}

#[test]
fn a_session_opened_for_a_link_that_is_gone_is_nobodys() {
    let mut house = with_owner(RouterSettings::default());
    house.secrets(OWNER, false);
    let (token, _) = house.done().call();
    house.close(OWNER);

    house.reply(token, opened(OWNER, 2));

    assert!(house.done().sent.is_empty());
    house.establish(ALICE, Role::Subscriber);
    house.ask(ALICE, OWNER);
    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);
}

#[test]
fn only_pinned_owners_are_served_and_the_program_forgets_the_others() {
    let mut house = with_owner(RouterSettings {
        pinned: Some(vec![[9; 32]]),
        ..RouterSettings::default()
    });
    house.secrets(OWNER, false);
    let (token, _) = house.done().call();

    house.reply(token, opened(OWNER, 4));

    let done = house.done();
    assert_eq!(done.causes(), [Cause::OwnerNotPinned]);
    let (token, call) = done.call();
    let close = cbr::Close {
        domain: domain(OWNER),
        session: 4,
    };
    assert_eq!(*call, Call::Close(close));
    house.reply(token, Reply::Closed(cbr::Closed {}));
    assert!(house.done().sent.is_empty());
    house.control(OWNER, 4, 1);
    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);
    assert_eq!(house.router.counters().sessions, 0);
}

#[test]
fn a_pinned_owner_is_served() {
    let id = domain(OWNER)[..].try_into().unwrap();
    let mut house = with_owner(RouterSettings {
        pinned: Some(vec![[9; 32], id]),
        ..RouterSettings::default()
    });

    house.provision(OWNER, 1);

    assert_eq!(house.done().causes(), []);
    assert_eq!(house.router.counters().sessions, 1);
}

#[test]
fn the_unencrypted_mode_is_refused_when_asked_for_and_when_smuggled_in() {
    for plain in [true, false] {
        let mut house = with_owner(RouterSettings::default());
        house.secrets(OWNER, plain);
        let done = house.done();
        if plain {
            assert_eq!(done.causes(), [Cause::Plain]);
            assert!(done.calls.is_empty());
            continue;
        }
        // The frame said nothing, but the program says that the owner chose it.
        let (token, _) = done.call();
        let Reply::Opened(sealed) = opened(OWNER, 1) else {
            unreachable!("made so");
        };
        house.reply(
            token,
            Reply::Opened(cbr::Opened {
                plain: true,
                ..sealed
            }),
        );
        let done = house.done();
        assert_eq!(done.causes(), [Cause::Plain]);
        assert!(matches!(done.call().1, Call::Close(_)));
    }
}

#[test]
fn the_unencrypted_mode_is_taken_where_the_operator_allows_it() {
    let mut house = with_owner(RouterSettings {
        plain: true,
        ..RouterSettings::default()
    });

    house.secrets(OWNER, true);

    assert!(matches!(house.done().call().1, Call::Secrets(_)));
}

#[test]
fn a_replaced_session_serves_no_more() {
    let mut house = House::open();
    house.provision(OWNER, 2);
    house.done();

    house.control(OWNER, 1, 1);

    assert_eq!(house.done().causes(), [Cause::UnknownDomain]);
    house.control(OWNER, 2, 1);
    assert_eq!(house.done().calls.len(), 1);
}

#[test]
fn what_does_not_decode_is_refused_whoever_sends_it() {
    let mut house = House::open();
    for head in [&b"\xff\xff"[..], b"", b"\x7a\x00", b"\x1a\x05ab"] {
        for link in [OWNER, ALICE] {
            house.frame(link, FrameClass::Control, Frame::new(head.to_vec()));

            let done = house.done();
            assert_eq!(done.causes(), [Cause::Malformed]);
            assert_eq!(done.released, [(link, FrameClass::Control, COST)]);
            assert!(done.calls.is_empty());
        }
    }
}

#[test]
fn each_refusal_of_the_program_reaches_its_publisher() {
    for reason in [
        Reason::Malformed,
        Reason::NotAuthentic,
        Reason::Session,
        Reason::Counter,
        Reason::Limit,
        Reason::Pending,
    ] {
        let mut house = House::open();
        house.control(OWNER, 1, 1);
        let (token, _) = house.done().call();

        house.reply(token, refusal(reason));

        let done = house.done();
        let Sent::ToPublisher(OWNER, to_publisher::Frame::Refused(refused), _) = &done.sent[0]
        else {
            panic!("no refusal first: {:?}", done.sent);
        };
        assert_eq!(refused.cause(), Cause::Program);
        assert_eq!(refused.refusal.unwrap().reason(), reason);
        assert_eq!(done.released, [(OWNER, FrameClass::Control, COST)]);
    }
}

#[test]
fn a_reply_that_does_not_fit_its_call_is_refused() {
    for reply in [
        Reply::Offer(sc_proto::provision::Offer::default()),
        opened(OWNER, 5),
        Reply::Closed(cbr::Closed {}),
        Reply::Description(cbr::Description::default()),
    ] {
        let mut house = House::open();
        house.control(OWNER, 1, 1);
        let (token, _) = house.done().call();

        house.reply(token, reply);

        let done = house.done();
        assert_eq!(done.causes(), [Cause::Program]);
        assert_eq!(done.released, [(OWNER, FrameClass::Control, COST)]);
    }
    let mut house = House::open();
    house.control(OWNER, 1, 1);
    let (token, _) = house.done().call();
    house.router.on_reply(house.now, token, "garbage".into());
    assert_eq!(house.done().causes(), [Cause::Program]);
}

#[test]
fn publishers_and_subscribers_are_counted_apart() {
    let mut house = House::open();
    assert_eq!(house.router.peers(), (1, 2));

    // A second link of the same subscriber, before the end of the first is known.
    house.event(sc_transport::LinkEvent::Established {
        link: LinkId(4),
        peer: key(ALICE),
        role: Role::Subscriber,
    });
    house.close(ALICE);
    house.close(BOB);

    assert_eq!(house.router.peers(), (1, 1));
}

#[test]
fn a_state_is_told_at_once_and_for_what_is_no_domain_refused() {
    let mut house = House::open();
    house.attach(ALICE, OWNER);
    let known = house.done();
    let attach = routing::Attach {
        domain: vec![1; 31].into(),
    };
    let frame = routing::from_subscriber::Frame::Attach(attach);
    house.subscriber_says(ALICE, frame, vec![]);

    assert!(matches!(
        &known.sent[..],
        [Sent::ToSubscriber(ALICE, to_subscriber::Frame::DomainState(state), _)]
            if state.open && state.session == 1
    ));
    assert_eq!(house.done().causes(), [Cause::Malformed]);
}

#[test]
fn a_subscriber_attaches_to_as_many_domains_as_the_bound() {
    let mut house = House::open();
    let attach = |house: &mut House, number: u8| {
        let attach = routing::Attach {
            domain: vec![number; 32].into(),
        };
        let frame = routing::from_subscriber::Frame::Attach(attach);
        house.subscriber_says(ALICE, frame, vec![]);
        house.done().causes()
    };
    // One is the owner's.
    for number in 1..64 {
        assert_eq!(attach(&mut house, number), []);
    }

    assert_eq!(attach(&mut house, 64), [Cause::Limit]);
    assert_eq!(attach(&mut house, 63), [], "what it is attached to already");
}
