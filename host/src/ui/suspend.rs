//! Stops this program as a shell stops a job, when the program that it shows has stopped in the bottle.
//!
//! Without a shell that could continue it, nothing is stopped: the kernel discards SIGTSTP for a process group that has no
//! parent in its own session, and tells nobody. So the stop is known by the SIGCONT that ends it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};
use rustix::process::{Signal, kill_current_process_group};

use crate::ui::interrupt::Interrupt;
use crate::{ui::output, ui::terminal};

/// How long a stop may take to begin; the time that it lasts does not count, since nothing runs then.
const PATIENCE: Duration = Duration::from_millis(500);

/// Stops this program's process group, with the terminal as it was found, and returns when it was continued.
pub fn suspend(interrupt: &Interrupt) -> Result<()> {
    let has_terminal =
        io::stdin().is_terminal() || output::stdout().is_terminal() || io::stderr().is_terminal();
    if !has_terminal {
        return Err(not_suspended());
    }
    let stop = || kill_current_process_group(Signal::TSTP);
    let was_continued = terminal::lend(|| interrupt.continued_after(stop, PATIENCE))
        .failure(FailureKind::Internal, || "cannot take the terminal back")?;
    match was_continued.failure(FailureKind::Internal, || "cannot stop this process group")? {
        true => Ok(()),
        false => Err(not_suspended()),
    }
}

fn not_suspended() -> Failure {
    Failure::new(
        FailureKind::Unsupported,
        "there is no shell with job control that could continue this program",
    )
}
