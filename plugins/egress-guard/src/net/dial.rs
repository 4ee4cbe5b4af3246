//! Connects to an address that has been vetted, and to no other.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects to the first of `addresses` that answers; all of them together have `limit`.
pub async fn dial(addresses: &[IpAddr], port: u16, limit: Duration) -> io::Result<TcpStream> {
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(share, TcpStream::connect((*address, port))).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Tells whether a connection to `address` and `port` would reach the listener at `own`.
///
/// An address is this machine's own when a socket can be bound to it, which needs no list of interfaces.
pub fn is_self(address: IpAddr, port: u16, own: Option<SocketAddr>) -> bool {
    let Some(own) = own else { return false };
    if port != own.port() {
        return false;
    }
    let same = address.to_canonical() == own.ip().to_canonical();
    let covered = own.ip().is_unspecified() && UdpSocket::bind((address, 0)).is_ok();
    same || covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_listener() {
        let own = |text: &str| Some(text.parse().unwrap());
        let ip = |text: &str| text.parse().unwrap();
        assert!(is_self(ip("127.0.0.1"), 8888, own("0.0.0.0:8888")));
        assert!(is_self(ip("127.9.9.9"), 8888, own("0.0.0.0:8888")));
        assert!(is_self(ip("127.0.0.1"), 8888, own("127.0.0.1:8888")));
        assert!(is_self(ip("::ffff:127.0.0.1"), 8888, own("127.0.0.1:8888")));
        assert!(!is_self(ip("127.0.0.1"), 8889, own("0.0.0.0:8888")));
        assert!(!is_self(ip("1.1.1.1"), 8888, own("0.0.0.0:8888")));
        assert!(!is_self(ip("127.0.0.1"), 8888, None));
    }
}
