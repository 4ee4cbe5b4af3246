//! Reading the caller's standard input in a way that can be abandoned.
//!
//! A terminal or pipe may never end, and a read on it cannot be interrupted; making it non-blocking would change it for every
//! process that shares it. So a thread waits for bytes or for the end of the session, and reads only what is there.

use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::sync::mpsc;

/// Bytes from standard input. Dropping it ends the thread behind it.
pub(super) struct Reader {
    bytes: mpsc::Receiver<Vec<u8>>,
    /// The thread sees this pipe's other end hang up.
    _end: OwnedFd,
}

impl Reader {
    /// Starts to read.
    pub(super) fn start(stdin: OwnedFd) -> Result<Self> {
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (ended, end) = pipe.failure(FailureKind::Internal, || "make a pipe")?;
        let (sender, bytes) = mpsc::channel(4);
        super::spawn("stdin", move || read(&stdin, &ended, &sender))?;
        Ok(Self { bytes, _end: end })
    }

    /// Returns the next bytes, or `None` at the end.
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        self.bytes.recv().await
    }
}

fn read(stdin: &OwnedFd, ended: &OwnedFd, sender: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let mut waiting = [PollFd::new(stdin, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) if !waiting[1].revents().is_empty() => return,
            Ok(_) => {}
        }
        match rustix::io::read(stdin, &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) | Ok(0) => return,
            Ok(n) if sender.blocking_send(buffer[..n].to_vec()).is_err() => return,
            Ok(_) => {}
        }
    }
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
