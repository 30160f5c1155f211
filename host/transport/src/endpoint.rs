//! Addresses, and the rule that a wire beyond this machine needs link keys.
//!
//! Invariant: an endpoint that [`Endpoint::secured`] lets pass is in-process, on this machine, or encrypted.
//! Source: forms `*:5555`, `localhost:5553`, `host:port` of D4.2, section 2.3; ZeroMQ's `tcp://`, `ipc://`, `inproc://`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a socket binds or connects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `host:port` or `tcp://host:port`; port 0 lets the system choose when binding.
    Tcp {
        /// The interface or machine.
        host: Host,
        /// The port.
        port: u16,
    },
    /// `ipc://path`: a socket file that only this user may open.
    Ipc(PathBuf),
    /// `inproc://name`: within this process.
    Inproc(String),
}

/// The host of a TCP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// `*`: this machine without link keys, every interface with them.
    Any,
    /// An address; IPv6 is written in brackets.
    Ip(IpAddr),
    /// A name to be resolved.
    Name(String),
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is no address: correct it.
    #[error(
        "`{text}` is no address: {why}; write host:port, *:port, tcp://host:port, ipc://path or inproc://name"
    )]
    Unparsable {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The name leads to no address: correct it, or wait for the name service.
    #[error("host `{host}` cannot be resolved: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address leaves this machine, and there are no link keys: make some.
    #[error(
        "{endpoint} leaves this machine, which takes link keys: make a pair with `securecloud keygen --link`"
    )]
    NeedsLinkKeys {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Connecting to every interface makes no sense: name a host.
    #[error("`*` can only be bound, not connected to: name a host")]
    ConnectsToAny,
    /// An acceptor connects to at least one endpoint, an initiator to exactly one.
    #[error("{count} endpoints to connect to: an initiator takes one, a router one or more")]
    Count {
        /// How many were given.
        count: usize,
    },
    /// Another program holds the address: stop it, or choose another.
    #[error("address in use: {endpoint}: end the program that listens there, or choose another")]
    InUse {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Endpoints of one socket that cannot share its encryption: use one socket each.
    #[error("link keys apply to tcp endpoints alone; {endpoint} cannot share a socket with them")]
    MixedSecurity {
        /// The endpoint that is not tcp.
        endpoint: Endpoint,
    },
    /// A client with link keys does not know the key of the side that binds.
    #[error(
        "connecting with link keys takes the public key of the side that listens: add it to the file of link keys, as `peer`"
    )]
    NoServerKey,
    /// The link keys were not accepted by the carrier.
    #[error("the link keys cannot be used: {0}")]
    Keys(String),
    /// The system refused.
    #[error("{endpoint}: {source}")]
    Io {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
}

/// Something about an endpoint that an operator should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// `*` was taken for this machine alone, because there are no link keys.
    LoopbackOnly {
        /// The port.
        port: u16,
    },
    /// This process may open so few files that a crowd of peers cannot be connected at once.
    FewFiles {
        /// The limit.
        limit: u64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoopbackOnly { port } => write!(
                out,
                "*:{port} listens on this machine alone; give link keys (`securecloud keygen --link`) to listen on every interface"
            ),
            Self::FewFiles { limit } => write!(
                out,
                "this process may hold only {limit} files open, and each connected peer takes one: raise the hard limit (`ulimit -Hn`, or LimitNOFILE= of its service) for more"
            ),
        }
    }
}

/// An endpoint that may be used as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secured {
    pub(crate) endpoint: Endpoint,
    pub(crate) note: Option<Note>,
}

impl Endpoint {
    /// Resolves `*` and names as far as the rule needs, and holds them to it.
    pub(crate) async fn secured(
        &self,
        binds: bool,
        has_keys: bool,
    ) -> Result<Secured, EndpointError> {
        let Self::Tcp { host, port } = self else {
            return Ok(Secured {
                endpoint: self.clone(),
                note: None,
            });
        };
        match host {
            Host::Any if !binds => Err(EndpointError::ConnectsToAny),
            Host::Any if has_keys => Ok(Secured::tcp(Ipv4Addr::UNSPECIFIED.into(), *port)),
            Host::Any => Ok(Secured {
                note: Some(Note::LoopbackOnly { port: *port }),
                ..Secured::tcp(Ipv4Addr::LOCALHOST.into(), *port)
            }),
            Host::Ip(ip) if has_keys || ip.is_loopback() => Ok(Secured::tcp(*ip, *port)),
            Host::Ip(_) => Err(EndpointError::NeedsLinkKeys {
                endpoint: self.clone(),
            }),
            Host::Name(name) => {
                let resolved = resolve(name, *port).await?;
                if has_keys && !binds {
                    // By name, so that a peer that moves is found again.
                    Ok(Secured {
                        endpoint: self.clone(),
                        note: None,
                    })
                } else if has_keys || resolved.is_loopback() {
                    Ok(Secured::tcp(resolved, *port))
                } else {
                    Err(EndpointError::NeedsLinkKeys {
                        endpoint: self.clone(),
                    })
                }
            }
        }
    }

    /// Whether link keys apply to it.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }
}

impl Secured {
    fn tcp(ip: IpAddr, port: u16) -> Self {
        Self {
            endpoint: Endpoint::Tcp {
                host: Host::Ip(ip),
                port,
            },
            note: None,
        }
    }
}

/// The first address of `name`, IPv4 before IPv6, so that `localhost` means the same to both ends.
async fn resolve(name: &str, port: u16) -> Result<IpAddr, EndpointError> {
    let unresolved = |source| EndpointError::Unresolved {
        host: name.to_owned(),
        source,
    };
    let mut found: Vec<IpAddr> = tokio::net::lookup_host((name, port))
        .await
        .map_err(unresolved)?
        .map(|address| address.ip())
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
        .first()
        .copied()
        .ok_or_else(|| unresolved(io::Error::from(io::ErrorKind::NotFound)))
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let unparsable = |why| EndpointError::Unparsable {
            text: text.to_owned(),
            why,
        };
        match text.split_once("://") {
            Some(("tcp", rest)) => parse_tcp(rest).map_err(unparsable),
            Some(("ipc", "")) => Err(unparsable("the path is missing")),
            Some(("ipc", path)) => Ok(Self::Ipc(path.into())),
            Some(("inproc", "")) => Err(unparsable("the name is missing")),
            Some(("inproc", name)) => Ok(Self::Inproc(name.to_owned())),
            Some(_) => Err(unparsable("the scheme is unknown")),
            None => parse_tcp(text).map_err(unparsable),
        }
    }
}

fn parse_tcp(text: &str) -> Result<Endpoint, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is no number");
    }
    let port = port.parse().map_err(|_| "the port is greater than 65535")?;
    Ok(Endpoint::Tcp {
        host: parse_host(host)?,
        port,
    })
}

fn parse_host(host: &str) -> Result<Host, &'static str> {
    if host == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return inner
            .parse()
            .map(|ip| Host::Ip(IpAddr::V6(ip)))
            .map_err(|_| "the brackets hold no IPv6 address");
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() {
        Err("the host is missing")
    } else if host.bytes().all(named) {
        Ok(Host::Name(host.to_owned()))
    } else {
        Err("the host has characters that no host name has")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(out, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(out, "ipc://{}", path.display()),
            Self::Inproc(name) => write!(out, "inproc://{name}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::Ip(IpAddr::V6(ip)) => write!(out, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => write!(out, "{ip}"),
            Self::Name(name) => out.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    async fn secured(text: &str, binds: bool, has_keys: bool) -> Result<String, String> {
        match parse(text).secured(binds, has_keys).await {
            Ok(secured) => Ok(secured.endpoint.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_forms_of_d4_2_and_of_zeromq_are_understood() {
        assert_eq!(
            parse("*:5555"),
            Endpoint::Tcp {
                host: Host::Any,
                port: 5555
            }
        );
        assert_eq!(
            parse("localhost:5553"),
            Endpoint::Tcp {
                host: Host::Name("localhost".into()),
                port: 5553
            }
        );
        assert_eq!(
            parse("tcp://10.0.0.1:1"),
            Endpoint::Tcp {
                host: Host::Ip([10, 0, 0, 1].into()),
                port: 1
            }
        );
        assert_eq!(parse("[::1]:7").to_string(), "tcp://[::1]:7");
        assert_eq!(parse("ipc:///run/s").to_string(), "ipc:///run/s");
        assert_eq!(parse("inproc://router"), Endpoint::Inproc("router".into()));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_wrong() {
        for (text, why) in [
            ("localhost", "the port is missing"),
            ("localhost:", "the port is no number"),
            ("localhost:+1", "the port is no number"),
            ("localhost:65536", "greater than 65535"),
            (":5555", "the host is missing"),
            ("a b:1", "characters"),
            ("::1:5555", "characters"),
            ("[::g]:1", "no IPv6"),
            ("udp://a:1", "scheme is unknown"),
            ("ipc://", "path is missing"),
            ("inproc://", "name is missing"),
            ("", "port is missing"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn any_host_without_keys_is_this_machine_and_says_so() {
        let secured = parse("*:5555").secured(true, false).await.unwrap();

        assert_eq!(secured.endpoint, parse("127.0.0.1:5555"));
        assert_eq!(secured.note, Some(Note::LoopbackOnly { port: 5555 }));
    }

    #[tokio::test]
    async fn any_host_with_keys_is_every_interface() {
        assert_eq!(
            secured("*:5555", true, true).await.unwrap(),
            "tcp://0.0.0.0:5555"
        );
    }

    #[tokio::test]
    async fn an_address_beyond_this_machine_takes_keys_to_bind_and_to_connect() {
        for binds in [true, false] {
            let error = secured("192.0.2.1:5555", binds, false).await.unwrap_err();
            assert!(error.contains("securecloud keygen --link"), "{error}");
            assert_eq!(
                secured("192.0.2.1:5555", binds, true).await.unwrap(),
                "tcp://192.0.2.1:5555"
            );
        }
    }

    #[tokio::test]
    async fn localhost_needs_no_keys_and_nothing_connects_to_any_host() {
        assert_eq!(
            secured("localhost:5553", false, false).await.unwrap(),
            "tcp://127.0.0.1:5553"
        );
        assert!(
            secured("*:5553", false, true)
                .await
                .unwrap_err()
                .contains("only be bound")
        );
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_resolved_is_named() {
        let error = secured("no-such-host.invalid:1", false, false)
            .await
            .unwrap_err();

        assert!(error.contains("no-such-host.invalid"), "{error}");
    }
}
