//! The ZeroMQ socket under one side: the only module that names the ZeroMQ library.
//!
//! Invariant: every option that bounds memory or time is set here, with its reason; nothing is left to a default.
//! A datagram that the socket cannot take now is handed back as a future, never dropped in silence.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{
    CurveKeypair, CurvePublicKey, CurveSecretKey, CurveServerOptions, DisconnectReason, Error,
    Identity, IpcPath, Message, MonitorEvent, MonitorRecvError, MonitorStream, Options,
    PeerAuthentication, PeerPublicKey, ReconnectPolicy, Socket, SocketType, TrySendError, endpoint,
};

use crate::curve::{CurvePublic, LinkKeys};
use crate::endpoint::{Endpoint, EndpointError, Host, Note};
use crate::event::Route;
use crate::frame::{ATTACHMENT_OVERHEAD, ATTACHMENTS_MAX};
use crate::identity::Entropy;
use crate::wire::{Datagram, HEADER_MAX};

/// Messages per peer between this side and the carrier's own thread of work; credit bounds them in bytes.
/// An acceptor has thousands of peers and the queue is allocated ahead.
const ACCEPTOR_SEND_QUEUE: u32 = 64;
/// An initiator has one peer.
const INITIATOR_SEND_QUEUE: u32 = 1024;
/// Messages received and not yet read.
const RECEIVE_QUEUE: u32 = 4096;
/// A connection that has not shaken hands after this long is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may be shaking hands at once: ten thousand consumers may come back together.
const PENDING_HANDSHAKES_MAX: usize = 16_384;
/// The carrier looks after its connections this often, so that a dead one does not swallow what the link sends.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A connection without any sign for this long is dropped.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(20);
/// A refused or lost connection is tried again after this long, then after twice as long, up to the greatest.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
/// The greatest such wait.
const RECONNECT_GREATEST: Duration = Duration::from_secs(2);
/// Length of the routing id that an initiator draws.
const ROUTING_ID_LEN: usize = 16;

/// Which end of the hello the socket serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ROUTER socket.
    Acceptor,
    /// A DEALER socket.
    Initiator,
}

/// Where a socket is attached: it binds, or it connects, never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attach {
    /// Listens at an address.
    Bind(Endpoint),
    /// Connects to listening peers, and again whenever a connection is lost. An initiator connects to one.
    Connect(Vec<Endpoint>),
}

/// A future that completes when a datagram has been taken or its route is gone, with the route's id.
pub(crate) type Handover = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// What became of a datagram given to [`Carrier::try_send`].
pub(crate) enum Sent {
    /// The socket has it.
    Taken,
    /// Nobody is reached by this route now; the link layer sends again what matters.
    Unroutable,
    /// The socket takes no more for this route until the future is done.
    Held(Handover),
}

/// Something that the carrier tells people.
pub(crate) enum Trouble {
    /// A connection failed that somebody else made, or that is tried again: noted in the log.
    Transient(String),
    /// As [`Trouble::Transient`], but people have to mend it.
    Lasting(String),
    /// The peer turned the connection away and no further is tried.
    Refused(String),
}

pub(crate) struct Carrier {
    socket: Socket,
    kind: Kind,
    /// The verified CURVE key of an initiator's only peer.
    peer_curve: Option<[u8; 32]>,
    /// The endpoints connected to.
    connected: Vec<Endpoint>,
}

/// What opening a socket led to.
pub(crate) struct Opened {
    pub(crate) carrier: Carrier,
    pub(crate) troubles: Troubles,
    /// The endpoints in use; where the port was 0, the one the system chose.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) notes: Vec<Note>,
}

impl Carrier {
    /// Opens a socket and attaches it.
    pub(crate) async fn open(
        kind: Kind,
        attach: &Attach,
        keys: Option<&LinkKeys>,
        max_frame: u64,
        entropy: &mut Entropy,
    ) -> Result<Opened, EndpointError> {
        let (binds, wanted) = match attach {
            Attach::Bind(endpoint) => (true, std::slice::from_ref(endpoint)),
            Attach::Connect(endpoints) => (false, &endpoints[..]),
        };
        if wanted.is_empty() || (kind == Kind::Initiator && wanted.len() > 1) {
            return Err(EndpointError::Count {
                count: wanted.len(),
            });
        }
        let keys = keys.filter(|_| wanted.iter().any(Endpoint::is_tcp));
        if let Some(endpoint) = wanted
            .iter()
            .find(|endpoint| keys.is_some() && !endpoint.is_tcp())
        {
            return Err(EndpointError::MixedSecurity {
                endpoint: endpoint.clone(),
            });
        }
        let options = secure(options(kind, max_frame, entropy), binds, keys)?;
        let socket_type = match kind {
            Kind::Acceptor => SocketType::Router,
            Kind::Initiator => SocketType::Dealer,
        };
        let socket = Socket::try_new(socket_type, options)
            .map_err(|error| EndpointError::Keys(error.to_string()))?;
        let troubles = Troubles {
            monitor: socket.monitor(),
            binds,
        };
        let (mut endpoints, mut notes) = (Vec::new(), Vec::new());
        for endpoint in wanted {
            let secured = endpoint.secured(binds, keys.is_some()).await?;
            notes.extend(secured.note);
            endpoints.push(attach_one(&socket, binds, secured.endpoint).await?);
        }
        let connected = if binds { Vec::new() } else { endpoints.clone() };
        let carrier = Self {
            socket,
            kind,
            peer_curve: None,
            connected,
        };
        Ok(Opened {
            carrier,
            troubles,
            endpoints,
            notes,
        })
    }

    /// A datagram that has already arrived, if there is one.
    pub(crate) fn try_recv(&self) -> io::Result<Option<(Route, Datagram)>> {
        match self.socket.try_recv() {
            Ok(message) => Ok(Some(self.split(message))),
            Err(Error::WouldBlock) => Ok(None),
            Err(error) => Err(io_error(error)),
        }
    }

    /// The next datagram. Dropping the future loses none.
    pub(crate) async fn recv(&self) -> io::Result<(Route, Datagram)> {
        self.socket
            .recv()
            .await
            .map(|message| self.split(message))
            .map_err(io_error)
    }

    fn split(&self, mut message: Message) -> (Route, Datagram) {
        let route = match self.kind {
            Kind::Initiator => Route {
                id: Bytes::new(),
                curve_key: self.peer_curve,
            },
            Kind::Acceptor => message.pop_identity().map_or_else(
                || Route::plain(Bytes::new()),
                |identity: Identity| Route {
                    id: identity.to_bytes(),
                    curve_key: curve_key(&identity.peer_info().authentication),
                },
            ),
        };
        let parts = (0..message.len())
            .filter_map(|index| message.part_bytes(index))
            .collect();
        (route, Datagram { parts })
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// The socket is closed.
    pub(crate) fn try_send(&self, route: &Bytes, datagram: Datagram) -> io::Result<Sent> {
        let message = Message::multipart(datagram.parts);
        let outcome = match self.kind {
            Kind::Acceptor => self.socket.try_send_to(route, message),
            Kind::Initiator => self.socket.try_send(message),
        };
        match outcome {
            Ok(()) => Ok(Sent::Taken),
            Err(TrySendError::Full(message)) => {
                Ok(Sent::Held(self.hand_over(route.clone(), message)))
            }
            Err(TrySendError::Closed) => Err(io_error(Error::Closed)),
            Err(TrySendError::Error(_)) => Ok(Sent::Unroutable),
        }
    }

    fn hand_over(&self, route: Bytes, message: Message) -> Handover {
        let (socket, kind) = (self.socket.clone(), self.kind);
        Box::pin(async move {
            // An error means that the route is gone, and the link layer finds that out by itself.
            let _ = match kind {
                Kind::Acceptor => socket.send_to(&route, message).await,
                Kind::Initiator => socket.send(message).await,
            };
            route
        })
    }

    /// A number that changes whenever a connection comes or goes.
    pub(crate) fn generation(&self) -> u64 {
        self.socket.connections_generation()
    }

    /// Waits until that number is another than `seen`.
    pub(crate) async fn changed(&self, seen: u64) -> io::Result<()> {
        self.socket
            .connections_changed(seen)
            .await
            .map(drop)
            .map_err(io_error)
    }

    /// Looks up who an initiator's peer is now, after a change, and returns whether there is one. An acceptor has
    /// thousands and finds each in its datagrams.
    pub(crate) async fn look_up_peer(&mut self) -> io::Result<bool> {
        if self.kind == Kind::Acceptor {
            return Ok(true);
        }
        let connections = self.socket.connections().await.map_err(io_error)?;
        let newest = connections
            .iter()
            .filter_map(|connection| connection.peer_info.as_ref())
            .max_by_key(|peer| peer.connection_id);
        self.peer_curve = newest.and_then(|peer| curve_key(&peer.authentication));
        Ok(newest.is_some())
    }

    /// Connects again to every endpoint, after a refusal has ended the carrier's own attempts.
    pub(crate) async fn reconnect(&self) {
        for endpoint in &self.connected {
            // Both fail only on a closed socket, which the next call reports.
            let _ = self.socket.disconnect(to_omq(endpoint)).await;
            let _ = self.socket.connect(to_omq(endpoint)).await;
        }
    }

    /// Closes the socket once what it holds is written, or after `linger`.
    pub(crate) async fn close(self, linger: Duration) {
        // Closing can only fail because the socket is closed.
        let _ = self.socket.close_with_linger(Some(linger)).await;
    }
}

/// What goes wrong with the connections of one socket.
pub(crate) struct Troubles {
    monitor: MonitorStream,
    /// Whether strangers make the connections.
    binds: bool,
}

impl Troubles {
    /// Waits for the next thing that goes wrong with a connection. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Trouble {
        loop {
            match self.monitor.recv().await {
                Ok(MonitorEvent::HandshakeFailed {
                    endpoint, reason, ..
                }) => {
                    return match unequal_security(&reason).filter(|_| !self.binds) {
                        Some(what) => Trouble::Lasting(format!("{endpoint} {what}")),
                        None => Trouble::Transient(format!("{endpoint}: {reason}")),
                    };
                }
                Ok(MonitorEvent::ConnectStopped { endpoint, reason }) => {
                    let DisconnectReason::HandshakeRefused(refusal) = reason else {
                        continue;
                    };
                    return Trouble::Refused(format!(
                        "{endpoint} turned the connection away: {refusal}; its file of link keys has to name this side's public key as `peer`"
                    ));
                }
                Ok(_) | Err(MonitorRecvError::Lagged(_)) => {}
                Err(_) => std::future::pending().await,
            }
        }
    }
}

/// Which side lacks link keys, where the library says that one does.
fn unequal_security(reason: &str) -> Option<&'static str> {
    let (_, sides) = reason.split_once("mechanism mismatch: ")?;
    Some(if sides.starts_with("ours=\"NULL\"") {
        "uses link keys, and this side was given none"
    } else {
        "uses no link keys, and this side was given some"
    })
}

fn options(kind: Kind, max_frame: u64, entropy: &mut Entropy) -> Options {
    let mut routing_id = [1; ROUTING_ID_LEN];
    // The first byte stays as it is: ids that begin with zero are the socket's own.
    entropy(&mut routing_id[1..]);
    let queue = match kind {
        Kind::Acceptor => ACCEPTOR_SEND_QUEUE,
        Kind::Initiator => INITIATOR_SEND_QUEUE,
    };
    let largest =
        max_frame + HEADER_MAX as u64 + ATTACHMENT_OVERHEAD * (ATTACHMENTS_MAX as u64 + 2);
    let options = Options::default()
        .send_hwm(queue)
        .recv_hwm(RECEIVE_QUEUE)
        .max_message_size(usize::try_from(largest).unwrap_or(usize::MAX))
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .max_pending_handshakes(PENDING_HANDSHAKES_MAX)
        // An unknown route is an answer to act on, and a full one pushes back.
        .router_mandatory(true)
        .heartbeat_interval(HEARTBEAT_INTERVAL)
        .heartbeat_timeout(HEARTBEAT_TIMEOUT)
        .heartbeat_ttl(HEARTBEAT_TIMEOUT)
        // A host that vanished behind a full send buffer is noticed as soon.
        .tcp_user_timeout(HEARTBEAT_TIMEOUT)
        .reconnect(ReconnectPolicy::Exponential {
            min: RECONNECT_FIRST,
            max: RECONNECT_GREATEST,
        })
        .reconnect_stop_conn_refused(false)
        .linger(Duration::ZERO);
    match kind {
        Kind::Acceptor => options,
        // The same id at each reconnection, so that the link goes on; unguessable, so that nobody else takes it.
        Kind::Initiator => options.identity(routing_id.to_vec()),
    }
}

/// The side that binds is the CURVE server, the side that connects the client.
fn secure(
    options: Options,
    binds: bool,
    keys: Option<&LinkKeys>,
) -> Result<Options, EndpointError> {
    let Some(keys) = keys else { return Ok(options) };
    let pair = CurveKeypair {
        public: CurvePublicKey::from_bytes(keys.public().0),
        secret: CurveSecretKey::from_bytes(*keys.secret()),
    };
    if !binds {
        let server = keys.peers.first().ok_or(EndpointError::NoServerKey)?;
        return Ok(options.curve_client(pair, CurvePublicKey::from_bytes(server.0)));
    }
    let admitted: Vec<CurvePublic> = keys.peers.clone();
    let server = CurveServerOptions::default();
    if admitted.is_empty() {
        return Ok(options.curve_server_with_options(pair, server));
    }
    let server = server.authenticator(move |peer| admitted.contains(&CurvePublic(peer.public_key)));
    Ok(options.curve_server_with_options(pair, server))
}

async fn attach_one(
    socket: &Socket,
    binds: bool,
    endpoint: Endpoint,
) -> Result<Endpoint, EndpointError> {
    let failed = |error: Error, endpoint: &Endpoint| match io_error(error) {
        source if source.kind() == io::ErrorKind::AddrInUse => EndpointError::InUse {
            endpoint: endpoint.clone(),
        },
        source => EndpointError::Io {
            endpoint: endpoint.clone(),
            source,
        },
    };
    let address = to_omq(&endpoint);
    if !binds {
        socket
            .connect(address)
            .await
            .map_err(|error| failed(error, &endpoint))?;
        return Ok(endpoint);
    }
    if let Endpoint::Ipc(path) = &endpoint {
        is_free(path).map_err(|error| failed(error.into(), &endpoint))?;
    }
    let bound = socket
        .bind(address)
        .await
        .map_err(|error| failed(error, &endpoint))?;
    if let Endpoint::Ipc(path) = &endpoint {
        restrict(path).map_err(|source| EndpointError::Io {
            endpoint: endpoint.clone(),
            source,
        })?;
    }
    Ok(match (endpoint, bound) {
        (Endpoint::Tcp { host, .. }, omq_tokio::Endpoint::Tcp { port, .. }) => {
            Endpoint::Tcp { host, port }
        }
        (endpoint, _) => endpoint,
    })
}

/// Whether a socket file may be made at `path`. The library would remove whatever lies there, a living socket or a
/// file of another kind included.
fn is_free(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => Ok(()),
    }
}

/// Lets only this user open a socket file.
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

fn to_omq(endpoint: &Endpoint) -> omq_tokio::Endpoint {
    match endpoint {
        Endpoint::Tcp { host, port } => omq_tokio::Endpoint::Tcp {
            host: match host {
                Host::Any => endpoint::Host::Wildcard,
                Host::Ip(ip) => endpoint::Host::Ip(*ip),
                Host::Name(name) => endpoint::Host::Name(name.as_str().into()),
            },
            port: *port,
        },
        Endpoint::Ipc(path) => omq_tokio::Endpoint::Ipc(IpcPath::Filesystem(path.clone())),
        Endpoint::Inproc(name) => omq_tokio::Endpoint::Inproc { name: name.clone() },
    }
}

fn curve_key(authentication: &PeerAuthentication) -> Option<[u8; 32]> {
    match &authentication.public_key {
        Some(PeerPublicKey::Curve(key)) => Some(*key),
        _ => None,
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Closed => io::Error::new(io::ErrorKind::NotConnected, "the socket is closed"),
        other => io::Error::other(other),
    }
}
