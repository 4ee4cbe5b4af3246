//! The body of a plain request: read from the client, looked into, and passed on to the upstream.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use claude_bottle_egress_policy::{Code, HostOrIp};
use http_body_util::channel::Sender;

use super::admit::Denial;
use super::client::{bad, gone};
use super::request::Request;
use super::upstream::BodyAborted;
use crate::dlp::body::BodyScan;
use crate::dlp::mask::Masking;
use crate::dlp::unpack::{self, Packing, PackingError};
use crate::dlp::{Finding, What};
use crate::http::framing::{BodyDecoder, BodyLength, Piece};
use crate::http::head::RequestHead;
use crate::net::stream::Stream;

/// Pieces of a body that may wait for the upstream.
pub(super) const BODY_QUEUE: usize = 2;

/// Silence of a client after which it may be waiting for an answer to what it has sent of its body.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Media type of a body that is the fields of a form.
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The end of a body's channel that the client's bytes go into.
pub(super) type BodySender = Sender<Bytes, BodyAborted>;

/// Moves the client's body to the upstream.
pub(super) struct Feed<'a> {
    pub(super) stream: &'a Stream,
    pub(super) buffer: &'a mut BytesMut,
    pub(super) decoder: &'a mut BodyDecoder,
    pub(super) request: &'a Request,
    pub(super) scan: BodyScan<'a>,
    /// Overwrites secrets on their way to a model, before the scan.
    pub(super) mask: Option<Masking<'a>>,
}

impl Feed<'_> {
    pub(super) async fn run(&mut self, sender: Option<BodySender>) -> Result<(), Denial> {
        let Some(mut sender) = sender else { return Ok(()) };
        let fed = self.feed(&mut sender).await;
        if fed.is_err() {
            sender.abort(BodyAborted);
        }
        fed
    }

    async fn feed(&mut self, sender: &mut BodySender) -> Result<(), Denial> {
        let max_body = self.request.snapshot.config.limits.max_body_bytes;
        let mut total = 0;
        loop {
            match self.decoder.next(self.buffer).map_err(bad)? {
                Piece::End => {
                    let rest = self.mask.as_mut().map(Masking::finish).unwrap_or_default();
                    let clean = self.scan.push(&rest).map_err(unreadable)?;
                    self.pass_on(clean, sender).await?;
                    let rest = self.scan.finish().map_err(unreadable)?;
                    return self.pass_on(rest, sender).await;
                }
                Piece::More => self.read(sender).await?,
                Piece::Data(data) => {
                    total += data.len() as u64;
                    check_size(BodyLength::Known(total), max_body)?;
                    let data = match &mut self.mask {
                        Some(mask) => mask.push(data),
                        None => data,
                    };
                    let clean = self.scan.push(&data).map_err(unreadable)?;
                    self.pass_on(clean, sender).await?;
                }
            }
        }
    }

    /// Reads on. When nothing comes for a while, what is held back goes first, since the client may wait for its answer.
    async fn read(&mut self, sender: &mut BodySender) -> Result<(), Denial> {
        let mut in_time = None;
        let waits = self.mask.as_ref().is_some_and(|mask| mask.waiting() > 0);
        if waits || self.scan.holds_back() {
            // Nothing is lost when this is given up: bytes leave the socket in its last step, which does not wait.
            in_time = tokio::time::timeout(PAUSE, self.stream.read(self.buffer)).await.ok();
            if in_time.is_none() {
                let rest = self.mask.as_mut().map(Masking::pause).unwrap_or_default();
                let clean = self.scan.push(&rest).map_err(unreadable)?;
                self.pass_on(clean, sender).await?;
                let held = self.scan.pause();
                self.pass_on(held, sender).await?;
            }
        }
        let read = match in_time {
            Some(read) => read,
            None => self.stream.read(self.buffer).await,
        };
        if matches!(read, Ok(1..)) { Ok(()) } else { Err(gone()) }
    }

    /// Sends what has been looked at, unless something was found.
    async fn pass_on(&self, data: Bytes, sender: &mut BodySender) -> Result<(), Denial> {
        if let Some(name) = self.mask.as_ref().and_then(Masking::found) {
            let masked = Finding { what: What::Masked(name.to_owned()), place: "body" };
            self.request.warning.get_or_init(|| masked);
        }
        self.request.note(self.scan.findings().clone())?;
        if data.is_empty() {
            // Time passes for the body even while bytes are held back.
            self.request.activity.add_up(0);
            return Ok(());
        }
        self.request.activity.add_up(data.len());
        if sender.send_data(data).await.is_err() {
            // The upstream has stopped reading; its answer says why.
            return std::future::pending().await;
        }
        Ok(())
    }
}

/// Refuses a body that is larger than allowed.
pub(super) fn check_size(length: BodyLength, max: u64) -> Result<(), Denial> {
    match length {
        BodyLength::Known(length) if max > 0 && length > max => {
            Err(Denial::new(Code::TooLarge, "the request body is larger than allowed"))
        }
        _ => Ok(()),
    }
}

/// Returns how the body is packed. One that cannot be looked into is refused, unless findings would only warn.
pub(super) fn packing(head: &RequestHead, request: &Request) -> Result<Packing, Denial> {
    match unpack::packing(head.values("content-encoding")) {
        Err(error) if request.snapshot.inspector.blocks() => Err(unreadable(error)),
        Err(_) => Ok(Packing::Plain),
        Ok(packing) => Ok(packing),
    }
}

/// Returns the look at the body of this request.
pub(super) fn scan<'a>(
    head: &RequestHead,
    request: &'a Request,
    host: &'a HostOrIp,
    packing: Packing,
) -> BodyScan<'a> {
    let scan = BodyScan::new(&request.snapshot.inspector, host, packing);
    let is_form = |value: &[u8]| value.get(..FORM.len()).is_some_and(|name| name.eq_ignore_ascii_case(FORM));
    if head.values("content-type").any(is_form) { scan.of_form() } else { scan }
}

/// Returns what overwrites secrets in the body of this request; none in a packed one, in which they are refused.
pub(super) fn mask<'a>(request: &'a Request, host: &HostOrIp, packing: Packing) -> Option<Masking<'a>> {
    let mask = request.snapshot.inspector.mask(host).filter(|_| packing == Packing::Plain);
    mask.map(Masking::new)
}

fn unreadable(error: PackingError) -> Denial {
    Denial::new(error.code(), error.to_string())
}
