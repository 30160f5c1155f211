//! No (key, nonce) pair is used twice by those who publish, wherever their processes are cut off.
//!
//! The keys of a sequence come from the domain key, the session, the publisher and the start. The worst is assumed here: that every session
//! has the same domain key. Then a pair is (session, publisher, start, kind, counter), and a payload's key is that with the index; none may
//! be used twice. What further publishers send is opened with the secrets that they were given, so that the names are the true ones.

use std::collections::BTreeMap;
use std::time::Duration;

use sc_cbr::{Batch, MessageKind, PublisherKeys, Scope};
use sc_client::{Answer, GrantList, PublisherSettings, Verdict};
use sc_crypto::{Secret, VerifyingKey};
use sc_proto::routing::from_publisher;

use crate::world::{IBM, OWNER, WANTS_IBM, World, identity, settings};

const GUEST: u8 = 5;

fn granting() -> PublisherSettings {
    let fingerprint = identity(GUEST).public().fingerprint();
    PublisherSettings {
        grants: GrantList::parse(&fingerprint).unwrap(),
        ..settings()
    }
}

/// Who is cut off, and after how many outputs.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Owner(usize),
    Guest(usize),
}

/// One thing that happens.
type Step = fn(&mut World);

/// A life of an owner and a guest: sessions, restarts, grants, batches that are settled and batches that are not.
const LIFE: [Step; 12] = [
    |world| world.connect(),
    |world| _ = world.join(2, &[(7, WANTS_IBM)]),
    |world| _ = world.invite(GUEST),
    publish_both,
    |world| world.settles = false,
    publish_both,
    |world| world.connect(),
    wait,
    publish_both,
    |world| world.settles = true,
    relink_guest,
    publish_both,
];

fn publish_both(world: &mut World) {
    world.publish(IBM, "of the owner");
    let clock = world.clock;
    for guest in &mut world.guests {
        guest.publish(clock, IBM, "of the guest");
    }
    world.run();
}

fn wait(world: &mut World) {
    world.advance(Duration::from_secs(2));
    world.run();
}

fn relink_guest(world: &mut World) {
    for guest in &mut world.guests {
        guest.inbox.clear();
        guest.grantee.on_established();
    }
    wait(world);
}

/// Lives, and is cut off once; whoever was is started again from its journal.
fn live(cut: Cut) -> (World, bool) {
    let mut world = World::new(granting());
    let mut was_cut = false;
    match cut {
        Cut::Owner(outputs) => world.fuse = Some(outputs),
        Cut::Guest(_) => {}
    }
    for step in LIFE {
        step(&mut world);
        if let (Cut::Guest(outputs), [guest]) = (cut, &mut world.guests[..])
            && guest.fuse.is_none()
            && !was_cut
        {
            guest.fuse = Some(outputs);
        }
        if world.fuse == Some(0) {
            world.fuse = None;
            was_cut = true;
            world.restart(granting());
            world.connect();
            wait(&mut world);
        }
        if let [guest] = &mut world.guests[..]
            && guest.fuse == Some(0)
        {
            guest.fuse = None;
            was_cut = true;
            guest.restart();
            relink_guest(&mut world);
        }
    }
    (world, was_cut)
}

type Pair = (u64, Vec<u8>, u64, &'static str, u64);

fn enter(pairs: &mut BTreeMap<Pair, ()>, pair: Pair, cut: Cut) {
    let before = pairs.insert(pair.clone(), ());
    assert_eq!(before, None, "{pair:?} is used again, {cut:?}");
}

/// Writes down every pair under which something was sent; returns how many.
fn check(world: &World, cut: Cut) -> usize {
    let mut pairs = BTreeMap::new();
    let owner = identity(OWNER).signing_key().verifying_key();
    for frame in &world.sent {
        let (session, start, kind, counter) = match frame {
            from_publisher::Frame::Control(head) => {
                (head.session, head.start, "control", head.counter)
            }
            from_publisher::Frame::Batch(head) => (head.session, head.start, "batch", head.counter),
            _ => continue,
        };
        let pair = (session, owner.as_bytes().to_vec(), start, kind, counter);
        enter(&mut pairs, pair, cut);
    }
    for guest in &world.guests {
        for (head, _) in &guest.batches {
            let pair = (
                head.session,
                guest.key().to_vec(),
                head.start,
                "batch",
                head.counter,
            );
            enter(&mut pairs, pair, cut);
        }
    }
    pairs.len()
}

#[test]
fn an_owner_cut_off_anywhere_uses_no_pair_twice() {
    let mut cuts = 0;
    for outputs in 0.. {
        let (world, was_cut) = live(Cut::Owner(outputs));

        let count = check(&world, Cut::Owner(outputs));
        assert!(count > 12, "{count} after {outputs}");
        if !was_cut {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20);
}

#[test]
fn a_guest_cut_off_anywhere_uses_no_pair_twice() {
    let mut cuts = 0;
    for outputs in 0.. {
        let (world, was_cut) = live(Cut::Guest(outputs));

        let count = check(&world, Cut::Guest(outputs));
        assert!(count > 12, "{count} after {outputs}");
        if !was_cut {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5);
}

/// The secrets that the owner gave a guest, by session and start, from its answers.
fn granted(world: &World) -> BTreeMap<(u64, u64), Secret> {
    let guest = identity(GUEST);
    let answers = world.answers.iter().filter_map(|bytes| {
        let answer = Answer::open(bytes, identity(OWNER).public(), &guest, false).ok()?;
        match answer.verdict {
            Verdict::Granted { start, secret } => Some(((answer.session, start), secret)),
            _ => None,
        }
    });
    answers.collect()
}

#[test]
fn what_a_guest_sends_is_sealed_under_the_very_keys_that_it_was_given() {
    let (world, _) = live(Cut::Guest(usize::MAX));
    let secrets = granted(&world);
    let party: VerifyingKey = identity(GUEST).signing_key().verifying_key();
    let mut payload_keys = BTreeMap::new();

    for (head, attachments) in &world.guests[0].batches {
        let secret = &secrets[&(head.session, head.start)];
        let keys = PublisherKeys::new(secret, false);
        let scope = Scope {
            domain: world.publisher.domain(),
            session: head.session,
            party,
            start: head.start,
        };
        let mut sealed = attachments[0].to_vec();
        let opened = keys
            .batch
            .open(&scope, MessageKind::Batch, head.counter, &mut sealed)
            .unwrap();
        let batch = Batch::decode(opened, false).unwrap();
        assert_eq!(batch.headers.count(), head.payload_sizes.len());
        let key = keys.payload_key(head.counter, 0).unwrap();
        let mut data = scope.payload_data(head.counter);
        key.open(data.of(0), &attachments[1]).unwrap();
        assert_eq!(payload_keys.insert(*key.expose(), ()), None);
    }

    assert!(payload_keys.len() >= 5);
    // Each secret is another.
    let distinct: std::collections::BTreeSet<_> =
        secrets.values().map(|secret| *secret.expose()).collect();
    assert_eq!(distinct.len(), secrets.len());
}
