//! The answer to a request of HTTP/1.1: written to the client as it comes, its end told once more.

use hyper::{Response, StatusCode};

use super::admit::Denial;
use super::answer::Answer;
use super::client::{Next, gone};
use super::headers;
use crate::http::head::{RequestHead, Version};
use crate::net::join::Activity;
use crate::net::stream::Stream;

/// How the answer's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// How the answer is written, and whether the connection stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    framing: Framing,
    pub(super) next: Next,
}

impl Plan {
    pub(super) fn new(
        head: &RequestHead,
        (response, length): (&Response<()>, Option<u64>),
        body_is_whole: bool,
    ) -> Self {
        let bodiless = head.method == "HEAD"
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = match length {
            _ if bodiless => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if head.version == Version::Http11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let keep = head.keeps_alive() && body_is_whole && framing != Framing::UntilClose;
        Self { framing, next: if keep { Next::Keep } else { Next::Close } }
    }
}

/// Writes the answer as it comes.
pub(super) async fn write(
    stream: &Stream,
    activity: &Activity,
    (response, mut answer): (Response<()>, Answer<'_>),
    plan: Plan,
) -> Result<(), Denial> {
    stream.write_all(&response_head(&response, plan)).await.map_err(|_| gone())?;
    while let Some(frame) = answer.next().await? {
        // Trailers are dropped: nothing here needs them, and few clients can read them.
        let Ok(data) = frame.into_data() else { continue };
        if data.is_empty() || plan.framing == Framing::Empty {
            continue;
        }
        let written = match plan.framing {
            Framing::Chunked => stream.write_all(&chunk(&data)).await,
            _ => stream.write_all(&data).await,
        };
        written.map_err(|_| gone())?;
        activity.add_down(data.len());
    }
    if plan.framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n").await.map_err(|_| gone())?;
    }
    Ok(())
}

fn response_head(response: &Response<()>, plan: Plan) -> Vec<u8> {
    let status = response.status();
    let mut text =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Status"))
            .into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    };
    for (name, value) in response.headers() {
        // Behind HEAD the length tells about a body that does not come, and stays.
        let told_anew = name == hyper::header::CONTENT_LENGTH && plan.framing != Framing::Empty;
        if !told_anew && !headers::is_dropped(name.as_str()) {
            line(name.as_str(), value.as_bytes());
        }
    }
    match plan.framing {
        Framing::Length(length) => line("content-length", length.to_string().as_bytes()),
        Framing::Chunked => line("transfer-encoding", b"chunked"),
        Framing::Empty | Framing::UntilClose => {}
    }
    if plan.next == Next::Close {
        line("connection", b"close");
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
