//! Halts and exports as the host does them: the archive is read at the other end of a pipe.

use std::io::PipeReader;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use crate::abi::host::{CallHost, Opened};
use crate::{Bottle, ErrorExt, ExportRequest, Exported, FailureKind, Result};

use super::archive::{self, Archive};
use super::bench::{Check, call, ensure};

/// Exports the working directory, whole, as the host takes it for whole.
pub(super) fn workspace(opened: &Opened, bottle: &Bottle) -> Check<(Exported, Archive)> {
    let (exported, archive) = reading(opened, &call(), bottle, |mut stream| archive::read(&mut stream));
    let (exported, archive) = (exported?, archive?);
    let (said, found) = (exported.entries, archive.n_entries);
    ensure!(said == found, "it says {said} entries, and the archive has {found}");
    Ok((exported, archive))
}

/// Exports the working directory, while `read` reads its archive on another thread.
pub(super) fn reading<T: Send>(
    opened: &Opened,
    call: &Arc<dyn CallHost>,
    bottle: &Bottle,
    read: impl FnOnce(PipeReader) -> Check<T> + Send,
) -> (Result<Exported>, Check<T>) {
    let (reader, writer) = match std::io::pipe().failure(FailureKind::Internal, || "make a pipe") {
        Ok(pipe) => pipe,
        Err(failure) => return (Err(failure.clone()), Err(failure.into())),
    };
    thread::scope(|scope| {
        let reading = scope.spawn(move || read(reader));
        let exported = opened.export(call, bottle, &ExportRequest::workspace(writer.as_raw_fd()));
        drop(writer);
        let panicked = || Err(super::bench::Stop::Fail("the kit's own reader panicked".to_owned()));
        (exported, reading.join().unwrap_or_else(|_| panicked()))
    })
}
