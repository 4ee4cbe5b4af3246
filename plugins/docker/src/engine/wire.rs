//! The requests bollard cannot make: taking an exec's connection over, and a field it has no name for.
//!
//! bollard decodes what comes back line by line, which holds a terminal's output back, and takes a leading byte 0 to 2 of a
//! terminal's output for the head of a frame; here nobody looks at the bytes of a terminal.

use bollard::models::{NetworkCreateRequest, NetworkCreateResponse};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::dial::Dialer;
use super::{Attached, EngineError, Result};

/// Starts the exec `id` and returns its streams.
pub(super) async fn start(dialer: &Dialer, api: (usize, usize), id: &str, tty: bool) -> Result<Attached> {
    let path = format!("/v{}.{}/exec/{id}/start", api.0, api.1);
    take_over(dialer, path, id, &json!({"Detach": false, "Tty": tty})).await
}

/// Returns the streams of the container's own process, which may not have been started.
///
/// The engine answers when it has hooked itself in, so nothing the process says is missed.
pub(super) async fn attach(dialer: &Dialer, api: (usize, usize), id: &str, stdin: bool) -> Result<Attached> {
    let path = format!(
        "/v{}.{}/containers/{id}/attach?stream=1&stdout=1&stderr=1&stdin={}",
        api.0,
        api.1,
        u8::from(stdin)
    );
    take_over(dialer, path, id, &json!({})).await
}

/// Sends a request after which the connection carries a program's streams.
async fn take_over(dialer: &Dialer, path: String, id: &str, document: &Value) -> Result<Attached> {
    let request = Request::post(path).header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
    let response = send(dialer, request, document).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(response).await);
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(EngineError::protocol)?;
    let (output, input) = tokio::io::split(TokioIo::new(upgraded));
    Ok(Attached { id: id.to_owned(), output: Box::new(output), input: Box::new(input) })
}

/// Makes a network, and has the engine refuse a name that is taken.
///
/// Engines before 25 allow two networks of one name unless `CheckDuplicate` is set, which bollard does not know:
/// <https://docs.docker.com/reference/api/engine/version-history/#v144-api-changes>.
pub(super) async fn create_network(
    dialer: &Dialer,
    api: (usize, usize),
    request: &NetworkCreateRequest,
) -> Result<String> {
    let mut document = serde_json::to_value(request).map_err(EngineError::protocol)?;
    document["CheckDuplicate"] = Value::Bool(true);
    let response =
        send(dialer, Request::post(format!("/v{}.{}/networks/create", api.0, api.1)), &document).await?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let body = response.into_body().collect().await.map_err(EngineError::protocol)?.to_bytes();
    let answer: NetworkCreateResponse = serde_json::from_slice(&body).map_err(EngineError::protocol)?;
    Ok(answer.id)
}

async fn send(dialer: &Dialer, request: Builder, document: &Value) -> Result<Response<Incoming>> {
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(document.to_string())))
        .map_err(EngineError::protocol)?;
    let answer = tokio::time::timeout(super::api::DEADLINE, dialer.send(request)).await;
    answer.map_err(|_| EngineError::Timeout)?
}

async fn refusal(response: Response<Incoming>) -> EngineError {
    let status = response.status().as_u16();
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = document["message"]
        .as_str()
        .map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned);
    super::error::refused(status, message)
}
