//! WebSockets in opened tunnels: asked for like a request, and looked into frame by frame. Extensions are not passed on, so that
//! frames are plain.

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Scheme};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::{self, Upgraded};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::admit::Denial;
use super::answer;
use super::client::{Client, gone};
use super::headers;
use super::request::Request;
use super::upstream::failed;
use crate::dlp::body::BodyScan;
use crate::dlp::mask::Mask;
use crate::dlp::unpack::Packing;
use crate::http::destination::Destination;
use crate::http::frame::{Frame, FrameError, FrameReader, Side, close};
use crate::http::framing::{self, BodyLength};
use crate::http::head::{RequestHead, Version};
use crate::net::stream::Stream;

/// What rules call the upgrade. None can name it yet, so one with methods does not allow it.
pub(super) const METHOD: &str = "WS";

/// The protocol that is asked for.
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What would make frames something else than they look.
pub(super) const EXTENSIONS: &str = "sec-websocket-extensions";

/// Bytes read at once from the host.
const READ_SIZE: usize = 16 * 1024;

/// Codes of ends: <https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1>.
const PROTOCOL_ERROR: u16 = 1002;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// Returns `true` if a request in an opened tunnel asks for a WebSocket, and for nothing else.
pub(super) fn is_asked(head: &RequestHead, wanted: &Destination) -> bool {
    let mut protocols = head.values("upgrade");
    wanted.scheme == Scheme::Https
        && head.method == "GET"
        && head.version == Version::Http11
        && head.has_token("connection", "upgrade")
        && protocols.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
        && head.values("sec-websocket-key").count() == 1
        && framing::body_length(head) == Ok(BodyLength::None)
}

/// Asks the host for it as the client did.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.remove(EXTENSIONS);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

/// Hands the host's consent on, and carries frames until one side ends. Returns how it ended.
pub(super) async fn carry(
    client: &mut Client,
    request: &Request,
    wanted: &Destination,
    mut response: Response<hyper::body::Incoming>,
) -> Result<String, Denial> {
    let is_agreed = response
        .headers()
        .get(UPGRADE)
        .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !is_agreed || response.headers().contains_key(EXTENSIONS) {
        return Err(failed());
    }
    let upgraded = upgrade::on(&mut response).await.map_err(|_| failed())?;
    let mask = request.snapshot.answers(wanted);
    if let Some(mask) = mask {
        answer::hide(response.headers_mut(), &request.snapshot.held, mask);
    }
    request.capture.answered(&request.snapshot, response.status(), response.headers());
    // In one write: some clients take no other.
    client.stream.write_all(&consent(response.headers())).await.map_err(|_| gone())?;
    let (from, to) = tokio::io::split(TokioIo::new(upgraded));
    let scan = || BodyScan::new(&request.snapshot.inspector, &wanted.host, Packing::Plain);
    let mut up = Up { stream: &client.stream, request, to, scan: scan(), asides: scan() };
    let mut down = Down { stream: &client.stream, request, from, mask, tail: Vec::new() };
    let ended = tokio::select! {
        ended = up.run(std::mem::take(&mut client.buffer)) => ended,
        ended = down.run() => ended,
    };
    if let Err(denial) = &ended {
        client.tell(&close(end_code(denial.code), denial.code.as_str())).await;
    }
    ended.map(|()| "a WebSocket, closed".to_owned())
}

fn end_code(code: Code) -> u16 {
    match code {
        Code::TooLarge => TOO_BIG,
        Code::BadRequest | Code::UpstreamFailed => PROTOCOL_ERROR,
        _ => POLICY,
    }
}

fn consent(headers: &HeaderMap) -> Vec<u8> {
    let mut text =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".to_vec();
    for (name, value) in headers.iter().filter(|(name, _)| !headers::is_dropped(name.as_str())) {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// The client's frames, which go as they came once they were looked at.
struct Up<'a> {
    stream: &'a Stream,
    request: &'a Request,
    to: WriteHalf<TokioIo<Upgraded>>,
    scan: BodyScan<'a>,
    /// The look at pings and pongs, which may stand within a message.
    asides: BodyScan<'a>,
}

impl Up<'_> {
    async fn run(&mut self, mut buffer: BytesMut) -> Result<(), Denial> {
        let mut reader = FrameReader::new(Side::Client);
        loop {
            while let Some(frame) = reader.next(&mut buffer).map_err(|error| bad(error, Code::BadRequest))? {
                self.look(&frame)?;
                self.request.spend(frame.bytes().len())?;
                self.to.write_all(frame.bytes()).await.map_err(|_| failed())?;
                self.to.flush().await.map_err(|_| failed())?;
                self.request.activity.add_up(frame.bytes().len());
            }
            if !matches!(self.stream.read(&mut buffer).await, Ok(1..)) {
                self.to.shutdown().await.ok();
                return Ok(());
            }
        }
    }

    /// Looks at a frame together with what went before it.
    fn look(&mut self, frame: &Frame) -> Result<(), Denial> {
        let scan = if frame.is_control() { &mut self.asides } else { &mut self.scan };
        let unreadable =
            |error: crate::dlp::unpack::PackingError| Denial::new(error.code(), error.to_string());
        scan.push(&frame.payload()).map_err(unreadable)?;
        scan.pause();
        self.request.note(scan.findings().clone())
    }
}

/// The host's frames, in which secrets are masked.
struct Down<'a> {
    stream: &'a Stream,
    request: &'a Request,
    from: ReadHalf<TokioIo<Upgraded>>,
    mask: Option<&'a Mask>,
    /// The last bytes that went, in which a secret may have begun.
    tail: Vec<u8>,
}

impl Down<'_> {
    async fn run(&mut self) -> Result<(), Denial> {
        let (mut reader, mut buffer) = (FrameReader::new(Side::Server), BytesMut::new());
        loop {
            while let Some(frame) =
                reader.next(&mut buffer).map_err(|error| bad(error, Code::UpstreamFailed))?
            {
                let bytes = self.masked(&frame)?;
                self.stream.write_all(&bytes).await.map_err(|_| gone())?;
                self.request.activity.add_down(bytes.len());
            }
            buffer.reserve(READ_SIZE);
            if !matches!(self.from.read_buf(&mut buffer).await, Ok(1..)) {
                return Ok(());
            }
        }
    }

    /// Returns a frame without the secrets in it. One that began in the frame before cannot be masked any more.
    fn masked(&mut self, frame: &Frame) -> Result<bytes::Bytes, Denial> {
        let Some(mask) = self.mask else { return Ok(frame.bytes().clone()) };
        let payload = frame.payload();
        if frame.is_control() {
            return Ok(mask
                .whole(&payload)
                .map_or_else(|| frame.bytes().clone(), |bytes| frame.with_payload(&bytes)));
        }
        let gone = self.tail.len();
        let together = [self.tail.as_slice(), &payload].concat();
        if mask.crosses(&together, gone) {
            return Err(Denial::new(
                Code::SecretReflected,
                "a secret came back in two frames of a WebSocket",
            ));
        }
        self.tail = together[together.len() - mask.open_end(&together)..].to_vec();
        Ok(mask.whole(&payload).map_or_else(|| frame.bytes().clone(), |bytes| frame.with_payload(&bytes)))
    }
}

fn bad(error: FrameError, malformed: Code) -> Denial {
    let code = if error == FrameError::TooLarge { Code::TooLarge } else { malformed };
    Denial::new(code, error.to_string())
}

/// Returns `true` if an answer changes the protocol.
pub(super) fn is_consent(status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS
}
