//! The user's terminal while a program in a bottle has it: raw, and afterwards as it was found.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::output;

/// The modes to go back to; kept outside any value because a third interrupt and a panic need them as well.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// What a full-screen program may have switched on and, killed, did not switch off: cursor hidden, mouse reports,
/// focus reports, bracketed paste, the kitty keyboard protocol, alternate screen, colours.
/// <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>, <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>
const RESET: &[u8] =
    b"\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[?1049l\x1b[0m\r\n";

/// A terminal in raw mode; as it was found when dropped.
pub struct Raw {
    reset: bool,
}

impl Raw {
    /// Puts the terminal on standard input into raw mode.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self { reset: true })
    }

    /// Goes back to how the terminal was, after a program that ended by itself and tidied up.
    pub fn leave(mut self) {
        self.reset = false;
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.reset {
            reset_screen();
        }
        restore();
    }
}

/// A terminal that does not show what is typed; as it was found when dropped.
pub struct Hidden(());

impl Hidden {
    /// Switches the echo off.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO;
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
        Ok(Self(()))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        restore();
    }
}

/// Goes back to how the terminal was, if it was changed.
pub fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(modes) = saved
        && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &modes)
    {
        tracing::debug!(%error, "restore the terminal");
    }
}

fn reset_screen() {
    if output::stdout().is_terminal() && output::write(RESET).is_err() {
        tracing::debug!("the terminal went away");
    }
}
