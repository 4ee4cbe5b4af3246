//! The relay of a bottle: that of `bottle-guest`, in a thread which lives as long as the tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use bottle_guest::protocol;

/// Starts one that leads to a guard's socket, written `unix:/path`, and returns where it listens.
pub(crate) fn relay(to: &str) -> SocketAddr {
    relay_with(to, Vec::new())
}

/// Starts one with other ports, which lead through the guard to places written `host:port`.
pub(crate) fn relay_with(to: &str, forward: Vec<(u16, String)>) -> SocketAddr {
    let address = free_port();
    let guard = to.strip_prefix("unix:").unwrap().into();
    let relay = protocol::Relay { port: address.port(), guard, forward, names: false, proves: false };
    bottle_guest::relay::start(&relay).unwrap();
    address
}

/// Returns an address of loopback at which nothing listens.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
