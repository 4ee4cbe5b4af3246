//! `logs --follow`: decisions as they are made. Woken by a change in the run's directory, not by a clock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::{App, Format};
use super::decisions::Decisions;
use super::tail::Tail;
use crate::egress::summary;
use crate::error::{CliResult, Exit};
use crate::run::records::{Phase, Record};
use crate::ui::interrupt::Interrupt;

/// How long to wait where the system tells of no change.
#[cfg(not(target_os = "linux"))]
const TICK: Option<Timespec> = Some(Timespec { tv_sec: 0, tv_nsec: 250_000_000 });
#[cfg(target_os = "linux")]
const TICK: Option<Timespec> = None;

/// Shows decisions until the run has ended, the user has seen enough, or nobody reads.
pub(super) fn run(app: &App, record: &Record, format: Format) -> CliResult<ExitCode> {
    let directory = app.runs().dir(&record.id);
    let failed = || format!("follow the decisions in `{}`", directory.display());
    let interrupt = Interrupt::install()?;
    // Watched before it is read, so that nothing falls in between.
    let changes = watch().with_context(failed)?;
    add(&changes, &directory).with_context(failed)?;
    super::tell_dropped(app, &directory)?;
    let (mut tail, mut decisions) = (Tail::new(&directory), Decisions::new(&app.ui, format, &record.id));
    loop {
        // Asked before the log is read, so that the last lines are not missed.
        let record = app.runs().get(&record.id);
        let ended = record.is_none_or(|record| matches!(record.phase, Phase::Unsaved | Phase::Ended));
        // The log may be in a directory of its own, which may have been made only now.
        let log = summary::log(&directory);
        if let Some(place) = log.parent().filter(|place| *place != directory && place.is_dir()) {
            add(&changes, place).with_context(failed)?;
        }
        decisions.show(&tail.read_new().with_context(failed)?);
        if ended || !app.ui.can_write() {
            return Ok(ExitCode::SUCCESS);
        }
        match wait(&interrupt, &changes).with_context(failed)? {
            Woken::Changed => {}
            Woken::Interrupted => return Ok(Exit::Interrupted.into()),
            Woken::Unread => return Ok(ExitCode::SUCCESS),
        }
    }
}

enum Woken {
    Changed,
    Interrupted,
    Unread,
}

fn wait(interrupt: &Interrupt, changes: &OwnedFd) -> io::Result<Woken> {
    let stdout = crate::ui::output::stdout();
    let mut waited = [
        PollFd::new(interrupt, PollFlags::IN),
        // No flag: told only that its reader is gone.
        PollFd::new(&stdout, PollFlags::empty()),
        PollFd::new(changes, PollFlags::IN),
    ];
    match poll(&mut waited, TICK.as_ref()) {
        Err(rustix::io::Errno::INTR) => return Ok(Woken::Changed),
        other => other?,
    };
    let [interrupted, unread, _] = waited.map(|descriptor| !descriptor.revents().is_empty());
    if interrupted {
        return Ok(Woken::Interrupted);
    }
    if unread {
        return Ok(Woken::Unread);
    }
    drain(changes)?;
    Ok(Woken::Changed)
}

/// Takes all events; what they say does not matter, since the files themselves are looked at.
fn drain(changes: impl AsFd) -> io::Result<()> {
    let mut events = [0; 4096];
    loop {
        match rustix::io::read(&changes, &mut events) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes a descriptor that tells of changes in directories.
#[cfg(target_os = "linux")]
fn watch() -> io::Result<OwnedFd> {
    use rustix::fs::inotify::{CreateFlags, init};
    Ok(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

/// Watches a directory, once however often: appended lines, and a log or record put in another's place.
#[cfg(target_os = "linux")]
fn add(changes: &OwnedFd, directory: &Path) -> io::Result<()> {
    use rustix::fs::inotify::{WatchFlags, add_watch};
    let told = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
    add_watch(changes, directory, told)?;
    Ok(())
}

/// Makes a descriptor on which nothing ever happens.
#[cfg(not(target_os = "linux"))]
fn watch() -> io::Result<OwnedFd> {
    let (readable, writable) = rustix::pipe::pipe()?;
    rustix::io::ioctl_fionbio(&readable, true)?;
    std::mem::forget(writable);
    Ok(readable)
}

/// Watches nothing: the log is looked at again and again.
#[cfg(not(target_os = "linux"))]
fn add(_changes: &OwnedFd, _directory: &Path) -> io::Result<()> {
    Ok(())
}
