//! The way of files into a bottle: their archive is written while it is sent.

use std::io::{self, Write};

use bytes::Bytes;
use claude_bottle_kit::contents::Files;
use claude_bottle_kit::tree::TreeError;
use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};
use tokio::sync::mpsc;

use super::Guest;
use crate::error::DockerError;

/// How much is collected before it is handed on.
const CHUNK: usize = 128 * 1024;

/// Sends everything in one pass; tells of the bytes sent now and then.
pub(super) async fn send(files: Files, guest: &impl Guest, mut progress: impl FnMut(u64)) -> Result<()> {
    let (sender, mut chunks) = mpsc::channel(8);
    let writing = tokio::task::spawn_blocking(move || write(&files, sender));
    let (forward, body) = mpsc::channel::<io::Result<Bytes>>(1);
    let counted = async {
        let mut sent = 0;
        while let Some(chunk) = chunks.recv().await {
            sent += chunk.as_ref().map_or(0, |bytes: &Bytes| bytes.len() as u64);
            progress(sent);
            if forward.send(chunk).await.is_err() {
                break;
            }
        }
        drop((chunks, forward));
    };
    let stream =
        futures_util::stream::unfold(
            body,
            |mut body| async move { body.recv().await.map(|chunk| (chunk, body)) },
        );
    let ((), put) = tokio::join!(counted, guest.put(Box::pin(stream)));
    let written = writing.await.failure(FailureKind::Internal, || "cannot write the archive")?;
    match written {
        // The guest's refusal is the reason why there was no more writing, so it is the one to tell.
        Err(TreeError::Write { .. }) if put.is_err() => put,
        Err(source) => Err(DockerError::CopyIn { source }.into()),
        Ok(()) => put,
    }
}

fn write(files: &Files, sender: mpsc::Sender<io::Result<Bytes>>) -> Result<(), TreeError> {
    let mut sink = Sink { sender, buffer: Vec::with_capacity(CHUNK) };
    let written = files.write_to(&mut sink);
    if let Err(error) = &written {
        // An archive that just ended would be taken for a whole one.
        drop(sink.sender.blocking_send(Err(io::Error::other(error.to_string()))));
    }
    written
}

/// Hands what is written on to the request's body, and waits when that is slow.
struct Sink {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
