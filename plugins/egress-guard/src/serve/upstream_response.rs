//! The answer to a plain request: written to the client as it comes, its end told anew.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::{Response, StatusCode};

use super::admit::Denial;
use super::answer;
use super::client::{Next, gone};
use super::headers;
use super::request_body::PAUSE;
use super::upstream::failed;
use crate::dlp::answer::AnswerBody;
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
    pub(super) fn new(head: &RequestHead, response: &Response<Incoming>, body_is_whole: bool) -> Self {
        let bodiless = head.method == "HEAD"
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = match response.body().size_hint().exact() {
            _ if bodiless => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if head.version == Version::Http11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let keep = head.keeps_alive() && body_is_whole && framing != Framing::UntilClose;
        Self { framing, next: if keep { Next::Keep } else { Next::Close } }
    }
}

/// Writes one answer to the client as it comes.
pub(super) struct Writer<'a> {
    pub(super) stream: &'a Stream,
    pub(super) activity: &'a Activity,
    pub(super) plan: Plan,
    /// The look at the body, when secrets could be in it.
    pub(super) look: Option<AnswerBody<'a>>,
}

impl Writer<'_> {
    /// Writes the answer.
    pub(super) async fn write(&mut self, response: Response<Incoming>) -> Result<(), Denial> {
        self.stream.write_all(&response_head(&response, self.plan)).await.map_err(|_| gone())?;
        let mut body = response.into_body();
        while let Some(frame) = self.frame(&mut body).await? {
            // Trailers are dropped: nothing here needs them, and few clients can read them.
            let Ok(data) = frame.map_err(|_| failed())?.into_data() else { continue };
            let data = match &mut self.look {
                Some(look) => look.push(data).map_err(answer::broken)?,
                None => data,
            };
            self.data(&data).await?;
        }
        if let Some(look) = &mut self.look {
            let rest = look.finish().map_err(answer::broken)?;
            self.data(&rest).await?;
        }
        if self.plan.framing == Framing::Chunked {
            self.stream.write_all(b"0\r\n\r\n").await.map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Waits for the next frame. When none comes for a while, what is held back goes first, as far as it may.
    async fn frame(&mut self, body: &mut Incoming) -> Result<Option<hyper::Result<Frame<Bytes>>>, Denial> {
        if self.look.as_ref().is_some_and(AnswerBody::holds_back) {
            // Nothing is lost when this is given up: a frame is taken in its last step.
            if let Ok(frame) = tokio::time::timeout(PAUSE, body.frame()).await {
                return Ok(frame);
            }
            let rest = self.look.as_mut().map(AnswerBody::pause).unwrap_or_default();
            self.data(&rest).await?;
        }
        Ok(body.frame().await)
    }

    async fn data(&self, data: &[u8]) -> Result<(), Denial> {
        if data.is_empty() || self.plan.framing == Framing::Empty {
            return Ok(());
        }
        let written = match self.plan.framing {
            Framing::Chunked => self.stream.write_all(&chunk(data)).await,
            _ => self.stream.write_all(data).await,
        };
        written.map_err(|_| gone())?;
        self.activity.add_down(data.len());
        Ok(())
    }
}

fn response_head(response: &Response<Incoming>, plan: Plan) -> Vec<u8> {
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
