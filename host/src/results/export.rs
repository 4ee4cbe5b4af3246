//! Has a backend write a bottle's files into a pipe, and reads the other end meanwhile.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use claude_bottle_plugin_api::{Bottle, ExportRequest, Exported, Failure, FailureKind};

use crate::results::stream::{self, Sink, StreamError};
use crate::run::backend::{Backend, Verb};
use crate::ui::interrupt::Interrupt;

/// How much the pipe holds, where that can be said.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// Why an export did not come whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The backend says so.
    #[error("{}", .0.message)]
    Backend(Failure),
    /// What it wrote is not taken.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// There is no pipe or no thread.
    #[error("make a pipe for the bottle's files")]
    Pipe(#[source] io::Error),
}

/// Exports a part of a bottle into a sink; returns what the backend says of it.
///
/// # Errors
/// Fails if anything of it is missing; what the sink has got then is worth nothing.
pub fn export(
    backend: &Backend,
    bottle: &Bottle,
    request: impl FnOnce(i32) -> ExportRequest,
    sink: &mut (dyn Sink + Send),
) -> Result<Exported, ExportError> {
    let (reader, writer) = io::pipe().map_err(ExportError::Pipe)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES) {
        tracing::debug!(%error, "enlarge a pipe");
    }
    let ended = Interrupt::silent().map_err(ExportError::Pipe)?;
    let (request, target) = (request(writer.as_raw_fd()), bottle.clone());
    std::thread::scope(|scope| {
        let source = Source { reader, ended: Arc::clone(&ended) };
        let reading = std::thread::Builder::new()
            .name("export".to_owned())
            .spawn_scoped(scope, move || stream::read(source, sink));
        let reading = reading.map_err(ExportError::Pipe)?;
        let answer =
            backend.call_through(Verb::EXPORT, move |opened, call| opened.export(call, &target, &request));
        match &answer {
            // A verb that was given up may still write there: the number must not become another file's.
            Err(failure) if failure.kind == FailureKind::Timeout => std::mem::forget(writer),
            _ => drop(writer),
        }
        // Whatever is in the pipe is read first.
        ended.trigger();
        let read = reading
            .join()
            .unwrap_or_else(|_| Err(StreamError::Read(io::Error::other("the reader panicked"))));
        outcome(read, answer)
    })
}

/// Decides which of two failures is the cause: a writer that fails cuts the archive, a reader that fails ends the writer.
fn outcome(
    read: Result<u64, StreamError>,
    answer: Result<Exported, Failure>,
) -> Result<Exported, ExportError> {
    match (read, answer) {
        (Ok(found), Ok(exported)) => {
            stream::check_count(found, exported.entries)?;
            Ok(exported)
        }
        (Ok(_) | Err(StreamError::Cut { .. }), Err(failure)) => Err(ExportError::Backend(failure)),
        (Err(error), _) => Err(error.into()),
    }
}

/// The end of a pipe that ends when the writer has returned, also if somebody still holds the other end.
struct Source {
    reader: PipeReader,
    ended: Arc<Interrupt>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            let mut ready =
                [PollFd::new(&self.reader, PollFlags::IN), PollFd::new(&*self.ended, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !ready[0].revents().is_empty() {
                return self.reader.read(buffer);
            }
            return Ok(0);
        }
    }
}

impl ExportError {
    /// Returns it with its causes.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Backend(failure) => crate::error::CliError::from(failure).error,
            Self::Stream(StreamError::Keep(error)) => error,
            other => anyhow::Error::new(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A writer that stalls, or that a backend keeps open, holds nothing up once its verb has returned.
    #[test]
    fn a_stalled_writer_ends_with_its_verb() {
        let (reader, mut writer) = io::pipe().unwrap();
        let ended = Interrupt::silent().unwrap();
        let mut source = Source { reader, ended: Arc::clone(&ended) };
        writer.write_all(b"half").unwrap();
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            source.read_to_end(&mut bytes).map(|_| bytes)
        });
        ended.trigger();
        assert_eq!(reading.join().unwrap().unwrap(), b"half");
        drop(writer);
    }

    #[test]
    fn the_cause_is_told_and_not_what_came_of_it() {
        let failed = || Err(Failure::new(FailureKind::Internal, "write: broken pipe"));
        let exported = |entries| {
            let mut exported = Exported::default();
            exported.entries = entries;
            Ok(exported)
        };
        let told = |read, answer| outcome(read, answer).map_err(|error| error.to_string());
        assert!(told(Ok(3), exported(3)).is_ok());
        assert!(told(Ok(3), exported(4)).unwrap_err().contains("has 3 entries"));
        assert!(told(Ok(3), failed()).unwrap_err().contains("broken pipe"));
        assert!(told(Err(StreamError::Cut { entries: 1 }), failed()).unwrap_err().contains("broken pipe"));
        assert!(told(Err(StreamError::TooMany), failed()).unwrap_err().contains("2000000 entries"));
        assert!(told(Err(StreamError::Cut { entries: 1 }), exported(3)).unwrap_err().contains("cut off"));
    }
}
