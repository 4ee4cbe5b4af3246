//! Waiting for descriptors of the caller's, in threads that can be abandoned.
//!
//! A terminal or pipe may never end, and a read on it cannot be interrupted; making it non-blocking would change it for every
//! process that shares it, and the safe half of tokio takes no foreign descriptor. So a thread polls the descriptor
//! together with a pipe, whose other end hangs up when the receiver is gone.

use std::io;

use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};

/// Bytes from a descriptor. Dropping it ends the thread behind it.
pub struct Reader {
    bytes: mpsc::Receiver<Vec<u8>>,
    _end: OwnedFd,
}

impl Reader {
    /// Starts to read.
    ///
    /// # Errors
    /// Fails when the system has no pipe or thread to give.
    pub fn start(fd: OwnedFd) -> Result<Self> {
        let (ended, end) = end_pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
        let (sender, bytes) = mpsc::channel(4);
        spawn("reader", move || read(&fd, &ended, &sender))?;
        Ok(Self { bytes, _end: end })
    }

    /// Returns the next bytes, or `None` at the end.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        self.bytes.recv().await
    }
}

/// Waits until a descriptor is readable, and reads nothing from it.
pub(crate) async fn readable(fd: OwnedFd) -> Result<()> {
    let (ended, _end) = end_pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    let (sender, done) = oneshot::channel();
    spawn("watcher", move || {
        if is_next(&fd, &ended) {
            // The receiver is gone when the other work was done first.
            sender.send(()).ok();
        }
    })?;
    done.await.failure(FailureKind::Internal, || "cannot wait for a descriptor")
}

fn end_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Waits for the descriptor or the end of interest; returns `true` if it was the descriptor.
fn is_next(fd: &OwnedFd, ended: &OwnedFd) -> bool {
    loop {
        let mut waiting = [PollFd::new(fd, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Err(Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) => return waiting[1].revents().is_empty(),
        }
    }
}

fn read(fd: &OwnedFd, ended: &OwnedFd, sender: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 32 * 1024];
    while is_next(fd, ended) {
        match rustix::io::read(fd, &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) | Ok(0) => return,
            Ok(n) if sender.blocking_send(buffer[..n].to_vec()).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Starts a thread.
///
/// # Errors
/// Fails when the system has none to give.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    started.map(drop).failure(FailureKind::Internal, || format!("cannot start the thread `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_reads_to_the_end_and_can_be_abandoned() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut stdin = Reader::start(reader).unwrap();
        rustix::io::write(&writer, b"hello").unwrap();
        assert_eq!(stdin.read().await.unwrap(), b"hello");
        drop(writer);
        assert_eq!(stdin.read().await, None);

        // The writing end stays open: only abandoning lets the thread go, which is seen by the pipe losing its reader.
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let stdin = Reader::start(reader).unwrap();
        drop(stdin);
        let mut watched = [PollFd::new(&writer, PollFlags::empty())];
        poll(&mut watched, None).unwrap();
        assert!(watched[0].revents().contains(PollFlags::ERR));
    }
}
