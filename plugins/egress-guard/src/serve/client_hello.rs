//! What a tunnel has to begin with.
//!
//! To port 443, and others that are named: a ClientHello whose server name is the tunnel's host. To any other granted port raw bytes may go, since
//! ssh and the like go that way; yet what looks like TLS there must not name another host either.

use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Host, HostOrIp};

use super::admit::Denial;
use crate::net::stream::Stream;
use crate::tls::hello::{self, Hello, HelloError};

/// First byte of a TLS handshake.
const HANDSHAKE: u8 = 22;

/// What a client of SSH says first: <https://www.rfc-editor.org/rfc/rfc4253#section-4.2>. It is no beginning of TLS.
const SSH: &[u8] = b"SSH-2.0-";

/// How a tunnel's beginning is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) host: &'a HostOrIp,
    /// Nothing but TLS may go.
    pub(crate) tls_only: bool,
    /// SSH may go all the same.
    pub(crate) may_be_ssh: bool,
    pub(crate) allow_ech: bool,
    pub(crate) timeout: Duration,
}

/// Reads the beginning of the client's side, and returns the bytes once they are fit to be sent.
pub(crate) async fn read(
    client: &Stream,
    buffer: BytesMut,
    expected: Expected<'_>,
) -> Result<BytesMut, Denial> {
    if !expected.tls_only {
        return read_raw(client, buffer, expected).await;
    }
    let buffer = match expected.may_be_ssh {
        true => match read_ssh(client, buffer, expected.timeout).await? {
            Begun::Ssh(bytes) => return Ok(bytes),
            Begun::Other(bytes) => bytes,
        },
        false => buffer,
    };
    match tokio::time::timeout(expected.timeout, read_hello(client, buffer)).await {
        Err(_) => Err(Denial::new(Code::Timeout, "no TLS ClientHello arrived in time")),
        Ok((_, Err(error))) => Err(Denial::new(Code::NotTls, error.to_string())),
        // The client left without a word, which is its right.
        Ok((bytes, Ok(None))) if bytes.is_empty() => Ok(bytes),
        Ok((_, Ok(None))) => Err(Denial::new(Code::NotTls, "the tunnel ended inside the TLS ClientHello")),
        Ok((bytes, Ok(Some(hello)))) => check(&hello, expected).map(|()| bytes),
    }
}

/// The first bytes, and whether they are SSH's.
enum Begun {
    Ssh(BytesMut),
    Other(BytesMut),
}

/// Reads until it is clear whether the client speaks SSH.
async fn read_ssh(client: &Stream, mut buffer: BytesMut, limit: Duration) -> Result<Begun, Denial> {
    let read = async {
        while buffer.len() < SSH.len() && SSH.starts_with(&buffer) {
            if !matches!(client.read(&mut buffer).await, Ok(1..)) {
                break;
            }
        }
        if buffer.starts_with(SSH) { Begun::Ssh(buffer) } else { Begun::Other(buffer) }
    };
    let begun = tokio::time::timeout(limit, read).await;
    begun.map_err(|_| Denial::new(Code::Timeout, "neither SSH nor a TLS ClientHello arrived in time"))
}

async fn read_raw(client: &Stream, mut buffer: BytesMut, expected: Expected<'_>) -> Result<BytesMut, Denial> {
    if buffer.is_empty() && !matches!(client.read(&mut buffer).await, Ok(1..)) {
        return Ok(buffer);
    }
    if buffer.first() != Some(&HANDSHAKE) {
        return Ok(buffer);
    }
    match tokio::time::timeout(expected.timeout, read_hello(client, buffer)).await {
        Err(_) => Err(Denial::new(Code::Timeout, "no TLS ClientHello arrived in time")),
        Ok((bytes, Ok(Some(hello)))) if hello.server_name.is_some() => {
            check(&hello, expected).map(|()| bytes)
        }
        Ok((bytes, _)) => Ok(bytes),
    }
}

/// Reads until the hello is whole, wrong, or the client ends.
async fn read_hello(client: &Stream, mut buffer: BytesMut) -> (BytesMut, Result<Option<Hello>, HelloError>) {
    loop {
        match hello::parse(&buffer) {
            Ok(None) => {}
            judged => return (buffer, judged),
        }
        if !matches!(client.read(&mut buffer).await, Ok(1..)) {
            return (buffer, Ok(None));
        }
    }
}

fn check(hello: &Hello, expected: Expected<'_>) -> Result<(), Denial> {
    if hello.encrypted && !expected.allow_ech {
        return Err(Denial::new(Code::EchRefused, "the TLS ClientHello hides another one"));
    }
    let name = hello.server_name.as_deref();
    match (expected.host, name) {
        // A server name is never an address, so there is none to compare with.
        (HostOrIp::Ip(_), None) => Ok(()),
        (HostOrIp::Name(_), None) => {
            Err(Denial::new(Code::SniMissing, "the TLS ClientHello has no server name"))
        }
        (HostOrIp::Name(host), Some(name)) if Host::parse(name).as_ref() == Ok(host) => Ok(()),
        (_, Some(_)) => {
            Err(Denial::new(Code::SniMismatch, "the TLS server name is not the host of the tunnel"))
        }
    }
}
