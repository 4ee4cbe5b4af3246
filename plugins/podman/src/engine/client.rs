//! One request to Podman over its socket, and the answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::Address;
use crate::error::PodmanError;

/// The first version whose API has everything used here; a newer Podman goes on speaking it.
/// <https://docs.podman.io/en/latest/_static/api.html>
const ROOT: &str = "/v4.0.0/libpod";

/// How long Podman may take to begin an answer that is not a build's.
const DEADLINE: Duration = Duration::from_secs(120);

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below the API's root, with its query.
    pub(super) path: &'a str,
    pub(super) body: Body<'a>,
}

/// What goes along.
pub(super) enum Body<'a> {
    Nothing,
    Document(&'a Value),
    Archive(Vec<u8>),
}

impl Body<'_> {
    fn into_parts(self) -> (&'static str, Bytes) {
        match self {
            Self::Nothing => ("application/json", Bytes::new()),
            Self::Document(document) => ("application/json", document.to_string().into()),
            Self::Archive(bytes) => ("application/x-tar", bytes.into()),
        }
    }
}

/// Sends a request, and returns the answer once it has begun. A refusal is an error.
pub(super) async fn send(address: &Address, ask: Ask<'_>) -> Result<Response<Incoming>, PodmanError> {
    let stream = address.connect()?;
    stream.set_nonblocking(true).map_err(PodmanError::talk)?;
    let stream = UnixStream::from_std(stream).map_err(PodmanError::talk)?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(PodmanError::talk)?;
    tokio::spawn(connection);
    let (kind, bytes) = ask.body.into_parts();
    let request = Request::builder().method(ask.method).uri(format!("{ROOT}{}", ask.path));
    let request = request.header(HOST, "podman").header(CONTENT_TYPE, kind).body(Full::new(bytes));
    let answer = sender.send_request(request.map_err(PodmanError::talk)?);
    let answer = tokio::time::timeout(DEADLINE, answer).await.map_err(|_| PodmanError::Silent)?;
    let answer = answer.map_err(PodmanError::talk)?;
    if answer.status().is_success() || answer.status().as_u16() == 304 {
        return Ok(answer);
    }
    let (status, body) = (answer.status().as_u16(), whole(answer).await.unwrap_or_default());
    Err(refusal(status, &body))
}

/// Reads an answer to its end.
pub(super) async fn whole(answer: Response<Incoming>) -> Result<Bytes, PodmanError> {
    let body = answer.into_body().collect().await.map_err(PodmanError::talk)?;
    Ok(body.to_bytes())
}

/// Reads why Podman refuses: <https://github.com/containers/podman/blob/v4.3.1/pkg/errorhandling/errorhandling.go>, `ErrorModel`.
fn refusal(status: u16, body: &[u8]) -> PodmanError {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = document["message"].as_str();
    let said = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    PodmanError::Refused { status, said: claude_bottle_kit::printable(said.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_podman_said() {
        let body = br#"{"cause":"no such container","message":"no container with name","response":404}"#;
        let error = refusal(404, body);
        assert!(error.is_not_found());
        assert!(error.to_string().contains("no container with name"), "{error}");
        assert!(refusal(500, b"out of\x1b[31m order").to_string().contains("out of\\u{1b}"));
    }
}
