//! Accepts connections and answers what the agent CLI asks for at start and for a message; all else is a 404.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::mcp;
use crate::others::{self, Reply};
use crate::record::{Recorded, Recorder};
use crate::reply::Answers;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) answers: Answers,
    /// The one credential of a message, where not any will do.
    pub(crate) accepts: Option<String>,
    pub(crate) recorder: Recorder,
    pub(crate) acceptor: Option<TlsAcceptor>,
}

/// Serves until `stopped` fires or its sender is gone. Open connections end with the runtime.
pub(crate) async fn run(listener: TcpListener, service: Service, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => {
                // A client that went away between SYN and accept is no reason to stop serving the others.
                if let Ok((stream, peer)) = accepted {
                    // Detached on purpose: the connection's task ends with its client.
                    drop(tokio::spawn(connection(stream, peer.ip(), service.clone())));
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, service: Service) {
    match service.acceptor.clone() {
        None => speak_http(stream, peer, service).await,
        Some(acceptor) => {
            // A failed handshake is the client's to report: it does not trust the authority, say.
            if let Ok(stream) = acceptor.accept(stream).await {
                speak_http(stream, peer, service).await;
            }
        }
    }
}

async fn speak_http(stream: impl AsyncRead + AsyncWrite + Unpin, peer: IpAddr, service: Service) {
    let handler = service_fn(|request| answer(request, peer, &service));
    // An error here is a client which hung up or sent no HTTP; the others are not concerned.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handler).await.ok();
}

async fn answer(request: Request<Incoming>, peer: IpAddr, service: &Service) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let recorded = Recorded {
        time_ms: now_ms(),
        peer,
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string),
        headers: plain_headers(&head.headers),
        body: serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
    };
    let response = match service.accepts.as_ref().filter(|_| recorded.method == "POST") {
        Some(accepted) if recorded.credential() != Some(accepted.as_str()) => {
            failure(StatusCode::UNAUTHORIZED, "authentication_error", "OAuth token has expired")
        }
        _ => respond(&recorded, head.uri.path(), &service.answers),
    };
    Ok(match service.recorder.add(recorded) {
        Ok(()) => response,
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, "api_error", &error.to_string()),
    })
}

/// Chooses the answer. The CLI shows nothing of a 404 to its optional questions and goes on.
fn respond(request: &Recorded, path: &str, answers: &Answers) -> Answer {
    match (request.method.as_str(), path) {
        ("POST", "/v1/messages") if request.body["stream"] == true => {
            event_stream(answers.events(&request.body))
        }
        ("POST", "/v1/messages") => document(StatusCode::OK, &answers.whole(&request.body)),
        ("POST", "/v1/messages/count_tokens") => document(StatusCode::OK, &json!({"input_tokens": 8})),
        ("GET", "/v1/models") => document(StatusCode::OK, &json!({"data": [], "has_more": false})),
        // The connection check before the first screen.
        ("GET" | "HEAD", "/api/hello" | "/v1/oauth/hello") => {
            document(StatusCode::OK, &json!({"message": "hello"}))
        }
        ("POST", "/mcp") => match mcp::reply(&request.body) {
            Some(answer) => document(StatusCode::OK, &answer),
            None => document(StatusCode::ACCEPTED, &Value::Null),
        },
        // It sends nothing by itself.
        ("GET", "/mcp") => failure(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "no stream"),
        ("POST", path) => match others::reply(path, &request.body, &answers.script.reply) {
            Some(Reply::Whole(answer)) => document(StatusCode::OK, &answer),
            Some(Reply::Events(events)) => event_stream(events),
            None => unknown(),
        },
        _ => unknown(),
    }
}

fn unknown() -> Answer {
    failure(StatusCode::NOT_FOUND, "not_found_error", "the stand-in does not know this path")
}

fn document(status: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn failure(status: StatusCode, kind: &str, message: &str) -> Answer {
    document(status, &json!({"type": "error", "error": {"type": kind, "message": message}}))
}

/// One chunk an event, so that a proxy in between has a stream to pass on.
fn event_stream(events: Vec<String>) -> Answer {
    let frames = events.into_iter().map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(event))));
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn plain_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut plain = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        plain
            .entry(name.to_string())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    plain
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
