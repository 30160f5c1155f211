//! Where publications come from: a file, read and parsed beforehand, or standard input, as it comes.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sc_matching::Publication;
use tokio::sync::mpsc;

use crate::matching::for_each_publication;

/// Publications of standard input that are parsed ahead.
const AHEAD_MAX: usize = 4096;

type Item = (Publication, Bytes);

pub(crate) struct Feed {
    parsed: VecDeque<Item>,
    stream: Option<mpsc::Receiver<Item>>,
}

impl Feed {
    /// Opens a file, all of it, `repeat` times over; or standard input.
    pub(crate) fn open(path: &Path, payload_bytes: Option<usize>, repeat: u32) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self {
                parsed: VecDeque::new(),
                stream: Some(stream(payload_bytes)),
            });
        }
        let mut parsed = Vec::new();
        for_each_publication(path, |publication, _| {
            parsed.push(item(publication, payload_bytes));
            Ok(())
        })?;
        let parsed = std::iter::repeat_n(parsed, repeat as usize).flatten().collect();
        Ok(Self {
            parsed,
            stream: None,
        })
    }

    /// Whether an item is at hand.
    pub(crate) fn has_next(&self) -> bool {
        !self.parsed.is_empty()
    }

    pub(crate) fn next(&mut self) -> Option<Item> {
        self.parsed.pop_front()
    }

    /// Whether nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.parsed.is_empty() && self.stream.is_none()
    }

    /// Waits until something is at hand, or the stream has ended.
    pub(crate) async fn ready(&mut self) {
        if !self.parsed.is_empty() {
            return;
        }
        let Some(stream) = &mut self.stream else {
            return std::future::pending().await;
        };
        match stream.recv().await {
            Some(item) => {
                self.parsed.push_back(item);
                while let Ok(item) = stream.try_recv() {
                    self.parsed.push_back(item);
                }
            }
            None => self.stream = None,
        }
    }
}

/// Parses standard input on a thread of its own; a malformed line ends the process, with what came before published or not.
fn stream(payload_bytes: Option<usize>) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    std::thread::spawn(move || {
        let read = for_each_publication(Path::new("-"), |publication, _| {
            sender
                .blocking_send(item(publication, payload_bytes))
                .map_err(|_| std::io::ErrorKind::BrokenPipe.into())
        });
        if let Err(error) = read
            && !sender.is_closed()
        {
            crate::report::error(&error);
            std::process::exit(i32::from(crate::WRONG_USE));
        }
    });
    receiver
}

/// A publication with its payload: its own line, or filler of the size asked for.
fn item(publication: Publication, payload_bytes: Option<usize>) -> Item {
    let payload = match payload_bytes {
        None => Bytes::from(publication.to_string()),
        Some(length) => Bytes::from(vec![b'.'; length]),
    };
    (publication, payload)
}

/// The wall clock in nanoseconds since the Unix epoch: comparable between processes of one machine.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64
}
