//! The terminal of a process that another one watches: put back when that process was killed and cannot do so itself.

use std::fs::{File, OpenOptions};
use std::io::Write;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::tcgetsid;
use nix::unistd::{Pid, getpgid, getppid};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use crate::ui::terminal;

/// The terminal of the process that started this one.
pub struct Watched {
    terminal: File,
    /// Its modes, before that process changed any.
    modes: Termios,
    /// The job of that process.
    group: Pid,
}

impl Watched {
    /// Looks at the terminal; `None` if there is none.
    ///
    /// The group is 0 where its leader is outside of this pid namespace, such as that of the system's first process, which takes over
    /// from one that has died meanwhile.
    pub fn of_parent() -> Option<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        let group = getpgid(Some(getppid())).ok().filter(|group| group.as_raw() > 0)?;
        let modes = tcgetattr(&terminal).ok()?;
        Some(Self { terminal, modes, group })
    }

    /// Puts it back, unless another program has it by now.
    pub fn restore(mut self) {
        let Ok(foreground) = tcgetpgrp(&self.terminal) else { return };
        let foreground = Pid::from_raw(foreground.as_raw_nonzero().get());
        let is_shells = tcgetsid(&self.terminal).is_ok_and(|shell| shell == foreground);
        let is_left = foreground == self.group;
        if !is_shells && !is_left {
            return;
        }
        // A process in the background may not do this, and would be stopped for it.
        let mut stops = SigSet::empty();
        stops.add(Signal::SIGTTOU);
        if let Err(error) = stops.thread_block() {
            tracing::debug!(%error, "block SIGTTOU");
            return;
        }
        // A shell has put its own modes back already.
        if is_left && let Err(error) = tcsetattr(&self.terminal, OptionalActions::Now, &self.modes) {
            tracing::debug!(%error, "restore the terminal");
        }
        if let Err(error) = self.terminal.write_all(terminal::RESET) {
            tracing::debug!(%error, "reset the screen");
        }
    }
}
