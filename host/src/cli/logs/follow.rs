//! `logs --follow`: decisions as they are made. Woken by a change in the run's directory, not by a clock.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};

use super::super::{App, Format};
use super::decisions::Decisions;
use super::tail::Tail;
use crate::egress::summary;
use crate::error::{CliResult, Exit};
use crate::run::changes::{Changes, TICK};
use crate::run::records::Record;
use crate::ui::interrupt::Interrupt;

/// Shows decisions until the run has ended, the user has seen enough, or nobody reads.
pub(super) fn run(app: &App, record: &Record, format: Format) -> CliResult<ExitCode> {
    let directory = app.runs().dir(&record.id);
    let failed = || format!("follow the decisions in `{}`", directory.display());
    let interrupt = Interrupt::install()?;
    // Watched before it is read, so that nothing falls in between.
    let changes = Changes::new().with_context(failed)?;
    changes.add(&directory).with_context(failed)?;
    super::tell_dropped(app, &directory)?;
    let (mut tail, mut decisions) = (Tail::new(&directory), Decisions::new(&app.ui, format, &record.id));
    loop {
        // Asked before the log is read, so that the last lines are not missed.
        let record = app.runs().get(&record.id);
        let ended = record.is_none_or(|record| record.phase.is_over());
        // The log may be in a directory of its own, which may have been made only now.
        let log = summary::log(&directory);
        if let Some(place) = log.parent().filter(|place| *place != directory && place.is_dir()) {
            changes.add(place).with_context(failed)?;
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

fn wait(interrupt: &Interrupt, changes: &Changes) -> io::Result<Woken> {
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
    changes.drain()?;
    Ok(Woken::Changed)
}
