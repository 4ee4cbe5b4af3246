//! Writing to the caller's standard output and error from a thread of its own: they may block for as long as they like.

use claude_bottle_plugin_api::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// What the thread is to do.
enum Job {
    Write(Stream, Vec<u8>),
    /// Say when all before is written.
    Report(oneshot::Sender<()>),
}

/// The way to both.
pub(super) struct Writer {
    chunks: mpsc::Sender<Job>,
    done: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(stdout: OwnedFd, stderr: OwnedFd) -> Result<Self> {
        let (chunks, mut receiver) = mpsc::channel::<Job>(16);
        let (finished, done) = oneshot::channel();
        claude_bottle_engine::spawn("output", move || {
            while let Some(job) = receiver.blocking_recv() {
                let (stream, bytes) = match job {
                    Job::Write(stream, bytes) => (stream, bytes),
                    Job::Report(written) => {
                        // The receiver is gone when the call was cancelled.
                        written.send(()).ok();
                        continue;
                    }
                };
                let fd = if stream == Stream::Stderr { &stderr } else { &stdout };
                if write_all(fd, &bytes).is_err() {
                    break;
                }
            }
            drop(receiver);
            // The receiver is gone when the call was cancelled.
            finished.send(()).ok();
        })?;
        Ok(Self { chunks, done })
    }

    /// Hands bytes on; returns `true` if the output is still read.
    pub(super) async fn write(&self, stream: Stream, bytes: Vec<u8>) -> bool {
        self.chunks.send(Job::Write(stream, bytes)).await.is_ok()
    }

    /// Waits until everything so far is written.
    pub(super) async fn flush(&self) {
        let (sender, written) = oneshot::channel();
        if self.chunks.send(Job::Report(sender)).await.is_ok() {
            drop(written.await);
        }
    }

    /// Waits until everything is written.
    pub(super) async fn finish(self) {
        drop(self.chunks);
        drop(self.done.await);
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            // Somebody who shares the descriptor has made it non-blocking.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(fd, PollFlags::OUT)], None)?),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
