//! How far the messages of each publisher are settled: nothing that came of them can be lost any more.
//!
//! Invariant: a watermark passes a counter only when that message and all before it are settled, so it never goes back.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use sc_proto::routing;
use sc_transport::LinkId;

/// A message of a publisher, as a debt remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) stream: u64,
    pub(crate) counter: u64,
}

/// The greatest counter up to which all were settled, and those settled beyond it; these are as many as the publisher has credit for.
#[derive(Debug, Default)]
struct Watermark {
    up_to: u64,
    beyond: BTreeSet<u64>,
}

impl Watermark {
    /// Whether it rose.
    fn settle(&mut self, counter: u64) -> bool {
        if counter > self.up_to {
            self.beyond.insert(counter);
        }
        let before = self.up_to;
        while self.beyond.remove(&(self.up_to + 1)) {
            self.up_to += 1;
        }
        self.up_to > before
    }
}

/// The messages of one publisher in one session.
struct Stream {
    link: LinkId,
    domain: Bytes,
    session: u64,
    start: u64,
    watermark: Watermark,
    /// Its publisher has not been told of the last rise.
    has_risen: bool,
}

/// All streams.
#[derive(Default)]
pub(crate) struct Settled {
    last: u64,
    streams: HashMap<u64, Stream>,
    risen: Vec<u64>,
}

impl Settled {
    /// A publisher begins to send.
    pub(crate) fn open(&mut self, link: LinkId, domain: Bytes, session: u64, start: u64) -> u64 {
        self.last += 1;
        let stream = Stream {
            link,
            domain,
            session,
            start,
            watermark: Watermark::default(),
            has_risen: false,
        };
        self.streams.insert(self.last, stream);
        self.last
    }

    /// Nobody is told of this stream any more.
    pub(crate) fn close(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// Nothing that came of this message can be lost any more.
    pub(crate) fn settle(&mut self, message: Message) {
        let Some(stream) = self.streams.get_mut(&message.stream) else {
            return;
        };
        if stream.watermark.settle(message.counter) && !stream.has_risen {
            stream.has_risen = true;
            self.risen.push(message.stream);
        }
    }

    /// What publishers are to be told since the last time, once for each stream.
    pub(crate) fn take_news(&mut self) -> Vec<(LinkId, routing::Settled)> {
        let mut news = Vec::new();
        for id in self.risen.drain(..) {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.has_risen = false;
            let settled = routing::Settled {
                domain: stream.domain.clone(),
                session: stream.session,
                start: stream.start,
                counter: stream.watermark.up_to,
            };
            news.push((stream.link, settled));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(settled: &mut Settled) -> Vec<u64> {
        let news = settled.take_news().into_iter();
        news.map(|(_, settled)| settled.counter).collect()
    }

    #[test]
    fn a_publisher_is_told_once_of_all_that_was_settled_without_a_gap() {
        let mut settled = Settled::default();
        let stream = settled.open(LinkId(1), Bytes::new(), 1, 1);
        let settle = |settled: &mut Settled, counter| {
            settled.settle(Message { stream, counter });
        };

        settle(&mut settled, 2);
        assert_eq!(counters(&mut settled), [0; 0]);
        settle(&mut settled, 1);
        settle(&mut settled, 3);
        assert_eq!(counters(&mut settled), [3]);
        settle(&mut settled, 5);
        assert_eq!(counters(&mut settled), [0; 0]);
        settle(&mut settled, 4);

        assert_eq!(counters(&mut settled), [5]);
        assert!(settled.streams[&stream].watermark.beyond.is_empty());
    }

    #[test]
    fn streams_are_apart_and_a_closed_one_is_silent() {
        let mut settled = Settled::default();
        let one = settled.open(LinkId(1), Bytes::new(), 1, 1);
        let other = settled.open(LinkId(2), Bytes::new(), 1, 7);
        for stream in [one, other] {
            settled.settle(Message { stream, counter: 1 });
        }
        settled.close(one);
        settled.settle(Message {
            stream: one,
            counter: 2,
        });

        let news = settled.take_news();

        assert!(matches!(&news[..], [(LinkId(2), told)] if (told.start, told.counter) == (7, 1)));
    }
}
