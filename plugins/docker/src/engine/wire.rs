//! The requests bollard cannot make: taking an exec's connection over, and a field it has no name for.
//!
//! bollard decodes what comes back line by line, which holds a terminal's output back, and takes a leading byte 0 to 2 of a
//! terminal's output for the head of a frame; here the bytes of a terminal are passed on as they are.

use bollard::models::{NetworkCreateRequest, NetworkCreateResponse};
use claude_bottle_engine::{Answer, Ask, Body, Dialer, EngineError, read_all, refusal};
use hyper::StatusCode;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::error::refined;
use super::{Attached, Result};

/// The engine's API in the version spoken.
pub(super) struct Wire<'a> {
    pub(super) dialer: &'a Dialer,
    pub(super) version: (usize, usize),
}

impl Wire<'_> {
    /// Sends a request, and returns the answer once it has begun.
    pub(super) async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let root = format!("/v{}.{}", self.version.0, self.version.1);
        ask.send(&root, self.dialer.connect()).await.map_err(refined)
    }

    /// Starts the exec `id` and returns its streams.
    pub(super) async fn start(&self, id: &str, tty: bool) -> Result<Attached> {
        self.take_over(&format!("/exec/{id}/start"), id, &json!({"Detach": false, "Tty": tty})).await
    }

    /// Returns the streams of the container's own process, which may not have been started.
    ///
    /// The engine answers once it is attached, so that no output of the process is missed.
    pub(super) async fn attach(&self, id: &str, stdin: bool) -> Result<Attached> {
        let stdin = u8::from(stdin);
        let path = format!("/containers/{id}/attach?stream=1&stdout=1&stderr=1&stdin={stdin}");
        self.take_over(&path, id, &json!({})).await
    }

    /// Sends a request after which the connection carries a program's streams.
    async fn take_over(&self, path: &str, id: &str, document: &Value) -> Result<Attached> {
        let ask = Ask { takes_over: true, ..Ask::post(path, Body::Json(document)) };
        let answer = self.send(ask).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refined(refusal(answer).await));
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(EngineError::protocol)?;
        let (output, input) = tokio::io::split(TokioIo::new(upgraded));
        Ok(Attached { id: id.to_owned(), output: Box::new(output), input: Box::new(input) })
    }

    /// Makes a network, and has the engine refuse a name that is taken.
    ///
    /// Engines before 25 allow two networks of one name unless `CheckDuplicate` is set, which bollard does not know:
    /// <https://docs.docker.com/reference/api/engine/version-history/#v144-api-changes>.
    pub(super) async fn create_network(&self, request: &NetworkCreateRequest) -> Result<String> {
        let mut document = serde_json::to_value(request).map_err(EngineError::protocol)?;
        document["CheckDuplicate"] = Value::Bool(true);
        let answer = self.send(Ask::post("/networks/create", Body::Json(&document))).await?;
        let answer: NetworkCreateResponse =
            serde_json::from_slice(&read_all(answer).await?).map_err(EngineError::protocol)?;
        Ok(answer.id)
    }
}
