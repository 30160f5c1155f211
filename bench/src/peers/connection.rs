//! A client's connection to a peer.
//!
//! Invariant: reads and writes are of large pieces, as the project's own links make them, so that a peer is not slowed down by its
//! client.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Peer;
use super::protocol::{FRAME_BYTES_MAX, Frame};

/// Read at once, at most.
const BUFFER_BYTES: usize = 1 << 20;
/// A buffer with less room than this at its end is moved to its beginning first.
const ROOM_BYTES: usize = 256 << 10;

pub(super) struct Connection {
    peer: Peer,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What was read and not yet parsed.
    unread: std::ops::Range<usize>,
}

/// What came of one reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Frames, perhaps none that is whole; and whether a pong was among them.
    Some { pong: bool },
    /// Nothing within the time that [`Connection::set_patience`] allows.
    Nothing,
}

impl Connection {
    /// Connects as `name`; returns when the server has taken the first words.
    pub(super) fn open(peer: Peer, port: u16, name: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("{peer} at port {port}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            peer,
            stream,
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
        };
        let mut hello = Vec::new();
        peer.hello(name, &mut hello);
        connection.send(&hello)?;
        connection.settle()?;
        Ok(connection)
    }

    /// How long [`Connection::read`] waits; for ever, if not told.
    pub(super) fn set_patience(&self, patience: Duration) -> anyhow::Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Subscribes; returns when the server has taken it.
    pub(super) fn subscribe(&mut self, topics: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut words = Vec::new();
        self.peer.subscribe(topics, &mut words);
        self.send(&words)?;
        self.settle()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Returns when the server has taken everything that was sent; messages that come meanwhile are not wanted.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        self.send(self.peer.ping())?;
        while self.read(|_, _| ())? != (Heard::Some { pong: true }) {}
        Ok(())
    }

    /// Waits for bytes once, and hands over each message that is whole by then, topic and body.
    ///
    /// # Errors
    /// The server has closed the connection, or says what it should not.
    pub(super) fn read(&mut self, mut take: impl FnMut(&[u8], &[u8])) -> anyhow::Result<Heard> {
        self.make_room()?;
        match self.stream.read(&mut self.buffer[self.unread.end..]) {
            Ok(0) => anyhow::bail!("{} has closed the connection", self.peer),
            Ok(length) => self.unread.end += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(Heard::Nothing);
            }
            Err(error) => return Err(error.into()),
        }
        let (mut pong, mut pings) = (false, 0);
        while let Some((frame, length)) = self.peer.parse(&self.buffer[self.unread.clone()])? {
            match frame {
                Frame::Message { topic, body } => take(topic, body),
                Frame::Ping => pings += 1,
                Frame::Pong => pong = true,
                Frame::Other => {}
            }
            self.unread.start += length;
        }
        for _ in 0..pings {
            self.send(self.peer.pong())?;
        }
        Ok(Heard::Some { pong })
    }

    fn make_room(&mut self) -> anyhow::Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.buffer.len() - self.unread.end >= ROOM_BYTES {
            return Ok(());
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.buffer.len() - self.unread.end < ROOM_BYTES {
            let larger = 2 * self.buffer.len();
            ensure!(
                larger <= 4 * FRAME_BYTES_MAX,
                "{} sends a frame that does not end",
                self.peer
            );
            self.buffer.resize(larger, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::spawn;

    use super::*;

    /// A server that answers the first ping, of whoever connects, and says `words` at the second.
    fn serve(words: Vec<u8>) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut answers = [b"PONG\r\n".to_vec(), words].into_iter();
            let mut heard = Vec::new();
            let mut piece = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                heard.extend_from_slice(&piece[..length]);
                if heard.ends_with(b"PING\r\n") {
                    stream.write_all(&answers.next().unwrap()).unwrap();
                    heard.clear();
                }
            }
        });
        port
    }

    #[test]
    fn messages_larger_than_the_buffer_arrive_whole_and_in_order() {
        let mut words = Vec::new();
        let sizes = [3, 700_000, 2_500_000, 0, 90_000];
        for size in sizes {
            words.extend_from_slice(format!("MSG q 1 {size}\r\n").as_bytes());
            words.extend(std::iter::repeat_n(b'\r', size));
            words.extend_from_slice(b"\r\n");
        }
        let mut connection = Connection::open(Peer::Nats, serve(words), "test").unwrap();
        connection.send(b"PING\r\n").unwrap();

        let mut received = Vec::new();
        while received.len() < sizes.len() {
            let taken = connection.read(|topic, body| {
                assert_eq!(topic, b"q");
                received.push(body.len());
            });
            taken.unwrap();
        }

        assert_eq!(received, sizes);
    }

    #[test]
    fn an_error_of_the_server_ends_the_connection() {
        let mut connection =
            Connection::open(Peer::Nats, serve(b"-ERR 'no'\r\n".to_vec()), "test").unwrap();

        let error = connection.settle().unwrap_err();

        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[test]
    fn silence_is_noticed() {
        let mut connection = Connection::open(Peer::Nats, serve(Vec::new()), "test").unwrap();
        connection.set_patience(Duration::from_millis(1)).unwrap();

        assert_eq!(connection.read(|_, _| ()).unwrap(), Heard::Nothing);
    }
}
