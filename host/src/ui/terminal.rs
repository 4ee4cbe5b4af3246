//! The user's terminal while a program in a bottle has it: raw, and afterwards as it was found.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use zeroize::Zeroizing;

use crate::ui::output;

/// The modes to go back to; kept outside any value because a third interrupt and a panic need them as well.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// What a full-screen program may have switched on and, killed, did not switch off: cursor hidden, mouse reports,
/// focus reports, bracketed paste, the kitty keyboard protocol, alternate screen, colours.
/// <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>, <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>
pub(super) const RESET: &[u8] =
    b"\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[?1049l\x1b[0m\r\n";

/// A terminal in raw mode; as it was found when dropped.
pub struct Raw {
    reset: bool,
}

/// Whether this program has the whole screen, which a panic and a third interrupt leave as well.
static HAS_SCREEN: AtomicBool = AtomicBool::new(false);

impl Raw {
    /// Puts the terminal on standard input into raw mode.
    pub fn enter() -> io::Result<Self> {
        make_raw(tcgetattr(io::stdin())?)?;
        Ok(Self { reset: true })
    }

    /// Does the same for a view of this program's own, which has the whole screen.
    pub fn enter_full_screen() -> io::Result<Self> {
        let raw = Self::enter()?;
        HAS_SCREEN.store(true, Ordering::Release);
        Ok(raw)
    }

    /// Goes back to how the terminal was, after a program that ended by itself and tidied up.
    pub fn leave(mut self) {
        self.reset = false;
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.reset && !HAS_SCREEN.load(Ordering::Acquire) {
            reset_screen();
        }
        restore();
    }
}

/// Runs `pause` with the terminal as it was found, and makes it raw again if it was.
pub fn lend<T>(pause: impl FnOnce() -> T) -> io::Result<T> {
    let Some(before) = take_saved() else { return Ok(pause()) };
    tcsetattr(io::stdin(), OptionalActions::Now, &before)?;
    let value = pause();
    // The modes of now may be the shell's own: this may be running in the background, and is stopped here if it is.
    make_raw(before)?;
    Ok(value)
}

fn make_raw(before: Termios) -> io::Result<()> {
    let mut raw = before.clone();
    raw.make_raw();
    *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    Ok(tcsetattr(io::stdin(), OptionalActions::Now, &raw)?)
}

fn take_saved() -> Option<Termios> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner).take()
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

/// The longest line that a terminal hands over at once: `N_TTY_BUF_SIZE`, <https://man7.org/linux/man-pages/man3/termios.3.html>.
const LONGEST_LINE: usize = 4096;

/// Reads a line without its end from a terminal into memory that is wiped.
///
/// The buffer of the standard library's own standard input is never wiped, so that one is not used.
pub fn read_secret_line(terminal: impl AsFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
    let mut part = Zeroizing::new([0; LONGEST_LINE]);
    loop {
        let count = match rustix::io::read(&terminal, &mut *part) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if line.len() + count > line.capacity() {
            // Growing would leave a copy behind: a longer line moves from one wiped place to another.
            let mut longer = Zeroizing::new(Vec::with_capacity(2 * line.capacity()));
            longer.extend_from_slice(&line);
            line = longer;
        }
        line.extend_from_slice(&part[..count]);
        if count == 0 || line.ends_with(b"\n") {
            break;
        }
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

/// Goes back to how the terminal was, if it was changed.
pub fn restore() {
    if HAS_SCREEN.swap(false, Ordering::AcqRel) {
        reset_screen();
    }
    if let Some(modes) = take_saved()
        && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &modes)
    {
        tracing::debug!(%error, "restore the terminal");
    }
}

/// Keeps the window's title, and says in it that this is a bottle: XTWINOPS 22 and 23 of
/// <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>.
pub struct Title(());

impl Title {
    /// Sets the title to a text, of which control characters are left out.
    pub fn set(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        write_control(format!("\x1b[22;2t\x1b]2;{text}\x07").as_bytes());
        Self(())
    }

    /// Keeps the title, which the session that follows sets.
    pub fn keep() -> Self {
        write_control(b"\x1b[22;2t");
        Self(())
    }

    /// Leaves it to others to put the title back.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Title {
    fn drop(&mut self) {
        write_control(b"\x1b[23;2t");
    }
}

fn write_control(bytes: &[u8]) {
    if output::stdout().is_terminal() && output::write(bytes).is_err() {
        tracing::debug!("the terminal went away");
    }
}

fn reset_screen() {
    write_control(RESET);
}
