//! The decisions of the guard, copied into the run's directory while the bottle runs, and read to their end when it is closed.
//!
//! The guard keeps them in memory and counts them: what is in the file already is not asked for again, by whichever process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter};
use std::path::Path;
use std::thread::JoinHandle;

use bottle_guest::pod::client::{Call as Channel, Said};
use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use claude_bottle_egress_policy::rotation;
use claude_bottle_kit::decisions::{self, LogFile};
use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::backend::Kubernetes;
use crate::door::Door;
use crate::plan::Record;

/// A thread that copies decisions as they come. It ends when this is dropped, and has written then what it had.
pub(crate) struct Follower {
    end: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().map(JoinHandle::join);
    }
}

/// Begins to copy.
pub(crate) fn follow(backend: &Kubernetes, record: &Record, door: &Door) -> Result<()> {
    let Some(dir) = record.state_dir.clone() else { return Ok(()) };
    let channel = door.call(Side::Guard, &Verb::Log { from: 0, follow: true })?;
    let (ended, end) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    let copy = move || {
        if let Err(error) = copy(&channel, Some(&ended), &dir) {
            tracing::warn!(%error, "the decisions of the guard are not copied any more");
        }
    };
    let thread = std::thread::Builder::new().name("decisions".to_owned()).spawn(copy);
    let thread = thread.failure(FailureKind::Internal, || "cannot start a thread")?;
    backend.keep_follower(&record.uid, Follower { end: Some(end), thread: Some(thread) });
    Ok(())
}

/// Reads what is not in the file yet. The bottle's programs have ended then, so that nothing comes after it.
pub(crate) fn finish(backend: &Kubernetes, record: &Record) -> Result<()> {
    backend.end_following(&record.uid);
    let Some(dir) = &record.state_dir else { return Ok(()) };
    if !dir.is_dir() {
        return Ok(());
    }
    let door = backend.door(record)?;
    door.ask(Side::Bottle, &Verb::Halt, None)?;
    let known = lines(dir).failure(FailureKind::Internal, || "cannot read the log of decisions")?;
    let channel = door.call(Side::Guard, &Verb::Log { from: known, follow: false })?;
    copy(&channel, None, dir).map_err(|error| door.failure(&error))
}

/// Copies whole lines until the other side ends, or this one is to.
fn copy(channel: &Channel, ended: Option<&PipeReader>, dir: &Path) -> io::Result<()> {
    let mut part = Vec::new();
    loop {
        match channel.heard()? {
            Some(Said::Out(bytes)) => {
                part.extend_from_slice(&bytes);
                if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
                    LogFile::open_when_free(dir)?.append(&part[..=end])?;
                    part.drain(..=end);
                }
            }
            Some(Said::Result(Outcome::Failed { message })) => return Err(io::Error::other(message)),
            Some(Said::Result(_)) => return Ok(()),
            Some(_) => {}
            None if !waits(channel, ended)? => return Ok(()),
            None => {}
        }
    }
}

/// Waits until something was said; `false` when this side is to end.
fn waits(channel: &Channel, ended: Option<&PipeReader>) -> io::Result<bool> {
    let wake = channel.wake();
    let mut fds = vec![PollFd::new(&wake, PollFlags::IN)];
    fds.extend(ended.map(|fd| PollFd::new(fd, PollFlags::IN)));
    match poll(&mut fds, None) {
        Err(Errno::INTR) => {}
        other => drop(other?),
    }
    let is_over = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
    channel.clear_wake();
    Ok(!is_over)
}

/// Counts the lines that there were: those in the files, and those that are in none any more.
fn lines(dir: &Path) -> io::Result<u64> {
    let log = dir.join(decisions::NAME);
    let mut count = rotation::dropped(&log)?.lines;
    for path in [rotation::older(&log), log] {
        match File::open(&path) {
            Ok(file) => count += BufReader::new(file).split(b'\n').count() as u64,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(lines(dir.path()).unwrap(), 0);
        let append = |lines: &[u8]| LogFile::open(dir.path()).unwrap().unwrap().append(lines).unwrap();
        append(b"{}\n{}\n");
        append(b"{}\n");
        assert_eq!(lines(dir.path()).unwrap(), 3);
    }
}
