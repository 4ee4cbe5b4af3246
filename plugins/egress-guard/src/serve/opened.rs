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
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::{AlertDescription, Error as TlsError};
use tokio_rustls::server::TlsStream;

use super::admit::Denial;
use super::caught::Place;
use super::client::{Client, Next};
use super::client_hello::{self, Expected};
use super::forward::Dialled;
use super::h2::{Connections, Front};
use super::request::Request;
use super::state::Snapshot;
use super::tunnel::Way;
use super::upstream_tls;
use crate::net::opened::{Hello, Opened, Outside};
use crate::net::stream::Stream;
use crate::tls::{HTTP2, HTTP11};

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
    let Way { wanted, method, upstream, address } = way;
    let shaken = tokio::select! {
        shaken = shake(client, request, (&wanted.host, first), upstream) => shaken,
        () = client.server.stopped() => return end(client, request, decision, Ok("the guard stops")).await,
    };
    let (stream, spoken) = match shaken {
        Ok(shaken) => shaken,
        Err(denial) => return end(client, request, decision, Err(denial)).await,
    };
    let place = Place::new(wanted.host.clone(), wanted.port);
    let mut serving = requests(client, place, stream, spoken);
    let (asked, (up, down)) = tokio::select! {
        served = &mut serving => served,
        denial = client.server.withdrawn(request, (wanted, method), address) => {
            // A request under way ends by itself, with a line of its own.
            if let Ok((_, (up, down))) = timeout(super::LINGER, serving).await {
                request.activity.add_both(up, down);
            }
            return client.ledger.denied(request, LogEvent::Close, denial).await;
        }
    };
    request.activity.add_both(up, down);
    let ended = match asked {
        _ if client.server.is_stopping() => Ok("the guard stops"),
        true => Ok("closed"),
        false => Err(left()),
    };
    end(client, request, decision, ended).await;
}

/// The requests of a tunnel: whether there were any, and what they moved up and down.
///
/// A type of its own, since a request of the guard's client leads to them.
type Requests = Pin<Box<dyn Future<Output = (bool, (u64, u64))> + Send>>;

/// Serves requests until the last, in the protocol that both sides have.
fn requests(client: &Client, place: Place, stream: TlsStream<Outside>, spoken: Spoken) -> Requests {
    let dialled = match spoken {
        Spoken::Http2(connections) => {
            let front = Front::new((&client.server, client.ledger.inside()), place, connections);
            return Box::pin(front.serve(stream));
        }
        Spoken::Http11(dialled) => dialled,
    };
    let stream = Stream::Opened(Box::new(Opened::new(stream)));
    let mut inside = client.inside(stream, place, dialled);
    Box::pin(async move {
        let mut next = Next::Keep;
        while next == Next::Keep {
            next = inside.serve_one().await;
        }
        // An answer that was broken off must not look whole.
        if next == Next::Close {
            timeout(super::LINGER, inside.stream.end()).await.ok();
        }
        (inside.has_asked, inside.ledger.moved().bytes())
    })
}

/// What is spoken inside, with the connection to the host, if it still stands.
enum Spoken {
    Http11(Option<(Arc<Snapshot>, Dialled)>),
    Http2(Connections),
}

/// Ends the handshake with the client, which gets the protocol that the host has chosen among its own.
async fn shake(
    client: &Client,
    request: &Request,
    (host, first): (&HostOrIp, BytesMut),
    upstream: TcpStream,
) -> Result<(TlsStream<Outside>, Spoken), Denial> {
    let limit = Duration::from_secs(request.snapshot.config.limits.hello_timeout_seconds);
    let in_time = |_| Denial::new(Code::Timeout, "the TLS handshake did not end in time");
    let authority = client.server.authority.as_ref();
    let authority = authority.ok_or_else(|| Denial::new(Code::Internal, "the bottle has no authority"))?;
    let hello = timeout(limit, Hello::read(Arc::clone(&client.stream), first)).await.map_err(in_time)?;
    let hello = hello.map_err(|error| failed(&error))?;
    check_name(&hello, host)?;
    let spoken = choose(&request.snapshot, host, (&hello, upstream)).await;
    let protocol = if matches!(spoken, Spoken::Http2(_)) { HTTP2 } else { HTTP11 };
    let config = authority.server(host, protocol).map_err(|error| {
        Denial::new(Code::Internal, "no certificate can be made for the host").detail(error.to_string())
    })?;
    let stream = timeout(limit, hello.answer(config)).await.map_err(in_time)?;
    Ok((stream.map_err(|error| failed(&error))?, spoken))
}

/// Two parsers have to read the same name.
fn check_name(hello: &Hello, host: &HostOrIp) -> Result<(), Denial> {
    let is_same = match host {
        HostOrIp::Name(name) => {
            hello.client_hello().server_name().is_some_and(|other| other.eq_ignore_ascii_case(name.as_str()))
        }
        HostOrIp::Ip(_) => true,
    };
    match is_same {
        true => Ok(()),
        false => Err(Denial::new(Code::SniMismatch, "the TLS server name is not the host of the tunnel")),
    }
}

/// Asks the host which protocol it speaks, when the client offers more than HTTP/1.1. A host that fails here fails again for each
/// request, and the client reads why.
async fn choose(snapshot: &Arc<Snapshot>, host: &HostOrIp, (hello, upstream): (&Hello, TcpStream)) -> Spoken {
    let known = |name: &&[u8]| [HTTP2, HTTP11].contains(name);
    let offered: Vec<Vec<u8>> =
        hello.client_hello().alpn().into_iter().flatten().filter(known).map(<[u8]>::to_vec).collect();
    if !offered.iter().any(|name| name == HTTP2) {
        return Spoken::Http11(Some((Arc::clone(snapshot), Dialled::Plain(upstream))));
    }
    let has_other = offered.len() > 1;
    match upstream_tls::connect(snapshot, host, (upstream, offered)).await {
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
            Spoken::Http2(Connections::new(Some((Arc::clone(snapshot), Box::new(stream)))))
        }
        Ok(stream) => Spoken::Http11(Some((Arc::clone(snapshot), Dialled::Shaken(Box::new(stream))))),
        Err(_) if has_other => Spoken::Http11(None),
        Err(_) => Spoken::Http2(Connections::new(None)),
    }
}

/// Says why a handshake with a client failed.
fn failed(error: &io::Error) -> Denial {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::NoApplicationProtocol) => {
            Denial::new(Code::NotHttp, "client and host have no protocol in common")
        }
        Some(TlsError::AlertReceived(alert)) if is_distrust(*alert) => distrusts(),
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            left()
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

/// Some clients that trust nothing of the bottle say nothing; others leave a connection that they need no more.
fn left() -> Denial {
    Denial::new(Code::ClientLeft, "the client left before it sent a request, and said nothing")
}

async fn end(client: &Client, request: &Request, decision: &Decision, ended: Result<&str, Denial>) {
    match ended {
        Ok(reason) => client.ledger.allowed(request, LogEvent::Close, decision, reason.to_owned()).await,
        Err(denial) => client.ledger.denied(request, LogEvent::Close, denial.after(decision)).await,
    }
}
