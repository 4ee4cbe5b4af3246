//! A tunnel that is opened: its client speaks TLS with the guard, and each request inside is decided like one of plain HTTP.
//!
//! Nothing goes to the host before a request was let through. Refusals are answers of HTTP inside, so that the agent reads why.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Decision, HostOrIp, LogEvent};
use tokio::time::timeout;
use tokio_rustls::rustls::{AlertDescription, Error as TlsError};

use super::admit::Denial;
use super::caught::Place;
use super::client::{Client, Next};
use super::client_hello::{self, Expected};
use super::request::Request;
use super::tunnel::Way;
use crate::net::opened::{Hello, Opened};
use crate::net::stream::Stream;

/// First byte of a TLS handshake; SSH, which may go to its own servers, begins with another.
const HANDSHAKE: u8 = 22;

/// What came out of a tunnel's beginning.
pub(super) enum Beginning {
    /// It is TLS, and goes on inside.
    Tls(BytesMut),
    /// It is something else that may go, or nothing.
    Other(BytesMut),
}

/// Reads the beginning, which the gate for tunnels judges first; `None` when the guard stops.
pub(super) async fn begin(client: &mut Client, expected: Expected<'_>) -> Result<Option<Beginning>, Denial> {
    let first = std::mem::take(&mut client.buffer);
    let bytes = tokio::select! {
        read = client_hello::read(&client.stream, first, expected) => read?,
        () = client.server.stopped() => return Ok(None),
    };
    Ok(Some(match bytes.first() {
        Some(&HANDSHAKE) => Beginning::Tls(bytes),
        _ => Beginning::Other(bytes),
    }))
}

/// Serves the requests inside, and writes the tunnel's last line.
pub(super) async fn serve(
    client: &Client,
    request: &Request,
    decision: &Decision,
    (first, way): (BytesMut, Way<'_>),
) {
    let wanted = way.wanted;
    let limit = Duration::from_secs(request.snapshot.config.limits.hello_timeout_seconds);
    let shaken = tokio::select! {
        shaken = timeout(limit, shake(client, &wanted.host, first)) => shaken,
        () = client.server.stopped() => return end(client, request, decision, Ok("the guard stops")).await,
    };
    let opened = match shaken {
        Ok(Ok(opened)) => opened,
        Ok(Err(denial)) => return end(client, request, decision, Err(denial)).await,
        Err(_) => {
            let denial = Denial::new(Code::Timeout, "the TLS handshake did not end in time");
            return end(client, request, decision, Err(denial)).await;
        }
    };
    let place = Place::new(wanted.host.clone(), wanted.port);
    let stream = Stream::Opened(Box::new(opened));
    let inside = client.inside(stream, place, (Arc::clone(&request.snapshot), way.upstream));
    let mut serving = requests(inside);
    let (asked, (up, down)) = tokio::select! {
        served = &mut serving => served,
        denial = client.server.withdrawn(request, (wanted, way.method), way.address) => {
            // A request under way ends by itself, with a line of its own.
            if let Ok((_, (up, down))) = timeout(super::LINGER, serving).await {
                request.activity.add_both(up, down);
            }
            return client.log_denial(request, LogEvent::Close, denial).await;
        }
    };
    request.activity.add_both(up, down);
    let ended = match asked {
        _ if client.server.is_stopping() => Ok("the guard stops"),
        true => Ok("closed"),
        false => Err(distrusts()),
    };
    end(client, request, decision, ended).await;
}

/// The requests of a tunnel: whether there were any, and what they moved up and down.
///
/// A type of its own, since a request of the guard's client leads to them.
type Requests = Pin<Box<dyn Future<Output = (bool, (u64, u64))> + Send>>;

/// Serves requests until the last.
fn requests(mut inside: Client) -> Requests {
    Box::pin(async move {
        let mut next = Next::Keep;
        while next == Next::Keep {
            next = inside.serve_one().await;
        }
        // An answer that was broken off must not look whole.
        if next == Next::Close {
            timeout(super::LINGER, inside.stream.end()).await.ok();
        }
        (inside.has_asked, inside.moved.bytes())
    })
}

async fn shake(client: &Client, host: &HostOrIp, first: BytesMut) -> Result<Opened, Denial> {
    let authority = client.server.authority.as_ref();
    let authority = authority.ok_or_else(|| Denial::new(Code::Internal, "the bottle has no authority"))?;
    let hello = Hello::read(Arc::clone(&client.stream), first).await.map_err(|error| failed(&error))?;
    // Two parsers have to read the same name.
    let same = match host {
        HostOrIp::Name(name) => {
            hello.client_hello().server_name().is_some_and(|other| other.eq_ignore_ascii_case(name.as_str()))
        }
        HostOrIp::Ip(_) => true,
    };
    if !same {
        return Err(Denial::new(Code::SniMismatch, "the TLS server name is not the host of the tunnel"));
    }
    let config = authority.server(host).map_err(|error| {
        Denial::new(Code::Internal, "no certificate can be made for the host").detail(error.to_string())
    })?;
    hello.answer(config).await.map_err(|error| failed(&error))
}

/// Says why a handshake with a client failed.
fn failed(error: &io::Error) -> Denial {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::NoApplicationProtocol) => {
            Denial::new(Code::NotHttp, "the client offers a protocol other than HTTP/1.1 alone")
        }
        Some(TlsError::AlertReceived(alert)) if is_distrust(*alert) => distrusts(),
        // Some clients say nothing.
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            distrusts()
        }
        _ => Denial::new(Code::NotTls, "the TLS handshake with the client failed").detail(error.to_string()),
    }
}

fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn distrusts() -> Denial {
    Denial::new(Code::ClientDistrusts, "the client left when it saw the certificate of this bottle")
}

async fn end(client: &Client, request: &Request, decision: &Decision, ended: Result<&str, Denial>) {
    match ended {
        Ok(reason) => client.log_allowed(request, LogEvent::Close, decision, reason.to_owned()).await,
        Err(denial) => client.log_denial(request, LogEvent::Close, denial.after(decision)).await,
    }
}
