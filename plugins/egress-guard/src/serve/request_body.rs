//! The body of a request of HTTP/1.1: read from the client, looked into, and passed on to the upstream.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::channel::Sender;

use super::admit::Denial;
use super::client::{bad, gone};
use super::request::Request;
use super::request_look::RequestLook;
use super::upstream::BodyAborted;
use crate::http::framing::{BodyDecoder, Piece};
use crate::net::stream::Stream;

/// Pieces of a body that may wait for the upstream.
pub(super) const BODY_QUEUE: usize = 2;

/// Silence of a client after which it may be waiting for an answer to what it has sent of its body.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// The end of a body's channel that the client's bytes go into.
pub(super) type BodySender = Sender<Bytes, BodyAborted>;

/// Moves the client's body to the upstream.
pub(super) struct Feed<'a> {
    pub(super) stream: &'a Stream,
    pub(super) buffer: &'a mut BytesMut,
    pub(super) decoder: &'a mut BodyDecoder,
    pub(super) request: &'a Request,
    pub(super) look: RequestLook<'a>,
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
        loop {
            match self.decoder.next(self.buffer).map_err(bad)? {
                Piece::End => {
                    let rest = self.look.finish()?;
                    pass_on(self.request, rest, sender).await?;
                    return Ok(());
                }
                Piece::More => self.read(sender).await?,
                Piece::Data(data) => {
                    let clean = self.look.push(data)?;
                    pass_on(self.request, clean, sender).await?;
                }
            }
        }
    }

    /// Reads on. When nothing comes for a while, what is held back goes first, since the client may wait for its answer.
    async fn read(&mut self, sender: &mut BodySender) -> Result<(), Denial> {
        let mut in_time = None;
        if self.look.holds_back() {
            // Nothing is lost when this is given up: bytes leave the socket in its last step, which does not wait.
            in_time = tokio::time::timeout(PAUSE, self.stream.read(self.buffer)).await.ok();
            if in_time.is_none() {
                let held = self.look.pause()?;
                pass_on(self.request, held, sender).await?;
            }
        }
        let read = match in_time {
            Some(read) => read,
            None => self.stream.read(self.buffer).await,
        };
        if matches!(read, Ok(1..)) { Ok(()) } else { Err(gone()) }
    }
}

/// Sends what has been looked at, as long as more may go up.
pub(super) async fn pass_on(request: &Request, data: Bytes, sender: &mut BodySender) -> Result<(), Denial> {
    request.spend(data.len())?;
    // Time passes for the body even while bytes are held back.
    request.activity.add_up(data.len());
    if !data.is_empty() && sender.send_data(data).await.is_err() {
        // The upstream has stopped reading; its answer says why.
        std::future::pending::<()>().await;
    }
    Ok(())
}
