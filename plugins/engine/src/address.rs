//! Where an engine listens, and how it is reached there.

use std::fmt;
use std::path::PathBuf;

use crate::SshHost;

/// Where an engine listens, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`, in clear.
    Tcp(String),
    /// `host:port`, by TLS.
    Tls(TlsAddress),
    /// A socket of another machine, by the user's own `ssh`.
    Ssh(SshHost),
}

/// An engine behind TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsAddress {
    /// `host:port`.
    pub authority: String,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`.
    pub files: PathBuf,
}

impl Address {
    /// Returns the way to another machine, for a person; `None` for a socket of this one.
    pub fn way(&self) -> Option<&'static str> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(_) => Some("in clear"),
            Self::Tls(_) => Some("by TLS"),
            Self::Ssh(_) => Some("by ssh"),
        }
    }

    /// Returns `true` if what is sent to the engine can be read and changed on its way: another machine, in clear.
    pub fn is_exposed(&self) -> bool {
        let Self::Tcp(authority) = self else { return false };
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host != "localhost" && !host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Tls(address) => write!(f, "tcp://{}", address.authority),
            Self::Ssh(host) => host.fmt(f),
        }
    }
}
