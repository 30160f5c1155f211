//! A target for the router's core: frames of hostile peers, replies of a broken program.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sc_router::{Output, Router, RouterSettings};
use sc_transport::{CloseReason, Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role, SendError};

use crate::cores::owner;
use crate::pieces::Pieces;

/// What each frame costs its sender.
const COST: u64 = 100;
/// What passes between two things that happen.
const STEP: Duration = Duration::from_secs(1);
const OWNER: LinkId = LinkId(1);
const CONSUMER: LinkId = LinkId(2);
const STRANGER: LinkId = LinkId(3);

/// What the router owes and has under way.
#[derive(Default)]
struct Books {
    spent: BTreeMap<(LinkId, FrameClass), u64>,
    paid: BTreeMap<(LinkId, FrameClass), u64>,
    calls: VecDeque<u64>,
    sent: VecDeque<(LinkId, FrameClass, u64)>,
}

impl Books {
    fn collect(&mut self, router: &mut Router) {
        for output in router.take_outputs() {
            match output {
                Output::Send {
                    link,
                    class,
                    frame,
                    token,
                } => {
                    let sent = &mut self.sent;
                    router.deliver(link, class, frame, token, |_| {
                        sent.push_back((link, class, token));
                        Ok::<(), SendError>(())
                    });
                }
                Output::Call { token, .. } => self.calls.push_back(token),
                Output::Release { link, class, bytes } => {
                    *self.paid.entry((link, class)).or_default() += bytes;
                }
                // There is no store.
                _ => {}
            }
        }
    }
}

/// Frames and replies of arbitrary bytes, one after another; then everything ends.
///
/// # Panics
/// When a sender is not given back exactly what it spent.
pub fn frames(bytes: &[u8]) {
    let mut router = Router::new(RouterSettings::default());
    establish(&mut router);
    let mut books = Books::default();
    let mut pieces = Pieces::new(bytes);
    let mut now = Duration::ZERO;
    while let Some(kind) = pieces.byte() {
        now += STEP;
        router.on_timeout(now);
        match kind % 8 {
            0..=4 => {
                let link = [OWNER, OWNER, CONSUMER, CONSUMER, STRANGER][usize::from(kind % 8)];
                let class = FrameClass::ALL[usize::from(kind >> 7)];
                let parts = usize::from(kind >> 3 & 3);
                let head = pieces.piece().unwrap_or_default();
                let attachments = (0..parts)
                    .map_while(|_| pieces.piece().map(Bytes::copy_from_slice))
                    .collect();
                *books.spent.entry((link, class)).or_default() += COST;
                router.on_event(
                    now,
                    LinkEvent::Frame {
                        link,
                        class,
                        frame: Frame {
                            head: Bytes::copy_from_slice(head),
                            attachments,
                        },
                        credit: COST,
                    },
                );
            }
            5..=6 => {
                let reply = pieces.piece().unwrap_or_default();
                let token = books.calls.pop_front().unwrap_or(u64::MAX);
                router.on_reply(now, token, Bytes::copy_from_slice(reply));
            }
            _ => {
                if let Some((link, class, token)) = books.sent.pop_front() {
                    router.on_event(now, LinkEvent::Acked { link, class, token });
                }
            }
        }
        books.collect(&mut router);
    }
    end(&mut router, &mut books, now);
    assert_eq!(books.spent, books.paid);
}

fn establish(router: &mut Router) {
    let key = PeerKey(*owner().signing_key().verifying_key().as_bytes());
    for (link, peer, role) in [
        (OWNER, key, Role::Publisher),
        (CONSUMER, PeerKey([2; 32]), Role::Subscriber),
    ] {
        router.on_event(Duration::ZERO, LinkEvent::Established { link, peer, role });
    }
}

/// Every link ends, every call is answered, and whoever is away stays away.
fn end(router: &mut Router, books: &mut Books, now: Duration) {
    for link in [OWNER, CONSUMER, STRANGER] {
        let reason = CloseReason::Forgotten;
        router.on_event(now, LinkEvent::Closed { link, reason });
        books.collect(router);
    }
    for _ in 0..2 {
        while let Some(token) = books.calls.pop_front() {
            router.on_reply(now, token, Bytes::new());
            books.collect(router);
        }
        router.on_timeout(Duration::MAX);
        books.collect(router);
    }
}
