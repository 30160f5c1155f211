//! Where publications come from: a file, read and parsed beforehand, or standard input, as it comes.
//!
//! Invariants: no item is larger than a message may be; what is wrong is named by its line. The items of a file are kept to the end and
//! lent for each pass: to take them apart one by one while they are published would cost as much as to encode them.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sc_crypto::hash::sha256;
use sc_matching::Publication;
use tokio::sync::mpsc;

use crate::cli::SourceArgs;
use crate::matching::{at, for_each_publication};
use crate::wrong_use;

/// Digits of a stamp: enough until the year 2554.
const STAMP_BYTES: usize = 20;

/// Publications of standard input that are parsed ahead.
const AHEAD_MAX: usize = 4096;

type Item = (Publication, Bytes);

/// What the payloads are, and how long they may be.
#[derive(Debug)]
struct Payloads {
    /// One for all publications, however many there are.
    filler: Option<Bytes>,
    bytes_max: u64,
}

pub(crate) struct Feed {
    /// Of a file.
    items: Vec<Item>,
    /// How many of its items, over all passes, were taken or left out.
    taken: u64,
    /// How many there are, over all passes.
    count: u64,
    /// Of standard input.
    parsed: VecDeque<Item>,
    /// The one of those that was taken last.
    lent: Option<Item>,
    stream: Option<mpsc::Receiver<anyhow::Result<Item>>>,
    failure: Option<anyhow::Error>,
    digest: Option<[u8; 32]>,
    stamps: bool,
}

impl Feed {
    /// Opens a file, all of it, as often over as asked for; or standard input.
    pub(crate) fn open(arguments: &SourceArgs) -> anyhow::Result<Self> {
        let payloads = Payloads {
            filler: None,
            bytes_max: arguments.link.max_message,
        };
        let path = &arguments.input;
        if arguments.stamp
            && arguments
                .payload_bytes
                .is_none_or(|length| length < STAMP_BYTES)
        {
            return Err(wrong_use(format!(
                "--stamp needs --payload-bytes, {STAMP_BYTES} or more"
            )));
        }
        let payloads = match arguments.payload_bytes {
            Some(length) if length as u64 > payloads.bytes_max => {
                return Err(wrong_use(format!(
                    "--payload-bytes {length}: {}",
                    payloads.too_large()
                )));
            }
            length => Payloads {
                filler: length.map(|length| vec![b'.'; length].into()),
                ..payloads
            },
        };
        let mut feed = Self {
            items: Vec::new(),
            taken: 0,
            count: 0,
            parsed: VecDeque::new(),
            lent: None,
            stream: None,
            failure: None,
            digest: None,
            stamps: arguments.stamp,
        };
        if path == Path::new("-") {
            feed.stream = Some(stream(payloads));
            return Ok(feed);
        }
        for_each_publication(path, |line, publication, _| {
            feed.items.push(payloads.item(path, line, publication)?);
            Ok(())
        })?;
        let passes = std::iter::repeat_n(&feed.items, arguments.repeat as usize);
        feed.digest = Some(digest(passes.flatten()));
        feed.count = feed.items.len() as u64 * u64::from(arguments.repeat);
        Ok(feed)
    }

    /// What tells this input from any other: none for standard input, which cannot be read again.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// Leaves out the first `count` items; returns how many there were of them.
    pub(crate) fn skip(&mut self, count: u64) -> u64 {
        let left_out = count.min(self.count - self.taken);
        self.taken += left_out;
        left_out
    }

    /// Whether an item is at hand.
    pub(crate) fn has_next(&self) -> bool {
        self.taken < self.count || !self.parsed.is_empty()
    }

    /// The next item; if asked for, with the present time in its payload.
    pub(crate) fn next(&mut self) -> Option<(&Publication, Bytes)> {
        let (publication, payload) = if self.taken < self.count {
            let place = self.taken % self.items.len() as u64;
            self.taken += 1;
            &self.items[place as usize]
        } else {
            self.lent.insert(self.parsed.pop_front()?)
        };
        let payload = if self.stamps {
            stamped(now_ns(), payload)
        } else {
            payload.clone()
        };
        Some((publication, payload))
    }

    /// Whether nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.has_next() && self.stream.is_none()
    }

    /// Why it was over before its end.
    pub(crate) fn take_failure(&mut self) -> Option<anyhow::Error> {
        self.failure.take()
    }

    /// Waits until something is at hand, or the stream has ended.
    pub(crate) async fn ready(&mut self) {
        if self.has_next() {
            return;
        }
        let Some(stream) = &mut self.stream else {
            return std::future::pending().await;
        };
        let mut next = stream.recv().await;
        loop {
            match next {
                Some(Ok(item)) => self.parsed.push_back(item),
                Some(Err(error)) => {
                    self.failure = Some(error);
                    return self.stream = None;
                }
                None => return self.stream = None,
            }
            match stream.try_recv() {
                Ok(item) => next = Some(item),
                // An end is seen at the next call.
                Err(_) => return,
            }
        }
    }
}

/// The payload with a time over its first bytes.
fn stamped(time_ns: u64, payload: &[u8]) -> Bytes {
    let mut stamped = payload.to_vec();
    let digits = format!("{time_ns:0STAMP_BYTES$}");
    stamped[..STAMP_BYTES].copy_from_slice(digits.as_bytes());
    stamped.into()
}

/// SHA-256 of all items in their order, each part with its length.
fn digest<'a>(items: impl Iterator<Item = &'a Item>) -> [u8; 32] {
    let mut bytes = Vec::new();
    let mut digest = [0; 32];
    for (publication, payload) in items {
        let header = publication.to_string();
        bytes.clear();
        bytes.extend_from_slice(&digest);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(payload);
        digest = sha256(&bytes);
    }
    digest
}

/// Parses standard input on a thread of its own, up to its end or the first malformed line.
fn stream(payloads: Payloads) -> mpsc::Receiver<anyhow::Result<Item>> {
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    std::thread::spawn(move || {
        let path = Path::new("-");
        let read = for_each_publication(path, |line, publication, _| {
            let item = payloads.item(path, line, publication)?;
            Ok(sender.blocking_send(Ok(item))?)
        });
        if let Err(error) = read {
            // Nobody waits for it any more if the source has ended.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

impl Payloads {
    /// A publication with its payload: its own line, or filler of the size asked for.
    fn item(&self, path: &Path, line: usize, publication: Publication) -> anyhow::Result<Item> {
        let payload = match &self.filler {
            None => Bytes::from(publication.to_string()),
            Some(filler) => filler.clone(),
        };
        if payload.len() as u64 > self.bytes_max {
            return Err(at(
                path,
                line,
                format_args!("{} bytes of payload: {}", payload.len(), self.too_large()),
            ));
        }
        Ok((publication, payload))
    }

    fn too_large(&self) -> String {
        format!(
            "a message has at most {} bytes: raise --max-message, at the router and the consumers too",
            self.bytes_max
        )
    }
}

/// The wall clock in nanoseconds since the Unix epoch: comparable between processes of one machine.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64
}
