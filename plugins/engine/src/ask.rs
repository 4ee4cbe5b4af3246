//! One request of an engine's API, and the answer.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use claude_bottle_kit::printable;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::{EngineError, Result, Stream, exchange};

/// How long an engine may take to begin its answer.
const DEADLINE: Duration = Duration::from_secs(120);

/// An answer that has begun.
pub type Answer = Response<Incoming>;

/// A request.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What is done.
    pub method: Method,
    /// To what: a path below the API's root, with its query.
    pub path: &'a str,
    /// What goes along.
    pub body: Body<'a>,
    /// Whether the connection is to carry a program's streams after the answer.
    pub takes_over: bool,
}

/// What goes along with a request.
#[derive(Debug)]
pub enum Body<'a> {
    /// Nothing.
    Nothing,
    /// A document.
    Json(&'a Value),
    /// An archive, uncompressed.
    Tar(Bytes),
}

impl<'a> Ask<'a> {
    /// Asks for what is at a path.
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: Body::Nothing, takes_over: false }
    }

    /// Asks to do what a path names.
    pub fn post(path: &'a str, body: Body<'a>) -> Self {
        Self { method: Method::POST, body, ..Self::get(path) }
    }

    /// Asks to remove what is at a path.
    pub fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// Sends the request to the API at `root`, over a connection that is made for it, and returns the answer once it has begun.
    ///
    /// # Errors
    /// Fails when there is no connection, when the answer does not begin in time, and when it is a refusal.
    pub async fn send<S: Stream, E: From<EngineError>>(
        self,
        root: &str,
        connecting: impl Future<Output = Result<S, E>>,
    ) -> Result<Answer, E> {
        let request = self.request(root)?;
        let answer = async { exchange(connecting.await?, request).await.map_err(E::from) };
        let answer = tokio::time::timeout(DEADLINE, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(EngineError::Timeout.into()))?;
        let status = answer.status();
        match status.is_success() || status == StatusCode::NOT_MODIFIED || status.is_informational() {
            true => Ok(answer),
            false => Err(refusal(answer).await.into()),
        }
    }

    fn request(self, root: &str) -> Result<Request<Full<Bytes>>> {
        let (kind, bytes) = match self.body {
            Body::Nothing => ("application/json", Bytes::new()),
            Body::Json(document) => ("application/json", document.to_string().into()),
            Body::Tar(bytes) => ("application/x-tar", bytes),
        };
        let mut request = Request::builder().method(self.method).uri(format!("{root}{}", self.path));
        if self.takes_over {
            request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
        }
        request.header(CONTENT_TYPE, kind).body(Full::new(bytes)).map_err(EngineError::protocol)
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// Fails when the connection ends before it.
pub async fn read_all(answer: Answer) -> Result<Bytes> {
    Ok(answer.into_body().collect().await.map_err(EngineError::protocol)?.to_bytes())
}

/// Reads why an engine refuses. Docker's and Podman's say it in a document with a `message`.
pub async fn refusal(answer: Answer) -> EngineError {
    let status = answer.status().as_u16();
    let body = read_all(answer).await.unwrap_or_default();
    EngineError::refused(status, message(&body))
}

fn message(body: &[u8]) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = document["message"].as_str();
    printable(said.map_or_else(|| String::from_utf8_lossy(body), Into::into).trim())
}

/// Writes text for a query or a path: <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // A string takes whatever is written to it.
            other => write!(encoded, "%{other:02X}").unwrap_or_default(),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// Answers one request with these bytes, and returns what was asked.
    fn engine(answer: &'static str) -> (DuplexStream, tokio::task::JoinHandle<String>) {
        let (here, mut there) = tokio::io::duplex(4096);
        let asked = tokio::spawn(async move {
            let mut asked = vec![0; 4096];
            let length = there.read(&mut asked).await.unwrap();
            there.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (here, asked)
    }

    async fn sent(ask: Ask<'_>, answer: &'static str) -> (Result<Answer>, String) {
        let (stream, asked) = engine(answer);
        let answer = ask.send("/v1", async { Ok(stream) }).await;
        (answer, asked.await.unwrap())
    }

    #[tokio::test]
    async fn a_request_is_for_a_path_below_the_root_and_its_answer_is_read_whole() {
        let document = serde_json::json!({ "a": 1 });
        let ask = Ask::post("/things?all=true", Body::Json(&document));
        let (answer, asked) = sent(ask, "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").await;
        assert_eq!(read_all(answer.unwrap()).await.unwrap(), "{}");
        assert!(asked.starts_with("POST /v1/things?all=true HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nhost: localhost\r\n") && asked.ends_with("{\"a\":1}"), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_has_the_words_of_the_engine() {
        let answer =
            "HTTP/1.1 404 Not Found\r\ncontent-length: 33\r\n\r\n{\"message\":\"no such\\u001b thing\"}";
        let error = sent(Ask::get("/things/1"), answer).await.0.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        assert_eq!(error.to_string(), "no such\\u{1b} thing");
        assert_eq!(message(b"out of order\n"), "out of order");
        let cut_off = sent(Ask::get("/"), "HTTP/1.1 200 OK\r\ncontent-").await.0.unwrap_err();
        assert!(matches!(cut_off, EngineError::Gone { .. }), "{cut_off:?}");
    }

    #[test]
    fn a_query_has_nothing_of_its_own_in_it() {
        assert_eq!(encoded(r#"{"label":["a=b c"]}"#), "%7B%22label%22%3A%5B%22a%3Db%20c%22%5D%7D");
    }
}
